"""Public keys, and the signature schemes that they may be used with.

ECDSA signatures are DER, as everywhere in Sigstore. P-384 and P-521 go with the hash of their own
strength or, as older signers have it, with SHA-256.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from imgverify.errors import Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.oci.digest import Algorithm, Digest
from imgverify.signature.message import Message
from imgverify.signature.pem import read_block

_Key = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class Scheme(enum.StrEnum):
    """How a signature is made; anything else is refused."""

    ECDSA_SHA256 = "ecdsa-sha256"
    ECDSA_SHA384 = "ecdsa-sha384"
    ECDSA_SHA512 = "ecdsa-sha512"
    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"
    RSA_PSS_SHA256 = "rsa-pss-sha256"
    ED25519 = "ed25519"


_HASHES: Final = {
    Scheme.ECDSA_SHA256: (Algorithm.SHA256, hashes.SHA256()),
    Scheme.ECDSA_SHA384: (Algorithm.SHA384, hashes.SHA384()),
    Scheme.ECDSA_SHA512: (Algorithm.SHA512, hashes.SHA512()),
    Scheme.RSA_PKCS1_SHA256: (Algorithm.SHA256, hashes.SHA256()),
    Scheme.RSA_PSS_SHA256: (Algorithm.SHA256, hashes.SHA256()),
}
_LABELS: Final = {"PUBLIC KEY", "RSA PUBLIC KEY"}
# id-RSASSA-PSS in DER, and how far from the start of a key it can stand.
_PSS_ONLY: Final = bytes.fromhex("06092a864886f70d01010a")
_HEADER: Final = 32
_RSA: Final = (Scheme.RSA_PKCS1_SHA256, Scheme.RSA_PSS_SHA256)
_CURVES: Final = {
    "secp256r1": (Scheme.ECDSA_SHA256,),
    "secp384r1": (Scheme.ECDSA_SHA384, Scheme.ECDSA_SHA256),
    "secp521r1": (Scheme.ECDSA_SHA512, Scheme.ECDSA_SHA256),
}

# Sigstore's algorithm registry: the kind of key, and the scheme. RSA by its size in bits, or in two
# old names by none.
_DETAILS: Final = {
    "PKIX_ECDSA_P256_SHA_256": ("secp256r1", Scheme.ECDSA_SHA256),
    "PKIX_ECDSA_P384_SHA_384": ("secp384r1", Scheme.ECDSA_SHA384),
    "PKIX_ECDSA_P384_SHA_256": ("secp384r1", Scheme.ECDSA_SHA256),
    "PKIX_ECDSA_P521_SHA_512": ("secp521r1", Scheme.ECDSA_SHA512),
    "PKIX_ECDSA_P521_SHA_256": ("secp521r1", Scheme.ECDSA_SHA256),
    "PKIX_RSA_PKCS1V15_2048_SHA256": ("rsa-2048", Scheme.RSA_PKCS1_SHA256),
    "PKIX_RSA_PKCS1V15_3072_SHA256": ("rsa-3072", Scheme.RSA_PKCS1_SHA256),
    "PKIX_RSA_PKCS1V15_4096_SHA256": ("rsa-4096", Scheme.RSA_PKCS1_SHA256),
    "PKIX_RSA_PSS_2048_SHA256": ("rsa-2048", Scheme.RSA_PSS_SHA256),
    "PKIX_RSA_PSS_3072_SHA256": ("rsa-3072", Scheme.RSA_PSS_SHA256),
    "PKIX_RSA_PSS_4096_SHA256": ("rsa-4096", Scheme.RSA_PSS_SHA256),
    "PKIX_RSA_PKCS1V5": ("rsa", Scheme.RSA_PKCS1_SHA256),
    "PKCS1_RSA_PKCS1V5": ("rsa", Scheme.RSA_PKCS1_SHA256),
    "PKIX_ED25519": ("ed25519", Scheme.ED25519),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key and the schemes it may be used with; `spki` is its SubjectPublicKeyInfo in DER."""

    spki: bytes
    schemes: tuple[Scheme, ...]
    kind: str
    _key: _Key = field(repr=False, compare=False)

    @classmethod
    def of(cls, key: object) -> Self:
        """Take a key of the `cryptography` library; raises `SignatureRejected` for other kinds."""
        match key:
            case ec.EllipticCurvePublicKey() if key.curve.name in _CURVES:
                kind, schemes = key.curve.name, _CURVES[key.curve.name]
            case rsa.RSAPublicKey() if limits.RSA_BITS[0] <= key.key_size <= limits.RSA_BITS[1]:
                kind, schemes = f"rsa-{key.key_size}", _RSA
            case ed25519.Ed25519PublicKey():
                kind, schemes = "ed25519", (Scheme.ED25519,)
            case _:
                msg = "the key is none of ECDSA P-256, P-384, P-521, RSA (2048 bits on), Ed25519"
                raise SignatureRejected(msg, Reason.UNSUPPORTED)
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(spki, schemes, kind, key)

    @classmethod
    def from_der(cls, data: bytes) -> Self:
        """Read a SubjectPublicKeyInfo, or PKCS #1; raises `Malformed` or `SignatureRejected`."""
        try:
            key = load_der_public_key(data)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            msg = "the bytes are not a public key"
            raise Malformed(msg) from None
        _refuse_pss_only(data)
        return cls.of(key)

    @classmethod
    def from_registry(cls, details: str, data: bytes) -> Self | None:
        """Read a key that goes by a name of Sigstore's registry; None for a name that is new."""
        return cls.from_der(data).used_as(details) if details in _DETAILS else None

    @classmethod
    def from_pem(cls, data: bytes) -> Self:
        """Read a text that is one PEM block; raises `Malformed` or `SignatureRejected`."""
        label, data = read_block(data)
        if label not in _LABELS:
            msg = f"the text is a {label!r} in PEM form, and no public key"
            raise Malformed(msg)
        return cls.from_der(data)

    @property
    def fingerprint(self) -> Digest:
        """The SHA-256 of the SubjectPublicKeyInfo."""
        return Digest.of(self.spki)

    def used_as(self, details: str) -> Self | None:
        """Return the key with what this name of Sigstore's registry allows; None if it is other.

        With ECDSA the hash stays open: private logs sign with SHA-256, whatever their curve.
        """
        kind, scheme = _DETAILS.get(details, ("", None))
        if scheme is None or kind not in {self.kind, self.kind.partition("-")[0]}:
            return None
        schemes = (scheme,) if scheme in _RSA else self.schemes
        return type(self)(self.spki, schemes, self.kind, self._key)

    def is_named(self, details: str, scheme: Scheme) -> bool:
        """Tell whether this name of Sigstore's registry is of this key, used with `scheme`."""
        return _DETAILS.get(details) == (self.kind, scheme)

    def scheme_of(self, signature: bytes, message: Message) -> Scheme | None:
        """Return the scheme by which this is the key's signature over the message, if it is."""
        return next((each for each in self.schemes if self._fits(each, signature, message)), None)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Tell whether this is the key's signature over the bytes."""
        return self.scheme_of(signature, Message.of(data)) is not None

    def needs_data(self, message: Message) -> bool:
        """Tell whether some scheme cannot be tried with what is known of the message."""
        return any(
            message.data is None if each is Scheme.ED25519 else _hash(each, message) is None
            for each in self.schemes
        )

    def _fits(self, scheme: Scheme, signature: bytes, message: Message) -> bool:
        try:
            return _verify(self._key, scheme, signature, message)
        except (InvalidSignature, ValueError):
            return False


def _hash(scheme: Scheme, message: Message) -> bytes | None:
    return message.hashed(_HASHES[scheme][0])


def _verify(key: _Key, scheme: Scheme, signature: bytes, message: Message) -> bool:
    """Return True, or raise if the signature is not the key's; False if it cannot be told."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        if message.data is None:
            return False
        key.verify(signature, message.data)
        return True
    hashed, algorithm = _hash(scheme, message), _HASHES[scheme][1]
    if hashed is None:
        return False
    prehashed = utils.Prehashed(algorithm)
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, hashed, ec.ECDSA(prehashed))
        return True
    # Signers differ in the length of the salt; Go's, when told nothing, take the longest.
    pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
    pad = pss if scheme is Scheme.RSA_PSS_SHA256 else padding.PKCS1v15()
    key.verify(signature, hashed, pad, prehashed)
    return True


def _refuse_pss_only(spki: bytes) -> None:
    """Refuse a key that says of itself that it is for RSA PSS alone, with parameters of its own.

    The library reads it as any RSA key, so that signatures it does not allow would pass.
    """
    if _PSS_ONLY in spki[:_HEADER]:
        msg = "RSA keys that are restricted to PSS are not supported"
        raise SignatureRejected(msg, Reason.UNSUPPORTED)
