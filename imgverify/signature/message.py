"""What a signature is over."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from imgverify.errors import DigestMismatch
from imgverify.oci.digest import Algorithm, Digest


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes, or only the digest of bytes that are elsewhere; building one checks the digest.

    The digest alone is enough for signatures over that very hash.
    """

    digest: Digest
    data: bytes | None = None

    def __post_init__(self) -> None:
        """Hash the bytes."""
        if self.data is not None and not self.digest.matches(self.data):
            msg = f"{len(self.data)} bytes do not hash to {self.digest}"
            raise DigestMismatch(msg)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Take bytes; they are known by their SHA-256."""
        return cls(Digest.of(data), data)

    def hashed(self, algorithm: Algorithm) -> bytes | None:
        """Return the hash by this algorithm, None where the bytes would be needed for it."""
        if algorithm is self.digest.algorithm:
            return bytes.fromhex(self.digest.encoded)
        return None if self.data is None else hashlib.new(algorithm.value, self.data).digest()
