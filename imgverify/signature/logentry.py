"""Entries of transparency logs: Rekor v1 with its promises, Rekor v2 with tiles."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import Malformed, Reason, SignatureRejected
from imgverify.signature.checkpoint import Checkpoint
from imgverify.signature.document import Fields
from imgverify.signature.entrybody import check_body, is_tiled
from imgverify.signature.merkle import PROOF_FIELDS, InclusionProof

if TYPE_CHECKING:
    from imgverify.signature.entrybody import Signature
    from imgverify.signature.keys import PublicKey
    from imgverify.signature.trusted import TransparencyLog

ENTRY_FIELDS: Final = frozenset(
    {
        "logIndex",
        "logId",
        "kindVersion",
        "integratedTime",
        "inclusionPromise",
        "inclusionProof",
        "canonicalizedBody",
    }
)
_SET_FIELDS: Final = frozenset({"SignedEntryTimestamp", "Payload"})
_PAYLOAD_FIELDS: Final = frozenset({"body", "integratedTime", "logIndex", "logID"})
# JCS writes numbers as JavaScript does, which is exact up to here.
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry as it came along with a signature; nothing in it is true before `check`.

    `integrated` is in seconds since 1970, 0 where none is given; `promise` is the signed entry
    timestamp; `kind` is what the bundle says of the body.
    """

    log_id: bytes
    index: int
    body: bytes
    integrated: int = 0
    promise: bytes = b""
    proof: InclusionProof | None = None
    kind: tuple[str, str] | None = None

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """Read an entry of a bundle."""
        kind = fields.fields("kindVersion", frozenset({"kind", "version"}))
        promise = b""
        if fields.has("inclusionPromise"):
            known = frozenset({"signedEntryTimestamp"})
            promise = fields.fields("inclusionPromise", known).data("signedEntryTimestamp")
        proof = None
        if fields.has("inclusionProof"):
            proof = InclusionProof.of(fields.fields("inclusionProof", PROOF_FIELDS))
        return cls(
            log_id=fields.fields("logId", frozenset({"keyId"})).data("keyId"),
            index=fields.index("logIndex"),
            body=fields.data("canonicalizedBody"),
            integrated=fields.index("integratedTime"),
            promise=promise,
            proof=proof,
            kind=(kind.text("kind"), kind.text("version")),
        )

    @classmethod
    def from_annotation(cls, data: bytes) -> Self:
        """Read the promise that cosign keeps beside a signature (its `bundle` annotation)."""
        fields = Fields.parse(data, "the log's promise", _SET_FIELDS)
        payload = fields.fields("Payload", _PAYLOAD_FIELDS)
        log_id = payload.text("logID")
        try:
            raw_id = bytes.fromhex(log_id)
        except ValueError:
            raw_id = b""
        if not raw_id or raw_id.hex() != log_id:
            msg = "'logID' of the log's promise is not hexadecimal"
            raise Malformed(msg)
        return cls(
            log_id=raw_id,
            index=payload.index("logIndex"),
            body=payload.data("body"),
            integrated=payload.index("integratedTime"),
            promise=fields.data("SignedEntryTimestamp"),
        )

    def check(self, log: TransparencyLog, key: PublicKey, signature: Signature) -> datetime | None:
        """Refuse the entry unless it is about the signature and the log vouches for it.

        Returns the time at which the log says that it took the entry up; None where it does not,
        or did not sign what it says.
        """
        kind = check_body(self.body, self.kind, signature)
        tiled = is_tiled(kind)
        if not self.promise and self.proof is None:
            msg = f"the entry of {log.name} has neither a promise nor a proof of inclusion"
            raise SignatureRejected(msg, Reason.PROOF_MISSING)
        time = None if tiled or not self.promise else self._promised(log, key)
        if self.proof is not None:
            self._check_proof(self.proof, log, key, tiled=tiled)
        elif tiled:
            msg = f"the entry of {log.name} has no proof of inclusion"
            raise SignatureRejected(msg, Reason.PROOF_MISSING)
        return time

    def _promised(self, log: TransparencyLog, key: PublicKey) -> datetime:
        """Check the signed entry timestamp: ECDSA over the entry in canonical JSON (RFC 8785)."""
        if max(self.index, self.integrated) >= _EXACT:
            msg = "the log's promise has a number that JSON does not hold exactly"
            raise Malformed(msg)
        signed = {
            "body": b64encode(self.body).decode(),
            "integratedTime": self.integrated,
            "logID": self.log_id.hex(),
            "logIndex": self.index,
        }
        # These four are in order, and neither ASCII text nor small integers can be written
        # differently.
        if not key.verifies(self.promise, json.dumps(signed, separators=(",", ":")).encode()):
            msg = f"the log {log.name} did not sign the promise to take the entry up"
            raise SignatureRejected(msg, Reason.PROMISE_INVALID)
        return _time(self.integrated)

    def _check_proof(
        self, proof: InclusionProof, log: TransparencyLog, key: PublicKey, *, tiled: bool
    ) -> None:
        if tiled and proof.index != self.index:
            msg = "the inclusion proof is about another place in the log"
            raise SignatureRejected(msg, Reason.PROOF_INVALID)
        proof.check(self.body)
        if not proof.checkpoint:
            msg = "the inclusion proof has no checkpoint"
            raise SignatureRejected(msg, Reason.CHECKPOINT_INVALID)
        checkpoint = Checkpoint.parse(proof.checkpoint)
        checkpoint.check(log, key, tiled=tiled)
        if (checkpoint.size, checkpoint.root) != (proof.size, proof.root):
            msg = "the checkpoint is about another tree than the inclusion proof"
            raise SignatureRejected(msg, Reason.CHECKPOINT_MISMATCH)


def _time(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        msg = "the log entry has a time that no calendar has"
        raise Malformed(msg) from None
