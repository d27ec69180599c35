"""Media types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import Malformed
from imgverify.oci import mediatype
from imgverify.oci.mediatype import Compression, Kind, MediaType
from tests.unit.oci.samples import STRAYS

FIRST = "abcXYZ019"
NEXT = FIRST + "!#$&^_.+-"
OCI_LAYER = "application/vnd.oci.image.layer"
DOCKER_LAYER = "application/vnd.docker.image.rootfs"


def names() -> st.SearchStrategy[str]:
    return st.builds(str.__add__, st.sampled_from(FIRST), st.text(NEXT, max_size=126))


@given(names(), names())
def test_a_type_of_rfc_6838_is_kept_as_written(top: str, sub: str) -> None:
    """Each half starts with a letter or digit and has 127 characters at most."""
    text = f"{top}/{sub}"
    assert str(MediaType.parse(text)) == text
    assert MediaType.from_header(f" {text}\t; charset=utf-8") == MediaType(text)


@given(st.text() | st.none() | st.integers() | st.binary())
def test_any_value_parses_or_is_malformed(value: object) -> None:
    try:
        assert str(MediaType.parse(value)) == value
    except Malformed:
        assert not isinstance(value, str) or MediaType.from_header(value) != MediaType(value)


def test_a_version_may_be_a_parameter() -> None:
    text = "application/vnd.dev.sigstore.bundle+json;version=0.1"
    assert str(MediaType.parse(text)) == text
    assert str(MediaType.from_header(text)) == text.partition(";")[0]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "json",
        "a/",
        "/a",
        "a/b/c",
        "a/b;",
        "a/b;c",
        "a/b; c=d",
        'a/b;c="d"',
        "a/b" + ";c=d" * 5,
        ".a/b",
        "a/-b",
        f"{'a' * 128}/b",
        f"a/{'b' * 128}",
    ],
)
def test_what_is_no_type_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        MediaType.parse(value)


@pytest.mark.parametrize("stray", STRAYS)
def test_regex_newline_unicode_is_no_media_type(stray: str) -> None:
    for text in (f"a/b{stray}", f"{stray}a/b", f"a{stray}/b"):
        with pytest.raises(Malformed):
            MediaType.parse(text)


@pytest.mark.parametrize("stray", ["\n", "\0", "\u00a0", "\u0085", "\u2028"])
def test_regex_newline_unicode_is_not_stripped_from_a_header(stray: str) -> None:
    assert MediaType.from_header(f"{stray}application/json{stray}") is None


@pytest.mark.parametrize("header", ["", ";", "json", "; charset=utf-8", "a/" + "b" * 300])
def test_an_unreadable_header_says_nothing(header: str) -> None:
    assert MediaType.from_header(header) is None


def test_long_parameters_of_a_header_do_not_hide_its_type() -> None:
    assert MediaType.from_header("a/b; x=" + "y" * 5000) == MediaType("a/b")


def test_types_are_compared_with_their_case() -> None:
    assert MediaType(str(mediatype.OCI_INDEX).upper()).kind is Kind.OTHER


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("application/vnd.oci.image.index.v1+json", Kind.INDEX),
        ("application/vnd.docker.distribution.manifest.list.v2+json", Kind.INDEX),
        ("application/vnd.oci.image.manifest.v1+json", Kind.MANIFEST),
        ("application/vnd.docker.distribution.manifest.v2+json", Kind.MANIFEST),
        ("application/vnd.oci.image.config.v1+json", Kind.CONFIG),
        ("application/vnd.docker.container.image.v1+json", Kind.CONFIG),
        ("application/vnd.docker.distribution.manifest.v1+json", Kind.SCHEMA1),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", Kind.SCHEMA1),
        ("application/vnd.oci.image.layer.v1.tar+gzip", Kind.LAYER),
        ("application/vnd.oci.empty.v1+json", Kind.OTHER),
    ],
)
def test_a_type_says_what_its_content_is(text: str, kind: Kind) -> None:
    assert MediaType.parse(text).kind is kind


@pytest.mark.parametrize(
    ("text", "compression", "foreign"),
    [
        (f"{OCI_LAYER}.v1.tar", Compression.NONE, False),
        (f"{OCI_LAYER}.v1.tar+gzip", Compression.GZIP, False),
        (f"{OCI_LAYER}.v1.tar+zstd", Compression.ZSTD, False),
        (f"{OCI_LAYER}.nondistributable.v1.tar", Compression.NONE, True),
        (f"{OCI_LAYER}.nondistributable.v1.tar+gzip", Compression.GZIP, True),
        (f"{OCI_LAYER}.nondistributable.v1.tar+zstd", Compression.ZSTD, True),
        (f"{DOCKER_LAYER}.diff.tar", Compression.NONE, False),
        (f"{DOCKER_LAYER}.diff.tar.gzip", Compression.GZIP, False),
        (f"{DOCKER_LAYER}.diff.tar.zstd", Compression.ZSTD, False),
        (f"{DOCKER_LAYER}.foreign.diff.tar", Compression.NONE, True),
        (f"{DOCKER_LAYER}.foreign.diff.tar.gzip", Compression.GZIP, True),
        (f"{OCI_LAYER}.v1.tar+gzip+encrypted", None, False),
    ],
)
def test_a_layer_type_says_how_it_is_compressed_and_whether_it_may_be_absent(
    text: str, compression: Compression | None, *, foreign: bool
) -> None:
    media_type = MediaType.parse(text)
    assert media_type.compression is compression
    assert media_type.is_foreign is foreign


def test_every_manifest_format_but_schema_1_is_asked_for() -> None:
    """Without all of them in Accept a registry may convert, and conversion changes the digest."""
    accepted = {MediaType(each).kind for each in mediatype.ACCEPT_MANIFEST.split(", ")}
    assert accepted == {Kind.INDEX, Kind.MANIFEST}
    assert len(mediatype.ACCEPT_MANIFEST.split(", ")) == 4
