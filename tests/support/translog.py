"""Throw-away transparency logs: Rekor v1 with promises, Rekor v2 with tiles."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.authorities import SIGNED, new_key, sign, spki

Document = dict[str, Any]


def text(data: bytes) -> str:
    return b64encode(data).decode()


def compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    middle = _split(len(leaves))
    left, right = tree_root(leaves[:middle]), tree_root(leaves[middle:])
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_path(leaves: list[bytes], index: int) -> list[bytes]:
    """RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*tree_path(leaves[:middle], index), tree_root(leaves[middle:])]
    return [*tree_path(leaves[middle:], index - middle), tree_root(leaves[:middle])]


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


@dataclass
class Log:
    """A log; `tiled` makes it one of Rekor v2."""

    host: str
    tiled: bool = False
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey = field(default_factory=new_key)
    leaves: list[bytes] = field(
        default_factory=lambda: [b"one", b"two", b"three", b"four", b"five"]
    )

    @property
    def origin(self) -> str:
        return self.host if self.tiled else f"{self.host} - 4711"

    @property
    def log_id(self) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return hashlib.sha256(self.host.encode() + b"\n\x01" + raw).digest()
        return hashlib.sha256(spki(self.key)).digest()

    def checkpoint(self, leaves: list[bytes], *others: str) -> str:
        """Return a signed note; `others` are lines of witnesses."""
        body = f"{self.origin}\n{len(leaves)}\n{text(tree_root(leaves))}\n"
        line = f"\u2014 {self.host} {text(self.log_id[:4] + sign(self.key, body.encode()))}\n"
        return f"{body}\n{line}" + "".join(others)

    def add(self, body: Document, *, seconds: int | None = None) -> Document:
        """Take up an entry, and return what a bundle has of it."""
        data = compact(body)
        self.leaves += [data, b"a later one"]
        index = len(self.leaves) - 2
        entry = {
            "logIndex": str(index if self.tiled else index + 9000),
            "logId": {"keyId": text(self.log_id)},
            "kindVersion": {"kind": body.get("kind"), "version": body.get("apiVersion")},
            "inclusionProof": self.proof(index),
            "canonicalizedBody": text(data),
        }
        if not self.tiled:
            time = int(SIGNED.timestamp()) if seconds is None else seconds
            entry["integratedTime"] = str(time)
            promise = self.promise(data, time, index + 9000)
            entry["inclusionPromise"] = {"signedEntryTimestamp": text(promise)}
        return entry

    def proof(self, index: int) -> Document:
        leaves = list(self.leaves)
        return {
            "logIndex": str(index),
            "rootHash": text(tree_root(leaves)),
            "treeSize": str(len(leaves)),
            "hashes": [text(each) for each in tree_path(leaves, index)],
            "checkpoint": {"envelope": self.checkpoint(leaves)},
        }

    def promise(self, body: bytes, time: int, index: int) -> bytes:
        """Sign the entry timestamp of Rekor v1."""
        entry = {
            "body": text(body),
            "integratedTime": time,
            "logID": self.log_id.hex(),
            "logIndex": index,
        }
        return sign(self.key, compact(entry))


def hashedrekord(value: bytes, message: bytes, pem: bytes) -> Document:
    digest = {"hash": {"algorithm": "sha256", "value": hashlib.sha256(message).hexdigest()}}
    signature = {"content": text(value), "publicKey": {"content": text(pem)}}
    return _body("hashedrekord", "0.0.1", {"data": digest, "signature": signature})


def rekord(value: bytes, message: bytes, pem: bytes) -> Document:
    body = hashedrekord(value, message, pem)
    body["kind"] = "rekord"
    body["spec"]["signature"]["format"] = "x509"
    return body


def dsse(value: bytes, payload: bytes, pem: bytes) -> Document:
    spec = {
        "envelopeHash": _sha256(b"the envelope, as somebody wrote it"),
        "payloadHash": _sha256(payload),
        "signatures": [{"signature": text(value), "verifier": text(pem)}],
    }
    return _body("dsse", "0.0.1", spec)


def intoto_1(envelope: bytes, payload: bytes, pem: bytes) -> Document:
    content = {"hash": _sha256(envelope), "payloadHash": _sha256(payload)}
    return _body("intoto", "0.0.1", {"content": content, "publicKey": text(pem)})


def intoto_2(value: bytes, payload: bytes, pem: bytes) -> Document:
    signature = {"publicKey": text(pem), "sig": text(text(value).encode())}
    envelope = {"payloadType": "application/vnd.in-toto+json", "signatures": [signature]}
    content = {
        "envelope": envelope,
        "hash": _sha256(b"the envelope, as somebody wrote it"),
        "payloadHash": _sha256(payload),
    }
    return _body("intoto", "0.0.2", {"content": content})


def hashedrekord_2(value: bytes, message: bytes, verifier: Document) -> Document:
    digest = {"algorithm": "SHA2_256", "digest": text(hashlib.sha256(message).digest())}
    inner = {"data": digest, "signature": {"content": text(value), "verifier": verifier}}
    return _body("hashedrekord", "0.0.2", {"hashedRekordV002": inner})


def dsse_2(value: bytes, payload: bytes, verifier: Document) -> Document:
    digest = {"algorithm": "SHA2_256", "digest": text(hashlib.sha256(payload).digest())}
    inner = {"payloadHash": digest, "signatures": [{"content": text(value), "verifier": verifier}]}
    return _body("dsse", "0.0.2", {"dsseV002": inner})


def _sha256(data: bytes) -> Document:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _body(kind: str, version: str, spec: Document) -> Document:
    return {"apiVersion": version, "kind": kind, "spec": spec}
