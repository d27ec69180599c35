"""Docker's `daemon.json`: mirrors of Docker Hub, and registries without TLS.

No other registry has mirrors to Docker, and mirrors may say what a tag means.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from imgverify.errors import ContentError, InputError, InvalidReference
from imgverify.oci.reference import Registry
from imgverify.oci.strictjson import load_object, refuse_case_variants
from imgverify.registry.hostconfig.address import Address
from imgverify.registry.hostconfig.certificates import CertificateFolders, files_of
from imgverify.registry.hostconfig.model import (
    NO_FILES,
    Endpoint,
    Origin,
    Protection,
    PullSources,
    Runtime,
)
from imgverify.registry.mirrors import at_api_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imgverify.oci.reference import Reference

_MIRRORS: Final = "registry-mirrors"
_INSECURE: Final = "insecure-registries"
_KNOWN: Final = frozenset({_MIRRORS, _INSECURE})
_HUB_API: Final = "https://registry-1.docker.io/v2"
_HINT: Final = "mend the file; dockerd itself would not start with it"
_V2: Final = "/v2"

Net: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
#: To Docker these are insecure without a word.
_LOOPBACK: Final = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))


@dataclass(frozen=True, slots=True)
class Insecure:
    """What `insecure-registries` says: hosts as they are written, and networks."""

    hosts: tuple[str, ...] = ()
    networks: tuple[Net, ...] = ()

    def covers(self, host: str) -> bool:
        """Tell whether a host's certificate is not checked; a name's address is not looked up."""
        bare = Registry.parse(host).host
        if host in self.hosts or bare == "localhost":
            return True
        address = _ip(bare)
        return address is not None and any(address in each for each in self._all_networks)

    def without(self, host: str) -> Insecure:
        """Return what is left once nothing is said of a host."""
        address = _ip(Registry.parse(host).host)
        return Insecure(
            tuple(each for each in self.hosts if each != host),
            tuple(each for each in self.networks if address is None or address not in each),
        )

    def caveats(self, host: str) -> tuple[str, ...]:
        """Say what only the address of a name would tell."""
        if not self.networks or self.covers(host) or _ip(Registry.parse(host).host) is not None:
            return ()
        networks = ", ".join(map(str, self.networks))
        return (f"its certificate is not checked if its address is in {networks}",)

    @property
    def _all_networks(self) -> tuple[Net, ...]:
        return (*self.networks, *_LOOPBACK)


@dataclass(frozen=True, slots=True)
class DockerConfiguration:
    """What a `daemon.json` says of registries."""

    files: tuple[Path, ...] = ()
    mirrors: tuple[tuple[Address, Origin], ...] = ()
    insecure: Insecure = Insecure()
    certificates: CertificateFolders = field(default_factory=dict)
    runtime: Runtime = Runtime.DOCKER

    def sources(self, image: Reference) -> PullSources:
        """Return Docker Hub's mirrors and Docker Hub, or the one registry there is."""
        endpoints: list[Endpoint] = []
        if image.registry.is_docker_hub:
            endpoints += [self._mirror(image, *each) for each in self.mirrors]
            endpoints.append(
                Endpoint(image, _HUB_API, Protection.CHECKED, is_upstream=True),
            )
        else:
            endpoints.append(self._other_registry(image))
        return PullSources(Runtime.DOCKER, tuple(endpoints))

    def _mirror(self, image: Reference, address: Address, origin: Origin) -> Endpoint:
        api = address.at(f"{address.path}{_V2}")
        repository = at_api_path(address.registry, api.path, image.repository.path)
        endpoint = Endpoint(
            image.at(repository),
            str(api),
            Protection.NONE,
            origin,
            is_upstream=repository == image.repository,
        )
        return endpoint if address.is_plain else self._secured(endpoint, address.host)

    def _other_registry(self, image: Reference) -> Endpoint:
        host = str(image.registry)
        address = f"https://{host}{_V2}"
        endpoint = Endpoint(image, address, Protection.CHECKED, is_upstream=True)
        secured = self._secured(endpoint, host)
        if secured.protection is Protection.UNCHECKED:
            return replace(secured, protection=Protection.OPTIONAL)
        return secured

    def _secured(self, endpoint: Endpoint, host: str) -> Endpoint:
        """Say how a host is reached over TLS; with an unchecked certificate no file counts."""
        if self.insecure.covers(host):
            return replace(endpoint, protection=Protection.UNCHECKED, tls=NO_FILES)
        return replace(
            endpoint,
            protection=Protection.CHECKED,
            tls=files_of(host, self.certificates),
            notes=self.insecure.caveats(host),
        )


def parse_daemon(
    data: bytes, file: Path, certificates: CertificateFolders | None = None
) -> DockerConfiguration:
    """Read the text of a `daemon.json`; raises `InputError`."""
    try:
        fields = load_object(data, "it")
        refuse_case_variants(fields, _KNOWN, "it")
        texts = {key: _texts(fields.get(key), key) for key in (_MIRRORS, _INSECURE)}
        mirrors = {_mirror(each): each for each in texts[_MIRRORS]}
        insecure = _insecure(texts[_INSECURE])
    except (ContentError, InvalidReference) as error:
        msg = f"{file}: {error.message}"
        raise InputError(msg, hint=error.hint or _HINT) from None
    origins = tuple((each, Origin(file, _line(data, text))) for each, text in mirrors.items())
    return DockerConfiguration((file,), origins, insecure, certificates or {})


def _texts(value: object, key: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        msg = f"{key!r} is not a list of strings"
        raise InvalidReference(msg, hint=_HINT)
    return tuple(value)


def _mirror(text: str) -> Address:
    try:
        return Address.parse(text)
    except InvalidReference as error:
        msg = f"{_MIRRORS!r} has {error.message}"
        raise InvalidReference(msg, hint=error.hint) from None


def _insecure(texts: Sequence[str]) -> Insecure:
    hosts: list[str] = []
    networks: list[Net] = []
    for text in texts:
        bare = text.rpartition("://")[2]
        if "/" in bare:
            networks.append(_network(bare))
        else:
            hosts.append(_host(text, bare))
    return Insecure(tuple(hosts), tuple(networks))


def _host(text: str, bare: str) -> str:
    """Read `host[:port]` as it is written; Docker lets a scheme stand before it."""
    scheme = text[: -len(bare)].lower()
    if scheme not in ("", "http://", "https://") or "@" in bare:
        msg = f"{_INSECURE!r} has an entry that is neither host[:port] nor a network"
        raise InvalidReference(msg, hint=_HINT)
    if _ip(bare) is None:
        Registry.parse(bare)
    return bare


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(text: str) -> Net:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        msg = f"{_INSECURE!r} has an entry with a slash that is no network"
        raise InvalidReference(msg, hint="a network is written as 10.0.0.0/8") from None


def _line(data: bytes, text: str) -> int | None:
    position = data.find(json.dumps(text).encode())
    return None if position < 0 else data.count(b"\n", 0, position) + 1
