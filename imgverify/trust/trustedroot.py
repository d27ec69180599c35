"""Reading trusted roots (sigstore/protobuf-specs, sigstore_trustroot.proto).

A file holds one root, or one on each line, as `gh attestation trusted-root` prints them.
"""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import UTC, datetime
from typing import Final

from imgverify.errors import ContentError, InputError, Malformed, SignatureRejected
from imgverify.oci import limits
from imgverify.oci.strictjson import loads
from imgverify.signature.document import Fields
from imgverify.signature.keys import PublicKey
from imgverify.signature.trusted import (
    ALWAYS,
    CertificateAuthority,
    TransparencyLog,
    TrustedRoot,
    Window,
)

_TYPES: Final = (
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
)
_FIELDS: Final = frozenset(
    {"mediaType", "tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"}
)
_LOG_FIELDS: Final = frozenset(
    {"baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator"}
)
_KEY_FIELDS: Final = frozenset({"rawBytes", "keyDetails", "validFor"})
_AUTHORITY_FIELDS: Final = frozenset({"subject", "uri", "certChain", "validFor", "operator"})
_WINDOW_FIELDS: Final = frozenset({"start", "end"})
_ID_FIELDS: Final = frozenset({"keyId"})
_RAW: Final = frozenset({"rawBytes"})
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)


def parse_trusted_roots(data: bytes, name: str) -> tuple[TrustedRoot, ...]:
    """Read a file of trusted roots, called `name` in errors; raises `InputError`."""
    lines = [each for each in data.split(b"\n") if each.strip()]
    single = len(lines) < 2 or not _is_document(lines[0])  # noqa: PLR2004 - one is not several
    documents = [data] if single else lines
    if len(documents) > limits.TRUSTED_ROOTS:
        msg = f"{name} has {len(documents)} trusted roots, {limits.TRUSTED_ROOTS} are the most"
        raise InputError(msg)
    try:
        return tuple(
            _root(each, name if single else f"{name}, line {number}")
            for number, each in enumerate(documents, 1)
        )
    except ContentError as error:
        msg = f"{name} is not a trusted root: {error.message}"
        raise InputError(msg, hint="write it as `cosign trusted-root create` does") from error


def late_root(data: bytes, name: str) -> TrustedRoot:
    """Return a trusted root that is read once something of it is asked for.

    For bytes that were read before: what is wrong with them comes up in the middle of things.
    """
    return _LateRoot(name, data)


class _LateRoot(TrustedRoot):
    """Fills itself at the first question; about a signature by a key alone none is asked."""

    __slots__ = ("_data",)
    _data: bytes

    def __init__(self, name: str, data: bytes) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_data", data)

    def __eq__(self, other: object) -> bool:
        # By what was read, so that telling two requirements apart asks nothing of the root.
        if not isinstance(other, _LateRoot):
            return NotImplemented
        return (self.name, self._data) == (other.name, other._data)

    def __hash__(self) -> int:
        return hash((self.name, self._data))

    def __getattr__(self, attribute: str) -> object:
        # Called for what is not there, which is each field but the name until now.
        names = {each.name for each in fields(TrustedRoot)}
        if attribute in names:
            whole = _root(self._data, self.name)
            for each in names:
                object.__setattr__(self, each, getattr(whole, each))
        return object.__getattribute__(self, attribute)


def _is_document(line: bytes) -> bool:
    """Tell whether a line is a whole document, as each is where there are several."""
    try:
        loads(line)
    except ContentError:
        return False
    return True


def _root(data: bytes, name: str) -> TrustedRoot:
    fields = Fields.parse(data, "the document", _FIELDS)
    if fields.text("mediaType") not in _TYPES:
        msg = f"its type {fields.text('mediaType')!r} is not known"
        raise Malformed(msg)
    return TrustedRoot(
        name=name,
        authorities=_authorities(fields, "certificateAuthorities"),
        logs=_logs(fields, "tlogs"),
        ct_logs=_logs(fields, "ctlogs"),
        timestamp_authorities=_authorities(fields, "timestampAuthorities"),
    )


def _logs(fields: Fields, name: str) -> tuple[TransparencyLog, ...]:
    found = tuple(map(_log, fields.objects(name, _LOG_FIELDS, limits.AUTHORITIES)))
    if len({each.log_id for each in found}) != len(found):
        msg = f"{name!r} has two logs with the same ID"
        raise Malformed(msg)
    return found


def _log(fields: Fields) -> TransparencyLog:
    if fields.optional_text("hashAlgorithm") not in {"", "SHA2_256"}:
        msg = f"the hash function {fields.text('hashAlgorithm')!r} of a log is not supported"
        raise Malformed(msg)
    key = fields.fields("publicKey", _KEY_FIELDS)
    checkpoint = fields.has("checkpointKeyId")
    return TransparencyLog(
        name=fields.optional_text("baseUrl") or "(a log without a name)",
        log_id=fields.fields("logId", _ID_FIELDS).data("keyId"),
        key=_key(key),
        window=_window(key),
        note_id=fields.fields("checkpointKeyId", _ID_FIELDS).data("keyId") if checkpoint else b"",
    )


def _key(fields: Fields) -> PublicKey | None:
    """Return the key; None if it is of a kind that cannot be used, which newer logs may have."""
    details, data = fields.text("keyDetails"), fields.data("rawBytes")
    try:
        return PublicKey.from_registry(details, data)
    except SignatureRejected:
        return None


def _authorities(fields: Fields, name: str) -> tuple[CertificateAuthority, ...]:
    found = fields.objects(name, _AUTHORITY_FIELDS, limits.AUTHORITIES)
    return tuple(map(_authority, found))


def _authority(fields: Fields) -> CertificateAuthority:
    from imgverify.signature.certificate import load_certificate  # noqa: PLC0415 - loads X.509

    known = frozenset({"certificates"})
    chain = fields.fields("certChain", known).objects("certificates", _RAW, limits.CERTIFICATES)
    certificates = tuple(load_certificate(each.data("rawBytes")) for each in chain)
    if not certificates:
        msg = "an authority has no certificate"
        raise Malformed(msg)
    name = fields.optional_text("uri") or certificates[0].subject.rfc4514_string()
    return CertificateAuthority(name, certificates, _window(fields))


def _window(fields: Fields) -> Window:
    if not fields.has("validFor"):
        return ALWAYS
    window = fields.fields("validFor", _WINDOW_FIELDS)
    # A beginning that somebody forgot must not mean "since ever".
    start = _time(window.text("start"))
    end = _time(window.text("end")) if window.has("end") else None
    return Window(start, end)


def _time(text: str) -> datetime:
    """Read a time of RFC 3339, to the microsecond."""
    found = _TIME.fullmatch(text)
    fraction = ((found and found[2]) or "0")[:6].ljust(6, "0")
    try:
        time = datetime.fromisoformat(f"{found[1]}.{fraction}{found[3]}" if found else "")
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        msg = f"{text!r} is not a time as RFC 3339 has it"
        raise Malformed(msg) from None
