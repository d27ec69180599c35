"""A log's signed word for the root of its tree (C2SP signed-note.md and tlog-checkpoint.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.signature.document import decode_base64

if TYPE_CHECKING:
    from imgverify.signature.keys import PublicKey
    from imgverify.signature.trusted import TransparencyLog

_SIZE: Final = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)
_LINE: Final = re.compile("\u2014 ([^ \n+]+) ([A-Za-z0-9+/=]+)")
_HINT: Final = 4
_HEADER: Final = 3


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One line of signature: who is said to have signed, a hint at the key, and the signature."""

    name: str
    hint: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree's size and root under the log's name; `signed` is what the signatures are over."""

    origin: str
    size: int
    root: bytes
    signed: bytes
    signatures: tuple[NoteSignature, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a signed note that is a checkpoint; raises `SignatureRejected`."""
        if len(text) > limits.CHECKPOINT_SIZE:
            msg = f"a checkpoint has {len(text)} characters, {limits.CHECKPOINT_SIZE} are the most"
            raise SignatureRejected(msg, Reason.TOO_LARGE)
        try:
            return cls._parse(text)
        except Malformed as error:
            msg = f"the checkpoint cannot be read: {error.message}"
            raise SignatureRejected(msg, Reason.CHECKPOINT_INVALID) from error

    @classmethod
    def _parse(cls, text: str) -> Self:
        body, gap, signatures = text.rpartition("\n\n")
        lines = signatures.split("\n")
        if not gap or lines.pop() != "" or not 0 < len(lines) <= limits.CHECKPOINT_SIGNATURES:
            msg = "it is not a signed note"
            raise Malformed(msg)
        header = body.split("\n")[:_HEADER]
        if len(header) < _HEADER or not header[0] or not _SIZE.fullmatch(header[1]):
            msg = "it does not begin with a name, a size and a hash"
            raise Malformed(msg)
        root = decode_base64(header[2], "its hash")
        signed = f"{body}\n".encode()
        return cls(header[0], int(header[1]), root, signed, tuple(map(_signature, lines)))

    def check(self, log: TransparencyLog, key: PublicKey, *, tiled: bool) -> None:
        """Refuse the checkpoint unless the log signed it under its own name.

        Before there were `tiled` logs, a tree's number stood behind the name in the first line.
        Lines of witnesses are passed over.
        """
        own = [
            each
            for each in self.signatures
            if each.hint == log.hint and self._is_named(each.name, tiled=tiled)
        ]
        if not any(key.verifies(each.signature, self.signed) for each in own):
            fact = "signed another checkpoint" if own else "did not sign the checkpoint"
            msg = f"the log {log.name} {fact}"
            raise SignatureRejected(msg, Reason.CHECKPOINT_INVALID)

    def _is_named(self, name: str, *, tiled: bool) -> bool:
        return self.origin == name or (not tiled and self.origin.startswith(f"{name} - "))


def _signature(line: str) -> NoteSignature:
    found = _LINE.fullmatch(line)
    data = decode_base64(found[2], "one of its signatures") if found else b""
    if found is None or len(data) <= _HINT:
        msg = "it has a line that is no signature"
        raise Malformed(msg)
    return NoteSignature(found[1], data[:_HINT], data[_HINT:])
