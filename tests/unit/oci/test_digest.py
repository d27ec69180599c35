"""Digests and the content they name."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgverify.errors import DigestMismatch, Malformed
from imgverify.oci.digest import Algorithm, Content, Digest
from tests.unit.oci.samples import LENGTHS, STRAYS, as_content, digests, seed

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_known_bytes_have_the_published_digest() -> None:
    assert str(Digest.of(b"abc")) == f"sha256:{ABC}"


@given(digests())
def test_a_parsed_digest_is_written_as_it_was_read(text: str) -> None:
    assert str(Digest.parse(text)) == text


@given(st.text() | st.binary() | st.none() | st.integers() | st.lists(st.text()))
@example("sha256")
@example(":")
def test_anything_else_is_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        Digest.parse(value)


@given(st.binary(), st.sampled_from(list(Algorithm)))
def test_a_digest_matches_the_bytes_it_was_made_of_and_no_others(
    data: bytes, algorithm: Algorithm
) -> None:
    digest = Digest.of(data, algorithm)
    hasher = digest.hasher()
    hasher.update(data)
    assert hasher.hexdigest() == digest.encoded
    assert digest.matches(data)
    assert not digest.matches(data + b"\0")
    assert Content(data, digest).digest == digest


def test_content_of_other_bytes_cannot_be_built() -> None:
    with pytest.raises(DigestMismatch, match="got 3 bytes that hash to"):
        Content(b"abc", Digest.of(b"abd"))


def test_the_short_form_keeps_twelve_digits() -> None:
    assert Digest.parse(f"sha256:{ABC}").short == "sha256:ba7816bf8f01"


def test_a_digest_cannot_be_built_around_the_parser() -> None:
    with pytest.raises(Malformed, match="64 lower-case"):
        Digest(Algorithm.SHA256, ABC.upper())


@pytest.mark.parametrize(
    "text",
    [
        f"sha256:{ABC.upper()}",
        f"sha256:{ABC[:-1]}",
        f"sha256:{ABC}0",
        f"sha256:{ABC[:-1]}g",
        f"SHA256:{ABC}",
        f"Sha256:{ABC}",
        f"sha512:{ABC}",
        f"sha256+b64:{ABC}",
        f"sha256 :{ABC}",
        f":{ABC}",
        ABC,
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        f"blake3:{ABC}",
        "sha256:",
        "",
    ],
)
def test_algorithm_policy_refuses_weak_unknown_and_misspelt(text: str) -> None:
    """sha256, sha384 and sha512 are taken, in lower-case hexadecimal of their exact length."""
    with pytest.raises(Malformed):
        Digest.parse(text)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_algorithm_policy_takes_the_exact_length_only(algorithm: Algorithm) -> None:
    length = LENGTHS[algorithm]
    assert Digest.parse(f"{algorithm}:{'0' * length}").algorithm is algorithm
    for other in {*LENGTHS.values(), length - 1, length + 1} - {length}:
        with pytest.raises(Malformed):
            Digest.parse(f"{algorithm}:{'0' * other}")


def test_algorithm_policy_lets_two_algorithms_name_the_same_bytes() -> None:
    """Two digests of other algorithms are compared over the bytes, never as text."""
    data = b"the same bytes"
    upstream, mirror = Digest.of(data), Digest.of(data, Algorithm.SHA512)
    assert upstream != mirror
    assert upstream.matches(data)
    assert mirror.matches(data)


@pytest.mark.parametrize("stray", STRAYS)
def test_regex_newline_unicode_is_no_digest(stray: str) -> None:
    digest = f"sha256:{ABC}"
    for text in (digest + stray, stray + digest, digest[:-1] + stray, f"sha256{stray}:{ABC}"):
        with pytest.raises(Malformed):
            Digest.parse(text)


@pytest.mark.parametrize("encoded", ["../../x", "../..", "", "/etc/passwd", "..%2f..", "a/../b"])
def test_path_traversal_ref_in_a_digest_is_malformed(encoded: str) -> None:
    with pytest.raises(Malformed):
        Digest.parse(f"sha256:{encoded}")
    with pytest.raises(Malformed):
        Digest.parse(f"sha256:{encoded}".ljust(7 + 64, "."))


def test_hash_raw_bytes_tells_spellings_of_one_document_apart() -> None:
    """The digest is taken over the bytes as they came, not over what they mean."""
    plain = as_content(seed("manifest/docker-manifest")).data
    spellings = {
        plain,
        plain + b"\n",
        plain.replace(b": ", b":"),
        plain.replace(b"/", b"\\/"),
        b"{" + b", ".join(reversed(plain[1:-1].split(b", ", 1))) + b"}",
    }
    assert len(spellings) == 5
    assert {hashlib.sha256(each).hexdigest() for each in spellings} == {
        Content.of(each).digest.encoded for each in spellings
    }
    assert len({Content.of(each) for each in spellings}) == 5
