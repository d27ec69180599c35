"""What containerd would do with its `certs.d`."""

from pathlib import Path

import pytest

from imgverify.errors import InputError
from imgverify.oci.reference import Reference, Route
from imgverify.registry.hostconfig.certificates import CertificateFolder
from imgverify.registry.hostconfig.containerd import ContainerdConfiguration, HostFolder
from imgverify.registry.hostconfig.model import Endpoint, Protection, Runtime

HUB = Reference.parse("nginx:1")


def folder(text: str | None, name: str = "docker.io", *files: str) -> HostFolder:
    data = None if text is None else text.encode()
    return HostFolder(CertificateFolder(Path("/certs.d") / name, files), data)


def configured(text: str | None, name: str = "docker.io", *files: str) -> ContainerdConfiguration:
    return ContainerdConfiguration((), ({name: folder(text, name, *files)},))


def endpoints(found: ContainerdConfiguration, name: str = "nginx:1") -> tuple[Endpoint, ...]:
    sources = found.sources(Reference.parse(name))
    assert sources.runtime is found.runtime is Runtime.CONTAINERD
    return sources.endpoints


MIRRORED = """
[host."https://z.example"]
  capabilities = ["pull"]

[host."https://a.example/hub"]
  capabilities = ["Pull", "resolve"]
  [host."https://a.example/hub".header]
    Authorization = "Basic c2VjcmV0"

[host."https://push.example"]
  capabilities = ["push"]
"""


def test_hosts_come_as_written_and_the_registry_last() -> None:
    z, a, hub = endpoints(configured(MIRRORED))
    assert [each.address for each in (z, a, hub)] == [
        "https://z.example/v2",
        "https://a.example/hub/v2",
        "https://registry-1.docker.io/v2",
    ]
    assert [each.resolves for each in (z, a, hub)] == [False, True, True]
    assert [each.is_upstream for each in (z, a, hub)] == [False, False, True]
    assert [str(each.origin) for each in (z, a)] == [
        "/certs.d/docker.io/hosts.toml:2",
        "/certs.d/docker.io/hosts.toml:5",
    ]
    assert hub.origin is None
    assert hub.image == HUB


def test_hosts_are_told_for_whom_they_stand_in() -> None:
    z, a, hub = endpoints(configured(MIRRORED))
    assert z.image.repository.route == Route("/v2", "docker.io")
    assert a.image.repository.route == Route("/hub/v2", "docker.io")
    assert hub.image.repository.route == Route()


def test_a_header_is_named_and_its_value_is_not() -> None:
    found = endpoints(configured(MIRRORED))
    assert found[1].notes == ("headers that are set for it are not sent: Authorization",)
    assert "c2VjcmV0" not in repr(found)


def test_a_server_is_asked_in_the_registrys_place() -> None:
    (only,) = endpoints(configured('server = "https://m.example"\n'))
    assert (only.address, only.is_upstream) == ("https://m.example/v2", False)
    assert str(only.origin) == "/certs.d/docker.io/hosts.toml"


@pytest.mark.parametrize(
    "server", ["https://registry-1.docker.io", "registry-1.docker.io/v2", "https://docker.io"]
)
def test_a_server_that_is_the_registry_is_upstream(server: str) -> None:
    (only,) = endpoints(configured(f'server = "{server}"\n'))
    assert only.is_upstream
    assert only.image == HUB


def test_another_path_of_the_registrys_host_is_not_upstream() -> None:
    found = configured('server = "https://quay.io/mirror"\n', "quay.io")
    (only,) = endpoints(found, "quay.io/a/b:1")
    assert not only.is_upstream
    assert only.image.repository.route == Route("/mirror/v2")


@pytest.mark.parametrize(
    ("path", "repository", "api_path"),
    [
        ("/v2/hub", "hub/library/nginx", "/v2"),
        ("/v2/Hub", "library/nginx", "/v2/Hub"),
        ("/api/hub", "library/nginx", "/api/hub"),
        ("", "library/nginx", ""),
    ],
)
def test_a_path_of_the_api_may_be_another(path: str, repository: str, api_path: str) -> None:
    found = configured(f'[host."https://m.example{path}"]\noverride_path = true\n')
    mirror = endpoints(found)[0]
    assert mirror.address == f"https://m.example{path}"
    assert mirror.image.repository.path == repository
    assert mirror.image.repository.route == Route(api_path, "docker.io")


@pytest.mark.parametrize(
    ("lines", "url", "protection"),
    [
        ("", "https://m.example", Protection.CHECKED),
        ("skip_verify = false", "https://m.example", Protection.CHECKED),
        ("skip_verify = true", "https://m.example", Protection.UNCHECKED),
        ("", "http://m.example", Protection.NONE),
        ("skip_verify = true", "http://m.example", Protection.OPTIONAL),
        ('ca = "x.pem"', "http://m.example:5000", Protection.OPTIONAL),
        ('client = "x.pem"', "http://m.example:5000", Protection.OPTIONAL),
        ("skip_verify = true", "http://m.example:80", Protection.NONE),
    ],
)
def test_protection(lines: str, url: str, protection: Protection) -> None:
    mirror, _ = endpoints(configured(f'[host."{url}"]\n{lines}\n'))
    assert mirror.protection is protection
    assert mirror.address.startswith("https:") is (protection is not Protection.NONE)


def test_tls_that_is_optional_is_of_the_host_and_not_of_port_80() -> None:
    mirror, _ = endpoints(configured('[host."http://m.example"]\nskip_verify = true\n'))
    assert str(mirror.image.registry) == "m.example"
    plain, _ = endpoints(configured('[host."http://m.example"]\n'))
    assert str(plain.image.registry) == "m.example:80"


def test_what_is_said_at_the_top_is_about_the_registry() -> None:
    found = configured('ca = "/x/ca.pem"\nskip_verify = true\ncapabilities = ["push"]\n')
    (hub,) = endpoints(found)
    assert (hub.protection, hub.resolves) == (Protection.UNCHECKED, True)
    assert hub.tls.authorities == (Path("/x/ca.pem"),)
    assert str(hub.origin) == "/certs.d/docker.io/hosts.toml"


def test_paths_are_of_the_folder() -> None:
    found = configured(
        '[host."https://m.example"]\nca = ["a.pem", "/b.pem"]\n'
        'client = [["c.cert", "c.key"], ["d.pem", ""], "e.pem"]\n'
    )
    tls = endpoints(found)[0].tls
    assert [str(each) for each in tls.authorities] == ["/certs.d/docker.io/a.pem", "/b.pem"]
    assert [(each.certificate.name, each.key.name) for each in tls.clients] == [
        ("c.cert", "c.key"),
        ("d.pem", "d.pem"),
        ("e.pem", "e.pem"),
    ]


@pytest.mark.parametrize(
    ("host", "protection", "address"),
    [
        ("localhost:5000", Protection.OPTIONAL, "https://localhost:5000/v2"),
        ("127.0.0.2:443", Protection.UNCHECKED, "https://127.0.0.2:443/v2"),
        ("localhost", Protection.UNCHECKED, "https://localhost/v2"),
        ("localhost:80", Protection.NONE, "http://localhost:80/v2"),
        ("m.example:5000", Protection.CHECKED, "https://m.example:5000/v2"),
    ],
)
def test_a_registry_that_nothing_is_said_about(
    host: str, protection: Protection, address: str
) -> None:
    (own,) = endpoints(ContainerdConfiguration(), f"{host}/x:1")
    assert (own.protection, own.address) == (protection, address)
    assert own.is_upstream


@pytest.mark.parametrize("name", ["m.example_5000_", "m.example:5000", "_default"])
def test_a_folder_is_named_in_three_ways(name: str) -> None:
    found = configured('[host."https://n.example"]\n', name)
    mirror, own = endpoints(found, "m.example:5000/x:1")
    assert mirror.address == "https://n.example/v2"
    assert own.address == "https://m.example:5000/v2"


def test_the_most_telling_folder_of_the_first_place_holds() -> None:
    hosts = {
        name: folder(f'server = "https://{number}.example"', name)
        for number, name in enumerate(("m.example_5000_", "m.example:5000", "_default"))
    }
    for number in range(3):
        found = ContainerdConfiguration((), ({}, hosts))
        (only,) = endpoints(found, "m.example:5000/x:1")
        assert only.address == f"https://{number}.example/v2"
        del hosts[next(iter(hosts))]
    first = {"_default": folder('server = "https://first.example"', "_default")}
    found = ContainerdConfiguration((), (first, {"quay.io": folder(None, "quay.io")}))
    assert endpoints(found, "quay.io/x:1")[0].address == "https://first.example/v2"


def test_an_address_has_no_port_to_be_spelled_otherwise() -> None:
    found = configured('server = "https://n.example"', "[__1]")
    assert endpoints(found, "[::1]/x:1")[0].address == "https://[::1]/v2"


@pytest.mark.parametrize("text", [None, ""])
def test_without_hosts_toml_certificates_count(text: str | None) -> None:
    found = configured(text, "m.example", "a.crt", "b.cert", "c.cert", "c.key")
    (own,) = endpoints(found, "m.example/x:1")
    assert [each.name for each in own.tls.authorities] == ["a.crt"]
    assert [each.key.name for each in own.tls.clients] == ["b.cert", "c.key"]
    assert own.protection is Protection.CHECKED


def test_nobody_who_may_say_what_a_tag_means_is_said() -> None:
    found = configured('server = "https://m.example"\ncapabilities = ["pull"]\n')
    sources = found.sources(HUB)
    assert [each.resolves for each in sources.endpoints] == [False]
    assert sources.notes == ("no host may say what a tag means",)
    assert configured(MIRRORED).sources(HUB).notes == ()


MISTAKES = [
    ("[host", "not TOML", ":1: "),
    ("[host] x", "not TOML", ":1:8: "),
    ('[host."ftp://m.example"]', "not plain", ":1: "),
    ('[host."https://u:secret@m.example"]', "not plain", ":1: "),
    ('\n[host."https://m.example"]\ncapabilities = ["read"]', "'read'", ":2: "),
    ('[host."https://m.example"]\nskip_verify = "no"', "neither true nor false", ":1: "),
    ('[host."https://m.example"]\nca = 1', "'ca' is not a string", ":1: "),
    ('[host."https://m.example"]\nca = [1]', "'ca' is not a string", ":1: "),
    ('[host."https://m.example"]\nclient = [["a"]]', "pair", ":1: "),
    ('[host."https://m.example"]\nclient = [["a", 1]]', "not a string", ":1: "),
    ('[host."https://m.example"]\nclient = [1]', "not a string", ":1: "),
    ('[host."https://m.example"]\nheader = "x"', "'header' is not a table", ":1: "),
    ('[host."https://m.example"]\nSkip_Verify = true', "is written 'skip_verify'", ":1: "),
    ('[host."https://m.example/a!b"]', "not a path", ":1: "),
    ("host = 1", "'host' is not a table", ": "),
    ("[host]\nx = 1", "'x' is not a table", ": "),
    ("Server = ''", "is written 'server'", ": "),
    ("server = 'https://m.example?x'", "not plain", ": "),
]


@pytest.mark.parametrize(("text", "complaint", "place"), MISTAKES)
def test_a_mistake_is_told_with_its_file_and_line(text: str, complaint: str, place: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        endpoints(configured(text))
    assert caught.value.message.startswith(f"/certs.d/docker.io/hosts.toml{place}")
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_a_mistake_about_one_registry_concerns_no_other() -> None:
    found = configured("[host")
    assert endpoints(found, "quay.io/x:1")
