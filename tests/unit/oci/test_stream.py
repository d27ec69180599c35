"""Streams that are hashed and counted while they pass."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import ContentError, DigestMismatch, LimitExceeded
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Algorithm, Digest
from imgverify.oci.mediatype import OCI_LAYER
from imgverify.oci.stream import Check, verified

ALGORITHMS = st.sampled_from(list(Algorithm))


def want(data: bytes, algorithm: Algorithm = Algorithm.SHA256) -> Descriptor:
    return Descriptor(OCI_LAYER, Digest.of(data, algorithm), len(data))


def released(chunks: Iterable[bytes], wanted: Descriptor) -> tuple[list[bytes], str]:
    """Return what came out, and the name of the error that ended it."""
    out: list[bytes] = []
    try:
        for chunk in verified(chunks, wanted):
            out.append(chunk)  # noqa: PERF402 - what came before an error is kept
    except ContentError as error:
        return out, type(error).__name__
    return out, ""


@given(st.lists(st.binary(max_size=9)), ALGORITHMS)
def test_the_right_bytes_pass_unchanged_however_they_are_cut(
    chunks: list[bytes], algorithm: Algorithm
) -> None:
    data = b"".join(chunks)
    out, error = released(chunks, want(data, algorithm))
    assert error == ""
    assert out == [chunk for chunk in chunks if chunk]


@given(st.lists(st.binary(max_size=9)), st.binary(max_size=40))
def test_other_bytes_never_get_their_last_chunk_out(chunks: list[bytes], wanted: bytes) -> None:
    data = b"".join(chunks)
    if data == wanted:
        return
    out, error = released(chunks, want(wanted))
    assert error in {"DigestMismatch", "LimitExceeded"}
    solid = [chunk for chunk in chunks if chunk]
    assert len(out) < max(len(solid), 1)
    assert len(b"".join(out)) <= len(wanted)


@pytest.mark.parametrize("tail", [[], [b""], [b"", b""]])
def test_empty_chunks_at_the_end_release_nothing(tail: list[bytes]) -> None:
    assert released([b"evil", *tail], want(b"good")) == ([], "DigestMismatch")


def test_descriptor_size_ends_a_stream_at_the_chunk_that_exceeds_it() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 10

    out, error = released(endless(), want(b"x" * 25))
    assert (b"".join(out), error, taken) == (b"x" * 10, "LimitExceeded", 3)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"a", DigestMismatch),
        (b"", DigestMismatch),
        (b"abc", LimitExceeded),
        (b"aX", DigestMismatch),
    ],
)
def test_descriptor_size_has_to_be_met_exactly(sent: bytes, error: type[ContentError]) -> None:
    with pytest.raises(error):
        list(verified([sent], want(b"ab")))


def test_a_short_stream_says_how_far_it_came() -> None:
    with pytest.raises(DigestMismatch, match="ended after 1 of 2 bytes"):
        list(verified([b"a"], want(b"ab")))


def test_a_mismatch_names_both_digests() -> None:
    with pytest.raises(DigestMismatch) as caught:
        list(verified([b"aX"], want(b"ab")))
    assert str(Digest.of(b"ab")) in caught.value.message
    assert str(Digest.of(b"aX")) in caught.value.message


def test_a_check_takes_views_and_counts_them() -> None:
    check = Check(want(b"abcd"))
    check.feed(memoryview(b"ab"))
    check.feed(b"cd")
    assert check.size == 4
    check.finish()


def test_empty_content_is_content() -> None:
    assert released([], want(b"")) == ([], "")
