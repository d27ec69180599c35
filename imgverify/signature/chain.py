"""From a certificate to a trusted authority, at a given time.

The path is found and checked by `cryptography.x509.verification`, whose rules for TLS are replaced
by those for signing. Only an authority's last certificate is an anchor, and it too has to be valid
at the time; certificates that came along with a signature help to find a path and are no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from imgverify.errors import Reason, SignatureRejected
from imgverify.signature.certificate import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography.x509.verification import Policy

    from imgverify.signature.trusted import CertificateAuthority

    Path = tuple[x509.Certificate, ...]

E = TypeVar("E", bound=x509.ExtensionType)

_DEPTH: Final = 8


def find_path(
    leaf: x509.Certificate,
    authority: CertificateAuthority,
    along: tuple[x509.Certificate, ...],
    time: datetime,
) -> Path | None:
    """Return the certificates from `leaf` to the authority's root, if all are valid at `time`."""
    if time not in authority.window:
        return None
    *helping, root = authority.chain
    policies = {"ca_policy": _CA, "ee_policy": ExtensionPolicy.permit_all()}
    builder = PolicyBuilder().store(Store([root])).time(time).max_chain_depth(_DEPTH)
    verifier = builder.extension_policies(**policies).build_client_verifier()
    try:
        return tuple(verifier.verify(leaf, [*helping, *along]).chain)
    except (VerificationError, *UNREADABLE):
        return None


def _signs_certificates(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        msg = "an issuer's certificate is not for signing certificates"
        raise ValueError(msg)


# Without the first demand an ordinary certificate could pass for an issuer.
_CA: Final = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
)


def issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Tell whether one certificate bears the other's signature, whatever the time."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def is_issued_within(
    authority: CertificateAuthority, leaf: x509.Certificate, along: Iterable[x509.Certificate]
) -> bool:
    """Tell whether the authority may stand behind a certificate, whatever the time."""
    known = list(authority.chain)
    known += [each for each in along if any(issued(one, each) for one in authority.chain)]
    return any(issued(each, leaf) for each in known)


def check_usage(certificate: x509.Certificate, *, for_code: bool) -> None:
    """Refuse a signer's certificate that is an issuer's, or not for signing code.

    One that names no purpose at all is good for every purpose (RFC 5280, section 4.2.1.12), unless
    `for_code` says that it has to name this one.
    """
    usage = find_extension(certificate, x509.KeyUsage)
    purposes = find_extension(certificate, x509.ExtendedKeyUsage)
    if is_authority(certificate):
        wrong = "it is an authority's"
    elif usage is not None and not usage.value.digital_signature:
        wrong = "its key usage lacks digital signatures"
    elif not _is_for_code(purposes, for_code=for_code):
        wrong = "its extended key usage lacks code signing"
    else:
        return
    msg = f"the certificate may not be used for signatures: {wrong}"
    raise SignatureRejected(msg, Reason.CERTIFICATE_USAGE)


def _is_for_code(purposes: x509.Extension[x509.ExtendedKeyUsage] | None, *, for_code: bool) -> bool:
    if purposes is None:
        return not for_code
    return ExtendedKeyUsageOID.CODE_SIGNING in purposes.value


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate says that it may issue others."""
    constraints = find_extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.value.ca


def find_extension(certificate: x509.Certificate, kind: type[E]) -> x509.Extension[E] | None:
    """Return an extension, if it is there."""
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
