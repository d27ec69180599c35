"""The one way content gets out of a source: hashed and counted while it passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.errors import DigestMismatch, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgverify.oci.descriptor import Descriptor


class Check:
    """Holds a stream against a descriptor: `feed` every chunk, then `finish`.

    Raises `LimitExceeded` for more bytes than the descriptor's size, at the chunk that has them,
    and `DigestMismatch` for any other difference.
    """

    def __init__(self, want: Descriptor) -> None:
        self._want = want
        self._hasher = want.digest.hasher()
        self.size = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        """Count and hash the next bytes."""
        self.size += len(chunk)
        if self.size > self._want.size:
            msg = f"{self._want.digest} is longer than the {self._want.size} bytes it has to have"
            raise LimitExceeded(msg)
        self._hasher.update(chunk)

    def finish(self) -> None:
        """Say that the stream ended; returns only if it was the wanted content."""
        want = self._want
        if self.size != want.size:
            msg = f"{want.digest} ended after {self.size} of {want.size} bytes"
            raise DigestMismatch(msg)
        if self._hasher.hexdigest() != want.digest.encoded:
            actual = f"{want.digest.algorithm.value}:{self._hasher.hexdigest()}"
            msg = f"asked for {want.digest}, got bytes that hash to {actual}"
            raise DigestMismatch(msg)


def verified(chunks: Iterable[bytes], want: Descriptor) -> Iterator[bytes]:
    """Pass `chunks` through, releasing the last one only if size and digest are those of `want`.

    Raises what `Check` raises; what was released before an error is not the content.
    """
    check, held = Check(want), b""
    for chunk in chunks:
        check.feed(chunk)
        if not chunk:
            continue  # else an empty chunk at the end would release the one before it unchecked
        if held:
            yield held
        held = chunk
    check.finish()
    if held:
        yield held
