"""What Podman and its kin would do with `registries.conf`."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InputError
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference
from imgverify.registry.hostconfig.certificates import CertificateFolder
from imgverify.registry.hostconfig.containers import (
    ContainersConfiguration,
    matched,
    merge,
)
from imgverify.registry.hostconfig.model import Endpoint, Protection, Runtime
from imgverify.registry.hostconfig.registriesconf import is_short, parse_registries

FILE = Path("/etc/containers/registries.conf")
DIGEST = Digest.of(b"")


def configured(*texts: str) -> ContainersConfiguration:
    return merge(
        parse_registries(text.encode(), Path(f"{FILE}.{number}"))
        for number, text in enumerate(texts)
    )


def endpoints(found: ContainersConfiguration, name: str) -> tuple[Endpoint, ...]:
    sources = found.sources(Reference.parse(name))
    assert sources.runtime is found.runtime is Runtime.CONTAINERS
    return sources.endpoints


def names(found: ContainersConfiguration, name: str) -> list[str]:
    return [str(each.image) for each in endpoints(found, name)]


MIRRORED = """
[[registry]]
prefix = "docker.io"
location = "docker.io"

[[registry.mirror]]
location = "a.example/hub"

[[registry.mirror]]
location = "b.example"
pull-from-mirror = "digest-only"

[[registry.mirror]]
location = "c.example"
insecure = true
pull-from-mirror = "tag-only"
"""


def test_mirrors_come_in_order_and_the_registry_last() -> None:
    found = configured(MIRRORED)
    a, c, hub = endpoints(found, "nginx:1")
    assert names(found, "nginx:1") == [
        "a.example/hub/library/nginx:1",
        "c.example/library/nginx:1",
        "docker.io/library/nginx:1",
    ]
    assert [each.protection for each in (a, c)] == [Protection.CHECKED, Protection.OPTIONAL]
    assert [each.is_upstream for each in (a, c, hub)] == [False, False, True]
    assert hub.address == "https://registry-1.docker.io/v2"
    assert [str(each.origin).rpartition(".")[2] for each in (a, c, hub)] == ["0:6", "0:13", "0:2"]


def test_a_digest_is_asked_for_elsewhere_than_a_tag() -> None:
    name = f"nginx@{DIGEST}"
    a, b, _ = endpoints(configured(MIRRORED), name)
    assert [str(each.image.registry) for each in (a, b)] == ["a.example", "b.example"]
    assert [each.resolves for each in (a, b)] == [True, False]


def test_nothing_configured_is_the_registry_itself() -> None:
    for found in (ContainersConfiguration(), configured(), configured(MIRRORED)):
        (only,) = endpoints(found, "quay.io/a/b:1")
        assert (only.is_upstream, only.origin, only.blocked) == (True, None, None)
        assert only.protection is Protection.CHECKED


def test_by_digest_only_holds_for_every_mirror() -> None:
    found = configured("""
[[registry]]
location = "quay.io"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m.example"
""")
    assert names(found, "quay.io/a/b:1") == ["quay.io/a/b:1"]
    mirror, _ = endpoints(found, f"quay.io/a/b@{DIGEST}")
    assert not mirror.resolves


def test_a_location_may_lead_elsewhere_and_upstream_is_never_asked() -> None:
    found = configured('[[registry]]\nprefix = "docker.io/library"\nlocation = "m.example/x"\n')
    (only,) = endpoints(found, "nginx:1")
    assert (str(only.image), only.is_upstream) == ("m.example/x/nginx:1", False)
    assert found.sources(Reference.parse("nginx:1")).mirrors == (only,)


def test_a_wildcard_without_location_changes_no_name() -> None:
    found = configured("""
[[registry]]
prefix = "*.example.com"
insecure = true
[[registry.mirror]]
location = "m.example"
""")
    assert names(found, "a.b.example.com/x:1") == ["m.example/x:1", "a.b.example.com/x:1"]
    assert endpoints(found, "a.b.example.com/x:1")[1].protection is Protection.OPTIONAL
    assert names(found, "example.com/x:1") == ["example.com/x:1"]


def test_a_blocked_place_is_come_to_and_not_used() -> None:
    """What counts is the entry of the place itself, as it does to the runtimes."""
    found = configured("""
[[registry]]
location = "docker.io"
blocked = true
[[registry.mirror]]
location = "a.example"
[[registry.mirror]]
location = "b.example/x"
[[registry]]
location = "b.example"
blocked = true
""")
    a, b, hub = endpoints(found, "nginx:1")
    assert [str(each.blocked) for each in (a, b, hub)] == [
        "None",
        "/etc/containers/registries.conf.0:9",
        "/etc/containers/registries.conf.0:2",
    ]
    assert found.sources(Reference.parse("nginx:1")).mirrors == (a,)


def test_a_later_file_replaces_entries_by_their_prefix() -> None:
    found = configured(
        MIRRORED,
        '[[registry]]\nlocation = "quay.io"\n',
        '[[registry]]\nprefix = "docker.io"\nlocation = "z.example"\n',
    )
    assert names(found, "nginx:1") == ["z.example/library/nginx:1"]
    assert len(found.files) == 3


def test_within_a_file_the_first_entry_of_a_prefix_holds() -> None:
    entry = '[[registry]]\nprefix = "quay.io"\nlocation = "{}.example"\n'
    found = configured(entry.format("a") + entry.format("b"))
    assert names(found, "quay.io/x:1") == ["a.example/x:1"]


def test_certificates_come_from_the_first_folder_that_is_there() -> None:
    one = {"a.example": CertificateFolder(Path("/one/a.example"))}
    two = {
        "a.example": CertificateFolder(Path("/two/a.example"), ("ca.crt",)),
        "docker.io": CertificateFolder(Path("/two/docker.io"), ("hub.crt",)),
    }
    found = merge([parse_registries(MIRRORED.encode(), FILE)], (one, two))
    a, _, hub = endpoints(found, "nginx:1")
    assert a.tls.authorities == ()
    assert [each.name for each in hub.tls.authorities] == ["hub.crt"]


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("nginx", ("a.example/x/web",)),
        ("nginx:1", ("a.example/x/web:1",)),
        (f"nginx@{DIGEST}", (f"a.example/x/web@{DIGEST}",)),
        ("gone", ("quay.io/gone", "docker.io/gone")),
        ("team/app:2", ("quay.io/team/app:2", "docker.io/team/app:2")),
        ("docker.io/library/nginx", ()),
        ("localhost/nginx", ()),
    ],
)
def test_a_short_name_is_read_but_never_resolved(text: str, readings: tuple[str, ...]) -> None:
    found = configured(
        'unqualified-search-registries = ["quay.io/", "docker.io"]\n[aliases]\n'
        'nginx = "a.example/x/web"\ngone = "b.example/gone"',
        '[aliases]\ngone = ""',
    )
    assert found.readings(text) == readings


def test_the_last_file_that_names_search_registries_holds() -> None:
    one, other = (f'unqualified-search-registries = ["{each}.example"]' for each in "ab")
    assert configured(one, other, "").readings("x") == ("b.example/x",)
    assert configured(one, "unqualified-search-registries = []").readings("x") == ()
    assert configured("").search is None


MISTAKES = [
    ("[[registry]]", "no 'location'", 1),
    ('[[registry]]\nprefix = "quay.io"', "no 'location'", 1),
    ('[[registry]]\nlocation = "https://quay.io"', "URL", 1),
    ('[[registry]]\nprefix = "http://x"\nlocation = "quay.io"', "URL", 1),
    ('[[registry]]\nprefix = "*.x.io/y"', "neither port nor path", 1),
    ('[[registry]]\nprefix = "*.x.io:80"\nlocation = "y.io"', "neither port nor path", 1),
    ('\n[[registry]]\nlocation = "a.io"\npull-from-mirror = "all"', "belongs to a mirror", 2),
    ('[[registry]]\nlocation = "a.io"\n[[registry.mirror]]', "mirror has no 'location'", 3),
    (
        (
            '[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\nlocation = "b.io"\n'
            'pull-from-mirror = "never"'
        ),
        "is not one of all",
        3,
    ),
    (
        (
            '[[registry]]\nlocation = "a.io"\nmirror-by-digest-only = true\n'
            '[[registry.mirror]]\nlocation = "b.io"\npull-from-mirror = "all"'
        ),
        "both set",
        4,
    ),
    ('[[registry]]\nLocation = "a.io"', "is written 'location'", 1),
    ('[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\nLocation = "b.io"', "is written", 3),
    ('[[registry]]\nlocation = "a.io"\nblocked = "yes"', "neither true nor false", 1),
    (
        (
            '[[registry]]\nlocation = "a.io"\n[[registry]]\nprefix="b.io"\nlocation = "a.io"\n'
            "insecure = true"
        ),
        "'insecure' is set otherwise at /etc/containers/registries.conf:1",
        3,
    ),
    (
        '[[registry]]\nprefix = "*.a.io"\n[[registry]]\nprefix = "*.a.io"\nblocked = true',
        "'blocked' is set otherwise",
        3,
    ),
    ('Registry = "x"', "is written 'registry'", None),
    ('registry = "x"', "not an array of tables", None),
    ('short-name-mode = "always"', "not one of enforcing", None),
    ('unqualified-search-registries = ["quay.io/x"]', "no host", None),
    ('[aliases]\nx = "y"', "not a repository with its registry", None),
    ('[aliases]\nx = "quay.io/y:1"', "not a repository with its registry", None),
    ('[aliases]\nx = "quay.io/Y"', "not a repository with its registry", None),
    ('[aliases]\n"quay.io/x" = "quay.io/y"', "without a registry", None),
    ('[aliases]\n"x:1" = "quay.io/y"', "without a registry", None),
    ("[aliases]\nx = 1", "not a string", None),
    ('[registries.search]\nregistries = ["quay.io"]\n[aliases]', "version 1", None),
    ('[registries.block]\nregistries = ["https://quay.io"]', "URL", None),
]


@pytest.mark.parametrize(("text", "complaint", "line"), MISTAKES)
def test_a_mistake_is_told_with_its_file_and_line(
    text: str, complaint: str, line: int | None
) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        parse_registries(text.encode(), FILE)
    place = f"{FILE}: " if line is None else f"{FILE}:{line}: "
    assert caught.value.message.startswith(place)


def test_a_drop_in_cannot_be_of_version_1() -> None:
    text = b'[registries.search]\nregistries = ["quay.io"]'
    assert parse_registries(text, FILE).search == ("quay.io",)
    with pytest.raises(InputError, match="version 1"):
        parse_registries(text, FILE, drop_in=True)


@pytest.mark.parametrize(
    ("location", "complaint"),
    [("m.example/Hub", "not a repository's name"), ("mirror", "not start with a registry's host")],
)
def test_a_location_that_makes_no_name_is_told_when_it_is_used(
    location: str, complaint: str
) -> None:
    found = configured(f'[[registry]]\nprefix = "quay.io"\nlocation = "{location}"\n')
    assert endpoints(found, "nginx:1")
    with pytest.raises(InputError, match=complaint) as caught:
        endpoints(found, "quay.io/x/y:1")
    assert caught.value.message.startswith("/etc/containers/registries.conf.0:1: ")


def test_tables_written_inline_have_no_line() -> None:
    found = configured('registry = [{location = "quay.io", mirror = [{location = "m.example"}]}]')
    mirror, registry = endpoints(found, "quay.io/x:1")
    assert str(mirror.origin) == str(registry.origin) == "/etc/containers/registries.conf.0"


@pytest.mark.parametrize(
    ("name", "prefix", "end"),
    [
        ("a.io/x", "a.io", 4),
        ("a.io:5000/x", "a.io", 4),
        ("a.io/x@sha256:0", "a.io/x", 6),
        ("a.iox/x", "a.io", -1),
        ("a.io", "a.io/x", -1),
        ("b.a.io:80/x", "*.a.io", 6),
        ("b.a.io.a.io/x", "*.a.io", -1),
        ("b/c.a.io/x", "*.a.io", -1),
    ],
)
def test_prefixes_are_matched_as_the_runtimes_do(name: str, prefix: str, end: int) -> None:
    assert matched(name, prefix) == end


@given(st.text("ab.*/:@", max_size=12), st.text("ab.*/:@", max_size=8))
def test_a_match_is_within_the_name_and_at_the_end_of_a_part(name: str, prefix: str) -> None:
    end = matched(name, prefix)
    assert end == -1 or end == len(name) or name[end] in ":/@"


@pytest.mark.parametrize(("text", "short"), [("x", True), ("x/y", True), ("X", False), ("", False)])
def test_a_short_name_follows_the_grammar(text: str, *, short: bool) -> None:
    assert is_short(text) is short


def test_a_name_that_grows_too_long_on_the_way_is_an_error_with_its_place() -> None:
    path = "/".join(["part" * 10] * 5)
    found = configured(f'[[registry]]\nprefix = "docker.io"\nlocation = "m.example/{path}"\n')
    with pytest.raises(InputError, match=re.escape(f"{FILE}.0")):
        found.sources(Reference.parse(f"docker.io/{path}/app"))
