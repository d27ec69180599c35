"""What holds of every configuration, whatever is in it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InputError
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference
from imgverify.registry.hostconfig.certificates import CertificateFolder
from imgverify.registry.hostconfig.choice import HostMirrors
from imgverify.registry.hostconfig.containerd import ContainerdConfiguration, HostFolder
from imgverify.registry.hostconfig.containers import ContainersConfiguration, merge
from imgverify.registry.hostconfig.docker import DockerConfiguration, parse_daemon
from imgverify.registry.hostconfig.registriesconf import parse_registries

if TYPE_CHECKING:
    from imgverify.registry.hostconfig.model import HostConfiguration

HOSTS = st.sampled_from(["m.example", "n.example:5000", "quay.io", "docker.io", "10.1.2.3:80"])
PATHS = st.sampled_from(["", "/a", "/a/b", "/docker.io"])
PLACES = st.builds("{}{}".format, HOSTS, PATHS)
URLS = st.builds("{}://{}{}".format, st.sampled_from(["http", "https"]), HOSTS, PATHS)
NAMES = st.sampled_from(
    ["docker.io/library/nginx", "quay.io/a/b", "m.example/a/x", "n.example:5000/x"]
)
IMAGES = st.builds("{}{}".format, NAMES, st.sampled_from([":1", f"@{Digest.of(b'')}"])).map(
    Reference.parse
)


def daemon(data: bytes) -> DockerConfiguration:
    return parse_daemon(data, Path("/etc/docker/daemon.json"))


def registries(data: bytes) -> ContainersConfiguration:
    return merge([parse_registries(data, Path("/etc/containers/registries.conf"))])


def certs_d(data: bytes) -> ContainerdConfiguration:
    folder = HostFolder(CertificateFolder(Path("/certs.d/_default")), data)
    return ContainerdConfiguration((), ({"_default": folder},))


@st.composite
def entries(draw: st.DrawFn) -> str:
    lines: list[str] = []
    for prefix in draw(st.lists(PLACES | st.just("*.io"), unique=True, max_size=4)):
        # One place is insecure everywhere or nowhere: each has another path here.
        lines += [
            "[[registry]]",
            f'prefix = "{prefix}"',
            f'location = "{draw(HOSTS)}/{len(lines)}"',
        ]
        lines.append(f"insecure = {json.dumps(draw(st.booleans()))}")
        for mirror in draw(st.lists(PLACES, max_size=3)):
            use = draw(st.sampled_from(["all", "digest-only", "tag-only"]))
            lines += [
                "[[registry.mirror]]",
                f'location = "{mirror}"',
                f'pull-from-mirror = "{use}"',
            ]
    return "\n".join(lines)


@st.composite
def hosts(draw: st.DrawFn) -> str:
    lines = [f'server = "{draw(URLS)}"'] if draw(st.booleans()) else []
    for url in draw(st.lists(URLS, unique=True, max_size=4)):
        capabilities = draw(st.lists(st.sampled_from(["pull", "resolve", "push"]), max_size=3))
        lines += [f'[host."{url}"]', f"capabilities = {json.dumps(capabilities)}"]
        if draw(st.booleans()):
            lines.append("skip_verify = true")
    return "\n".join(lines)


@given(st.lists(URLS, max_size=5), st.lists(HOSTS, max_size=2), IMAGES)
def test_docker_keeps_the_order_and_ends_at_upstream(
    mirrors: list[str], insecure: list[str], image: Reference
) -> None:
    document = {"registry-mirrors": mirrors, "insecure-registries": insecure}
    endpoints = daemon(json.dumps(document).encode()).sources(image).endpoints
    assert endpoints[-1].is_upstream
    wanted = dict.fromkeys(mirrors) if image.registry.is_docker_hub else {}
    assert [each.address for each in endpoints[:-1]] == [f"{each}/v2" for each in wanted]


@given(entries(), IMAGES)
def test_containers_ask_mirrors_first_and_all_of_them_for_tag_or_digest(
    text: str, image: Reference
) -> None:
    configuration = registries(text.encode())
    entry = configuration.entry(str(image.repository))
    try:
        endpoints = configuration.sources(image).endpoints
        both = {
            each.origin
            for asked in (Reference(image.repository, "1"), image.pinned(Digest.of(b"")))
            for each in configuration.sources(asked).endpoints
        }
    except InputError:
        # A host alone in the place of a whole name names no repository.
        assert entry is not None
        assert entry.prefix == str(image.repository)
        return
    if entry is None:
        assert [each.image for each in endpoints] == [image]
        return
    assert endpoints[-1].origin == entry.location.origin
    assert both == {entry.location.origin, *(each.origin for each in entry.mirrors)}


@given(hosts(), IMAGES)
def test_containerd_keeps_the_order_and_asks_nobody_who_cannot_pull(
    text: str, image: Reference
) -> None:
    endpoints = certs_d(text.encode()).sources(image).endpoints
    lines = [each.origin.line for each in endpoints if each.origin and each.origin.line]
    assert lines == sorted(lines)
    assert all(each.image.tag == image.tag for each in endpoints)


@given(entries().map(str.encode) | hosts().map(str.encode), IMAGES)
def test_what_is_used_as_a_mirror_is_never_upstream_itself(data: bytes, image: Reference) -> None:
    found: list[HostConfiguration] = [registries(data), certs_d(data)]
    for each in found:
        for mirror in each.sources(image).mirrors:
            assert mirror.image.repository != image.repository
        rules = HostMirrors("x", (each,)).access([image]).hosts
        protections = [mirror.protection for mirror in each.sources(image).mirrors]
        assert all(rule.protection in protections for rule in rules.values())
        assert image.registry not in rules


@given(
    st.binary(max_size=80) | st.text('{}[]"=.:/*\nahost registry', max_size=80).map(str.encode),
    IMAGES,
)
def test_nothing_but_an_input_error_comes_of_any_bytes(data: bytes, image: Reference) -> None:
    for read in (daemon, registries, certs_d):
        try:
            read(data).sources(image)
        except InputError as error:
            assert error.message.startswith(("/etc/", "/certs.d/"))  # noqa: PT017 - few raise
