"""containerd's `hosts.toml`: what stands in for a registry, in the order in which it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import InvalidReference
from imgverify.registry.hostconfig.address import Address
from imgverify.registry.hostconfig.model import NO_FILES, Origin, TlsFiles
from imgverify.registry.hostconfig.toml import Table, headers, parse_toml
from imgverify.registry.tls import ClientCertificate

if TYPE_CHECKING:
    from pathlib import Path

_HOST_KEYS: Final = frozenset(
    {"capabilities", "ca", "client", "skip_verify", "header", "override_path"}
)
_CAPABILITIES: Final = frozenset({"pull", "resolve", "push", "referrers"})
_V2: Final = "/v2"
_PAIR: Final = 2


@dataclass(frozen=True, slots=True)
class Host:
    """One host; without an address it is the registry itself.

    `skip_verify` is None where nothing is said about it, which is not the same as false.
    """

    address: Address | None
    origin: Origin | None
    pulls: bool = True
    resolves: bool = True
    skip_verify: bool | None = None
    tls: TlsFiles = NO_FILES
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostsFile:
    """The hosts that are tried first, and the server that is tried last."""

    hosts: tuple[Host, ...]
    server: Host


def parse_hosts(data: bytes, file: Path) -> HostsFile:
    """Read a `hosts.toml`; raises `InputError`.  Relative paths are of the file's folder."""
    top = parse_toml(data, file)
    top.refuse_case_variants(_HOST_KEYS | {"server", "host"})
    lines: dict[str, int] = {}
    for line, name in headers(data):
        if name[0] == "host" and len(name) > 1:
            lines.setdefault(name[1], line)
    hosts = []
    for text in top.table("host"):
        origin = Origin(file, lines.get(text))
        table = Table(str(origin), Table(str(origin), top.table("host")).table(text))
        table.refuse_case_variants(_HOST_KEYS)
        hosts.append(_host(text, table, origin))
    return HostsFile(tuple(hosts), _host(top.text("server"), top, Origin(file)))


def _host(text: str, table: Table, origin: Origin) -> Host:
    capabilities = {each.lower() for each in table.texts("capabilities") or _CAPABILITIES}
    for each in capabilities - _CAPABILITIES:
        table.refuse(f"'capabilities' has {each!r}, which is none")
    folder = origin.file.parent
    unsent = ", ".join(sorted(table.table("header")))
    # Without a server it is the registry itself, which nobody had to write down.
    written = bool(text or table.values.keys() & {"ca", "client", "skip_verify"})
    return Host(
        _address(text, table) if text else None,
        origin if written else None,
        "pull" in capabilities,
        {"pull", "resolve"} <= capabilities,
        table.flag("skip_verify"),
        TlsFiles(_authorities(table, folder), _clients(table, folder)),
        (f"headers that are set for it are not sent: {unsent}",) if unsent else (),
    )


def _address(text: str, table: Table) -> Address:
    try:
        address = Address.parse(text if "://" in text else f"https://{text}")
    except InvalidReference as error:
        table.refuse(error.message)
    if address.path.endswith(_V2) or table.flag("override_path"):
        return address
    return address.at(f"{address.path}{_V2}")


def _authorities(table: Table, folder: Path) -> tuple[Path, ...]:
    value = table.values.get("ca")
    names = table.texts("ca") if isinstance(value, list) else (table.text("ca"),)
    return tuple(folder / each for each in names or () if each)


def _clients(table: Table, folder: Path) -> tuple[ClientCertificate, ...]:
    """Read one file, several files, or several pairs of a certificate and a key."""
    value = table.values.get("client")
    entries = value if isinstance(value, list) else [table.text("client")]
    pairs = []
    for entry in entries:
        pair = entry if isinstance(entry, list) else [entry, ""]
        if len(pair) != _PAIR:
            table.refuse("'client' has a pair that is none")
        certificate, key = Table(table.place, {"client": pair}).texts("client") or ("", "")
        if certificate:
            pairs.append(ClientCertificate(folder / certificate, folder / (key or certificate)))
    return tuple(pairs)
