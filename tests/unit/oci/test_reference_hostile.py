"""Text that other tools took for a reference, and should not have."""

import itertools

import pytest

from imgverify.errors import InvalidReference
from imgverify.oci.reference import Reference, Registry, Repository, parse_mirror
from tests.unit.oci.samples import DIGEST, STRAYS

UPSTREAM = Reference.parse("nginx:1.27")


@pytest.mark.parametrize(
    "text",
    [
        "a.b/../x",
        "a.b/./x",
        "../x",
        "./x",
        "/x",
        "x/",
        "a//b",
        "a.b//x",
        "a.b/x/..",
        "-x",
        "--privileged",
        "a.b/-x",
        "a.b/x/-y",
        "-a.b/x",
        "a.b/.x",
        "a.b/x.",
        "a.b/x..y",
        "a.b/%2e%2e/x",
        "a.b/x:../y",
        "a.b/x:.y",
        "a.b/x:-y",
        "a.b/x@sha256:../../y",
        "a.b\\x",
        "a.b/x\\y",
        "a.b/x?y",
        "a.b/x#y",
        "user:pw@a.b/x",
        "a.b/x;y",
        "a.b/$(x)",
    ],
)
def test_path_traversal_ref_cannot_be_parsed(text: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)


@pytest.mark.parametrize(
    "path", ["", "..", "a/../b", "/a", "a/", "A", "a" * 256, "a/" * 127 + "aa", "a b", "-a"]
)
def test_path_traversal_ref_cannot_be_built_around_the_parser(path: str) -> None:
    with pytest.raises(InvalidReference):
        Repository(Registry("a.b"), path)


@pytest.mark.parametrize("tag", ["", ".", "..", "-a", "a/b", "a b", "a\n", "a" * 129])
def test_a_tag_cannot_be_built_around_the_parser(tag: str) -> None:
    with pytest.raises(InvalidReference, match="is not a tag"):
        Reference(Repository(Registry("a.b"), "c"), tag)


@pytest.mark.parametrize(("stray", "place"), [*itertools.product(STRAYS, range(6))])
def test_regex_newline_unicode_is_no_reference(stray: str, place: int) -> None:
    parts = ["ghcr.io", ":443", "/x/y", ":v1", f"@{DIGEST}"]
    parts.insert(place, stray)
    with pytest.raises(InvalidReference) as caught:
        Reference.parse("".join(parts))
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "port", ["", "0", "65536", "99999", "123456", "1_0", "+1", "-1", "0x1", "http"]
)
def test_regex_newline_unicode_a_port_is_a_number_of_plain_digits(port: str) -> None:
    with pytest.raises(InvalidReference, match="port"):
        Registry.parse(f"a.b:{port}")


@pytest.mark.parametrize(
    "host",
    [
        "doc\u212aer.io",
        "\uff44ocker.io",
        "d\u043ecker.io",
        "docker\u200d.io",
        "docker\u00ad.io",
        "docker.\u0131o",
        "docker\u3002io",
        "\u017fcr.io",
        "stra\u00dfe.example",
    ],
)
def test_homograph_host_is_refused_and_shown_escaped(host: str) -> None:
    with pytest.raises(InvalidReference, match="ASCII") as caught:
        Reference.parse(f"{host}/library/nginx")
    assert caught.value.message.isascii()
    assert "xn--" in caught.value.hint
    with pytest.raises(InvalidReference):
        Registry.parse(host)
    with pytest.raises(InvalidReference):
        parse_mirror(host, UPSTREAM)


def test_homograph_host_may_be_written_in_its_ascii_form() -> None:
    assert str(Reference.parse("xn--strae-oqa.example/x").registry) == "xn--strae-oqa.example"


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        ".a.b",
        "a.b.",
        "-a.b",
        "a-.b",
        "a_b.c",
        "a" * 64 + ".b",
        ".".join(["a" * 63] * 4),
        "[::1",
        "::1]",
        "[::1]x",
        "[]",
        "[1.2.3.4]",
        "999.1.1.1",
        "1.2.3.256",
        "0127.0.0.1",
        "127.0.0.01",
        "[fe80::1%eth0]",
        "[::g]",
        "::1",
        "a]b",
        "[[::1]]",
    ],
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(InvalidReference):
        Registry.parse(host)
    with pytest.raises(InvalidReference):
        Reference.parse(f"{host}:80/x")


@pytest.mark.parametrize(
    "text",
    ["user:hunter2@reg.test", "user:hunter2@reg.test:5000", "hunter2@reg.test", "a:hunter2@[::1]"],
)
def test_a_password_before_a_host_is_not_quoted(text: str) -> None:
    for read in (Registry.parse, lambda each: parse_mirror(each, UPSTREAM)):
        with pytest.raises(InvalidReference, match="without a user") as caught:
            read(text)
        assert "hunter2" not in caught.value.message + caught.value.hint
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(f"{text}/nginx")
    assert "hunter2" not in caught.value.message + caught.value.hint
