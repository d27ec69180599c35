"""What a log entry says it is about, and whether that is the signature at hand.

An entry that is genuine but about something else proves nothing, so everything an entry holds is
compared: the hash, the signature's very bytes, and the certificate or key. Kinds: sigstore/rekor,
pkg/types; sigstore/rekor-tiles, api/proto/rekor/v2.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import Malformed, Reason, SignatureRejected
from imgverify.oci.digest import Algorithm
from imgverify.signature.document import Fields, decode_base64

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.signature.certificate import Certificate
    from imgverify.signature.dsse import Envelope
    from imgverify.signature.keys import PublicKey, Scheme
    from imgverify.signature.message import Message

_FIELDS: Final = frozenset({"apiVersion", "kind", "spec"})


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature that an entry has to be about.

    `certificate` is None for a bare key. `documents` are the forms in which the envelope may have
    been handed to the log; the oldest kind of entries for envelopes holds a hash of that alone.
    """

    value: bytes
    message: Message
    key: PublicKey
    scheme: Scheme
    certificate: Certificate | None = None
    envelope: Envelope | None = None
    documents: tuple[bytes, ...] = ()

    @property
    def signer(self) -> bytes:
        """The certificate or, without one, the key, in DER."""
        return self.key.spki if self.certificate is None else self.certificate.der


def check_body(body: bytes, kind: tuple[str, str] | None, signature: Signature) -> tuple[str, str]:
    """Refuse an entry that is not about the signature; return its kind and version.

    `kind` is what the bundle says that the entry is, where it says so.
    """
    fields = Fields.parse(body, "the log entry", _FIELDS)
    actual = fields.text("kind"), fields.text("apiVersion")
    check = _KINDS.get(actual)
    if check is None:
        msg = f"log entries of the kind {actual[0]!r} {actual[1]} are not supported"
        raise SignatureRejected(msg, Reason.UNSUPPORTED)
    if kind not in (None, actual):
        raise _mismatch("kind")
    check(fields.fields("spec", frozenset()), signature)
    return actual


def is_tiled(kind: tuple[str, str]) -> bool:
    """Tell whether a kind of entry is one of Rekor v2, whose logs are made of tiles."""
    return kind in {("hashedrekord", "0.0.2"), ("dsse", "0.0.2")}


def _mismatch(part: str) -> SignatureRejected:
    msg = f"the log entry is about something else: its {part} is not the signature's"
    return SignatureRejected(msg, Reason.ENTRY_MISMATCH)


def _hashedrekord(spec: Fields, signature: Signature) -> None:
    data = spec.fields("data", frozenset({"hash"}))
    _check_message(data, signature.message)
    part = spec.fields("signature", frozenset({"content", "publicKey"}))
    _check_value(part.data("content"), signature)
    _check_signer(part.fields("publicKey", frozenset({"content"})).data("content"), signature)


def _rekord(spec: Fields, signature: Signature) -> None:
    part = spec.fields("signature", frozenset({"content", "publicKey", "format"}))
    if part.text("format") != "x509":
        raise _mismatch("format")
    _hashedrekord(spec, signature)


def _dsse(spec: Fields, signature: Signature) -> None:
    envelope = _envelope(signature)
    _check_hash(spec, "payloadHash", envelope.payload)
    signer = _one(spec, "signatures", frozenset({"signature", "verifier"}))
    _check_value(signer.data("signature"), signature)
    _check_signer(signer.data("verifier"), signature)


def _intoto_1(spec: Fields, signature: Signature) -> None:
    _envelope(signature)
    content = spec.fields("content", frozenset({"hash", "payloadHash"}))
    if not any(_has_hash(content, "hash", each) for each in signature.documents):
        raise _mismatch("envelope")
    _check_signer(spec.data("publicKey"), signature)


def _intoto_2(spec: Fields, signature: Signature) -> None:
    envelope = _envelope(signature)
    content = spec.fields("content", frozenset({"envelope", "hash", "payloadHash"}))
    _check_hash(content, "payloadHash", envelope.payload)
    logged = content.fields("envelope", frozenset({"payload", "payloadType", "signatures"}))
    if logged.text("payloadType") != envelope.payload_type:
        raise _mismatch("payload's type")
    signer = _one(logged, "signatures", frozenset({"sig", "publicKey", "keyid"}))
    # Written in base64 twice: the log took the envelope's text for bytes.
    inner = signer.data("sig").decode("utf-8", "replace")
    try:
        value = decode_base64(inner, "the log entry's signature", url_safe=True)
    except Malformed:
        value = b""
    _check_value(value, signature)
    _check_signer(signer.data("publicKey"), signature)


def _hashedrekord_2(spec: Fields, signature: Signature) -> None:
    inner = spec.fields("hashedRekordV002", frozenset({"data", "signature"}))
    data = inner.fields("data", frozenset({"algorithm", "digest"}))
    _check_digest(data, "digest", signature.message)
    part = inner.fields("signature", frozenset({"content", "verifier"}))
    _check_value(part.data("content"), signature)
    _check_verifier(part, signature)


def _dsse_2(spec: Fields, signature: Signature) -> None:
    inner = spec.fields("dsseV002", frozenset({"payloadHash", "signatures"}))
    payload = _envelope(signature).message_of_payload
    _check_digest(
        inner.fields("payloadHash", frozenset({"algorithm", "digest"})), "digest", payload
    )
    signer = _one(inner, "signatures", frozenset({"content", "verifier"}))
    _check_value(signer.data("content"), signature)
    _check_verifier(signer, signature)


_KINDS: Final[dict[tuple[str, str], Callable[[Fields, Signature], None]]] = {
    ("hashedrekord", "0.0.1"): _hashedrekord,
    ("hashedrekord", "0.0.2"): _hashedrekord_2,
    ("rekord", "0.0.1"): _rekord,
    ("dsse", "0.0.1"): _dsse,
    ("dsse", "0.0.2"): _dsse_2,
    ("intoto", "0.0.1"): _intoto_1,
    ("intoto", "0.0.2"): _intoto_2,
}


def _envelope(signature: Signature) -> Envelope:
    if signature.envelope is None:
        raise _mismatch("kind")
    return signature.envelope


def _one(fields: Fields, name: str, known: frozenset[str]) -> Fields:
    found = fields.objects(name, known, most=16)
    if len(found) != 1:
        raise _mismatch("number of signatures")
    return found[0]


def _check_value(value: bytes, signature: Signature) -> None:
    if value != signature.value:
        raise _mismatch("signature")


def _check_message(fields: Fields, message: Message) -> None:
    part = fields.fields("hash", frozenset({"algorithm", "value"}))
    name = part.text("algorithm")
    hashed = message.hashed(Algorithm(name)) if name in set(Algorithm) else None
    if hashed is None or part.text("value") != hashed.hex():
        raise _mismatch("hash")


def _check_hash(fields: Fields, name: str, data: bytes) -> None:
    if not _has_hash(fields, name, data):
        raise _mismatch("payload")


def _has_hash(fields: Fields, name: str, data: bytes) -> bool:
    part = fields.fields(name, frozenset({"algorithm", "value"}))
    value = hashlib.sha256(data).hexdigest()
    return (part.text("algorithm"), part.text("value")) == ("sha256", value)


_ALGORITHMS: Final = {
    "SHA2_256": Algorithm.SHA256,
    "SHA2_384": Algorithm.SHA384,
    "SHA2_512": Algorithm.SHA512,
}


def _check_digest(fields: Fields, name: str, message: Message) -> None:
    algorithm = _ALGORITHMS.get(fields.text("algorithm"))
    if algorithm is None or message.hashed(algorithm) != fields.data(name):
        raise _mismatch("hash")


def _check_signer(pem: bytes, signature: Signature) -> None:
    from imgverify.signature.certificate import Pem, decode_pem  # noqa: PLC0415 - loads X.509

    try:
        kind, data = decode_pem(pem)
    except Malformed:
        raise _mismatch("key or certificate") from None
    right = Pem.PUBLIC_KEY if signature.certificate is None else Pem.CERTIFICATE
    if (kind, data) != (right, signature.signer):
        raise _mismatch("key or certificate")


def _check_verifier(part: Fields, signature: Signature) -> None:
    known = frozenset({"publicKey", "x509Certificate", "keyDetails"})
    verifier = part.fields("verifier", known)
    bare = signature.certificate is None
    name, other = ("publicKey", "x509Certificate") if bare else ("x509Certificate", "publicKey")
    if not verifier.has(name) or verifier.has(other):
        raise _mismatch("key or certificate")
    logged = verifier.fields(name, frozenset({"rawBytes"})).data("rawBytes")
    if logged != signature.signer:
        raise _mismatch("key or certificate")
    if not signature.key.is_named(verifier.text("keyDetails"), signature.scheme):
        raise _mismatch("algorithm")


def documents_of(envelope: Envelope) -> tuple[bytes, ...]:
    """Return the forms in which Go's and Python's tools write an envelope down."""
    payload = b64encode(envelope.payload).decode()
    sig = b64encode(envelope.signature).decode()
    keyed = {"keyid": envelope.key_id, "sig": sig}
    bare = {"sig": sig}
    kind = envelope.payload_type
    forms = [
        {"payloadType": kind, "payload": payload, "signatures": [each]} for each in (keyed, bare)
    ]
    return tuple(json.dumps(each, separators=(",", ":")).encode() for each in forms)
