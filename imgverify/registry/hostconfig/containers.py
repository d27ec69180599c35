"""`registries.conf` and its drop-ins, as Podman, Buildah, Skopeo and CRI-O read them.

containers-registries.conf(5).  Prefixes are matched on names as text, as those programs do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError, InvalidReference
from imgverify.oci.reference import Reference, is_host
from imgverify.registry.hostconfig.certificates import CertificateFolders, files_of
from imgverify.registry.hostconfig.model import (
    Endpoint,
    Protection,
    PullSources,
    Runtime,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from imgverify.registry.hostconfig.registriesconf import (
        Location,
        RegistriesFile,
        RegistryEntry,
    )

_WILDCARD: Final = "*."
_ENDS: Final = frozenset(":/@")
_NO_MATCH: Final = -1


@dataclass(frozen=True, slots=True)
class ContainersConfiguration:
    """What all the files say together; `certificates` are the `certs.d`, first one first.

    `entries` have a prefix each, `aliases` are what short names stand for (empty text: for
    nothing), and `search` are the registries that are tried for a short name.
    """

    files: tuple[Path, ...] = ()
    entries: tuple[RegistryEntry, ...] = ()
    search: tuple[str, ...] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    certificates: tuple[CertificateFolders, ...] = ()
    runtime: Runtime = Runtime.CONTAINERS

    def sources(self, image: Reference) -> PullSources:
        """Return the mirrors of the longest prefix that matches, and then its location."""
        entry = self.entry(str(image.repository))
        if entry is None:
            return PullSources(Runtime.CONTAINERS, (self._endpoint(image, image, None),))
        places = [each for each in entry.mirrors if each.is_used(by_digest=bool(image.digest))]
        endpoints = [
            self._endpoint(image, rewritten(image, entry, place), place)
            for place in (*places, entry.location)
        ]
        return PullSources(Runtime.CONTAINERS, tuple(endpoints))

    def entry(self, name: str) -> RegistryEntry | None:
        """Return the entry with the longest prefix that a name starts with."""
        matching = [each for each in self.entries if matched(name, each.prefix) != _NO_MATCH]
        return max(matching, key=lambda each: len(each.prefix), default=None)

    def readings(self, text: str) -> tuple[str, ...]:
        """Return what a name without a registry may be read as; a name with one has no other.

        An alias outweighs the registries that are searched; nothing is asked.
        """
        name, tag = _without_tag(text)
        first, slash, _ = name.partition("/")
        if slash and is_host(first):
            return ()
        alias = self.aliases.get(name, "")
        if alias:
            return (f"{alias}{tag}",)
        return tuple(f"{each}/{name}{tag}" for each in self.search or ())

    def _endpoint(self, image: Reference, there: Reference, place: Location | None) -> Endpoint:
        insecure = place is not None and place.insecure
        own = self.entry(str(there.repository))
        return Endpoint(
            there,
            f"https://{there.registry.api}/v2",
            Protection.OPTIONAL if insecure else Protection.CHECKED,
            None if place is None else place.origin,
            resolves=place is None or place.resolves,
            is_upstream=there.repository == image.repository,
            # Whatever led there: the place itself may be under an entry that forbids it.
            blocked=own.location.origin if own is not None and own.blocked else None,
            tls=files_of(str(there.registry), *self.certificates),
        )


def merge(
    files: Iterable[RegistriesFile], certificates: tuple[CertificateFolders, ...] = ()
) -> ContainersConfiguration:
    """Put files together in their order: a later entry replaces an earlier of the same prefix."""
    found = ContainersConfiguration(certificates=certificates)
    for each in files:
        entries = {entry.prefix: entry for entry in (*found.entries, *each.entries)}
        found = replace(
            found,
            files=(*found.files, each.file),
            entries=tuple(entries[prefix] for prefix in sorted(entries)),
            search=found.search if each.search is None else each.search,
            aliases={**found.aliases, **each.aliases},
        )
    return found


def matched(name: str, prefix: str) -> int:
    """Return how much of a name a prefix covers, -1 where it does not match.

    `*.example.com` covers all subdomains, and the port is not part of it.
    """
    if prefix.startswith(_WILDCARD):
        # The first place counts, as it does to the runtimes.
        start = name.find(prefix[1:])
        end = start + len(prefix) - 1
        if start < 0 or "/" in name[:start]:
            return _NO_MATCH
    else:
        end = len(prefix)
        if not name.startswith(prefix):
            return _NO_MATCH
    return end if end == len(name) or name[end] in _ENDS else _NO_MATCH


def rewritten(image: Reference, entry: RegistryEntry, place: Location) -> Reference:
    """Put a location in the prefix's place; raises `InputError` where no name comes of it."""
    if not place.name:
        return image
    name = str(image.repository)
    text = place.name + name[matched(name, entry.prefix) :]
    if "/" not in text:
        msg = f"{place.origin}: {text!r} is a host, where a repository takes the place of another"
        raise InputError(msg, hint=f"write {text}/NAME, or a prefix that is shorter than the name")
    try:
        repository = Reference.parse(f"{text}:latest").repository
    except InvalidReference as error:
        msg = f"{place.origin}: {error.message}"
        raise InputError(msg, hint=error.hint) from None
    if not is_host(text.partition("/")[0]):
        msg = f"{place.origin}: {text!r} does not start with a registry's host"
        raise InputError(msg, hint="a location is host[:port][/path]")
    return image.at(repository)


def _without_tag(text: str) -> tuple[str, str]:
    name, at, digest = text.partition("@")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    return f"{head}{slash}{last}", f"{colon}{tag}{at}{digest}"
