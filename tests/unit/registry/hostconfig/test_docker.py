"""What dockerd would do with a `daemon.json`."""

import json
from pathlib import Path

import pytest

from imgverify.errors import InputError
from imgverify.oci.reference import Reference
from imgverify.registry.hostconfig.certificates import CertificateFolder
from imgverify.registry.hostconfig.docker import DockerConfiguration, parse_daemon
from imgverify.registry.hostconfig.model import Endpoint, Origin, Protection, Runtime

FILE = Path("/etc/docker/daemon.json")
HUB = Reference.parse("nginx:1")


def daemon(mirrors: object = None, insecure: object = None, **more: object) -> DockerConfiguration:
    fields = {"registry-mirrors": mirrors, "insecure-registries": insecure, **more}
    text = json.dumps({key: value for key, value in fields.items() if value is not None})
    return parse_daemon(text.encode(), FILE)


def endpoints(found: DockerConfiguration, name: str = "nginx:1") -> tuple[Endpoint, ...]:
    sources = found.sources(Reference.parse(name))
    assert sources.runtime is found.runtime is Runtime.DOCKER
    return sources.endpoints


def test_mirrors_of_docker_hub_come_first_and_docker_hub_last() -> None:
    found = daemon(["https://b.example/", "http://a.example", "https://b.example"])
    b, a, hub = endpoints(found)
    assert [each.address for each in (b, a, hub)] == [
        "https://b.example/v2",
        "http://a.example/v2",
        "https://registry-1.docker.io/v2",
    ]
    assert str(b.image) == "b.example/library/nginx:1"
    assert str(a.image) == "a.example:80/library/nginx:1"
    assert (b.protection, a.protection) == (Protection.CHECKED, Protection.NONE)
    assert [each.is_upstream for each in (b, a, hub)] == [False, False, True]
    assert (hub.image, hub.protection, hub.origin) == (HUB, Protection.CHECKED, None)
    assert all(each.resolves for each in (b, a, hub))
    assert found.sources(HUB).mirrors == (b, a)


def test_no_other_registry_has_mirrors() -> None:
    found = daemon(["https://m.example"])
    (only,) = endpoints(found, "quay.io/a/b:1")
    assert (only.is_upstream, only.address) == (True, "https://quay.io/v2")
    assert found.sources(only.image).mirrors == ()


def test_a_mirror_may_have_a_path() -> None:
    (mirror, _) = endpoints(daemon(["https://m.example/hub"]))
    assert mirror.address == "https://m.example/hub/v2"
    assert mirror.image.repository.route.api_path == "/hub/v2"
    assert mirror.image.repository.path == "library/nginx"


def test_the_line_of_a_mirror_is_told() -> None:
    text = b'{\n "registry-mirrors": [\n  "https://a.example",\n  "https:\\/\\/b.example"\n ]\n}'
    a, b, _ = endpoints(parse_daemon(text, FILE))
    assert (a.origin, b.origin) == (Origin(FILE, 3), Origin(FILE))
    assert str(a.origin) == "/etc/docker/daemon.json:3"
    assert str(b.origin) == "/etc/docker/daemon.json"


@pytest.mark.parametrize(
    ("insecure", "host", "protection"),
    [
        ([], "m.example:5000", Protection.CHECKED),
        (["m.example:5000"], "m.example:5000", Protection.UNCHECKED),
        (["m.example"], "m.example:5000", Protection.CHECKED),
        (["http://m.example:5000"], "m.example:5000", Protection.UNCHECKED),
        (["10.0.0.0/8"], "10.1.2.3:5000", Protection.UNCHECKED),
        (["10.0.0.1/8"], "10.1.2.3", Protection.UNCHECKED),
        (["10.0.0.0/8"], "11.1.2.3", Protection.CHECKED),
        (["fd00::/8"], "[fd00::1]:5000", Protection.UNCHECKED),
        (["::1"], "[fd00::1]:5000", Protection.CHECKED),
        ([], "127.0.0.2:5000", Protection.UNCHECKED),
        ([], "[::1]:5000", Protection.UNCHECKED),
        ([], "localhost:5000", Protection.UNCHECKED),
    ],
)
def test_insecure_registries_are_hosts_and_networks(
    insecure: list[str], host: str, protection: Protection
) -> None:
    mirror, _ = endpoints(daemon([f"https://{host}"], insecure))
    assert mirror.protection is protection
    (own,) = endpoints(daemon([], insecure), f"{host}/x:1")
    expected = Protection.OPTIONAL if protection is Protection.UNCHECKED else protection
    assert own.protection is expected


def test_a_name_may_lie_in_a_network_and_that_is_said() -> None:
    mirror, _ = endpoints(daemon(["https://m.example"], ["10.0.0.0/8", "fd00::/8"]))
    assert mirror.protection is Protection.CHECKED
    assert mirror.notes == (
        "its certificate is not checked if its address is in 10.0.0.0/8, fd00::/8",
    )
    address, _ = endpoints(daemon(["https://11.0.0.1"], ["10.0.0.0/8"]))
    assert address.notes == ()


def test_docker_hub_itself_is_always_checked() -> None:
    (hub,) = endpoints(daemon([], ["docker.io", "index.docker.io", "registry-1.docker.io"]))
    assert hub.protection is Protection.CHECKED


def test_certificates_count_where_they_are_checked() -> None:
    folder = CertificateFolder(Path("/c/m.example"), ("ca.crt", "me.cert", "me.key"))
    certificates = {"m.example": folder}
    text = b'{"registry-mirrors": ["https://m.example"]}'
    mirror, _ = endpoints(parse_daemon(text, FILE, certificates))
    assert [str(each) for each in mirror.tls.authorities] == ["/c/m.example/ca.crt"]
    assert [each.key.name for each in mirror.tls.clients] == ["me.key"]
    insecure = b'{"registry-mirrors": ["https://m.example"], "insecure-registries": ["m.example"]}'
    mirror, _ = endpoints(parse_daemon(insecure, FILE, certificates))
    assert (mirror.tls.authorities, mirror.tls.clients) == ((), ())


@pytest.mark.parametrize("names", [("me.cert",), ("me.key",), ("a.crt", "me.key")])
def test_half_a_pair_is_refused(names: tuple[str, ...]) -> None:
    certificates = {"m.example": CertificateFolder(Path("/c/m.example"), names)}
    text = b'{"registry-mirrors": ["https://m.example"]}'
    found = parse_daemon(text, FILE, certificates)
    with pytest.raises(InputError, match=r"/c/m\.example has me\.\w+ without me\."):
        found.sources(HUB)
    assert found.sources(Reference.parse("quay.io/a:1")).endpoints


def test_nothing_written_is_docker_s_default() -> None:
    for found in (DockerConfiguration(), daemon(), daemon([], [], debug=True)):
        (hub,) = endpoints(found)
        assert hub.is_upstream


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"registry-mirrors": "https://m.example"}', "not a list of strings"),
        ('{"registry-mirrors": [1]}', "not a list of strings"),
        ('{"registry-mirrors": ["m.example"]}', "not plain"),
        ('{"registry-mirrors": ["https://u:secret@m.example"]}', "not plain"),
        ('{"registry-mirrors": ["https://m_.example"]}', "not a registry's host"),
        ('{"registry-mirrors": [], "registry-mirrors": []}', "duplicate"),
        ('{"Registry-Mirrors": []}', "registry-mirrors"),
        ('{"insecure-registries": ["10.0.0.0/99"]}', "no network"),
        ('{"insecure-registries": ["ftp://m.example"]}', "neither"),
        ('{"insecure-registries": ["u:secret@m.example"]}', "neither"),
        ('{"insecure-registries": ["m_.example"]}', "host name"),
        ('{"insecure-registries": [""]}', "empty"),
    ],
)
def test_a_file_that_dockerd_would_not_start_with_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        parse_daemon(text.encode(), FILE)
    assert caught.value.message.startswith("/etc/docker/daemon.json: ")
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_a_mirror_that_no_url_keeps_is_refused() -> None:
    found = daemon(["https://m.example/a~b!"])
    with pytest.raises(InputError, match="not a path"):
        found.sources(HUB)
