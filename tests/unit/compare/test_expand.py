"""Uncompressing within bounds."""

import gzip
import time
import zlib
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from imgverify.compare.expand import detect, expand
from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.mediatype import Compression

PLAIN = b"".join(b"%d\n" % each for each in range(100_000))
GZIP, ZSTD, NONE = Compression.GZIP, Compression.ZSTD, Compression.NONE
ZEROS = bytes(limits.MIB)


def packed(plain: bytes, compression: Compression) -> bytes:
    if compression is GZIP:
        return gzip.compress(plain, mtime=0)
    return zstandard.ZstdCompressor().compress(plain) if compression is ZSTD else plain


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def unpacked(data: bytes, compression: Compression, size: int = limits.CHUNK) -> bytes:
    return b"".join(expand(cut(data, size), compression))


@pytest.mark.parametrize("compression", Compression)
@given(plain=st.binary(max_size=2000), size=st.integers(1, 700))
def test_what_was_packed_comes_out(compression: Compression, plain: bytes, size: int) -> None:
    assert unpacked(packed(plain, compression), compression, size) == plain


@pytest.mark.parametrize("compression", Compression)
def test_a_layer_of_many_chunks(compression: Compression) -> None:
    assert unpacked(packed(PLAIN, compression), compression, 1000) == PLAIN
    assert detect(packed(PLAIN, compression)[:4]) is compression


@pytest.mark.parametrize("compression", [GZIP, ZSTD])
@pytest.mark.parametrize("size", [1, 7, 1 << 18])
def test_members_and_frames_that_follow_one_another(compression: Compression, size: int) -> None:
    data = packed(PLAIN[:5000], compression) + packed(b"", compression) + packed(b"x", compression)
    assert unpacked(data, compression, size) == PLAIN[:5000] + b"x"


def test_the_skippable_frames_of_chunked_zstd() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"table"
    data = packed(PLAIN, ZSTD) + skippable
    assert unpacked(data, ZSTD) == PLAIN


@pytest.mark.parametrize("compression", [GZIP, ZSTD])
@pytest.mark.parametrize("size", [1, 50, 1 << 18])
def test_a_stream_that_is_cut(compression: Compression, size: int) -> None:
    data = packed(PLAIN[:3000], compression)
    for missing in (1, 4, 8, len(data) - 5):
        with pytest.raises(Malformed, match="ends in the middle"):
            unpacked(data[:-missing], compression, size)


def test_a_zstd_frame_without_its_checksum_is_cut() -> None:
    data = zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN)
    with pytest.raises(Malformed):
        unpacked(data[:-2], ZSTD)
    with pytest.raises(Malformed):
        unpacked(data[:-1] + bytes([data[-1] ^ 1]), ZSTD)


@pytest.mark.parametrize("compression", [GZIP, ZSTD])
def test_damage_and_trailing_bytes(compression: Compression) -> None:
    data = packed(PLAIN, compression)
    for damaged in (data[:6] + bytes(30) + data[36:], data + b"trailing", b"no such stream"):
        with pytest.raises(Malformed):
            unpacked(damaged, compression)


@given(st.binary(max_size=300), st.sampled_from([GZIP, ZSTD]))
def test_noise_is_malformed_or_something(noise: bytes, compression: Compression) -> None:
    data = packed(b"some content", compression)
    for each in (noise, data[:8] + noise):
        try:
            unpacked(each, compression)
        except (Malformed, LimitExceeded) as error:
            assert error.message  # noqa: PT017 - either is right, and no other


def bomb(compression: Compression, count: int) -> Iterator[bytes]:
    if compression is GZIP:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        yield from (packer.compress(ZEROS) for _ in range(count))
        yield packer.flush()
    else:
        writer = zstandard.ZstdCompressor(level=3).compressobj()
        yield from (writer.compress(ZEROS) for _ in range(count))
        yield writer.flush()


@pytest.mark.parametrize("compression", [GZIP, ZSTD])
def test_tar_loop_bomb_stops_at_the_ratio(compression: Compression) -> None:
    data = b"".join(bomb(compression, 100))
    assert len(data) < limits.MIB
    out: list[int] = []
    started = time.monotonic()
    with pytest.raises(LimitExceeded, match="expands to more than"):
        out.extend(map(len, expand(cut(data, limits.CHUNK), compression)))
    assert sum(out) <= max(limits.EXPANSION_FREE, len(data) * limits.EXPANSION_RATIO)
    assert time.monotonic() - started < 30


def test_tar_loop_bomb_of_many_members() -> None:
    member = gzip.compress(ZEROS, mtime=0)
    with pytest.raises(LimitExceeded):
        unpacked(member * 200, GZIP)


EMPTY = {
    "gzip": (gzip.compress(b"", mtime=0), GZIP),
    "zstd": (zstandard.ZstdCompressor().compress(b""), ZSTD),
    "zstd-skippable": (b"\x50\x2a\x4d\x18" + bytes(4), ZSTD),
}


@pytest.mark.parametrize("name", EMPTY)
def test_tar_loop_bomb_streams_of_nothing_cost_what_their_number_costs(name: str) -> None:
    member, compression = EMPTY[name]
    started = time.thread_time()
    assert unpacked(member * 80_000, compression, 4 * limits.MIB) == b""
    # Two microseconds each; a copy of the chunk's rest for each of them takes a hundred.
    assert time.thread_time() - started < 80_000 * 50e-6


@pytest.mark.parametrize("name", EMPTY)
def test_tar_loop_bomb_streams_of_nothing_are_counted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, compression = EMPTY[name]
    monkeypatch.setattr(limits, "EXPANSION_MEMBERS", 1000)
    assert unpacked(member * 1000, compression) == b""
    with pytest.raises(LimitExceeded, match="more than 1000 compressed streams"):
        unpacked(member * 1001, compression)


def repeating_frame(blocks: int) -> bytes:
    """A zstd frame of blocks that say: one byte, 131,072 times (RFC 8878 §3.1.1.2)."""
    block = ((128 * limits.KIB) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = ((128 * limits.KIB) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    window = bytes([(23 - 10) << 3])
    return b"\x28\xb5\x2f\xfd\0" + window + block * (blocks - 1) + last


def test_tar_loop_bomb_what_zstd_repeats_comes_in_pieces() -> None:
    data = repeating_frame(8192)
    pieces: list[int] = []
    assert len(data) < 33_000
    with pytest.raises(LimitExceeded):
        pieces.extend(map(len, expand([data], ZSTD)))
    assert max(pieces) <= 8 * limits.MIB
    assert unpacked(repeating_frame(16), ZSTD) == bytes(2 * limits.MIB)


def test_what_is_small_may_be_dense() -> None:
    assert unpacked(gzip.compress(ZEROS * 9, mtime=0), GZIP) == ZEROS * 9


def test_nothing_is_larger_than_all_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPANDED_SIZE", 1000)
    with pytest.raises(LimitExceeded):
        unpacked(PLAIN[:1001], NONE)
    assert unpacked(PLAIN[:1000], NONE) == PLAIN[:1000]


def test_tar_loop_bomb_a_window_beyond_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = writer.compress(b"x" * 100) + writer.flush()
    with pytest.raises(Malformed):
        unpacked(data, ZSTD)


@pytest.mark.parametrize("compression", [GZIP, ZSTD])
def test_an_empty_stream_holds_nothing(compression: Compression) -> None:
    assert unpacked(b"", compression) == b""


def test_detect_goes_by_the_first_bytes() -> None:
    assert detect(b"") is NONE
    assert detect(b"\x1f") is NONE
    assert detect(b"BZh9") is NONE
