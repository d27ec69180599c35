"""Inclusion in a Merkle tree (RFC 6962, section 2.1.1; the walk is that of RFC 9162, 2.1.3.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from imgverify.errors import Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.signature.document import Fields, decode_base64

PROOF_FIELDS = frozenset({"logIndex", "rootHash", "treeSize", "hashes", "checkpoint"})
_CHECKPOINT_FIELDS = frozenset({"envelope"})
_HASH_SIZE = 32


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The way from a leaf to the root of a tree; `checkpoint` is the log's signed word for it."""

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str

    def __post_init__(self) -> None:
        """Refuse what no tree has."""
        if not all(len(each) == _HASH_SIZE for each in (self.root, *self.hashes)):
            msg = f"a hash of the inclusion proof has not {_HASH_SIZE} bytes"
            raise Malformed(msg)

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """Read a proof from a bundle's log entry."""
        hashes = fields.array("hashes", limits.PROOF_HASHES)
        checkpoint = ""
        if fields.has("checkpoint"):
            checkpoint = fields.fields("checkpoint", _CHECKPOINT_FIELDS).optional_text("envelope")
        return cls(
            index=fields.index("logIndex"),
            size=fields.index("treeSize"),
            root=fields.data("rootHash"),
            hashes=tuple(decode_base64(each, "a hash of the inclusion proof") for each in hashes),
            checkpoint=checkpoint,
        )

    def check(self, leaf: bytes) -> None:
        """Refuse the proof unless it leads from `leaf`, the entry's bytes, to the root."""
        if self._root_from(hashlib.sha256(b"\0" + leaf).digest()) != self.root:
            msg = "the inclusion proof does not lead from the log entry to the tree's root"
            raise SignatureRejected(msg, Reason.PROOF_INVALID)

    def _root_from(self, result: bytes) -> bytes | None:
        """Return the root that the proof leads to; None if it is too short or too long."""
        node, last = self.index, self.size - 1
        if node > last:
            return None
        for sibling in self.hashes:
            if last == 0:
                return None
            if node & 1 or node == last:
                result = _parent(sibling, result)
                while not node & 1 and node:
                    node, last = node >> 1, last >> 1
            else:
                result = _parent(result, sibling)
            node, last = node >> 1, last >> 1
        return result if last == 0 else None


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
