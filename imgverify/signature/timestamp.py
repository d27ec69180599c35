"""RFC 3161 timestamps: an authority's word for the time at which some bytes existed.

The CMS structure is read and its signature checked by `rfc3161_client`. Who may sign is decided
here: the one end-entity certificate that a trusted root names, or one that an authority of a root
issued, with time stamping as its only, critical purpose and valid at the time it vouches for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import rfc3161_client
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import PKIStatus, VerificationError, VerifierBuilder

from imgverify.errors import LimitExceeded, Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.oci.digest import Algorithm
from imgverify.signature.certificate import load_certificate
from imgverify.signature.chain import (
    find_extension,
    find_path,
    is_authority,
    is_issued_within,
)
from imgverify.signature.der import sorted_certificates
from imgverify.signature.message import Message

if TYPE_CHECKING:
    from datetime import datetime

    from rfc3161_client import TimeStampResponse

    from imgverify.signature.trusted import CertificateAuthority

_HASHES: Final = {
    "2.16.840.1.101.3.4.2.1": Algorithm.SHA256,
    "2.16.840.1.101.3.4.2.2": Algorithm.SHA384,
    "2.16.840.1.101.3.4.2.3": Algorithm.SHA512,
}


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time, and the authority that vouches for it."""

    authority: CertificateAuthority
    time: datetime


def verify_timestamp(
    data: bytes, stamped: bytes, authorities: tuple[CertificateAuthority, ...]
) -> Timestamp | None:
    """Return what a timestamp over `stamped` says; None if no authority known here made it.

    Raises `SignatureRejected` for one that a known authority did not make as it stands.
    """
    response = _decode(data)
    embedded = _embedded(response)
    known = [(each, leaf) for each in authorities if (leaf := _signer(response, each, embedded))]
    if not known:
        return None
    imprint = response.tst_info.message_imprint
    algorithm = _HASHES.get(imprint.hash_algorithm.dotted_string)
    if algorithm is None or Message.of(stamped).hashed(algorithm) != imprint.message:
        msg = "the timestamp is about something else than this signature"
        raise SignatureRejected(msg, Reason.TIMESTAMP_MISMATCH)
    errors = []
    for authority, leaf in known:
        try:
            return _verify(response, authority, leaf, embedded)
        except SignatureRejected as error:
            errors.append(error)
    raise errors[0]


def _decode(data: bytes) -> TimeStampResponse:
    if len(data) > limits.TIMESTAMP_SIZE:
        msg = f"a timestamp has {len(data)} bytes, {limits.TIMESTAMP_SIZE} are the most"
        raise LimitExceeded(msg)
    try:
        response = rfc3161_client.decode_timestamp_response(sorted_certificates(data))
        status, signers = PKIStatus(response.status), response.signed_data.signer_infos
    except (ValueError, UnsupportedAlgorithm, Malformed):
        msg = "the timestamp cannot be read"
        raise SignatureRejected(msg, Reason.TIMESTAMP_INVALID) from None
    if status is not PKIStatus.GRANTED or len(signers) != 1:
        msg = "the timestamp was not granted, or has not one signer"
        raise SignatureRejected(msg, Reason.TIMESTAMP_INVALID)
    return response


def _embedded(response: TimeStampResponse) -> tuple[x509.Certificate, ...]:
    """Return the certificates that lie in the token; nothing signs them."""
    found = sorted(response.signed_data.certificates)
    if len(found) > limits.CERTIFICATES:
        msg = f"a timestamp has {len(found)} certificates, {limits.CERTIFICATES} are the most"
        raise LimitExceeded(msg)
    return tuple(map(load_certificate, found))


def _signer(
    response: TimeStampResponse,
    authority: CertificateAuthority,
    embedded: tuple[x509.Certificate, ...],
) -> x509.Certificate | None:
    """Return the certificate that the timestamp says its signer has, if it may be this one's."""
    (signer,) = response.signed_data.signer_infos
    pinned = not is_authority(authority.chain[0])
    for each in authority.chain[:1] if pinned else embedded:
        if (each.issuer, each.serial_number) == (signer.issuer, signer.serial_number):
            issued = pinned or is_issued_within(authority, each, embedded)
            return each if issued else None
    return None


def _verify(
    response: TimeStampResponse,
    authority: CertificateAuthority,
    leaf: x509.Certificate,
    embedded: tuple[x509.Certificate, ...],
) -> Timestamp:
    time = response.tst_info.gen_time
    if not _may_stamp(leaf):
        msg = f"a certificate of {authority.name} is not for timestamps, and for nothing else"
        raise SignatureRejected(msg, Reason.TIMESTAMP_INVALID)
    path = find_path(leaf, authority, embedded, time)
    if path is None:
        msg = f"the authority {authority.name} is not trusted with the time {time.isoformat()}"
        raise SignatureRejected(msg, Reason.TIMESTAMP_TIME)
    imprint = response.tst_info.message_imprint
    verifier = VerifierBuilder(
        tsa_certificate=leaf, intermediates=list(path[1:-1]), roots=[path[-1]]
    ).build()
    try:
        verifier.verify(response, imprint.message)
    except (VerificationError, ValueError, UnsupportedAlgorithm):
        msg = f"the authority {authority.name} did not sign the timestamp"
        raise SignatureRejected(msg, Reason.TIMESTAMP_INVALID) from None
    return Timestamp(authority, time)


def _may_stamp(certificate: x509.Certificate) -> bool:
    """RFC 3161, section 2.3: one purpose, and it is critical."""
    purposes = find_extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or not purposes.critical or is_authority(certificate):
        return False
    return list(purposes.value) == [ExtendedKeyUsageOID.TIME_STAMPING]
