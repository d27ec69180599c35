"""Uncompressing layers within bounds, to hash what is inside."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.mediatype import Compression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_GZIP_WBITS: Final = 31
_PIECE: Final = limits.CHUNK
# What is given to a decompressor at once: of what follows the end of a member it makes a copy,
# and zstd, whose output has no bound of its own, makes 128 KiB of four bytes.
_GZIP_STEP: Final = 4 * limits.KIB
_ZSTD_STEP: Final = 256


def detect(head: bytes) -> Compression:
    """Tell a layer's compression by its first bytes, which is what runtimes go by."""
    if head.startswith(_GZIP_MAGIC):
        return Compression.GZIP
    return Compression.ZSTD if head.startswith(_ZSTD_MAGIC) else Compression.NONE


def expand(chunks: Iterable[bytes], compression: Compression) -> Iterator[bytes]:
    """Give the uncompressed bytes; several gzip members or zstd frames may follow one another.

    Give it only content that was verified: decompressors are attack surface.
    Raises `Malformed` for damaged or cut streams and for trailing bytes, `LimitExceeded` beyond
    `limits.EXPANDED_SIZE`, for a ratio over `limits.EXPANSION_RATIO` once `limits.EXPANSION_FREE`
    bytes came out, and for more than `limits.EXPANSION_MEMBERS` members or frames.
    """
    source = _Counted(chunks)
    readers: dict[Compression, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
        Compression.GZIP: _gunzip,
        Compression.ZSTD: _unzstd,
        Compression.NONE: iter,
    }
    written = 0
    for piece in readers[compression](source):
        written += len(piece)
        allowed = max(limits.EXPANSION_FREE, source.read * limits.EXPANSION_RATIO)
        if written > min(allowed, limits.EXPANDED_SIZE):
            msg = f"a layer of {source.read} bytes read so far expands to more than {allowed}"
            raise LimitExceeded(msg)
        yield piece


class _Counted:
    """Chunks, and how many bytes of them were taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.read += len(chunk)
            yield chunk


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    member, members, fresh = zlib.decompressobj(_GZIP_WBITS), 0, True
    for step in _steps(chunks, _GZIP_STEP):
        data: bytes | memoryview = step
        while data:
            try:
                yield member.decompress(data, _PIECE)
            except zlib.error as error:
                raise _damaged("gzip") from error
            fresh = False
            data = member.unconsumed_tail
            if member.eof:
                members = _one_more(members)
                data, member, fresh = member.unused_data, zlib.decompressobj(_GZIP_WBITS), True
    if not fresh:
        raise _cut("gzip")


def _unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - few layers need it

    # The window bounds memory; the standard's own limit for ordinary frames is 8 MiB.
    decompressor = zstandard.ZstdDecompressor(max_window_size=128 * limits.MIB)
    frame, frames, fresh = decompressor.decompressobj(), 0, True
    for step in _steps(chunks, _ZSTD_STEP):
        data: bytes | memoryview = step
        while data:
            try:
                yield frame.decompress(data)
            except zstandard.ZstdError as error:
                raise _damaged("zstd") from error
            data, fresh = b"", False
            if frame.eof:
                frames = _one_more(frames)
                data, frame, fresh = frame.unused_data, decompressor.decompressobj(), True
    if not fresh:
        raise _cut("zstd")


def _steps(chunks: Iterable[bytes], size: int) -> Iterator[memoryview]:
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), size):
            yield view[start : start + size]


def _one_more(count: int) -> int:
    """Count what costs time and may hold nothing."""
    if count >= limits.EXPANSION_MEMBERS:
        msg = f"a layer of more than {limits.EXPANSION_MEMBERS} compressed streams in a row"
        raise LimitExceeded(msg)
    return count + 1


def _damaged(what: str) -> Malformed:
    return Malformed(f"a layer is no valid {what} stream")


def _cut(what: str) -> Malformed:
    return Malformed(f"a layer's {what} stream ends in the middle")
