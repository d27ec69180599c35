"""The exact text, for each runtime's own files, that closes a gap."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.doctor.host.model import Bypass, Closing, Gap
from imgverify.registry.hostconfig.model import Protection

if TYPE_CHECKING:
    from imgverify.doctor.host.bypass import Endpoints
    from imgverify.oci.reference import Reference
    from imgverify.registry.hostconfig.containerd import ContainerdConfiguration
    from imgverify.registry.hostconfig.containers import ContainersConfiguration
    from imgverify.registry.hostconfig.docker import DockerConfiguration
    from imgverify.registry.hostconfig.model import Endpoint, TlsFiles
    from imgverify.registry.hostconfig.registriesconf import Location, RegistryEntry

_HUB_API: Final = "registry-1.docker.io"
_DROP_IN: Final = "zz-imgverify.conf"
_V2: Final = "/v2"


@dataclass(frozen=True, slots=True)
class DockerCloser:
    """`daemon.json` can neither forbid the registry itself nor keep a mirror from resolving."""

    configuration: DockerConfiguration
    name: str = "Docker"

    def only(self, image: Reference, mirror: Endpoint, past: Endpoints) -> tuple[Closing, ...]:  # noqa: ARG002 - a Closer's
        """Let Docker Hub's name lead nowhere: no setting of Docker's does."""
        how = "no setting of Docker's does; to take Docker Hub itself away from this host, add"
        return (Closing(how, f"0.0.0.0 {_HUB_API}", "/etc/hosts"),)

    def by_digest(self, image: Reference, mirror: Endpoint) -> tuple[Closing, ...]:  # noqa: ARG002 - as above
        """Name a digest: no setting of Docker's closes it."""
        how = "no setting of Docker's does; name the digest that imgverify verify tells"
        return (Closing(how, f"docker pull {image.repository}@sha256:…"),)

    def protect(self, image: Reference, endpoint: Endpoint) -> tuple[Closing, ...]:  # noqa: ARG002 - as above
        """Ask for https, and take the host away from those that are not checked."""
        host = endpoint.address.partition("://")[2].partition("/")[0]
        insecure = self.configuration.insecure.without(host)
        if insecure.covers(host):
            return ()  # loopback, which Docker never checks
        mirrors = [_secured(str(each), host) for each, _ in self.configuration.mirrors]
        others = [*insecure.hosts, *map(str, insecure.networks)]
        text = json.dumps({"registry-mirrors": mirrors, "insecure-registries": others}, indent=2)
        file = next(map(str, self.configuration.files), "/etc/docker/daemon.json")
        folder = posixpath.join(posixpath.dirname(file), "certs.d", host)
        how = f"put the certificate of its authority at {folder}/ca.crt, and set these keys so"
        return (Closing(how, text, file),)

    def without_mirror(self, image: Reference) -> str:
        """Say why nothing stands before the registry."""
        if image.registry.is_docker_hub:
            return "no mirror is configured: Docker Hub itself is asked"
        return f"Docker has mirrors for Docker Hub alone: {image.registry} itself is asked"

    def other_name(self, image: Reference, mirror: Endpoint) -> Bypass | None:
        """Return nothing: what takes Docker Hub away takes its other name away as well."""
        del image, mirror
        return None


def _secured(address: str, host: str) -> str:
    scheme, mark, rest = address.partition("://")
    return f"https{mark}{rest}" if rest.partition("/")[0] == host and scheme == "http" else address


@dataclass(frozen=True, slots=True)
class ContainersCloser:
    """Drop-ins of `registries.conf`: one with the same prefix replaces what is there."""

    configuration: ContainersConfiguration
    name: str = "Podman"

    def only(self, image: Reference, mirror: Endpoint, past: Endpoints) -> tuple[Closing, ...]:  # noqa: ARG002 - as above
        """Put the mirror in the registry's own place."""
        entry = self._entry(image)
        places = (*entry.mirrors, entry.location)
        place = next(each for each in places if each.origin == mirror.origin)
        how = f"if {place.name} is your gate, add an entry that puts it in {entry.prefix}'s place"
        text = _registry(entry.prefix, place)
        return (Closing(how, text, self.drop_in),)

    def by_digest(self, image: Reference, mirror: Endpoint) -> tuple[Closing, ...]:
        """Use the mirrors for digests alone, which a location cannot be."""
        entry = self._entry(image)
        if mirror.origin == entry.location.origin:
            return ()
        text = _registry(entry.prefix, entry.location)
        for each in entry.mirrors:
            text += f'\n[[registry.mirror]]\n{_place(each)}pull-from-mirror = "digest-only"\n'
        how = "if that is not your gate, add an entry that lets it be asked by digest alone"
        return (Closing(how, text, self.drop_in),)

    def protect(self, image: Reference, endpoint: Endpoint) -> tuple[Closing, ...]:  # noqa: ARG002 - as above
        """Take the word `insecure` away."""
        where = f" at {endpoint.origin}" if endpoint.origin is not None else ""
        authority = f"/etc/containers/certs.d/{endpoint.image.registry}/ca.crt"
        how = f"put the certificate of its authority at {authority}, and change its table{where}"
        file = str(endpoint.origin.file) if endpoint.origin is not None else self.drop_in
        return (Closing(how, "insecure = false", file),)

    def without_mirror(self, image: Reference) -> str:
        """Say why nothing stands before the registry."""
        if self.configuration.entry(str(image.repository)) is None:
            return f"no entry is about {image.registry}: it is asked itself"
        return f"the entry about {image.registry} names no mirror for this: it is asked itself"

    def other_name(self, image: Reference, mirror: Endpoint) -> Bypass | None:  # noqa: ARG002 - as above
        """Block the name of Docker Hub's API, to which no entry about docker.io applies."""
        other = f"{_HUB_API}/{image.repository.path}"
        if not image.registry.is_docker_hub or self.configuration.entry(other) is not None:
            return None
        text = f"the same image is to be had as {other}, and no entry is about that name"
        blocked = f'[[registry]]\nlocation = "{_HUB_API}"\nblocked = true'
        return Bypass(
            Gap.OTHER_NAME,
            text,
            (Closing("add an entry that blocks the name", blocked, self.drop_in),),
        )

    def _entry(self, image: Reference) -> RegistryEntry:
        """Return the entry that gave the image its mirrors."""
        entry = self.configuration.entry(str(image.repository))
        if entry is None:
            raise AssertionError  # pragma: no cover - mirrors come from an entry
        return entry

    @property
    def drop_in(self) -> str:
        """The file that is read last of all."""
        files = [str(each) for each in self.configuration.files]
        last = files[-1] if files else "/etc/containers/registries.conf"
        folder = posixpath.dirname(last)
        if not folder.endswith(".d"):
            folder = f"{folder}/registries.conf.d"
        return f"{folder}/{_DROP_IN}"


def _registry(prefix: str, location: Location) -> str:
    return f'[[registry]]\nprefix = "{prefix}"\n{_place(location)}'


def _place(location: Location) -> str:
    """Write where it is, and how it is reached, as it was."""
    name = f'location = "{location.name}"\n' if location.name else ""
    return name + ("insecure = true\n" if location.insecure else "")


@dataclass(frozen=True, slots=True)
class ContainerdCloser:
    """`hosts.toml`: what it calls the server is asked last, and is whatever it says."""

    configuration: ContainerdConfiguration
    name: str = "containerd"

    def only(self, image: Reference, mirror: Endpoint, past: Endpoints) -> tuple[Closing, ...]:
        """Let the server be the mirror, and the registry itself no host."""
        how = f"if {mirror.address} is your gate, begin the file so, without another server"
        lines = [each.origin.line for each in past if each.origin and each.origin.line]
        if lines:
            how += f", and take away the table in line {', '.join(map(str, lines))}"
        return (Closing(how, _server(mirror), self._file(image, mirror)),)

    def by_digest(self, image: Reference, mirror: Endpoint) -> tuple[Closing, ...]:
        """Take the capability away."""
        line = f" (line {mirror.origin.line})" if mirror.origin and mirror.origin.line else ""
        how = (
            f"if that is not your gate, change its table{line}; the server then says what tags mean"
        )
        return (Closing(how, 'capabilities = ["pull"]', self._file(image, mirror)),)

    def protect(self, image: Reference, endpoint: Endpoint) -> tuple[Closing, ...]:
        """Ask by https, and name an authority in place of `skip_verify`."""
        scheme, _, rest = endpoint.address.partition("://")
        text = 'skip_verify = false\nca = "ca.crt"'
        authority = "put the certificate of its authority at ca.crt beside the file"
        if endpoint.origin is None or endpoint.origin.line is None:
            how = f"{authority}, and begin the file so, without another server"
            text = f'server = "https://{rest}"\n{text}'
        else:
            how = f"{authority}, and change its table"
            text = f'[host."https://{rest}"]\n{text}' if scheme == "http" else text
        return (Closing(how, text, self._file(image, endpoint)),)

    def without_mirror(self, image: Reference) -> str:
        """Say why nothing stands before the registry."""
        if self.configuration.folder(str(image.registry)) is None:
            return f"no folder is about {image.registry}: it is asked itself"
        return f"the folder about {image.registry} names no other host: it is asked itself"

    def other_name(self, image: Reference, mirror: Endpoint) -> Bypass | None:
        """Give the name of Docker Hub's API a folder of its own."""
        covered = self.configuration.folder(_HUB_API) is not None
        if not image.registry.is_docker_hub or covered:
            return None
        other = f"{_HUB_API}/{image.repository.path}"
        text = f"the same image is to be had as {other}, and no folder is about that name"
        folder = posixpath.dirname(posixpath.dirname(self._file(image, mirror)))
        file = f"{folder}/{_HUB_API}/hosts.toml"
        return Bypass(
            Gap.OTHER_NAME, text, (Closing("lead the name to your gate", _server(mirror), file),)
        )

    def _file(self, image: Reference, endpoint: Endpoint) -> str:
        if endpoint.origin is not None:
            return str(endpoint.origin.file)
        return f"/etc/containerd/certs.d/{image.registry}/hosts.toml"


def _server(mirror: Endpoint) -> str:
    lines = [f'server = "{mirror.address}"', 'capabilities = ["pull", "resolve"]']
    if mirror.protection is Protection.UNCHECKED:
        lines.append("skip_verify = true")
    if not mirror.address.endswith(_V2):
        lines.append("override_path = true")
    return "\n".join((*lines, *_tls(mirror.tls)))


def _tls(files: TlsFiles) -> list[str]:
    lines = []
    if files.authorities:
        lines.append(f"ca = {json.dumps([str(each) for each in files.authorities])}")
    if files.clients:
        pairs = [[str(each.certificate), str(each.key)] for each in files.clients]
        lines.append(f"client = {json.dumps(pairs)}")
    return lines
