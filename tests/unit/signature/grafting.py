"""Parts of signatures by name: how to reach them, and why a strange one is refused."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgverify.errors import Reason
from tests.support.translog import text

if TYPE_CHECKING:
    from tests.support.signer import Specimen
    from tests.support.translog import Document

ENTRY = ("verificationMaterial", "tlogEntries", 0)
ANNOTATIONS = "dev.sigstore.cosign"


@dataclass(frozen=True)
class Part:
    """A component, by its path in a bundle or layer; `reasons` are why another's is refused."""

    name: str
    path: tuple[str | int, ...]
    reasons: tuple[Reason, ...]
    nested: tuple[str | int, ...] = ()

    def get(self, document: Document) -> Any:  # noqa: ANN401 - JSON
        """Return the part, None where the document has none."""
        value: Any = document
        for step in self.path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        if self.nested:
            value = json.loads(value)
            for step in self.nested:
                value = value[step]
        return value

    def put(self, document: Document, part: Any) -> None:  # noqa: ANN401 - JSON
        """Replace the part in place."""
        *steps, last = self.path
        value: Any = document
        for step in steps:
            value = value[step]
        if not self.nested:
            value[last] = part
            return
        outer = json.loads(value[last])
        *inner_steps, inner_last = self.nested
        inner = outer
        for each in inner_steps:
            inner = inner[each]
        inner[inner_last] = part
        value[last] = json.dumps(outer)


SIGNATURE = (Reason.SIGNATURE_INVALID,)
#: Where the signer made two signatures over the same, the key cannot tell them apart.
TWIN = (Reason.ENTRY_MISMATCH, Reason.TIMESTAMP_MISMATCH)
ARTIFACT = (Reason.ARTIFACT_MISMATCH,)
MATERIAL = "verificationMaterial"
STAMP = (MATERIAL, "timestampVerificationData", "rfc3161Timestamps", 0, "signedTimestamp")
PROMISE = ("annotations", f"{ANNOTATIONS}/bundle")

BUNDLE_PARTS = (
    Part("payload", ("dsseEnvelope", "payload"), ARTIFACT),
    Part("signature", ("dsseEnvelope", "signatures", 0, "sig"), SIGNATURE),
    Part("message signature", ("messageSignature", "signature"), SIGNATURE),
    Part("message digest", ("messageSignature", "messageDigest"), ARTIFACT),
    Part("envelope", ("dsseEnvelope",), ARTIFACT),
    Part("certificate", (MATERIAL, "certificate"), SIGNATURE),
    Part("chain", (MATERIAL, "x509CertificateChain"), SIGNATURE),
    Part("log entry", ENTRY, (Reason.ENTRY_MISMATCH,)),
    Part("log entry's body", (*ENTRY, "canonicalizedBody"), (Reason.ENTRY_MISMATCH,)),
    Part("promise", (*ENTRY, "inclusionPromise"), (Reason.PROMISE_INVALID,)),
    Part("integrated time", (*ENTRY, "integratedTime"), (Reason.PROMISE_INVALID,)),
    Part("proof", (*ENTRY, "inclusionProof"), (Reason.PROOF_INVALID,)),
    Part("proof's hashes", (*ENTRY, "inclusionProof", "hashes"), (Reason.PROOF_INVALID,)),
    Part("tree's root", (*ENTRY, "inclusionProof", "rootHash"), (Reason.PROOF_INVALID,)),
    Part(
        "tree's size",
        (*ENTRY, "inclusionProof", "treeSize"),
        (Reason.PROOF_INVALID, Reason.CHECKPOINT_MISMATCH),
    ),
    Part("checkpoint", (*ENTRY, "inclusionProof", "checkpoint"), (Reason.CHECKPOINT_MISMATCH,)),
    Part("timestamp", STAMP, (Reason.TIMESTAMP_MISMATCH,)),
)
ANNOTATED_PARTS = (
    Part("certificate", ("annotations", f"{ANNOTATIONS}/certificate"), SIGNATURE),
    Part("promise", PROMISE, (Reason.ENTRY_MISMATCH,)),
    Part("promise's signature", PROMISE, (Reason.PROMISE_INVALID,), ("SignedEntryTimestamp",)),
    Part("log entry", PROMISE, (Reason.ENTRY_MISMATCH,), ("Payload",)),
    Part("log entry's body", PROMISE, (Reason.ENTRY_MISMATCH,), ("Payload", "body")),
    Part("log entry's place", PROMISE, (Reason.PROMISE_INVALID,), ("Payload", "logIndex")),
    Part(
        "timestamp",
        ("annotations", f"{ANNOTATIONS}/rfc3161timestamp"),
        (Reason.TIMESTAMP_MISMATCH,),
    ),
)
LAYER_PARTS = (
    Part("payload", ("payload",), ARTIFACT),
    Part("signature", ("annotations", "dev.cosignproject.cosign/signature"), SIGNATURE),
    *ANNOTATED_PARTS,
)
ATTESTATION_PARTS = (
    Part("envelope", ("payload",), ARTIFACT),
    Part("payload", ("payload",), ARTIFACT, ("payload",)),
    Part("signature", ("payload",), SIGNATURE, ("signatures", 0, "sig")),
    *ANNOTATED_PARTS,
)
PARTS = {"bundle": BUNDLE_PARTS, "layer": LAYER_PARTS, "attestation": ATTESTATION_PARTS}


def parts_of(specimen: Specimen) -> tuple[Part, ...]:
    """Return the parts that a genuine signature has."""
    parts = PARTS[specimen.recipe.form]
    return tuple(each for each in parts if each.get(specimen.document))


def flipped(data: bytes, position: int, bit: int) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def flipped_text(encoded: str, position: int, bit: int) -> str:
    """Do the same to bytes that are written in base64."""
    return text(flipped(b64decode(encoded), position, bit))
