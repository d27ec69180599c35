"""TOML with types, and errors that say where."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InputError
from imgverify.registry.hostconfig.toml import Table, headers, parse_toml

FILE = Path("/etc/x.toml")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"a = 1\nb = = 2\n", "/etc/x.toml:2:5: not TOML"),
        (b"a = [1,\n", "/etc/x.toml:1: not TOML"),
        (b'a = "\xff"', "/etc/x.toml:1: not UTF-8"),
        (b'a = 1\nb = 2\nc = "\xff"', "/etc/x.toml:3: not UTF-8"),
        (b"a = 1\na = 2\n", "/etc/x.toml:2:6: not TOML"),
        (b"a = " + b"[" * 5000, "/etc/x.toml: not TOML"),
        (b"a = " + b"9" * 5000, "/etc/x.toml: not TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_its_line(data: bytes, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_toml(data, FILE)
    assert caught.value.message.startswith(place)


@pytest.mark.parametrize(
    ("read", "complaint"),
    [
        (lambda t: t.text("number"), "'number' is not a string"),
        (lambda t: t.text("control"), "cannot be printed"),
        (lambda t: t.texts("text"), "'text' is not a list"),
        (lambda t: t.texts("numbers"), "'numbers' is not a string"),
        (lambda t: t.flag("number"), "neither true nor false"),
        (lambda t: t.table("text"), "'text' is not a table"),
        (lambda t: t.tables("text"), "not an array of tables"),
        (lambda t: t.tables("numbers"), "not an array of tables"),
    ],
)
def test_a_value_of_another_type_is_refused(read: object, complaint: str) -> None:
    data = b'number = 1\ntext = "x"\nnumbers = [1]\ncontrol = "a\\u0000b"'
    with pytest.raises(InputError, match=complaint):
        read(parse_toml(data, FILE))  # type: ignore[operator] # one of the lambdas above


def test_what_is_absent_is_empty_or_none() -> None:
    table = Table("x", {})
    assert (table.text("a"), table.texts("a"), table.flag("a")) == ("", None, None)
    assert (table.table("a"), table.tables("a")) == ({}, ())


def test_a_key_in_another_case_is_refused_and_an_unknown_one_passed_over() -> None:
    known = frozenset({"location"})
    Table("x", {"location": "", "whatever": ""}).refuse_case_variants(known)
    with pytest.raises(InputError, match="'Location' is written 'location'"):
        Table("x", {"Location": ""}).refuse_case_variants(known)


def test_the_lines_of_tables_are_found() -> None:
    data = b"""
[a]
  [ a . "b.c" ]   # here
[[d.e]]
x = [
  ["f"],
]
[broken
[""]
[=]
"""
    assert list(headers(data)) == [
        (2, ("a",)),
        (3, ("a", "b.c")),
        (4, ("d", "e")),
        (9, ("",)),
    ]


@given(st.binary(max_size=60) | st.text("[]\"'.=#a\n ", max_size=60).map(str.encode))
def test_nothing_but_an_input_error_comes_of_any_text(data: bytes) -> None:
    list(headers(data))
    try:
        parse_toml(data, FILE)
    except InputError as error:
        assert error.message.startswith("/etc/x.toml")  # noqa: PT017 - most texts raise nothing
