"""From what the runtimes are configured to do to what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from imgverify.doctor.host.bypass import bypasses
from imgverify.doctor.host.closing import ContainerdCloser, ContainersCloser, DockerCloser
from imgverify.doctor.host.model import Bypass, Closing, Gap, HostReport, Lookup, RuntimeReport
from imgverify.errors import InputError
from imgverify.oci.reference import Reference, is_host
from imgverify.registry.hostconfig.containers import ContainersConfiguration
from imgverify.registry.hostconfig.docker import DockerConfiguration

if TYPE_CHECKING:
    from imgverify.doctor.host.bypass import Closer
    from imgverify.registry.hostconfig.containerd import ContainerdConfiguration
    from imgverify.registry.hostconfig.model import Runtime

    Configuration = DockerConfiguration | ContainersConfiguration | ContainerdConfiguration

_HUB: Final = "docker.io"
_ENFORCING: Final = 'unqualified-search-registries = []\nshort-name-mode = "enforcing"'


@dataclass(frozen=True, slots=True)
class Found:
    """One runtime's configuration, or why it could not be read."""

    runtime: Runtime
    configuration: Configuration | InputError


def report_host(name: str, found: tuple[Found, ...]) -> HostReport:
    """Say where each runtime would look for an image, as it was typed; empty for none."""
    return HostReport(name, tuple(_runtime(name, each) for each in found))


def _runtime(name: str, found: Found) -> RuntimeReport:
    configuration = found.configuration
    if isinstance(configuration, InputError):
        return _failed(RuntimeReport(found.runtime), configuration)
    files = tuple(map(str, configuration.files))
    report = RuntimeReport(found.runtime, files, _registries(configuration))
    if not name:
        return report
    try:
        return replace(report, lookups=_lookups(name, configuration))
    except InputError as error:
        return _failed(report, error)


def _failed(report: RuntimeReport, error: InputError) -> RuntimeReport:
    return replace(report, failure=error.message, hint=error.hint)


def _registries(configuration: Configuration) -> tuple[str, ...]:
    if isinstance(configuration, DockerConfiguration):
        return (_HUB,) if configuration.mirrors else ()
    if isinstance(configuration, ContainersConfiguration):
        return tuple(each.prefix for each in configuration.entries)
    return tuple(dict.fromkeys(name for place in configuration.places for name in place))


def _lookups(name: str, configuration: Configuration) -> tuple[Lookup, ...]:
    if isinstance(configuration, ContainersConfiguration) and _is_short(name):
        readings = configuration.readings(name)
        found = [_lookup(Reference.parse(each), configuration) for each in readings]
        return tuple(_short(name, readings, each, configuration) for each in found[:1]) + tuple(
            found[1:]
        )
    return (_lookup(Reference.parse(name), configuration),)


def _is_short(name: str) -> bool:
    first, slash, _ = name.partition("/")
    return not slash or not is_host(first)


def _lookup(image: Reference, configuration: Configuration) -> Lookup:
    sources = configuration.sources(image)
    closer: Closer
    if isinstance(configuration, DockerConfiguration):
        closer = DockerCloser(configuration)
    elif isinstance(configuration, ContainersConfiguration):
        closer = ContainersCloser(configuration)
    else:
        closer = ContainerdCloser(configuration)
    return Lookup(image, sources.endpoints, sources.notes, bypasses(image, sources, closer))


def _short(
    name: str, readings: tuple[str, ...], first: Lookup, configuration: ContainersConfiguration
) -> Lookup:
    """Say that a name without a registry is read, and by whom it may be taken."""
    if len(readings) == 1:
        text = f"{name!r} has no registry, and is read as {readings[0]}"
    else:
        text = f"{name!r} has no registry: the first that has the name gives the image"
    closer = ContainersCloser(configuration)
    how = f"write the name with its registry, as in {first.image}, and allow no other"
    gap = Bypass(Gap.SHORT_NAME, text, (Closing(how, _ENFORCING, closer.drop_in),))
    return replace(first, bypasses=(gap, *first.bypasses))
