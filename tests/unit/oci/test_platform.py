"""Platforms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import ContentError, InputError, Malformed
from imgverify.oci.platform import Platform
from tests.unit.oci.samples import LOWER, STRAYS, json_values

WORDS = st.text(LOWER + "_.-", min_size=1, max_size=20).filter(lambda text: text[0].isalnum())


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/i386", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("windows/amd64", "windows/amd64"),
        ("windows/amd64:10.0.20348.2113", "windows/amd64:10.0.20348.2113"),
        ("linux/arm64/v8:1-A", "linux/arm64:1-A"),
    ],
)
def test_spellings_of_a_platform_have_one_canonical_form(text: str, canonical: str) -> None:
    assert str(Platform.parse(text)) == canonical


@given(WORDS, WORDS, WORDS | st.just(""))
def test_a_written_platform_is_read_back_unchanged(
    os: str, architecture: str, variant: str
) -> None:
    platform = Platform.normalised(os, architecture, variant)
    assert Platform.parse(str(platform)) == platform


@given(st.text())
def test_any_text_parses_or_is_an_input_error(text: str) -> None:
    try:
        platform = Platform.parse(text)
    except InputError:
        return
    assert Platform.parse(str(platform)) == platform


@pytest.mark.parametrize(
    "text", ["", "linux", "/", "linux/", "/amd64", "a/b/c/d", "linux//v8", "a/b:", "a:1/b"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a platform") as caught:
        Platform.parse(text)
    assert "linux/amd64" in caught.value.hint


@pytest.mark.parametrize("stray", STRAYS)
def test_regex_newline_unicode_is_no_platform(stray: str) -> None:
    for text in (f"linux/amd64{stray}", f"{stray}linux/amd64", f"linux/arm/v{stray}"):
        with pytest.raises(InputError):
            Platform.parse(text)


def test_a_document_s_platform_is_normalised_too() -> None:
    value = {
        "os": "windows",
        "architecture": "aarch64",
        "variant": "v8",
        "os.version": "10.0.20348",
        "os.features": ["win32k"],
        "features": ["sse4"],
    }
    platform = Platform.from_json(value)
    assert platform == Platform("windows", "arm64", "", "10.0.20348", ("win32k",))
    assert str(platform) == "windows/arm64:10.0.20348"


def test_null_means_absent_as_in_go() -> None:
    value = {"os": "linux", "architecture": "arm", "variant": None}
    nulls = {"os.version": None, "os.features": None}
    assert Platform.from_json(value | nulls) == Platform("linux", "arm", "v7")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "linux/amd64",
        [],
        {"os": 1},
        {"os": True},
        {"architecture": ["amd64"]},
        {"variant": {}},
        {"os.version": 10.0},
        {"os.features": "win32k"},
        {"os.features": [1]},
        {"os.features": {"a": "b"}},
    ],
)
def test_another_shape_is_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        Platform.from_json(value)


@pytest.mark.parametrize(
    "key", ["OS", "Architecture", "Variant", "os.Version", "OS.features", "o\u017f"]
)
def test_dup_and_case_keys_in_a_platform_are_malformed(key: str) -> None:
    with pytest.raises(Malformed, match="some readers take for"):
        Platform.from_json({"architecture": "amd64", "os": "linux", key: "arm64"})


@given(json_values())
def test_malformed_crash_no_value_gets_through_a_platform(value: object) -> None:
    try:
        Platform.from_json(value)
    except ContentError:
        return
    assert isinstance(value, dict)


def test_only_unknown_os_and_architecture_together_are_unknown() -> None:
    assert Platform("unknown", "unknown").is_unknown
    assert not Platform("unknown", "amd64").is_unknown
    assert not Platform("linux", "unknown").is_unknown


@pytest.mark.parametrize(
    ("has", "wanted", "satisfied"),
    [
        (Platform("linux", "amd64"), Platform("linux", "amd64"), True),
        (Platform("linux", "amd64", "v3"), Platform("linux", "amd64"), False),
        (Platform("linux", "arm64"), Platform("linux", "amd64"), False),
        (Platform("windows", "amd64"), Platform("linux", "amd64"), False),
        (Platform("windows", "amd64", "", "10.0.1"), Platform("windows", "amd64"), True),
        (
            Platform("windows", "amd64", "", "10.0.1"),
            Platform("windows", "amd64", "", "10.0.2"),
            False,
        ),
    ],
)
def test_a_wanted_os_version_counts_only_if_it_is_named(
    has: Platform, wanted: Platform, *, satisfied: bool
) -> None:
    assert has.satisfies(wanted) is satisfied
