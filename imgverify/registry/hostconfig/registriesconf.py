"""One file in the form of `registries.conf`: version 2, and version 1, which has no mirrors."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from imgverify.errors import InvalidReference
from imgverify.oci.reference import Reference, Registry, is_host
from imgverify.registry.hostconfig.model import Origin
from imgverify.registry.hostconfig.toml import Table, headers, parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_TOP: Final = frozenset(
    {"registry", "unqualified-search-registries", "short-name-mode", "aliases", "registries"}
)
_ENTRY: Final = frozenset(
    {"prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only"}
)
_MIRROR: Final = frozenset({"location", "insecure", "pull-from-mirror"})
_USE: Final = "pull-from-mirror"
_SHORT_NAME_MODES: Final = frozenset({"", "disabled", "enforcing", "permissive"})
_WILDCARD: Final = "*."

#: The numbers of an entry and of a mirror in it, from 0; None for the entry itself.
_Lines: TypeAlias = "Mapping[tuple[int, int | None], int]"


class Use(enum.StrEnum):
    """What a mirror is asked for (`pull-from-mirror`)."""

    ALL = "all"
    DIGEST_ONLY = "digest-only"
    TAG_ONLY = "tag-only"


@dataclass(frozen=True, slots=True)
class Location:
    """What takes a prefix's place: `host[:port][/path]`, or nothing, which changes no name."""

    name: str
    origin: Origin
    insecure: bool = False
    use: Use = Use.ALL

    @property
    def resolves(self) -> bool:
        """Whether it is asked what a tag means."""
        return self.use is not Use.DIGEST_ONLY

    def is_used(self, *, by_digest: bool) -> bool:
        """Tell whether it is asked for an image by digest, or for one by tag."""
        return self.use is not (Use.TAG_ONLY if by_digest else Use.DIGEST_ONLY)


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One `[[registry]]`: where names with a prefix are really to be had."""

    prefix: str
    location: Location
    mirrors: tuple[Location, ...] = ()
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class RegistriesFile:
    """One file; `search` is None where it says nothing of short names."""

    file: Path
    entries: tuple[RegistryEntry, ...] = ()
    search: tuple[str, ...] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)


def parse_registries(data: bytes, file: Path, *, drop_in: bool = False) -> RegistriesFile:
    """Read a file; raises `InputError`.  A drop-in cannot be in the form of version 1."""
    top = parse_toml(data, file)
    top.refuse_case_variants(_TOP)
    if top.table("registries"):
        if drop_in or set(top.values) & (_TOP - {"registries"}):
            top.refuse("'registries' is of version 1 of the format, where only version 2 can be")
        return _version_1(top, file)
    if top.text("short-name-mode") not in _SHORT_NAME_MODES:
        top.refuse("'short-name-mode' is not one of enforcing, permissive, disabled")
    lines = dict(_lines(data))
    entries = [
        _entry(table, file, number, lines) for number, table in enumerate(top.tables("registry"))
    ]
    _refuse_conflicts(entries)
    search = top.texts("unqualified-search-registries")
    return RegistriesFile(file, _unique(entries), _searched(top, search), _aliases(top))


def _lines(data: bytes) -> Iterator[tuple[tuple[int, int | None], int]]:
    """Number the headers of entries and mirrors."""
    entry, mirror = -1, -1
    for line, name in headers(data):
        if name == ("registry",):
            entry, mirror = entry + 1, -1
            yield (entry, None), line
        elif name == ("registry", "mirror"):
            mirror += 1
            yield (entry, mirror), line


def _entry(values: Mapping[str, object], file: Path, number: int, lines: _Lines) -> RegistryEntry:
    origin = Origin(file, lines.get((number, None)))
    table = Table(str(origin), values)
    table.refuse_case_variants(_ENTRY)
    place = _place(table, "location")
    prefix = _place(table, "prefix") or place
    wild = prefix.startswith(_WILDCARD)
    if not place and not wild:
        table.refuse("a registry has no 'location', which it needs unless 'prefix' is *.host")
    if wild and set("/@:") & set(prefix):
        table.refuse(f"{prefix!r} is not *.host: neither port nor path can follow")
    if _USE in values:
        table.refuse(f"{_USE!r} belongs to a mirror, not to a registry")
    by_digest = bool(table.flag("mirror-by-digest-only"))
    mirrors = [
        _mirror(each, Origin(file, lines.get((number, place))), by_digest=by_digest)
        for place, each in enumerate(table.tables("mirror"))
    ]
    location = Location(place, origin, bool(table.flag("insecure")))
    return RegistryEntry(prefix, location, tuple(mirrors), bool(table.flag("blocked")))


def _mirror(values: Mapping[str, object], origin: Origin, *, by_digest: bool) -> Location:
    table = Table(str(origin), values)
    table.refuse_case_variants(_MIRROR)
    place, use = _place(table, "location"), table.text(_USE)
    if not place:
        table.refuse("a mirror has no 'location'")
    if use and by_digest:
        table.refuse(f"{_USE!r} and the registry's 'mirror-by-digest-only' are both set")
    if use and use not in set(Use):
        table.refuse(f"{_USE!r} is not one of {', '.join(Use)}")
    chosen = Use.DIGEST_ONLY if by_digest else Use(use or Use.ALL)
    return Location(place, origin, bool(table.flag("insecure")), chosen)


def _place(table: Table, key: str) -> str:
    text = table.text(key).rstrip("/")
    if text.startswith(("http://", "https://")):
        table.refuse(f"{key!r} is a URL; a name without a scheme has to stand there")
    return text


def _refuse_conflicts(entries: Iterable[RegistryEntry]) -> None:
    """One place cannot be insecure, or blocked, under one prefix alone."""
    said: dict[str, RegistryEntry] = {}
    for each in entries:
        other = said.setdefault(each.location.name or each.prefix, each)
        for what, same in (
            ("insecure", other.location.insecure == each.location.insecure),
            ("blocked", other.blocked == each.blocked),
        ):
            if not same:
                here = Table(str(each.location.origin), {})
                here.refuse(f"{what!r} is set otherwise at {other.location.origin}")


def _unique(entries: Iterable[RegistryEntry]) -> tuple[RegistryEntry, ...]:
    """Keep the first of entries with one prefix, as the runtimes do."""
    found: dict[str, RegistryEntry] = {}
    for each in entries:
        found.setdefault(each.prefix, each)
    return tuple(found.values())


def _searched(top: Table, search: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if search is None:
        return None
    found = tuple(each.rstrip("/") for each in search)
    for each in found:
        try:
            Registry.parse(each)
        except InvalidReference:
            top.refuse(f"'unqualified-search-registries' has {each!r}, which is no host[:port]")
    return found


def _aliases(top: Table) -> Mapping[str, str]:
    table = Table(top.place, top.table("aliases"))
    found = {name: table.text(name) for name in table.values}
    for name, value in found.items():
        if not is_short(name):
            top.refuse(f"'aliases' has {name!r}, which is not a repository without a registry")
        # An empty one takes away what an earlier file said.
        if value and not is_whole(value):
            top.refuse(f"'aliases' has {value!r}, which is not a repository with its registry")
    return found


def is_short(text: str) -> bool:
    """Tell whether a text is the name of a repository without its registry, and without a tag."""
    first, slash, _ = text.partition("/")
    return not (slash and is_host(first)) and _is_repository(f"m.example/{text}")


def is_whole(text: str) -> bool:
    """Tell whether a text is the name of a repository with its registry, and without a tag."""
    first, slash, _ = text.partition("/")
    return bool(slash) and is_host(first) and _is_repository(text)


def _is_repository(text: str) -> bool:
    if "@" in text or ":" in text.rpartition("/")[2]:
        return False
    try:
        Reference.parse(text)
    except InvalidReference:
        return False
    return True


def _version_1(top: Table, file: Path) -> RegistriesFile:
    names: dict[str, tuple[str, ...]] = {}
    section = Table(top.place, top.table("registries"))
    for key in ("search", "insecure", "block"):
        table = Table(top.place, section.table(key))
        for text in table.texts("registries") or ():
            place = _place(Table(top.place, {key: text}), key)
            names[key] = (*names.get(key, ()), place)
    insecure, blocked = names.get("insecure", ()), names.get("block", ())
    entries = tuple(
        RegistryEntry(each, Location(each, Origin(file), each in insecure), (), each in blocked)
        for each in dict.fromkeys((*blocked, *insecure))
    )
    return RegistriesFile(file, entries, _searched(top, names.get("search")))
