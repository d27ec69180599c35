"""Reading the configuration of this host's runtimes: files and folders, each of them bounded."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError
from imgverify.oci import limits
from imgverify.registry.hostconfig.certificates import CertificateFolder, CertificateFolders
from imgverify.registry.hostconfig.containerd import ContainerdConfiguration, HostFolder
from imgverify.registry.hostconfig.containers import ContainersConfiguration, merge
from imgverify.registry.hostconfig.docker import DockerConfiguration, parse_daemon
from imgverify.registry.hostconfig.model import Runtime
from imgverify.registry.hostconfig.registriesconf import parse_registries
from imgverify.registry.hostconfig.toml import Table, parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgverify.registry.hostconfig.model import HostConfiguration

_HOSTS_TOML: Final = "hosts.toml"
_DAEMON: Final = "docker/daemon.json"
_REGISTRIES: Final = "containers/registries.conf"
_DOCKER_CERTS: Final = "docker/certs.d"
_CONTAINERS_CERTS: Final = "containers/certs.d"
#: Where containerd 1 and 2 keep the setting of their Kubernetes interface.
_CRI_PLUGINS: Final = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images")


@dataclass(frozen=True, slots=True)
class HostPlaces:
    """Where to look: below `root`, and in a user's home.

    `registries_conf` is read in place of the usual `registries.conf` (CONTAINERS_REGISTRIES_CONF).
    """

    root: Path = Path("/")
    home: Path | None = None
    registries_conf: Path | None = None

    @property
    def etc(self) -> Path:
        """The system's configuration."""
        return self.root / "etc"

    @property
    def config(self) -> tuple[Path, ...]:
        """The user's configuration, if there is a user."""
        return () if self.home is None else (self.home / ".config",)


def read_hosts(choice: str, places: HostPlaces) -> tuple[HostConfiguration, ...]:
    """Read one runtime's configuration by its name, a file's, or (`auto`) every one that is there.

    Raises `InputError`, which names the file, for anything that is there and cannot be read.
    """
    if choice == "auto":
        every = (read_docker(places), read_containerd(places), read_containers(places))
        return tuple(each for each in every if each.files)
    if choice == Runtime.DOCKER:
        return (read_docker(places),)
    if choice == Runtime.CONTAINERS:
        return (read_containers(places),)
    if choice == Runtime.CONTAINERD:
        return (read_containerd(places),)
    return (read_file(Path(choice), places),)


def read_docker(places: HostPlaces) -> DockerConfiguration:
    """Read the system's `daemon.json`, or that of a rootless daemon where the system has none."""
    for folder in (places.etc, *places.config):
        data = _read(folder / _DAEMON)
        if data is not None:
            certificates = _certificates(folder / _DOCKER_CERTS)
            return parse_daemon(data, folder / _DAEMON, certificates)
    return DockerConfiguration(certificates=_certificates(places.etc / _DOCKER_CERTS))


def read_containers(places: HostPlaces) -> ContainersConfiguration:
    """Read `registries.conf` and its drop-ins, a user's own in place of the system's."""
    main, folders = registries_files(places)
    data = _read(main)
    if data is None and places.registries_conf is not None:
        msg = f"{main}, named by CONTAINERS_REGISTRIES_CONF, is not there"
        raise InputError(msg, hint="unset the variable, or name a file that is there")
    files = [] if data is None else [parse_registries(data, main)]
    for path in (folder / name for folder in folders for name in _drop_ins(folder)):
        more = _read(path)
        if more is not None:
            files.append(parse_registries(more, path, drop_in=True))
    return merge(files, _containers_certificates(places))


def registries_files(places: HostPlaces) -> tuple[Path, tuple[Path, ...]]:
    """Return the main file, and the folders of drop-ins, in the order in which they are read."""
    main = places.registries_conf or places.etc / _REGISTRIES
    folders = [places.etc / f"{_REGISTRIES}.d"]
    for config in places.config:
        own = config / _REGISTRIES
        folders.append(config / f"{_REGISTRIES}.d")
        if places.registries_conf is None and _mode(own) is not None:
            # With a file of the user's own, none of the system's counts.
            return own, (folders[-1],)
    return main, tuple(folders)


def read_containerd(places: HostPlaces) -> ContainerdConfiguration:
    """Read the `certs.d` that containerd's own configuration names, or the usual one."""
    config = places.etc / "containerd/config.toml"
    data = _read(config)
    named = _config_path(parse_toml(data, config)) if data is not None else ""
    usual = places.etc / "containerd/certs.d"
    # An absolute path in a file is one below the root that is looked at.
    paths = [places.root / each.lstrip("/") for each in named.split(":") if each] or [usual]
    return _containerd(paths)


def read_file(path: Path, places: HostPlaces) -> HostConfiguration:
    """Read one file for what its name says it is, or a folder as containerd's `certs.d`."""
    if _is_folder(path):
        return _containerd([path])
    data = _read(path)
    if data is None:
        msg = f"{path} is not there"
        raise InputError(msg, hint="name a file, or one of docker, containers, containerd, auto")
    if path.name == _HOSTS_TOML:
        folder = path.absolute().parent
        return ContainerdConfiguration((path,), ({folder.name: HostFolder(_folder(folder), data)},))
    if path.suffix == ".json":
        return parse_daemon(data, path, _certificates(places.etc / _DOCKER_CERTS))
    if path.suffix == ".conf":
        return merge([parse_registries(data, path)], _containers_certificates(places))
    msg = f"{path} has no name that says what is in it"
    raise InputError(msg, hint="names end in .json (Docker), .conf (containers), or hosts.toml")


def _containerd(paths: Iterable[Path]) -> ContainerdConfiguration:
    found: list[dict[str, HostFolder]] = []
    files: list[Path] = []
    for place in paths:
        folders = {
            name: HostFolder(_folder(place / name), _read(place / name / _HOSTS_TOML))
            for name in _names(place)
            if _is_folder(place / name)
        }
        files += [each.path / _HOSTS_TOML for each in folders.values() if each.hosts_toml]
        found.append(folders)
    return ContainerdConfiguration(tuple(files), tuple(found))


def _config_path(top: Table) -> str:
    plugins = Table(top.place, top.table("plugins"))
    for name in _CRI_PLUGINS:
        plugin = Table(top.place, plugins.table(name))
        path = Table(top.place, plugin.table("registry")).text("config_path")
        if path:
            return path
    return ""


def _containers_certificates(places: HostPlaces) -> tuple[CertificateFolders, ...]:
    folders = [config / _CONTAINERS_CERTS for config in places.config]
    folders += [places.etc / _CONTAINERS_CERTS, places.etc / _DOCKER_CERTS]
    return tuple(map(_certificates, folders))


def _certificates(place: Path) -> CertificateFolders:
    return {name: _folder(place / name) for name in _names(place) if _is_folder(place / name)}


def _folder(path: Path) -> CertificateFolder:
    """List one host's folder; that it cannot be listed concerns no other host."""
    try:
        return CertificateFolder(path, _names(path))
    except InputError as error:
        return CertificateFolder(path, closed=error.message)


def _drop_ins(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in _names(folder) if name.endswith(".conf"))


def _names(folder: Path) -> tuple[str, ...]:
    """List a folder in order; one that is not there is empty."""
    names: list[str] = []
    try:
        for each in folder.iterdir():
            names.append(each.name)
            if len(names) > limits.HOST_CONFIG_ENTRIES:
                msg = f"{folder} has more than {limits.HOST_CONFIG_ENTRIES} entries"
                raise InputError(msg)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        msg = f"{folder} cannot be listed: {error.strerror}"
        raise InputError(msg) from error
    return tuple(sorted(names))


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(_mode(path) or 0)


def _mode(path: Path) -> int | None:
    """Return what is at a path; None where nothing is."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InputError(msg) from error


def _read(path: Path) -> bytes | None:
    """Read a file; one that is not there is None."""
    mode = _mode(path)
    # A pipe would be waited for without end.
    if mode is not None and not stat.S_ISREG(mode):
        msg = f"{path} is not a file"
        raise InputError(msg)
    try:
        with path.open("rb") as file:
            data = file.read(limits.HOST_CONFIG_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InputError(msg) from error
    if len(data) > limits.HOST_CONFIG_SIZE:
        msg = f"{path} is larger than {limits.HOST_CONFIG_SIZE} bytes"
        raise InputError(msg)
    return data
