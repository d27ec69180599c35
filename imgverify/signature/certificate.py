"""Signing certificates: whom they name, and what Fulcio says about the signer's login.

Extensions: sigstore/fulcio, docs/oid-info.md.
"""

from __future__ import annotations

import enum
import warnings
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import PublicKeyAlgorithmOID

from imgverify.errors import LimitExceeded, Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.signature.identity import Extension, NameKind, SubjectName
from imgverify.signature.keys import PublicKey
from imgverify.signature.pem import read_block, read_blocks

_FULCIO: Final = "1.3.6.1.4.1.57264.1"
_ISSUER: Final = f"{_FULCIO}.1"
_ISSUER_V2: Final = f"{_FULCIO}.8"
_USERNAME: Final = x509.ObjectIdentifier(f"{_FULCIO}.7")
# Extensions up to this one hold bare text; the later ones hold a DER UTF8String.
_LAST_BARE: Final = 6


#: What the libraries raise for bytes that are not what they should be.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,
)
# What the library only warns of, and says that it will refuse one day: nobody would read a warning
# about somebody else's certificate. This names the module that it is told to.
warnings.filterwarnings("error", category=CryptographyDeprecationWarning, module=__name__)


class Pem(enum.StrEnum):
    """What a PEM block says it holds."""

    CERTIFICATE = "CERTIFICATE"
    PUBLIC_KEY = "PUBLIC KEY"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signer's certificate. All of it is read when it is built, none of it is trusted by that.

    `issuer` is who vouched for the login, in Fulcio's certificates; others have none.
    """

    der: bytes
    x509: x509.Certificate = field(repr=False, compare=False)
    key: PublicKey
    names: tuple[SubjectName, ...]
    issuer: str
    claims: tuple[tuple[Extension, str], ...]

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Read a certificate in DER; raises `Malformed`, `LimitExceeded`, `SignatureRejected`."""
        parsed = load_certificate(der)
        texts = dict(_texts(parsed.extensions))
        return cls(
            der=der,
            x509=parsed,
            key=PublicKey.of(_public_key(parsed)),
            names=_names(parsed.extensions),
            issuer=_issuer(texts),
            claims=tuple((each, texts[each.oid]) for each in Extension if each.oid in texts),
        )


def load_certificate(der: bytes) -> x509.Certificate:
    """Read one certificate in DER, with nothing behind it."""
    if len(der) > limits.CERTIFICATE_SIZE:
        msg = f"a certificate has {len(der)} bytes, {limits.CERTIFICATE_SIZE} are the most"
        raise LimitExceeded(msg)
    try:
        return _complete(x509.load_der_x509_certificate(der))
    except UNREADABLE as error:
        msg = "the bytes are not a certificate"
        raise Malformed(msg) from error


def load_chain(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Read all certificates of a PEM text, at least one."""
    blocks = read_blocks(pem)
    if not blocks or any(label != Pem.CERTIFICATE for label, _ in blocks):
        msg = "the text is not one or more certificates in PEM form"
        raise Malformed(msg)
    return tuple(load_certificate(der) for _, der in blocks)


def _complete(certificate: x509.Certificate) -> x509.Certificate:
    """Read what the library would read later, so that errors come here and nowhere else."""
    _ = (certificate.issuer, certificate.subject, certificate.extensions)
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    return certificate


def decode_pem(pem: bytes) -> tuple[Pem, bytes]:
    """Return what a text holds, one certificate or public key, and its bytes."""
    label, data = read_block(pem)
    if label == Pem.CERTIFICATE:
        return Pem.CERTIFICATE, data
    return Pem.PUBLIC_KEY, PublicKey.from_pem(pem).spki


def _public_key(parsed: x509.Certificate) -> object:
    if parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        msg = "RSA keys that are restricted to PSS are not supported"
        raise SignatureRejected(msg, Reason.UNSUPPORTED)
    try:
        return parsed.public_key()
    except UNREADABLE as error:
        msg = "the certificate's key cannot be read"
        raise Malformed(msg) from error


def _names(extensions: x509.Extensions) -> tuple[SubjectName, ...]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(found for each in names if (found := _name(each)) is not None)


def _name(name: x509.GeneralName) -> SubjectName | None:
    """Read a name of a kind that can identify a signer."""
    match name:
        case x509.RFC822Name():
            return SubjectName(NameKind.EMAIL, name.value)
        case x509.UniformResourceIdentifier():
            return SubjectName(NameKind.URI, name.value)
        case x509.DNSName():
            return SubjectName(NameKind.DNS, name.value)
        case x509.OtherName() if name.type_id == _USERNAME:
            return SubjectName(NameKind.USERNAME, _utf8_string(name.value))
    return None


def _texts(extensions: x509.Extensions) -> list[tuple[str, str]]:
    """Return Fulcio's extensions by their OID."""
    found = []
    for each in extensions:
        oid = each.oid.dotted_string
        if oid.startswith(f"{_FULCIO}.") and isinstance(each.value, x509.UnrecognizedExtension):
            bare = int(oid.rpartition(".")[2]) <= _LAST_BARE
            data = each.value.value
            found.append((oid, _text(data) if bare else _utf8_string(data)))
    return found


def _issuer(texts: dict[str, str]) -> str:
    """Return the issuer; the two places where it may stand have to agree."""
    one, other = texts.get(_ISSUER, ""), texts.get(_ISSUER_V2, "")
    if one and other and one != other:
        msg = f"the certificate names two issuers, {one!r} and {other!r}"
        raise Malformed(msg)
    return other or one


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        msg = "the certificate has an extension that is not UTF-8"
        raise Malformed(msg) from None


def _utf8_string(data: bytes) -> str:
    """Read a DER UTF8String of at most 65535 bytes."""
    tag, length, start = (data + b"\0\0")[0], (data + b"\0\0")[1], 2
    if length in {0x81, 0x82}:
        start += length - 0x80
        length = int.from_bytes(data[2:start], "big")
        short = length < (0x80 if start == 3 else 0x100)  # noqa: PLR2004 - what DER calls minimal
    else:
        short = length > 0x80  # noqa: PLR2004 - as above
    if tag != 0x0C or short or len(data) != start + length:  # noqa: PLR2004 - UTF8String
        msg = "the certificate has an extension that is not a DER UTF8String"
        raise Malformed(msg)
    return _text(data[start:])
