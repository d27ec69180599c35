"""containerd's `certs.d`: a folder for each registry, with a `hosts.toml` or certificates in it.

docs/hosts.md of containerd.  A host may be asked for content without being asked what a tag means.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError, InvalidReference
from imgverify.oci.reference import Registry
from imgverify.registry.hostconfig.address import Address
from imgverify.registry.hostconfig.hoststoml import Host, HostsFile, parse_hosts
from imgverify.registry.hostconfig.model import Endpoint, Protection, PullSources, Runtime
from imgverify.registry.mirrors import at_api_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imgverify.oci.reference import Reference
    from imgverify.registry.hostconfig.certificates import CertificateFolder

_DEFAULT: Final = "_default"
_HUB_API: Final = "registry-1.docker.io"
_V2: Final = "/v2"
_NOBODY_RESOLVES: Final = "no host may say what a tag means"


@dataclass(frozen=True, slots=True)
class HostFolder:
    """One registry's folder: what `hosts.toml` says, None without one, and certificates."""

    certificates: CertificateFolder
    hosts_toml: bytes | None = None

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.certificates.path

    def read(self) -> HostsFile:
        """Understand it; raises `InputError`.  Certificates count where no `hosts.toml` does."""
        if self.hosts_toml:
            return parse_hosts(self.hosts_toml, self.path / "hosts.toml")
        files = self.certificates.files(key_may_be_inside=True)
        return HostsFile((), Host(None, None, tls=files))


@dataclass(frozen=True, slots=True)
class ContainerdConfiguration:
    """The folders of each `certs.d` by name, the first `certs.d` first.

    They are understood when an image of theirs is asked for: a mistake in one concerns no other.
    """

    files: tuple[Path, ...] = ()
    places: tuple[Mapping[str, HostFolder], ...] = field(default_factory=tuple)
    runtime: Runtime = Runtime.CONTAINERD

    def sources(self, image: Reference) -> PullSources:
        """Return the hosts in the order of the file, and then the server."""
        host = str(image.registry)
        folder = self.folder(host)
        found = HostsFile((), Host(None, None)) if folder is None else folder.read()
        endpoints = tuple(
            _endpoint(image, each, each.address)
            for each in (*found.hosts, _server(found.server, host))
            if each.pulls and each.address is not None
        )
        notes = () if any(each.resolves for each in endpoints) else (_NOBODY_RESOLVES,)
        return PullSources(Runtime.CONTAINERD, endpoints, notes)

    def folder(self, host: str) -> HostFolder | None:
        """Return a registry's folder: its own in any of three spellings, or the default one."""
        name, colon, port = host.rpartition(":")
        spelled = (f"{name}_{port}_",) if colon and not host.endswith("]") else ()
        for place in self.places:
            for each in (*spelled, host, _DEFAULT):
                if each in place:
                    return place[each]
        return None


def _server(server: Host, host: str) -> Host:
    """Return what is asked last: the registry itself, unless the file names another server."""
    if server.address is not None:
        return server
    # What a file says of capabilities is about a server that it names.
    usual = replace(server, pulls=True, resolves=True)
    if host == "docker.io":
        return replace(usual, address=Address("https", _HUB_API, _V2))
    if not _is_loopback(host):
        return replace(usual, address=Address("https", host, _V2))
    port = Address("https", host).port if Registry.parse(host).port else None
    if port in (None, 443):
        return replace(usual, address=Address("https", host, _V2), skip_verify=True)
    http = replace(usual, address=Address("http", host, _V2))
    return http if port == 80 else replace(http, skip_verify=True)  # noqa: PLR2004 - HTTP's port


def _endpoint(image: Reference, host: Host, address: Address) -> Endpoint:
    protection = _protection(host, address)
    registry, namespace = address.registry, image.registry
    if protection is Protection.OPTIONAL:
        registry, address = Registry.parse(address.host), replace(address, scheme="https")
    try:
        told = None if _is_itself(namespace, address.host) else namespace
        repository = at_api_path(registry, address.path, image.repository.path, told)
    except InvalidReference as error:
        msg = f"{host.origin}: {error.message}"
        raise InputError(msg, hint=error.hint) from None
    upstream = at_api_path(namespace, _V2, image.repository.path)
    return Endpoint(
        image.at(repository),
        str(address),
        protection,
        host.origin,
        host.resolves,
        is_upstream=replace(repository, route=upstream.route) == upstream and address.path == _V2,
        tls=host.tls,
        notes=host.notes,
    )


def _protection(host: Host, address: Address) -> Protection:
    configured = host.skip_verify is not None or host.tls.authorities or host.tls.clients
    if address.is_plain:
        # With anything said about TLS, TLS is tried first on every port that does not rule it out.
        both = configured and not address.host.endswith(":80")
        return Protection.OPTIONAL if both else Protection.NONE
    return Protection.UNCHECKED if host.skip_verify else Protection.CHECKED


def _is_itself(registry: Registry, host: str) -> bool:
    """Tell whether a host is the registry itself, and needs not be told for whom it stands in."""
    return host == str(registry) or (registry.is_docker_hub and host == _HUB_API)


def _is_loopback(host: str) -> bool:
    bare = Registry.parse(host).host
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False
