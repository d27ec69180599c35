import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import LimitExceeded
from imgverify.oci import limits
from imgverify.registry.challenge import Challenge, parse_challenges

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b:c"'
TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_what_docker_hub_sends_is_read() -> None:
    (challenge,) = parse_challenges(HUB)
    assert challenge.scheme == "bearer"
    assert challenge.parameter("realm") == "https://auth.docker.io/token"
    assert challenge.parameter("service") == "registry.docker.io"
    assert challenge.parameter("scope") == "a:b:c"
    assert challenge.parameter("error") == ""


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ("", ()),
        ("Basic", ("basic",)),
        ('Basic realm="x", Bearer realm="y"', ("basic", "bearer")),
        ('BASIC realm="a, Bearer realm=b"', ("basic",)),
        ("Negotiate, Basic realm=x", ("negotiate", "basic")),
        (",, Basic realm=x", ("basic",)),
        ('"Bearer realm=x"', ()),
        ("=", ()),
    ],
)
def test_schemes_are_found_and_what_is_quoted_is_none(
    header: str, schemes: tuple[str, ...]
) -> None:
    assert tuple(each.scheme for each in parse_challenges(header)) == schemes


@pytest.mark.parametrize(
    ("header", "realm"),
    [
        ("Bearer realm=https://a.test/t", "https://a.test/t"),
        ('Bearer REALM = "https://a.test/t"', "https://a.test/t"),
        (r'Bearer realm="a\"b\\c"', r'a"b\c'),
        ('Bearer realm=""', ""),
        ("Bearer realm=", ""),
        ('Bearer realm="https://a.test/t', ""),
        ("Bearer", ""),
    ],
)
def test_a_realm_is_read_in_every_spelling_and_unclosed_is_empty(header: str, realm: str) -> None:
    assert parse_challenges(header)[0].parameter("realm") == realm


def test_header_injection_parse_a_challenge_of_a_megabyte_is_refused_at_once() -> None:
    start = time.thread_time()
    with pytest.raises(LimitExceeded, match="1000000 characters"):
        parse_challenges('Bearer realm="' + "a" * 999_986)
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize(
    "unit",
    ["a", " ", ",", "a ", "a=", '"', "\\", 'a="', 'a="b",', "a,", '\\"', "Basic realm=x, ", "= "],
)
def test_header_injection_parse_the_longest_challenge_takes_linear_time(unit: str) -> None:
    header = ("Bearer a=" + unit * limits.CHALLENGE_LENGTH)[: limits.CHALLENGE_LENGTH]
    start = time.thread_time()
    parse_challenges(header)
    # It takes some milliseconds; a square of the length would take seconds.
    assert time.thread_time() - start < 0.5


@given(st.text(max_size=200))
def test_any_text_is_read_or_left(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


@given(st.lists(st.tuples(TOKENS, st.dictionaries(TOKENS, VALUES, max_size=4)), max_size=4))
def test_what_is_written_is_read_back(wanted: list[tuple[str, dict[str, str]]]) -> None:
    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in fields.items())
        for scheme, fields in wanted
    )
    expected = tuple(Challenge(scheme, tuple(fields.items())) for scheme, fields in wanted)
    assert parse_challenges(header) == expected
