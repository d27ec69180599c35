"""Signatures and attestations as layers with annotations (cosign, SIGNATURE_SPEC.md).

An image manifest under the tag `sha256-<hex>.sig` or `.att` has a layer for each. What vouches for
a layer stands in its annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import LimitExceeded, Malformed
from imgverify.signature.document import Fields, decode_base64
from imgverify.signature.logentry import LogEntry
from imgverify.signature.material import Material

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from imgverify.signature.certificate import Certificate

SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE: Final = "application/vnd.dsse.envelope.v1+json"

SIGNATURE: Final = "dev.cosignproject.cosign/signature"
CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
CHAIN: Final = "dev.sigstore.cosign/chain"
PROMISE: Final = "dev.sigstore.cosign/bundle"
TIMESTAMP: Final = "dev.sigstore.cosign/rfc3161timestamp"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its bytes, and what its annotations hold; nothing in it is trusted yet.

    `signature` is empty in attestations, whose envelope has it.
    """

    payload: bytes
    signature: bytes
    material: Material

    @classmethod
    def parse(cls, payload: bytes, annotations: Mapping[str, str], *, most: int) -> Self:
        """Read a layer of at most `most` bytes; raises `ContentError`s."""
        if len(payload) > most:
            msg = f"the payload has {len(payload)} bytes, {most} are the most"
            raise LimitExceeded(msg)
        signature, pem = annotations.get(SIGNATURE, ""), annotations.get(CERTIFICATE, "")
        chain, promise = annotations.get(CHAIN, ""), annotations.get(PROMISE, "")
        timestamp = annotations.get(TIMESTAMP, "")
        material = Material(
            certificate=_certificate(pem.encode()) if pem else None,
            along=_chain(chain.encode()) if chain else (),
            entries=(LogEntry.from_annotation(promise.encode()),) if promise else (),
            timestamps=(_timestamp(timestamp.encode()),) if timestamp else (),
        )
        return cls(payload, decode_base64(signature, "the signature"), material)


def _chain(pem: bytes) -> tuple[x509.Certificate, ...]:
    from imgverify.signature.certificate import load_chain  # noqa: PLC0415 - seldom, loads X.509

    return load_chain(pem)


def _certificate(pem: bytes) -> Certificate:
    from imgverify.signature.certificate import (  # noqa: PLC0415 - keys alone do without X.509
        Certificate,
        Pem,
        decode_pem,
    )

    kind, der = decode_pem(pem)
    if kind is not Pem.CERTIFICATE:
        msg = "a bare key stands where the signer's certificate has to be"
        raise Malformed(msg)
    return Certificate.parse(der)


def _timestamp(data: bytes) -> bytes:
    known = frozenset({"SignedRFC3161Timestamp"})
    return Fields.parse(data, "the timestamp", known).data("SignedRFC3161Timestamp")
