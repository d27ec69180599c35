"""Image references."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgverify.errors import InvalidReference
from imgverify.oci import limits
from imgverify.oci.digest import Algorithm, Digest
from imgverify.oci.reference import Reference, Registry, Repository, Route, parse_mirror
from tests.unit.oci.samples import DIGEST, HEX, LOWER, digests

SEPARATORS = st.sampled_from([".", "_", "__", "-", "--", "---"])
UPSTREAM = Reference.parse(f"nginx:1.27@{DIGEST}")


def components() -> st.SearchStrategy[str]:
    word = st.text(LOWER, min_size=1, max_size=6)
    more = st.lists(st.builds(str.__add__, SEPARATORS, word), max_size=2).map("".join)
    return st.builds(str.__add__, word, more)


def hosts() -> st.SearchStrategy[str]:
    label = st.text(LOWER, min_size=1, max_size=8)
    domain = st.lists(label, min_size=2, max_size=4).map(".".join)
    port = st.integers(1, 65535).map(lambda number: f":{number}")
    ipv6 = st.ip_addresses(v=6).map(lambda address: f"[{address.compressed}]")
    named = st.builds(str.__add__, label | domain, port) | domain | st.just("localhost")
    return named | ipv6 | st.builds(str.__add__, ipv6, port)


def tags() -> st.SearchStrategy[str]:
    first = st.sampled_from(LOWER + "_ABC")
    return st.builds(str.__add__, first, st.text(LOWER + "_.-XYZ", max_size=127))


@st.composite
def references(draw: st.DrawFn) -> str:
    """Generate canonical references, of which none is Docker Hub's by another name."""
    path = "/".join(draw(st.lists(components(), min_size=1, max_size=4)))
    host = draw(hosts() | st.just("docker.io/library"))
    tag, digest = draw(st.none() | tags()), draw(st.none() | digests())
    tag = tag if tag or digest else "latest"
    return f"{host}/{path}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


@given(references())
def test_a_canonical_reference_is_read_and_written_unchanged(text: str) -> None:
    reference = Reference.parse(text)
    assert str(reference) == text
    assert Reference.parse(str(reference)) == reference


ALPHABET = st.sampled_from([*"aZ0.:/@_-[]% ", "docker.io", "localhost", "latest", "://", DIGEST])


@given(st.text() | st.lists(ALPHABET, max_size=8).map("".join))
@example("Foo/bar")
@example("docker.io:443/x")
@example(f"{DIGEST}")
def test_any_text_parses_or_is_an_invalid_reference(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReference as error:
        assert error.message.isascii()  # noqa: PT017 - most generated texts raise
        return
    assert Reference.parse(str(reference)) == reference
    assert text.isascii()


@given(st.text() | st.lists(ALPHABET, max_size=6).map("".join))
def test_any_text_is_a_mirror_or_an_invalid_reference(text: str) -> None:
    try:
        mirror = parse_mirror(text, UPSTREAM)
    except InvalidReference:
        return
    assert Reference.parse(str(mirror)) == mirror


@given(hosts())
def test_a_registry_is_read_and_written_unchanged(text: str) -> None:
    assert str(Registry.parse(text)) == text
    assert Registry.parse(text.upper()) == Registry.parse(text)


HUB_SPELLINGS = [
    "nginx",
    "nginx:latest",
    "library/nginx",
    "docker.io/nginx",
    "docker.io/library/nginx:latest",
    "index.docker.io/nginx",
    "index.docker.io/library/nginx",
    "registry-1.docker.io/library/nginx:latest",
    "DOCKER.IO/nginx",
    "docker.io:443/library/nginx",
    "Index.Docker.io:443/nginx:latest",
]


@pytest.mark.parametrize("text", HUB_SPELLINGS)
def test_hub_normalise_gives_every_spelling_one_canonical_value(text: str) -> None:
    """Without a host Docker Hub is meant, and there without a namespace `library`."""
    assert Reference.parse(text) == Reference.parse("nginx")
    assert str(Reference.parse(text)) == "docker.io/library/nginx:latest"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("docker.io:5000/nginx", "docker.io:5000/nginx:latest"),
        ("ghcr.io/nginx", "ghcr.io/nginx:latest"),
        ("docker.io.evil.example/nginx", "docker.io.evil.example/nginx:latest"),
        ("evildocker.io/nginx", "evildocker.io/nginx:latest"),
        ("docker/nginx", "docker.io/docker/nginx:latest"),
        ("docker.io", "docker.io/library/docker.io:latest"),
        ("localhost/nginx", "localhost/nginx:latest"),
        ("localhost", "docker.io/library/localhost:latest"),
        ("host:00080/x", "host:80/x:latest"),
        ("[0:0::1]:5000/x", "[::1]:5000/x:latest"),
        ("[::FFFF:1.2.3.4]/x", "[::ffff:102:304]/x:latest"),
    ],
)
def test_hub_normalise_leaves_other_registries_alone(text: str, canonical: str) -> None:
    assert str(Reference.parse(text)) == canonical


def test_docker_hub_answers_under_another_name() -> None:
    hub = Registry.parse("docker.io")
    assert (str(hub.api), hub.is_docker_hub) == ("registry-1.docker.io", True)
    other = Registry.parse("ghcr.io")
    assert (other.api, other.is_docker_hub) == (other, False)


@pytest.mark.parametrize("text", ["Foo/bar", "FOO/bar:tag", "Docker/nginx"])
def test_hub_normalise_refuses_a_host_that_only_its_case_tells_from_a_path(text: str) -> None:
    """Lower-cased, `Foo/bar` would be read back as a repository of Docker Hub."""
    with pytest.raises(InvalidReference, match="not a repository's name"):
        Reference.parse(text)


def test_tag_digest_confusion_both_are_kept() -> None:
    both = Reference.parse(f"nginx:1.27@{DIGEST}")
    assert (both.tag, str(both.digest)) == ("1.27", DIGEST)
    only = Reference.parse(f"nginx@{DIGEST}")
    assert (only.tag, str(only.digest)) == (None, DIGEST)
    assert both != only


def test_tag_digest_confusion_a_tag_that_looks_like_a_digest_is_a_tag() -> None:
    tag = DIGEST.replace(":", "-")
    reference = Reference.parse(f"nginx:{tag}")
    assert (reference.tag, reference.digest) == (tag, None)
    hexadecimal = Reference.parse(f"ghcr.io/x:{'a' * 64}")
    assert hexadecimal.digest is None


@pytest.mark.parametrize("text", ["a" * 64, "0123456789abcdef" * 4 + ":latest"])
def test_tag_digest_confusion_an_image_id_is_refused(text: str) -> None:
    """A bare name of 64 hexadecimal digits is an image ID to Docker, never a repository."""
    with pytest.raises(InvalidReference, match="image ID") as caught:
        Reference.parse(text)
    assert f"name@sha256:{text[:12]}" in caught.value.hint


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_tag_digest_confusion_a_digest_without_a_name_is_refused(algorithm: Algorithm) -> None:
    text = str(Digest.of(b"", algorithm))
    with pytest.raises(InvalidReference, match="without the name") as caught:
        Reference.parse(text)
    assert caught.value.hint == f"write name@{text}"


@pytest.mark.parametrize(
    "text",
    [
        f"nginx:@{DIGEST}",
        "nginx@",
        "nginx@latest",
        f"nginx@{DIGEST}@{DIGEST}",
        f"nginx@{DIGEST}:tag",
        f"nginx@{DIGEST.upper()}",
        "nginx@md5:d41d8cd98f00b204e9800998ecf8427e",
        f"@{DIGEST}",
        "nginx:a:b",
        "nginx:",
        ":tag",
    ],
)
def test_tag_digest_confusion_half_of_either_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)


def test_a_reference_names_an_image() -> None:
    with pytest.raises(InvalidReference, match="neither a tag nor a digest"):
        Reference(Repository(Registry("a.b"), "c"))


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("https://docker.io/nginx", "docker.io/nginx"),
        ("docker://nginx:1.27", "nginx:1.27"),
        ("oci://ghcr.io/a/b:c", "ghcr.io/a/b:c"),
        (f"http://a.b:5000/x@{DIGEST}", f"a.b:5000/x@{DIGEST}"),
        ("https://user:secret@a.b/x", "a.b/x"),
        ("https://m.example", "m.example"),
        ("://", ""),
    ],
)
def test_a_url_is_told_to_be_none_and_what_to_write(text: str, rest: str) -> None:
    for parse in (Reference.parse, Registry.parse, lambda url: parse_mirror(url, UPSTREAM)):
        with pytest.raises(InvalidReference, match="a URL is not a reference") as caught:
            parse(text)
        assert caught.value.hint == f"leave the scheme out: {rest}"
        assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "text", ["unix:///run/registry.sock", "UNIX://x/y", "npipe:////./pipe/registry"]
)
def test_a_socket_of_this_machine_is_no_registry(text: str) -> None:
    for parse in (Reference.parse, Registry.parse, lambda url: parse_mirror(url, UPSTREAM)):
        with pytest.raises(InvalidReference, match="a socket of this machine") as caught:
            parse(text)
        assert "over TCP" in caught.value.hint


def test_an_empty_text_is_told_to_be_empty() -> None:
    for parse in (Reference.parse, Registry.parse, lambda text: parse_mirror(text, UPSTREAM)):
        with pytest.raises(InvalidReference, match="empty"):
            parse("")


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("UPPER", "not a repository's name"),
        ("nginx:a b", "only printable ASCII"),
        ("nginx:", "is not a tag"),
        ("nginx@x", "unsupported digest"),
        ("a.b:x/y", "port that is none"),
        ("x" * 2000, "1024 are the most"),
    ],
)
def test_an_error_says_what_is_wrong(text: str, about: str) -> None:
    with pytest.raises(InvalidReference, match=about):
        Reference.parse(text)


def test_lengths_are_taken_up_to_their_limit() -> None:
    path = "a/" * 127 + "a"
    assert len(path) == limits.REPOSITORY_LENGTH
    tag = "t" * limits.TAG_LENGTH
    assert str(Reference.parse(f"a.b/{path}:{tag}")) == f"a.b/{path}:{tag}"
    with pytest.raises(InvalidReference):
        Reference.parse(f"a.b/{path}a:{tag}")
    with pytest.raises(InvalidReference):
        Reference.parse(f"a.b/{path}:{tag}t")


def test_a_long_reference_is_refused_before_anything_is_matched() -> None:
    with pytest.raises(InvalidReference, match="most") as caught:
        Reference.parse("a-" * 500_000)
    assert len(caught.value.message) < 100


def test_a_reference_is_moved_and_pinned() -> None:
    elsewhere = Repository(Registry("a.b"), "c")
    assert str(UPSTREAM.at(elsewhere)) == f"a.b/c:1.27@{DIGEST}"
    assert str(UPSTREAM.pinned(Digest.of(b""))) == f"docker.io/library/nginx@{Digest.of(b'')}"
    assert UPSTREAM.registry == Registry.parse("docker.io")


@pytest.mark.parametrize(
    ("text", "mirror"),
    [
        ("m.example", "m.example/library/nginx:1.27"),
        ("m.example:5000", "m.example:5000/library/nginx:1.27"),
        ("localhost", "localhost/library/nginx:1.27"),
        ("[::1]:5000", "[::1]:5000/library/nginx:1.27"),
        ("m.example/docker.io/library/nginx", "m.example/docker.io/library/nginx:1.27"),
        ("m.example/x:2", "m.example/x:2"),
    ],
)
def test_a_mirror_is_a_host_or_a_reference(text: str, mirror: str) -> None:
    digest = f"@{DIGEST}" if ":1.27" in mirror else ""
    assert str(parse_mirror(text, UPSTREAM)) == mirror + digest


def test_docker_hub_in_the_place_of_another_host_is_asked_by_its_own_rules() -> None:
    named = Reference.parse("m.example/nginx:1.27")
    assert str(parse_mirror("docker.io", named)) == "docker.io/library/nginx:1.27"


@pytest.mark.parametrize("text", ["mirror", "Mirror", "a" * 64])
def test_a_mirror_without_a_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference, match="neither a registry's host"):
        parse_mirror(text, UPSTREAM)


@given(st.text(HEX, min_size=64, max_size=64))
def test_path_of_hexadecimal_digits_with_a_namespace_is_a_repository(name: str) -> None:
    assert Reference.parse(f"library/{name}").repository.path == f"library/{name}"


@pytest.mark.parametrize("path", ["", "/v2", "/custom/v2", "/artifactory/api/docker/hub-remote/v2"])
def test_an_api_may_lie_at_another_path(path: str) -> None:
    assert Route(path).api_path == path


@pytest.mark.parametrize(
    "path",
    ["v2", "/", "/v2/", "//v2", "/a/../v2", "/./v2", "/a b", "/v2\n", "/v2?ns=x", "/%2e"],
)
def test_an_api_path_that_a_url_would_not_keep_is_refused(path: str) -> None:
    with pytest.raises(InvalidReference, match="not a path"):
        Route(path)


@pytest.mark.parametrize("name", ["index.docker.io", "Docker.io", "docker.io/library", "a b"])
def test_a_namespace_is_a_registrys_canonical_name(name: str) -> None:
    with pytest.raises(InvalidReference):
        Route(namespace=name)


def test_a_repository_by_another_route_is_another_place_of_the_same_name() -> None:
    direct = Repository(Registry("mirror.example"), "library/nginx")
    routed = Repository(Registry("mirror.example"), "library/nginx", Route("/custom/v2"))
    assert direct != routed
    assert str(direct) == str(routed)
