"""Content digests (OCI image-spec, descriptor.md, "Digests")."""

from __future__ import annotations

import enum
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from imgverify.errors import DigestMismatch, Malformed

if TYPE_CHECKING:
    from hashlib import _Hash


class Algorithm(enum.StrEnum):
    """The hash functions that may identify content; anything else is refused."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


_HEX_LENGTH = {Algorithm.SHA256: 64, Algorithm.SHA384: 96, Algorithm.SHA512: 128}
_LONGEST = len("sha512:") + 128


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """An algorithm and the hash in lower-case hexadecimal, of the length the algorithm has."""

    algorithm: Algorithm
    encoded: str

    def __post_init__(self) -> None:
        """Refuse what `parse` would refuse, so that no other digest can be built."""
        wanted = _HEX_LENGTH[self.algorithm]
        if len(self.encoded) != wanted or not re.fullmatch("[0-9a-f]+", self.encoded, re.ASCII):
            msg = f"a {self.algorithm} digest has {wanted} lower-case hexadecimal digits"
            raise Malformed(msg)

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `algorithm:hex`; raises `Malformed` for anything else, whatever its type."""
        if not isinstance(text, str) or len(text) > _LONGEST:
            msg = "a digest is text of the form algorithm:hex"
            raise Malformed(msg)
        algorithm, colon, encoded = text.partition(":")
        if not colon or algorithm not in _HEX_LENGTH:
            msg = f"unsupported digest {text!r}: sha256, sha384 and sha512 are known"
            raise Malformed(msg)
        return cls(Algorithm(algorithm), encoded)

    @classmethod
    def of(cls, data: bytes, algorithm: Algorithm = Algorithm.SHA256) -> Self:
        """Hash `data`."""
        return cls(algorithm, hashlib.new(algorithm.value, data).hexdigest())

    def hasher(self) -> _Hash:
        """Return a fresh hash object of this digest's algorithm."""
        return hashlib.new(self.algorithm.value)

    def matches(self, data: bytes) -> bool:
        """Tell whether `data` hashes to this digest."""
        return hashlib.new(self.algorithm.value, data).hexdigest() == self.encoded

    @property
    def short(self) -> str:
        """`sha256:` and twelve digits: for people, never for comparing."""
        return f"{self.algorithm}:{self.encoded[:12]}"

    def __str__(self) -> str:
        """Return `algorithm:hex`."""
        return f"{self.algorithm.value}:{self.encoded}"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes together with a digest they were found to hash to.

    Building one is the check: `DigestMismatch` is raised otherwise.
    Parsers take `Content`, so nothing can be parsed before it was hashed.
    """

    data: bytes
    digest: Digest

    def __post_init__(self) -> None:
        """Hash the bytes."""
        if not self.digest.matches(self.data):
            actual = Digest.of(self.data, self.digest.algorithm)
            msg = f"asked for {self.digest}, got {len(self.data)} bytes that hash to {actual}"
            raise DigestMismatch(msg)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Wrap bytes that were not asked for by digest; their digest is computed."""
        return cls(data, Digest.of(data))
