"""Real runtimes look for images where they are read to: the same files, the same order.

What differs on purpose, or by a runtime's version, is in tests/unit/oci/differences.json.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest

from imgverify.errors import InputError
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference
from imgverify.registry.hostconfig.model import Protection
from imgverify.registry.hostconfig.read import HostPlaces, read_containers, read_file
from tests.support.endpoints import Endpoints
from tests.support.runtimes import (
    Dockerd,
    ctr_pull,
    running_containerd,
    running_dockerd,
    skopeo_tries,
)
from tests.unit.oci.test_vectors import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from imgverify.registry.hostconfig.model import Endpoint

DIGEST = Digest.of(b"nothing that exists")
NUMBER = 4


@pytest.fixture(scope="module")
def shared() -> Iterator[Endpoints]:
    with Endpoints(NUMBER) as made:
        yield made


@pytest.fixture
def listening(shared: Endpoints) -> Endpoints:
    shared.forget()
    return shared


def filled(text: str, listening: Endpoints) -> str:
    """Put the endpoints' hosts in the place of A, B, C and D."""
    for letter, host in zip("ABCD", listening.hosts, strict=True):
        text = text.replace(f"<{letter}>", host).replace(
            f"<{letter}_>", host.replace(":", "_") + "_"
        )
    return text


def requests(endpoints: Sequence[Endpoint]) -> tuple[tuple[str, str], ...]:
    """Where manifests will be asked for, as `Endpoints` records it."""
    return tuple(map(request, endpoints))


def request(endpoint: Endpoint) -> tuple[str, str]:
    place = endpoint.image.repository
    name = str(endpoint.image.digest or endpoint.image.tag)
    target = f"{place.route.api_path}/{place.path}/manifests/{name}"
    if place.route.namespace:
        target += f"?ns={quote(place.route.namespace, safe='')}"
    return urlsplit(endpoint.address).netloc, target


# --- skopeo ---------------------------------------------------------------------------------------

ENTRIES = """
[[registry]]
prefix = "docker.io"
location = "<D>/upstream"
insecure = true
[[registry.mirror]]
location = "<C>"
insecure = true
[[registry.mirror]]
location = "<A>/hub"
insecure = true
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "<B>/docker.io"
insecure = true
pull-from-mirror = "tag-only"

[[registry]]
prefix = "docker.io/library/special"
location = "<B>/x"
insecure = true

[[registry]]
prefix = "quay.io"
location = "<D>/quay"
insecure = true
mirror-by-digest-only = true
[[registry.mirror]]
location = "<A>"
insecure = true

[[registry]]
prefix = "*.0.0.1"
location = "localhost"
insecure = true

[[registry]]
prefix = "ghcr.io"
location = "<A>/ghcr"
insecure = true
[[registry.mirror]]
location = "<B>/blocked"
insecure = true
[[registry.mirror]]
location = "<C>/open"
insecure = true
"""
DROP_IN = """
[[registry]]
prefix = "<B>/blocked"
location = "<B>/blocked"
insecure = true
blocked = true

[[registry]]
prefix = "docker.io/library/special"
location = "<C>/replaced"
insecure = true
"""


@pytest.mark.system("skopeo")
@pytest.mark.parametrize(
    "name",
    [
        "docker.io/library/nginx:1",
        f"docker.io/library/nginx@{DIGEST}",
        "docker.io/library/special:1",
        "docker.io/library/specialist:1",
        "quay.io/team/app:1",
        f"quay.io/team/app@{DIGEST}",
        "ghcr.io/team/app:1",
        "<D>/team/app:1",
    ],
)
def test_skopeo_looks_where_registries_conf_is_read_to(
    listening: Endpoints, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / ".config/containers"
    (folder / "registries.conf.d").mkdir(parents=True)
    for file, text in (("registries.conf", ENTRIES), ("registries.conf.d/x.conf", DROP_IN)):
        (folder / file).write_text(filled(text, listening), encoding="utf-8")
    image = Reference.parse(filled(name, listening))
    found = read_containers(HostPlaces(tmp_path / "root", tmp_path))
    endpoints = found.sources(image).endpoints
    assert skopeo_tries(tmp_path, str(image)) == [str(each.image) for each in endpoints]
    reached = [each for each in endpoints if each.blocked is None]
    seen = [
        (host if "localhost" not in str(each.image) else host.replace("127.0.0.1", "localhost"), at)
        for each, (host, at) in zip(reached, listening.asked_for_manifests, strict=True)
    ]
    assert tuple(seen) == requests(reached)


# --- containerd -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_containerd(tmp_path_factory.mktemp("containerd") / "own") as address:
        yield address


HOSTS = {
    "order": """server = "http://<D>"
[host."http://<B>"]
capabilities = ["pull"]
[host."http://<A>/hub"]
capabilities = ["pull", "resolve"]
[host."http://<C>/v2/prefix"]
capabilities = ["resolve", "pull"]
override_path = true
""",
    "paths": """server = "http://<D>/api"
[host."http://<C>/v2"]
[host."http://<A>/a/b/"]
[host."http://<B>/root"]
override_path = true
""",
    "push": """server = "http://<D>"
[host."http://<A>"]
capabilities = ["push"]
[host."http://<C>"]
capabilities = ["push", "resolve"]
[host."http://<B>".header]
x-a = "b"
""",
    "no server": """[host."http://<B>"]
[host."http://<A>"]
""",
    "elsewhere": """server = "http://<A>"
[host."http://<B>"]
""",
}


CASES = list(product(HOSTS, ("<D_>", "<D>", "_default"), (":1", f"@{DIGEST}")))


@pytest.mark.system("containerd")
@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case)[:20])
def test_containerd_looks_where_hosts_toml_is_read_to(
    listening: Endpoints, containerd: Path, tmp_path: Path, case: tuple[str, str, str]
) -> None:
    kind, folder, suffix = case
    place = tmp_path / filled(folder, listening)
    place.mkdir()
    (place / "hosts.toml").write_text(filled(HOSTS[kind], listening), encoding="utf-8")
    image = Reference.parse(filled(f"<D>/library/nginx{suffix}", listening))
    ctr_pull(containerd, tmp_path, str(image))
    found = read_file(tmp_path, HostPlaces(tmp_path)).sources(image)
    asked = [each for each in found.endpoints if each.resolves or image.digest]
    assert listening.asked_for_manifests == requests(asked)
    assert asked[-1].is_upstream is (kind not in ("elsewhere", "paths"))


@pytest.mark.system("containerd")
def test_containerd_takes_the_registrys_own_folder_before_the_default_one(
    listening: Endpoints, containerd: Path, tmp_path: Path
) -> None:
    for letter, folder in (("A", "_default"), ("B", "<D>"), ("C", "<D_>")):
        place = tmp_path / filled(folder, listening)
        place.mkdir()
        text = filled(f'server = "http://<{letter}>"\n[host]\n', listening)
        (place / "hosts.toml").write_text(text, encoding="utf-8")
    image = Reference.parse(filled("<D>/library/nginx:1", listening))
    ctr_pull(containerd, tmp_path, str(image))
    found = read_file(tmp_path, HostPlaces(tmp_path)).sources(image)
    assert listening.asked_for_manifests == requests(found.endpoints)
    assert found.endpoints[0].address == f"http://{listening.hosts[2]}/v2"


@pytest.mark.system("containerd")
def test_containerd_goes_on_to_docker_hub(
    listening: Endpoints, containerd: Path, tmp_path: Path
) -> None:
    (tmp_path / "docker.io").mkdir()
    text = filled('[host."http://<A>"]\n', listening)
    (tmp_path / "docker.io/hosts.toml").write_text(text, encoding="utf-8")
    image = Reference.parse("docker.io/library/nginx:1")
    said = ctr_pull(containerd, tmp_path, str(image))
    mirror, hub = read_file(tmp_path, HostPlaces(tmp_path)).sources(image).endpoints
    assert listening.asked_for_manifests == requests([mirror])
    hosts = [
        each.partition("host=")[2].strip('"')
        for each in said.splitlines()
        if "msg=resolving" in each
    ]
    assert hosts == [urlsplit(each.address).netloc for each in (mirror, hub)]


# --- dockerd --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def daemon(
    shared: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Dockerd, Path]]:
    folder = tmp_path_factory.mktemp("docker")
    file = folder / "daemon.json"
    mirrors = ["http://<B>", "https://<A>/", "http://<C>/", "http://<B>/"]
    document = {
        "registry-mirrors": [filled(each, shared) for each in mirrors],
        "insecure-registries": ["10.0.0.0/8", "m.example:5000"],
    }
    file.write_text(json.dumps(document), encoding="utf-8")
    with running_dockerd(folder / "own", file) as dockerd:
        yield dockerd, file


@pytest.mark.system("docker.io")
@pytest.mark.parametrize("tag", ["1", str(DIGEST)], ids=["tag", "digest"])
@pytest.mark.parametrize("repository", ["nginx", "team/app", "<D>/team/app", "<B>/library/nginx"])
def test_dockerd_looks_where_daemon_json_is_read_to(
    listening: Endpoints, daemon: tuple[Dockerd, Path], repository: str, tag: str
) -> None:
    dockerd, file = daemon
    named = filled(repository, listening)
    tried = dockerd.pull(named, tag)
    joint = "@" if tag == str(DIGEST) else ":"
    image = Reference.parse(f"{named}{joint}{tag}")
    endpoints = read_file(file, HostPlaces(file.parent)).sources(image).endpoints
    expected: list[str] = []
    for each in endpoints:
        base = each.address.removesuffix("/v2")
        both = each.protection is Protection.OPTIONAL
        expected += [base, base.replace("https:", "http:")] if both else [base]
    assert [each.rstrip("/") for each in tried] == expected
    # Our listeners speak no TLS, and nobody answers for Docker Hub.
    plain = [
        each
        for each in endpoints
        if each.protection in (Protection.NONE, Protection.OPTIONAL) and "127" in each.address
    ]
    assert listening.asked_for_manifests == requests(plain)


# --- what these versions do otherwise -------------------------------------------------------------


def asked_by_containerd(listening: Endpoints, address: Path, folder: Path, text: str) -> list[str]:
    place = folder / "_default"
    place.mkdir(exist_ok=True)
    (place / "hosts.toml").write_text(filled(text, listening), encoding="utf-8")
    listening.forget()
    ctr_pull(address, folder, filled("<D>/library/nginx:1", listening))
    return [host for host, _ in listening.asked_for_manifests]


@pytest.mark.system("containerd", "docker.io", "skopeo")
def test_what_these_versions_do_otherwise_is_listed(
    listening: Endpoints, containerd: Path, daemon: tuple[Dockerd, Path], tmp_path: Path
) -> None:
    places, hosts = HostPlaces(tmp_path), listening.hosts
    image = Reference.parse(filled("<D>/library/nginx:1", listening))
    otherwise = set()
    text = 'server = "http://<A>"\n'
    if asked_by_containerd(listening, containerd, tmp_path, text) == [hosts[3]]:
        (only,) = read_file(tmp_path, places).sources(image).endpoints
        assert only.address == f"http://{hosts[0]}/v2"
        otherwise.add("containerd 1.6: server without host")
    if asked_by_containerd(listening, containerd, tmp_path, "server = = 1") == [hosts[3]]:
        with pytest.raises(InputError):
            read_file(tmp_path, places).sources(image)
        otherwise.add("containerd: hosts.toml that cannot be read")
    if not tried_with_a_slash_at_the_end(listening, tmp_path):
        otherwise.add("skopeo 1.9: slash at the end of a mirror's location")
    if not takes_a_path(daemon):
        otherwise.add("dockerd 20.10: mirror with a path")
    assert otherwise == listed("runtimes")


def tried_with_a_slash_at_the_end(listening: Endpoints, home: Path) -> list[str]:
    folder = home / ".config/containers"
    folder.mkdir(parents=True)
    text = '[[registry]]\nlocation="quay.io"\n[[registry.mirror]]\nlocation="<A>/"\ninsecure=true\n'
    (folder / "registries.conf").write_text(filled(text, listening), encoding="utf-8")
    mirror, _ = (
        read_containers(HostPlaces(home / "root", home))
        .sources(Reference.parse("quay.io/x:1"))
        .endpoints
    )
    assert str(mirror.image) == f"{listening.hosts[0]}/x:1"
    return skopeo_tries(home, "quay.io/x:1")


def takes_a_path(daemon: tuple[Dockerd, Path]) -> bool:
    dockerd, file = daemon
    before = file.read_bytes()
    try:
        file.write_text('{"registry-mirrors": ["https://m.example/hub"]}', encoding="utf-8")
        mirror, _ = (
            read_file(file, HostPlaces(file.parent)).sources(Reference.parse("nginx:1")).endpoints
        )
        assert mirror.address == "https://m.example/hub/v2"
        return "invalid mirror" not in dockerd.reload()
    finally:
        file.write_bytes(before)
        dockerd.reload()
