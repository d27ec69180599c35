"""A blob in a stretch of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.errors import LimitExceeded, StoreError
from imgverify.store.files import read_chunks, storing, write_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgverify.oci.descriptor import Descriptor


class FilePart:
    """The bytes of `want` in an open file, from `base` on; what every `Part` does alike.

    How one starts over and when it is safe is for the file's owner to say. `path` is only for
    messages.
    """

    def __init__(self, fd: int, want: Descriptor, path: Path, *, base: int = 0) -> None:
        self.offset = 0
        self._fd = fd
        self._want = want
        self._path = path
        self._base = base

    def replay(self) -> Iterator[bytes]:
        """Yield what is there."""
        with storing("read", self._path):
            yield from read_chunks(self._fd, self.offset, self._base)

    def write(self, chunk: bytes | memoryview) -> None:
        """Append within the blob's size: behind it may lie the next blob."""
        end = self.offset + len(chunk)
        if end > self._want.size:
            msg = f"{self._want.digest} is longer than the {self._want.size} bytes it has to have"
            raise LimitExceeded(msg)
        with storing("write", self._path):
            write_at(self._fd, chunk, self._base + self.offset)
        self.offset = end

    def _require_all(self) -> None:
        if self.offset != self._want.size:
            has = f"{self.offset} of {self._want.size} bytes"
            msg = f"cannot keep {self._want.digest} in {self._path}: it has {has}"
            raise StoreError(msg)
