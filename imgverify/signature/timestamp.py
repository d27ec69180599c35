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
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import PKIStatus, VerificationError, VerifierBuilder

from imgverify.errors import LimitExceeded, Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.oci.digest import Algorithm
from imgverify.signature.certificate import UNREADABLE, load_certificate
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


@dataclass(frozen=True, slots=True)
class _Token:
    """What a response says, read at once; none of it is true before its signature is checked."""

    response: TimeStampResponse
    time: datetime
    algorithm: Algorithm | None
    imprint: bytes
    signer: tuple[x509.Name, int]
    embedded: tuple[x509.Certificate, ...]


def verify_timestamp(
    data: bytes, stamped: bytes, authorities: tuple[CertificateAuthority, ...]
) -> Timestamp | None:
    """Return what a timestamp over `stamped` says; None if no authority known here made it.

    Raises `SignatureRejected` for one that a known authority did not make as it stands.
    """
    token = _decode(data)
    known = [(each, leaf) for each in authorities if (leaf := _signer(token, each)) is not None]
    if not known:
        return None
    if token.algorithm is None or Message.of(stamped).hashed(token.algorithm) != token.imprint:
        msg = "the timestamp is about something else than this signature"
        raise SignatureRejected(msg, Reason.TIMESTAMP_MISMATCH)
    errors = []
    for authority, leaf in known:
        try:
            return _verify(token, authority, leaf)
        except SignatureRejected as error:
            errors.append(error)
    raise errors[0]


def _decode(data: bytes) -> _Token:
    if len(data) > limits.TIMESTAMP_SIZE:
        msg = f"a timestamp has {len(data)} bytes, {limits.TIMESTAMP_SIZE} are the most"
        raise LimitExceeded(msg)
    try:
        return _read(rfc3161_client.decode_timestamp_response(sorted_certificates(data)))
    except (Malformed, *UNREADABLE) as error:
        # The library reads most of a token only when it is asked for it.
        msg = "the timestamp cannot be read, was not granted, or has not one signer"
        raise SignatureRejected(msg, Reason.TIMESTAMP_INVALID) from error


def _read(response: TimeStampResponse) -> _Token:
    signers, embedded = response.signed_data.signer_infos, response.signed_data.certificates
    if PKIStatus(response.status) is not PKIStatus.GRANTED or len(signers) != 1:
        msg = "it was not granted, or has not one signer"
        raise Malformed(msg)
    if len(embedded) > limits.CERTIFICATES:
        msg = f"a timestamp has {len(embedded)} certificates, {limits.CERTIFICATES} are the most"
        raise LimitExceeded(msg)
    (signer,), info = signers, response.tst_info
    return _Token(
        response=response,
        time=info.gen_time,
        algorithm=_HASHES.get(info.message_imprint.hash_algorithm.dotted_string),
        imprint=info.message_imprint.message,
        signer=(signer.issuer, signer.serial_number),
        embedded=tuple(map(load_certificate, sorted(embedded))),
    )


def _signer(token: _Token, authority: CertificateAuthority) -> x509.Certificate | None:
    """Return the certificate that the timestamp says its signer has, if it may be this one's."""
    pinned = not is_authority(authority.chain[0])
    for each in authority.chain[:1] if pinned else token.embedded:
        if (each.issuer, each.serial_number) == token.signer:
            issued = pinned or is_issued_within(authority, each, token.embedded)
            return each if issued else None
    return None


def _verify(token: _Token, authority: CertificateAuthority, leaf: x509.Certificate) -> Timestamp:
    if not _may_stamp(leaf):
        msg = f"a certificate of {authority.name} is not for timestamps, and for nothing else"
        raise SignatureRejected(msg, Reason.TIMESTAMP_INVALID)
    path = find_path(leaf, authority, token.embedded, token.time)
    if path is None:
        time = token.time.isoformat()
        msg = f"the authority {authority.name} is not trusted with the time {time}"
        raise SignatureRejected(msg, Reason.TIMESTAMP_TIME)
    # Whatever is handed over here is trusted by the library, so it gets what was found to be.
    verifier = VerifierBuilder(
        tsa_certificate=leaf, intermediates=list(path[1:-1]), roots=[path[-1]]
    ).build()
    try:
        verifier.verify(token.response, token.imprint)
    except (VerificationError, *UNREADABLE) as error:
        msg = f"the authority {authority.name} did not sign the timestamp"
        raise SignatureRejected(msg, Reason.TIMESTAMP_INVALID) from error
    return Timestamp(authority, token.time)


def _may_stamp(certificate: x509.Certificate) -> bool:
    """RFC 3161, section 2.3: one purpose, and it is critical."""
    purposes = find_extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or not purposes.critical or is_authority(certificate):
        return False
    return list(purposes.value) == [ExtendedKeyUsageOID.TIME_STAMPING]
