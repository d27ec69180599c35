"""From what this host is configured to do to the mirrors of an image, and how they are reached."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError
from imgverify.oci.reference import Reference, Registry
from imgverify.registry.hostconfig.containers import ContainersConfiguration
from imgverify.registry.hostconfig.model import Protection
from imgverify.registry.tls import HostTls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imgverify.registry.hostconfig.model import Endpoint, HostConfiguration, Origin, TlsFiles

#: From what protects best.
_STRICTEST_FIRST: Final = tuple(Protection)
_WHOLE: Final = "write the name with its registry"


@dataclass(frozen=True, slots=True)
class HostMirrors:
    """What the runtimes of this host would use as mirrors; `choice` is whose word was asked for."""

    choice: str
    configurations: tuple[HostConfiguration, ...]

    def mirrors(self, image: Reference) -> tuple[Endpoint, ...]:
        """Return an image's mirrors, each once, in the order in which the runtimes would ask.

        Raises `InputError` where there are none.
        """
        found: dict[Reference, Endpoint] = {}
        for each in self._mirrors(image):
            before = found.get(each.image, each)
            # That one of two runtimes may ask for the tag is enough for the mirror to matter.
            found[each.image] = replace(before, resolves=before.resolves or each.resolves)
        if not found:
            msg = f"this host's configuration ({self.choice}) has no mirror of {image.registry}"
            files = ", ".join(str(file) for each in self.configurations for file in each.files)
            raise InputError(
                msg, hint=f"files read: {files or 'none was there'}; or name one with --mirror"
            )
        return tuple(found.values())

    def refuse_short_name(self, text: str, image: Reference) -> None:
        """Refuse a name without a registry that a runtime would take for another image's."""
        for each in self.configurations:
            if not isinstance(each, ContainersConfiguration):
                continue
            readings = each.readings(text)
            if any(Reference.parse(reading) != image for reading in readings):
                said = ", ".join(map(str, each.files))
                msg = f"{text!r} means {' or '.join(readings)} to {each.runtime} ({said})"
                raise InputError(msg, hint=f"{_WHOLE}: {readings[0]}, or {image}")

    def access(self, images: Iterable[Reference]) -> HostAccess:
        """Return how the hosts of all these images' mirrors are reached.

        Where two settings disagree about a host, what protects better holds.  A host that is an
        image's upstream gets nothing of a mirror's.
        """
        asked = tuple(images)
        upstreams = {each.registry for each in asked}
        hosts: dict[Registry, HostRule] = {}
        for each in (endpoint for image in asked for endpoint in self._mirrors(image)):
            host = each.image.registry
            if host not in upstreams:
                rule = HostRule(each.protection, _host_tls(each.tls, host), each.origin)
                hosts[host] = hosts.get(host, rule).stricter(rule)
        return HostAccess(hosts)

    def _mirrors(self, image: Reference) -> Iterable[Endpoint]:
        for each in self.configurations:
            yield from each.sources(image).mirrors


@dataclass(frozen=True, slots=True)
class HostRule:
    """What one host is reached with, and where that was written."""

    protection: Protection
    tls: HostTls
    origin: Origin | None

    def stricter(self, other: HostRule) -> HostRule:
        """Return what both trust together, with the better protection."""
        least = min(self, other, key=lambda each: _STRICTEST_FIRST.index(each.protection))
        return replace(least, tls=self.tls.joined(other.tls))


@dataclass(frozen=True, slots=True)
class HostAccess:
    """What the mirrors' hosts are reached with."""

    hosts: Mapping[Registry, HostRule]


def _host_tls(files: TlsFiles, host: Registry) -> HostTls:
    if len(files.clients) > 1:
        names = ", ".join(str(each.certificate) for each in files.clients)
        msg = f"{host} has more than one client certificate: {names}"
        raise InputError(msg, hint="leave the one that the host accepts, or use --mirror")
    return HostTls(files.authorities, files.clients[0] if files.clients else None)
