"""Which forward proxy a host is reached through: named for all, for one, or by the environment.

The environment counts only for who asks for it, and then means what it means to Go's programs
(golang.org/x/net/http/httpproxy), which Docker, skopeo and crane are.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import unquote

from imgverify.errors import InputError, InvalidReference
from imgverify.oci.reference import Registry
from imgverify.registry.urls import entry_for, host_of, port_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import httpx

    from imgverify.registry.guard import Network

_SCHEMES: Final = {"http": 80, "https": 443}
_HINT: Final = "write it as http://proxy.example:3128 or https://proxy.example:443"
_NO_PROXY_URL: Final = "is not the URL of a proxy"
_SOCKET: Final = "names a socket of this machine; proxies are reached over TCP"
_SOCKS: Final = "names a SOCKS proxy, and only HTTP proxies are used"
_NOT_THESE: Final = {
    **dict.fromkeys(("unix", "npipe"), _SOCKET),
    **dict.fromkeys(("socks", "socks4", "socks4a", "socks5", "socks5h"), _SOCKS),
}
_SEPARATOR: Final = re.compile(r"[\s,]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy.

    `named_by` is the option or variable that named it.  `authorization` is the header for who we
    are to it; it goes to the proxy and is never shown.
    """

    at: Registry
    secure: bool = False
    named_by: str = ""
    authorization: str = field(default="", repr=False)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.at.port or _SCHEMES["https" if self.secure else "http"]

    def __str__(self) -> str:
        """Return its URL, without the user."""
        return f"{'https' if self.secure else 'http'}://{self.at}"


def parse_proxy(text: str, named_by: str) -> Proxy:
    """Read the URL of a proxy, or `host:port` of a plain one; raises `InputError`.

    Nothing of the text is quoted: wherever its parts were cut wrongly there may be a password.
    """
    head, mark, tail = text.partition("://")
    scheme, rest = (head.lower(), tail) if mark else ("http", text)
    if scheme not in _SCHEMES:
        _refuse(named_by, _NOT_THESE.get(scheme, _NO_PROXY_URL))
    user, at, place = rest.rpartition("@")
    registry = _registry(place.removesuffix("/"))
    if registry is None:
        _refuse(named_by, _NO_PROXY_URL)
    return Proxy(registry, scheme == "https", named_by, _basic(user, named_by) if at else "")


def _registry(text: str) -> Registry | None:
    try:
        return Registry.parse(text)
    except InvalidReference:
        # Not raised on: the error quotes the text.
        return None


def _basic(user: str, named_by: str) -> str:
    name, _, password = (unquote(each) for each in user.partition(":"))
    if ":" in name:
        _refuse(named_by, "has a user name with a colon, which no proxy could tell apart")
    pair = f"{name}:{password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def _refuse(named_by: str, why: str) -> NoReturn:
    msg = f"{named_by} {why}"
    raise InputError(msg, hint=_HINT)


@dataclass(frozen=True, slots=True)
class Exemption:
    """One entry of NO_PROXY: a network of addresses, or a domain; `port` None is any.

    `below` means the names below the domain alone, without the domain itself.
    """

    network: Network | None = None
    domain: str = ""
    below: bool = False
    port: int | None = None

    def covers(self, host: str, port: int) -> bool:
        """Tell whether a host is meant; a name is never looked up for it."""
        if self.port not in (None, port):
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address in self.network
        return host.endswith(f".{self.domain}") or (host == self.domain and not self.below)


@dataclass(frozen=True, slots=True)
class Environment:
    """What HTTP_PROXY, HTTPS_PROXY and NO_PROXY say; loopback is never asked through a proxy."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[Exemption, ...] = ()
    exempts_all: bool = False

    def choose(self, url: httpx.URL) -> Proxy | None:
        """Return the proxy for a URL, None for none."""
        # Not registry_of(), to which Docker Hub's hosts have another name.
        host = host_of(url)
        address = _address(host)
        if self.exempts_all or host == "localhost" or (address is not None and address.is_loopback):
            return None
        port = port_of(url)
        if any(each.covers(host, port) for each in self.exempt):
            return None
        return self.https if url.scheme == "https" else self.http


def parse_environment(environment: Mapping[str, str]) -> Environment:
    """Read the variables, capitals before small letters; raises `InputError`."""
    # A CGI program's caller chooses HTTP_PROXY, by sending a header called Proxy.
    names = ("http_proxy",) if "REQUEST_METHOD" in environment else ("HTTP_PROXY", "http_proxy")
    _, listed = _first(environment, "NO_PROXY", "no_proxy")
    exempt = _SEPARATOR.split(listed.lower())
    return Environment(
        _proxy(environment, *names),
        _proxy(environment, "HTTPS_PROXY", "https_proxy"),
        tuple(found for each in exempt if (found := _exemption(each)) is not None),
        "*" in exempt,
    )


def _first(environment: Mapping[str, str], *names: str) -> tuple[str, str]:
    return next(((each, environment[each]) for each in names if environment.get(each)), ("", ""))


def _proxy(environment: Mapping[str, str], *names: str) -> Proxy | None:
    name, text = _first(environment, *names)
    return parse_proxy(text.strip(), name) if text else None


def _exemption(text: str) -> Exemption | None:
    """Read one entry of NO_PROXY; None for what means nothing, as it does to everybody else."""
    try:
        return Exemption(network=ipaddress.ip_network(text, strict=False))
    except ValueError:
        pass
    host, port = _split_port(text)
    address = _address(host)
    if address is not None:
        return Exemption(network=ipaddress.ip_network(address), port=port)
    below = host.startswith((".", "*."))
    domain = host.removeprefix("*").removeprefix(".") if below else host
    return Exemption(domain=domain, below=below, port=port) if domain else None


def _split_port(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    if host and port.isascii() and port.isdecimal():
        return host.removeprefix("[").removesuffix("]"), int(port)
    return text.removeprefix("[").removesuffix("]"), None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped if address.version == 6 else None) or address  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Proxies:
    """Which proxy a URL goes through: what is said of its host, else of all, else around us.

    In `hosts` None means directly.
    """

    default: Proxy | None = None
    hosts: Mapping[Registry, Proxy | None] = field(default_factory=dict)
    environment: Environment = Environment()

    def choose(self, url: httpx.URL) -> Proxy | None:
        """Return the proxy for a URL, None for none."""
        return entry_for(url, self.hosts, self.default or self.environment.choose(url))


def parse_proxies(texts: Iterable[str], named_by: str, environment: Environment) -> Proxies:
    """Read what was said: a URL for all hosts, `HOST[:PORT]=URL`, or `HOST[:PORT]=direct`.

    What was said last outweighs.  Raises `InputError`, which quotes no URL.
    """
    default: Proxy | None = None
    hosts: dict[Registry, Proxy | None] = {}
    for text in texts:
        if "=" not in text.partition("://")[0]:
            default = parse_proxy(text, named_by)
            continue
        host, _, url = text.partition("=")
        # Before the host is read: in user:p=w@proxy.example it would be half a password.
        if url != "direct" and "://" not in url:
            _refuse(named_by, "is neither URL, HOST[:PORT]=URL nor HOST[:PORT]=direct")
        proxy = None if url == "direct" else parse_proxy(url, named_by)
        hosts[Registry.parse(host)] = proxy
    return Proxies(default, hosts, environment)
