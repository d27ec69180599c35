"""JSON that every reader reads in the same way."""

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import ContentError, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.strictjson import load_object, loads, refuse_case_variants
from tests.unit.oci.samples import (
    FREE_MAPS,
    field_paths,
    json_values,
    seed,
    seed_names,
    with_twin,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
CLEAN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
CLEAN = st.recursive(
    st.none()
    | st.booleans()
    | INT64
    | st.floats(allow_nan=False, allow_infinity=False)
    | CLEAN_TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(
            st.tuples(CLEAN_TEXT, inner), max_size=4, unique_by=lambda pair: pair[0].casefold()
        ).map(dict)
    ),
    max_leaves=12,
)
DOCUMENTS = [*seed_names("manifest"), *seed_names("config"), *seed_names("descriptor")]


@given(value=CLEAN, ascii_only=st.booleans())
def test_a_clean_document_means_what_json_says(value: object, *, ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert loads(data) == json.loads(data) == value


@given(st.binary() | json_values().map(lambda value: json.dumps(value).encode()))
def test_malformed_crash_no_bytes_get_through_the_reader(data: bytes) -> None:
    try:
        value = loads(data)
    except ContentError:
        return
    assert value == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\xaf"}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": ["\\udc00\\ud800"]}',
        b"{}{}",
        b"{} x",
        b"[1,]",
        b'{"a": 1,}',
        b"{'a': 1}",
        b"// a\n{}",
        b"01",
        b"+1",
        b".5",
        b"0x10",
        b'"\n"',
        b"\x0c{}",
        b"\xc2\xa0{}",
        b"",
        b" \n",
    ],
)
def test_json_dialect_is_malformed(data: bytes) -> None:
    """JSON is UTF-8 without a byte order mark, without NaN, half surrogates and trailing data."""
    with pytest.raises(Malformed):
        loads(data)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [limits.JSON_DEPTH + 2, 1000, 100_000])
def test_json_types_limits_hold_against_depth(opening: bytes, depth: int) -> None:
    closing = {b"[": b"]"}.get(opening, b"}")
    with pytest.raises(LimitExceeded, match=r"nested deeper|more than"):
        loads(opening * depth + b"1" + closing * depth)
    assert loads(opening * 32 + b"1" + closing * 32)


@pytest.mark.parametrize("empty", ["[]", "{}"])
def test_json_types_limits_hold_for_what_is_inside_and_not_for_what_is_empty(empty: str) -> None:
    depth = limits.JSON_DEPTH
    assert loads(f"{'[' * depth}{empty}{']' * depth}".encode())
    with pytest.raises(LimitExceeded, match="nested deeper"):
        loads(f"{'[' * depth}[{empty}]{']' * depth}".encode())


@pytest.mark.parametrize(
    "one", ["1", "{}", "[]", '""', '"a\\\\"', '{"a":1}', "1.5", "null", '"[{"']
)
@pytest.mark.parametrize("size", [1_000_000, 4_000_000])
def test_split_parse_alloc_very_many_values_are_refused_before_they_are_made(
    one: str, size: int
) -> None:
    text = "[" + ",".join([one] * (size // (len(one) + 1))) + "]"
    started = time.process_time()
    with pytest.raises(LimitExceeded, match="more than 65536 values"):
        loads(text.encode())
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("text", [",", "[{", '\\",', '"', "\\", '\\\\",{'])
def test_what_stands_in_a_text_does_not_count_as_values(text: str) -> None:
    value = {"Labels": {"a": text * 300_000, "b": "x"}, "c": [1, 2]}
    assert loads(json.dumps(value).encode()) == value


def test_as_many_values_are_read_as_the_other_bounds_allow() -> None:
    tags = {"name": "a", "tags": [f"1.{number}" for number in range(limits.TAGS)]}
    assert loads(json.dumps(tags).encode()) == tags
    entry = {
        "mediaType": "a/b",
        "digest": "sha256:" + "0" * 64,
        "size": 1,
        "urls": ["a", "b"],
        "platform": {"os": "a", "architecture": "b", "variant": "c", "os.features": ["d"] * 10},
        "annotations": {f"key{number}": "[{,}]" for number in range(40)},
    }
    index = {"manifests": [entry] * limits.INDEX_ENTRIES}
    assert loads(json.dumps(index).encode()) == index


@pytest.mark.parametrize(
    "number", ["9" * 5000, "-" + "9" * 5000, "9223372036854775808", "-9223372036854775809", "1e400"]
)
def test_json_types_limits_hold_against_numbers(number: str) -> None:
    with pytest.raises(LimitExceeded, match="64 bits"):
        loads(f'{{"size": {number}}}'.encode())


@pytest.mark.parametrize(
    "unit", [b"0,", b"[],", b"{},", b'"",', b"0e0,", b'{"":0},', b"[" * 30 + b"]" * 30 + b","]
)
def test_json_types_limits_split_parse_alloc_hold_against_many_values(unit: bytes) -> None:
    many = b"[" + unit * (limits.CONFIG_SIZE // len(unit)) + b"0]"
    started = time.thread_time()
    with pytest.raises(LimitExceeded, match="values"):
        loads(many)
    # It takes some milliseconds, and took seconds while there was no limit.
    assert time.thread_time() - started < 0.5
    few = limits.JSON_VALUES // len(re.findall(rb"[,\[{]", unit)) - 1
    assert loads(b"[" + unit * few + b"0]")


@pytest.mark.parametrize("number", [limits.INT64_MAX, -limits.INT64_MAX - 1, 0])
def test_every_int64_is_read(number: int) -> None:
    assert loads(str(number).encode()) == number


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'[{"b": {"a": 1, "a": 2}}]',
        b'{"annotations": {"a": "1", "a": "2"}}',
    ],
)
def test_dup_and_case_keys_equal_keys_are_malformed_everywhere(data: bytes) -> None:
    with pytest.raises(Malformed, match="duplicate key"):
        loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"layers": 1, "Layers": 2}',
        b'{"layer\xc5\xbf": 1, "layers": 2}',
        b'{"a": [{"\xe2\x84\xaaey": 1, "key": 2}]}',
        b'{"annotations": {"Labels": {"x": {"a": 1, "A": 2}}}}',
    ],
)
def test_dup_and_case_keys_that_differ_in_case_are_malformed(data: bytes) -> None:
    """Go takes K and the Kelvin sign, s and the long s, for one letter when it matches names."""
    with pytest.raises(Malformed, match="differ only in case"):
        loads(data)


@pytest.mark.parametrize("name", sorted(FREE_MAPS))
def test_dup_and_case_keys_may_differ_in_case_in_a_map_of_free_text(name: str) -> None:
    value = {name: {"Maintainer": "a", "maintainer": "b"}}
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize("name", DOCUMENTS)
def test_dup_and_case_keys_are_found_at_each_place_of_a_document(name: str) -> None:
    document, places = seed(name), 0
    for path, key in field_paths(document):
        places += 1
        with pytest.raises(Malformed):
            loads(with_twin(document, path, key))
        inside_free_map = len(path) > 1 and path[-2] in FREE_MAPS
        if key.swapcase() != key and not inside_free_map:
            with pytest.raises(Malformed):
                loads(with_twin(document, path, key.swapcase()))
    assert places > 3


def spelled(name: str) -> st.SearchStrategy[str]:
    kelvin = name.replace("k", "\u212a").replace("s", "\u017f")
    return st.sampled_from([name, name.upper(), name.title(), kelvin])


@given(
    st.lists(
        st.tuples(st.sampled_from(["layers", "kind", "size"]).flatmap(spelled), st.integers(0, 9)),
        max_size=4,
    )
)
def test_dup_and_case_keys_what_is_accepted_is_what_go_reads(pairs: list[tuple[str, int]]) -> None:
    """Go's decoder takes the last field whose name is equal when case is folded."""
    known = frozenset({"layers", "kind", "size"})
    text = ", ".join(f"{json.dumps(key)}: {value}" for key, value in pairs)
    try:
        fields = load_object(f"{{{text}}}".encode(), "it")
        refuse_case_variants(fields, known, "it")
    except Malformed:
        return
    for name in known:
        as_go_reads = [value for key, value in pairs if key.casefold() == name]
        assert fields.get(name) == (as_go_reads[-1] if as_go_reads else None)


def test_a_case_variant_is_named_with_what_it_is_taken_for() -> None:
    with pytest.raises(Malformed, match=r"it has the field 'Layers', .* take for 'layers'"):
        refuse_case_variants({"Layers": 1, "other": 2}, frozenset({"layers"}), "it")


@pytest.mark.parametrize("data", [b"[]", b"null", b'"a"', b"1"])
def test_a_document_that_is_no_object_is_named(data: bytes) -> None:
    with pytest.raises(Malformed, match="the thing is not a JSON object"):
        load_object(data, "the thing")


def test_within_a_foreign_field_keys_may_differ_in_case() -> None:
    data = b'{"predicate":{"a":{"B":1,"b":2}},"own":{"c":1}}'
    assert loads(data, frozenset({"predicate"}))
    assert load_object(data, "it", frozenset({"predicate"}))
    for wrong in (data, data.replace(b'"c":1', b'"c":1,"C":2')):
        with pytest.raises(Malformed, match="differ only in case"):
            loads(wrong, frozenset({"other"} if wrong is data else {"predicate"}))
    with pytest.raises(Malformed, match="duplicate"):
        loads(b'{"predicate":{"a":1,"a":2}}', frozenset({"predicate"}))
    deep = b'{"predicate":' + b"[" * 40 + b"]" * 40 + b"}"
    with pytest.raises(LimitExceeded, match="nested"):
        loads(deep, frozenset({"predicate"}))
