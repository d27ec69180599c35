"""Sigstore bundles, v0.1 to v0.3 (sigstore/protobuf-specs, sigstore_bundle.proto)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import LimitExceeded, Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.oci.digest import Algorithm, Digest
from imgverify.signature.document import Fields
from imgverify.signature.dsse import ENVELOPE_FIELDS, Envelope
from imgverify.signature.logentry import ENTRY_FIELDS, LogEntry
from imgverify.signature.material import Material

if TYPE_CHECKING:
    from cryptography import x509

    from imgverify.signature.certificate import Certificate

_VERSIONS: Final = {
    "application/vnd.dev.sigstore.bundle+json;version=0.1": 1,
    "application/vnd.dev.sigstore.bundle+json;version=0.2": 2,
    "application/vnd.dev.sigstore.bundle+json;version=0.3": 3,
    "application/vnd.dev.sigstore.bundle.v0.3+json": 3,
}
_CONTENTS: Final = ("dsseEnvelope", "messageSignature")
_SIGNERS: Final = ("certificate", "x509CertificateChain", "publicKey")
_FIELDS: Final = frozenset({"mediaType", "verificationMaterial", *_CONTENTS})
_MATERIAL_FIELDS: Final = frozenset({*_SIGNERS, "tlogEntries", "timestampVerificationData"})
_RAW: Final = frozenset({"rawBytes"})
_ALGORITHMS: Final = {
    "SHA2_256": Algorithm.SHA256,
    "SHA2_384": Algorithm.SHA384,
    "SHA2_512": Algorithm.SHA512,
}


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over an artifact's bytes; `digest` is what the bundle says they hash to."""

    signature: bytes
    digest: Digest | None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A signature and all that is needed to check it; nothing in it is trusted yet.

    `hint` is what the signer calls the key, where there is no certificate; nothing signs it.
    """

    version: int
    content: Envelope | MessageSignature
    material: Material
    hint: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a bundle; raises `Malformed`, `LimitExceeded` or `SignatureRejected`."""
        if len(data) > limits.BUNDLE_SIZE:
            msg = f"the bundle has {len(data)} bytes, {limits.BUNDLE_SIZE} are the most"
            raise LimitExceeded(msg)
        fields = Fields.parse(data, "the bundle", _FIELDS)
        media_type = fields.text("mediaType")
        version = _VERSIONS.get(media_type)
        if version is None:
            msg = f"bundles of the type {media_type!r} are not supported"
            raise SignatureRejected(msg, Reason.UNSUPPORTED)
        part = fields.fields("verificationMaterial", _MATERIAL_FIELDS)
        certificate, along, hint = _signer(part, version)
        logged = part.objects("tlogEntries", ENTRY_FIELDS, limits.LOG_ENTRIES)
        entries = tuple(map(LogEntry.of, logged))
        material = Material(certificate, along, entries, _timestamps(part))
        return cls(version, _content(fields), material, hint)

    def __post_init__(self) -> None:
        """Refuse log entries without what the bundle's version demands of each."""
        for each in self.material.entries:
            if (not each.promise) if self.version == 1 else (each.proof is None):
                needed = "a promise" if self.version == 1 else "a proof of inclusion"
                msg = f"a log entry lacks {needed}, which bundles of this version need"
                raise SignatureRejected(msg, Reason.PROOF_MISSING)


def _content(fields: Fields) -> Envelope | MessageSignature:
    kind = _only(fields, _CONTENTS)
    if kind == "dsseEnvelope":
        return Envelope.of(fields.fields(kind, ENVELOPE_FIELDS))
    part = fields.fields(kind, frozenset({"messageDigest", "signature"}))
    digest = None
    if part.has("messageDigest"):
        digest = _digest(part.fields("messageDigest", frozenset({"algorithm", "digest"})))
    return MessageSignature(part.data("signature"), digest)


def _digest(fields: Fields) -> Digest:
    algorithm = _ALGORITHMS.get(fields.text("algorithm"))
    if algorithm is None:
        msg = f"the hash function {fields.text('algorithm')!r} is not supported"
        raise SignatureRejected(msg, Reason.UNSUPPORTED)
    return Digest(algorithm, fields.data("digest").hex())


def _signer(
    material: Fields, version: int
) -> tuple[Certificate | None, tuple[x509.Certificate, ...], str]:
    kind = _only(material, _SIGNERS)
    if kind == "publicKey":
        return None, (), material.fields(kind, frozenset({"hint"})).optional_text("hint")
    if (kind == "certificate") != (version == 3):  # noqa: PLR2004 - the version that changed it
        msg = f"a bundle of version 0.{version} has no field {kind!r}"
        raise Malformed(msg)
    return *_certificates(material, kind), ""


def _certificates(material: Fields, kind: str) -> tuple[Certificate, tuple[x509.Certificate, ...]]:
    # Here: X.509 takes long to load, and a signature by a key has none.
    from imgverify.signature.certificate import (  # noqa: PLC0415 - as above
        Certificate,
        load_certificate,
    )
    from imgverify.signature.chain import issued  # noqa: PLC0415 - as above

    if kind == "certificate":
        return Certificate.parse(material.fields(kind, _RAW).data("rawBytes")), ()
    chain = material.fields(kind, frozenset({"certificates"}))
    raw = chain.objects("certificates", _RAW, limits.CERTIFICATES)
    if not raw:
        msg = "the certificate chain is empty"
        raise Malformed(msg)
    leaf, *others = (each.data("rawBytes") for each in raw)
    along = tuple(map(load_certificate, others))
    if any(issued(each, each) for each in along):
        msg = "the certificate chain holds a root, and whom to trust is not for a bundle to say"
        raise Malformed(msg)
    return Certificate.parse(leaf), along


def _timestamps(material: Fields) -> tuple[bytes, ...]:
    if not material.has("timestampVerificationData"):
        return ()
    data = material.fields("timestampVerificationData", frozenset({"rfc3161Timestamps"}))
    known = frozenset({"signedTimestamp"})
    found = data.objects("rfc3161Timestamps", known, limits.TIMESTAMPS)
    return tuple(each.data("signedTimestamp") for each in found)


def _only(fields: Fields, names: tuple[str, ...]) -> str:
    found = [each for each in names if fields.has(each)]
    if len(found) != 1:
        msg = f"{fields.what} has {len(found)} of {', '.join(names)}, and one is needed"
        raise Malformed(msg)
    return found[0]
