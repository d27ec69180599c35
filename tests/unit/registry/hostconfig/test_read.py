"""Reading a host's configuration below another root."""

import os
from pathlib import Path

import pytest

from imgverify.errors import InputError
from imgverify.oci import limits
from imgverify.oci.reference import Reference
from imgverify.registry.hostconfig.containerd import ContainerdConfiguration
from imgverify.registry.hostconfig.containers import ContainersConfiguration
from imgverify.registry.hostconfig.docker import DockerConfiguration
from imgverify.registry.hostconfig.model import HostConfiguration, Runtime
from imgverify.registry.hostconfig.read import HostPlaces, read_hosts

HUB = Reference.parse("nginx:1")
DAEMON = '{"registry-mirrors": ["https://docker.example"]}'
REGISTRIES = """[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "containers.example"
"""
HOSTS = '[host."https://containerd.example"]\n'


class Host:
    """A root and a home to be filled."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.home = folder / "home"

    def write(self, path: str, text: str = "") -> Path:
        start = self.home / ".config" if path.startswith("~/") else self.root / "etc"
        file = start / path.removeprefix("~/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def read(self, choice: str = "auto", registries_conf: Path | None = None) -> list[str]:
        """Return the hosts of the mirrors of Docker Hub."""
        return [
            str(endpoint.image.registry)
            for each in self.configurations(choice, registries_conf)
            for endpoint in each.sources(HUB).mirrors
        ]

    def configurations(
        self, choice: str, registries_conf: Path | None = None
    ) -> tuple[HostConfiguration, ...]:
        return read_hosts(choice, HostPlaces(self.root, self.home, registries_conf))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_host_with_nothing_configured_has_no_configuration(host: Host) -> None:
    assert host.configurations("auto") == ()
    for choice in Runtime:
        (only,) = host.configurations(choice)
        assert (only.files, only.runtime) == ((), choice)
        assert host.read(choice) == []


def test_every_runtime_that_is_there_is_read(host: Host) -> None:
    files = [
        host.write("docker/daemon.json", DAEMON),
        host.write("containerd/certs.d/docker.io/hosts.toml", HOSTS),
        host.write("containers/registries.conf", REGISTRIES),
    ]
    found = host.configurations("auto")
    assert [each.files for each in found] == [(file,) for file in files]
    assert host.read() == ["docker.example", "containerd.example", "containers.example"]
    assert host.read("containers") == ["containers.example"]


def test_a_rootless_docker_is_read_where_the_system_has_none(host: Host) -> None:
    host.write("~/docker/daemon.json", DAEMON)
    host.write("~/docker/certs.d/docker.example/ca.crt")
    (found,) = host.configurations("docker")
    (mirror,) = found.sources(HUB).mirrors
    assert [each.name for each in mirror.tls.authorities] == ["ca.crt"]
    host.write("docker/daemon.json", "{}")
    assert host.read("docker") == []


def test_drop_ins_are_read_in_order_the_systems_first(host: Host) -> None:
    host.write("containers/registries.conf", REGISTRIES)
    host.write("containers/registries.conf.d/b.conf", REGISTRIES.replace("containers", "b"))
    host.write("containers/registries.conf.d/a.conf", REGISTRIES.replace("containers", "a"))
    host.write("containers/registries.conf.d/c.ignore", "no TOML")
    assert host.read() == ["b.example"]
    host.write("~/containers/registries.conf.d/a.conf", REGISTRIES.replace("containers", "own"))
    assert host.read() == ["own.example"]


def test_a_users_own_file_stands_in_for_all_of_the_systems(host: Host) -> None:
    host.write("containers/registries.conf", "no TOML")
    host.write("containers/registries.conf.d/a.conf", "no TOML")
    host.write("~/containers/registries.conf", REGISTRIES)
    assert host.read("containers") == ["containers.example"]


def test_a_file_may_be_named_in_place_of_the_usual_one(host: Host, tmp_path: Path) -> None:
    host.write("~/containers/registries.conf", "no TOML")
    named = tmp_path / "named"
    with pytest.raises(InputError, match="CONTAINERS_REGISTRIES_CONF"):
        host.read("containers", named)
    named.write_text(REGISTRIES, encoding="utf-8")
    assert host.read("containers", named) == ["containers.example"]


def test_certificates_of_containers_are_in_three_places(host: Host) -> None:
    host.write("containers/registries.conf", REGISTRIES)
    for number, place in enumerate(("docker", "containers", "~/containers")):
        host.write(f"{place}/certs.d/containers.example/{number}.crt")
        (found,) = host.configurations("containers")
        (mirror,) = found.sources(HUB).mirrors
        assert [each.name for each in mirror.tls.authorities] == [f"{number}.crt"]


@pytest.mark.parametrize("plugin", ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"])
def test_containerd_says_where_its_folders_are(host: Host, plugin: str) -> None:
    host.write("containerd/certs.d/docker.io/hosts.toml", HOSTS)
    config = '[plugins."{}".registry]\nconfig_path = "/etc/one:/etc/two:"\n'
    host.write("containerd/config.toml", config.format(plugin))
    host.write("two/docker.io/hosts.toml", HOSTS.replace("containerd", "two"))
    assert host.read("containerd") == ["two.example"]
    host.write("one/_default/hosts.toml", HOSTS.replace("containerd", "one"))
    assert host.read("containerd") == ["one.example"]
    host.write("containerd/config.toml", "version = 2\n")
    assert host.read("containerd") == ["containerd.example"]


def test_a_named_file_is_read_for_what_its_name_says(host: Host, tmp_path: Path) -> None:
    kinds: dict[str, tuple[str, type]] = {
        "x.json": (DAEMON, DockerConfiguration),
        "x.conf": (REGISTRIES, ContainersConfiguration),
        "docker.io/hosts.toml": (HOSTS, ContainerdConfiguration),
    }
    host.write("docker/certs.d/docker.example/ca.crt")
    for name, (text, kind) in kinds.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        (found,) = host.configurations(str(file))
        assert isinstance(found, kind)
        assert found.files == (file,)
        assert len(found.sources(HUB).mirrors) == 1
    (found,) = host.configurations(str(tmp_path / "x.json"))
    assert found.sources(HUB).mirrors[0].tls.authorities


def test_a_named_folder_is_a_certs_d(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    (folder / "docker.io").mkdir(parents=True)
    (folder / "docker.io" / "hosts.toml").write_text(HOSTS, encoding="utf-8")
    (folder / "README").touch()
    assert host.read(str(folder)) == ["containerd.example"]


def test_a_hosts_toml_is_of_the_registry_that_its_folder_names(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, mirrors in (("docker.io", 1), ("_default", 1), ("quay.io", 0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "hosts.toml").write_text(HOSTS, encoding="utf-8")
        monkeypatch.chdir(folder)
        assert len(host.read("hosts.toml")) == mirrors


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("absent.json", "is not there"), ("x.yaml", "no name that says"), ("dockerd", "not there")],
)
def test_a_name_that_says_nothing_is_refused(
    host: Host, tmp_path: Path, name: str, complaint: str
) -> None:
    (tmp_path / "x.yaml").touch()
    with pytest.raises(InputError, match=complaint) as caught:
        host.read(str(tmp_path / name))
    assert "docker" in caught.value.hint.lower()


def test_what_is_too_large_or_no_file_is_refused(host: Host) -> None:
    large = host.write("docker/daemon.json", " " * (limits.HOST_CONFIG_SIZE + 1))
    with pytest.raises(InputError, match=f"{large} is larger"):
        host.read("docker")
    pipe = host.root / "etc/containers/registries.conf"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=f"{pipe} is not a file"):
        host.read("containers")


def test_a_folder_with_too_much_in_it_is_refused(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        host.write(f"containerd/certs.d/{name}/hosts.toml")
    monkeypatch.setattr(limits, "HOST_CONFIG_ENTRIES", 3)
    assert host.configurations("containerd")
    monkeypatch.setattr(limits, "HOST_CONFIG_ENTRIES", 2)
    with pytest.raises(InputError, match=r"certs\.d has more than 2 entries"):
        host.configurations("containerd")


def test_what_cannot_be_read_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    file = host.write("docker/daemon.json", DAEMON)
    loop = host.root / "etc/containers/registries.conf"
    loop.parent.mkdir()
    loop.symlink_to(loop)
    with pytest.raises(InputError, match=f"{loop} cannot be read"):
        host.read("containers")

    def refuse(path: Path, *_: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        with pytest.raises(InputError, match=r"certs\.d cannot be listed: Permission denied"):
            host.read("docker")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=f"{file} cannot be read: Permission denied"):
        host.read("docker")


def test_a_folder_that_cannot_be_listed_concerns_its_own_host_alone(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write("docker/daemon.json", '{"registry-mirrors": ["https://a.example"]}')
    for name in ("a.example", "b.example"):
        host.write(f"docker/certs.d/{name}/ca.crt")
    real = Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "b.example":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    (found,) = host.configurations("docker")
    assert found.sources(HUB).mirrors[0].tls.authorities
    with pytest.raises(InputError, match=r"b\.example cannot be listed"):
        found.sources(Reference.parse("b.example/x:1"))


def test_a_drop_in_that_goes_away_meanwhile_is_passed_over(host: Host) -> None:
    host.write("containers/registries.conf", REGISTRIES)
    dangling = host.root / "etc/containers/registries.conf.d/x.conf"
    dangling.parent.mkdir()
    dangling.symlink_to(host.root / "absent")
    assert host.read("containers") == ["containers.example"]
