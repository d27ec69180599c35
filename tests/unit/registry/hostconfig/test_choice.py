"""The mirrors of an image by this host's configuration, and how they are reached."""

from dataclasses import replace
from pathlib import Path

import pytest

from imgverify.errors import InputError
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference, Registry
from imgverify.registry.hostconfig.certificates import CertificateFolder
from imgverify.registry.hostconfig.choice import HostMirrors
from imgverify.registry.hostconfig.containerd import ContainerdConfiguration, HostFolder
from imgverify.registry.hostconfig.containers import ContainersConfiguration, merge
from imgverify.registry.hostconfig.docker import DockerConfiguration, parse_daemon
from imgverify.registry.hostconfig.model import Protection
from imgverify.registry.hostconfig.registriesconf import parse_registries
from imgverify.registry.tls import NOTHING_OWN

HUB = Reference.parse("nginx:1")


def docker(*mirrors: str) -> DockerConfiguration:
    text = f'{{"registry-mirrors": {list(mirrors)}}}'.replace("'", '"')
    return parse_daemon(text.encode(), Path("/etc/docker/daemon.json"))


def containers(text: str) -> ContainersConfiguration:
    return merge([parse_registries(text.encode(), Path("/etc/containers/registries.conf"))])


def containerd(text: str) -> ContainerdConfiguration:
    folder = HostFolder(CertificateFolder(Path("/certs.d/docker.io")), text.encode())
    return ContainerdConfiguration((folder.path / "hosts.toml",), ({"docker.io": folder},))


def test_the_mirrors_of_all_runtimes_are_asked_each_once() -> None:
    host = HostMirrors(
        "auto",
        (
            docker("https://a.example", "https://b.example"),
            containers(
                '[[registry]]\nlocation = "docker.io"\n'
                '[[registry.mirror]]\nlocation = "b.example"\n'
                '[[registry.mirror]]\nlocation = "c.example"\n'
            ),
        ),
    )
    assert [str(each.image.registry) for each in host.mirrors(HUB)] == [
        *("a.example", "b.example", "c.example"),
    ]


def test_a_mirror_that_one_of_two_runtimes_asks_for_tags_is_asked() -> None:
    pull = '[host."https://a.example"]\ncapabilities = ["pull"]\n'
    both = pull.replace('"pull"', '"pull", "resolve"')
    (only,) = HostMirrors("x", (containerd(pull),)).mirrors(HUB)
    assert not only.resolves
    for order in ((pull, both), (both, pull)):
        (joined,) = HostMirrors("x", tuple(map(containerd, order))).mirrors(HUB)
        assert joined.resolves


def test_no_mirror_is_an_error_that_names_what_was_read() -> None:
    image = Reference.parse("quay.io/a/b:1")
    with pytest.raises(InputError, match=r"\(docker\) has no mirror of quay\.io") as caught:
        HostMirrors("docker", (docker("https://a.example"),)).mirrors(image)
    assert "/etc/docker/daemon.json" in caught.value.hint
    with pytest.raises(InputError) as caught:
        HostMirrors("auto", ()).mirrors(image)
    assert "none was there" in caught.value.hint


def test_a_short_name_that_is_another_image_to_a_runtime_is_refused() -> None:
    text = 'unqualified-search-registries = ["quay.io", "docker.io"]\n'
    host = HostMirrors("auto", (docker(), containers(text)))
    with pytest.raises(InputError) as caught:
        host.refuse_short_name("nginx:1", HUB)
    assert "'nginx:1' means quay.io/nginx:1 or docker.io/nginx:1" in caught.value.message
    assert "/etc/containers/registries.conf" in caught.value.message
    assert "docker.io/library/nginx:1" in caught.value.hint
    host.refuse_short_name("docker.io/library/nginx:1", HUB)


@pytest.mark.parametrize(
    "text", ["", 'unqualified-search-registries = ["docker.io"]', '[aliases]\nx = "a.example/x"']
)
def test_a_short_name_that_means_the_same_to_all_is_not(text: str) -> None:
    HostMirrors("auto", (docker(), containers(text))).refuse_short_name("nginx:1", HUB)


def test_how_hosts_are_reached_is_of_mirrors_alone() -> None:
    host = HostMirrors("docker", (docker("http://a.example", "https://127.0.0.1:5000"),))
    local = Reference.parse("localhost:5000/x:1")
    hosts = host.access([HUB, local]).hosts
    assert {str(each): rule.protection for each, rule in hosts.items()} == {
        "a.example:80": Protection.NONE,
        "127.0.0.1:5000": Protection.UNCHECKED,
    }
    (origin, _) = (str(rule.origin) for rule in hosts.values())
    assert origin == "/etc/docker/daemon.json:1"


def test_an_upstream_gets_nothing_of_a_mirror_s() -> None:
    found = containers(
        '[[registry]]\nprefix = "m.example/a"\nlocation = "m.example/a"\n'
        '[[registry.mirror]]\nlocation = "m.example/b"\ninsecure = true\n'
        '[[registry.mirror]]\nlocation = "n.example"\ninsecure = true\n'
    )
    host = HostMirrors("containers", (found,))
    image = Reference.parse("m.example/a/x:1")
    assert len(host.mirrors(image)) == 2
    assert set(host.access([image]).hosts) == {Registry("n.example")}
    assert set(host.access([image, Reference.parse("n.example/y:1")]).hosts) == set()


def test_of_two_settings_for_a_host_what_protects_better_holds() -> None:
    plain = docker("http://a.example:5000")
    checked = docker("https://a.example:5000")
    for order in ((plain, checked), (checked, plain)):
        rules = HostMirrors("auto", order).access([HUB]).hosts
        assert rules[Registry("a.example", 5000)].protection is Protection.CHECKED


def test_tls_files_of_two_settings_count_together() -> None:
    folder = CertificateFolder(Path("/c/a.example"), ("a.crt", "me.cert", "me.key"))
    one = replace(docker("https://a.example"), certificates={"a.example": folder})
    two = containerd('[host."https://a.example"]\nca = "/x/b.crt"\n')
    rule = HostMirrors("auto", (one, two)).access([HUB]).hosts[Registry("a.example")]
    assert [each.name for each in rule.tls.authorities] == ["a.crt", "b.crt"]
    assert rule.tls.client is not None
    assert rule.tls.client.key == Path("/c/a.example/me.key")
    (nothing,) = HostMirrors("x", (docker("https://a.example"),)).access([HUB]).hosts.values()
    assert nothing.tls == NOTHING_OWN


def test_two_client_certificates_are_not_chosen_from() -> None:
    found = containerd('[host."https://a.example"]\nclient = ["/x/a.pem", "/x/b.pem"]\n')
    host = HostMirrors("containerd", (found,))
    assert len(host.mirrors(HUB)) == 1
    with pytest.raises(InputError, match=r"more than one client certificate: /x/a\.pem, /x/b\.pem"):
        host.access([HUB])


def test_a_mirror_for_digests_alone_is_used_for_a_digest() -> None:
    found = containers(
        '[[registry]]\nlocation = "docker.io"\nmirror-by-digest-only = true\n'
        '[[registry.mirror]]\nlocation = "a.example"\n'
    )
    host = HostMirrors("containers", (found,))
    (only,) = host.mirrors(HUB.pinned(Digest.of(b"")))
    assert not only.resolves
    with pytest.raises(InputError, match="has no mirror"):
        host.mirrors(HUB)
