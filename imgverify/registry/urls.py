"""The one door for URLs that a server chose: redirects, token realms and next pages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from imgverify.errors import InvalidReference, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

T = TypeVar("T")

_URL: Final = re.compile(r"[!-~]+", re.ASCII)
_AUTHORITY: Final = re.compile(r"https?://(?P<authority>[^/?#@%]+)(?:[/?#]|$)", re.ASCII)
# Absolute, or relative without anything that a parser could take for a scheme or a host.
_START: Final = re.compile(
    r"(?:https?:)?//[^/?#@%:][^/?#@%]*(?:[/?#]|$)|(?!//)[^:/?#]*(?:[/?#]|$)",
    re.ASCII | re.IGNORECASE,
)
_NOT_PLAIN: Final = "the server sent a URL that is not plain http(s)://host/path"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def api_url(registry: Registry, path: str, *, insecure_http: Collection[Registry]) -> httpx.URL:
    """Build the URL of a path on a registry; plain HTTP only for the registries named."""
    scheme = "http" if registry in insecure_http else "https"
    return httpx.URL(f"{scheme}://{registry.api}{path}")


def origin_url(registry: Registry, *, secure: bool) -> httpx.URL:
    """Build the URL of a host's root, to connect to it."""
    return httpx.URL(f"{'https' if secure else 'http'}://{registry}/")


def repository_url(text: str) -> httpx.URL | None:
    """Read the address of a repository of files, as a user wrote it; None where it is none.

    Text that two parsers could read differently is none.
    """
    if len(text) > limits.URL_LENGTH or not _URL.fullmatch(text) or "\\" in text:
        return None
    try:
        url = httpx.URL(text)
        registry_of(url)
    except (httpx.InvalidURL, ValueError, Malformed):
        return None
    plain = url.scheme in _DEFAULT_PORTS and _AUTHORITY.match(str(url))
    return url if plain and not url.query and not url.fragment else None


def resolve_server_url(base: httpx.URL, text: str) -> httpx.URL:
    """Resolve a URL that a server sent in answer to a request for `base`.

    Raises `Malformed` or `LimitExceeded` for what two URL parsers could read differently:
    user information, backslashes, white space, control characters, percent signs in the host.
    """
    if len(text) > limits.URL_LENGTH:
        msg = f"the server sent a URL of {len(text)} characters"
        raise LimitExceeded(msg)
    if not _URL.fullmatch(text) or "\\" in text:
        msg = "the server sent a URL with characters that no URL has"
        raise Malformed(msg)
    if not _START.match(text):
        raise Malformed(_NOT_PLAIN)
    try:
        url = base.join(text)
    except (httpx.InvalidURL, ValueError):
        msg = "the server sent a URL that cannot be read"
        raise Malformed(msg) from None
    if not _AUTHORITY.match(str(url)):
        raise Malformed(_NOT_PLAIN)
    return url.copy_with(fragment=None)


def registry_of(url: httpx.URL) -> Registry:
    """Return the host and port that a URL leads to; a scheme's default port is left out."""
    bare = host_of(url)
    host = f"[{bare}]" if ":" in bare else bare
    port = url.port if url.port != _DEFAULT_PORTS.get(url.scheme) else None
    try:
        return _registry(host if port is None else f"{host}:{port}")
    except InvalidReference as error:
        raise Malformed(error.message) from None


@lru_cache(maxsize=64)
def _registry(text: str) -> Registry:
    """Read what every request is asked about several times."""
    return Registry.parse(text)


def is_among(url: httpx.URL, registries: Collection[Registry]) -> bool:
    """Tell whether a URL leads to one of the registries; they may spell out a default port."""
    return any(each in registries for each in _spellings(url))


def entry_for(url: httpx.URL, entries: Mapping[Registry, T], otherwise: T) -> T:
    """Return what is said of the registry that a URL leads to; its port may be spelled out."""
    if not entries:
        return otherwise
    return next((entries[each] for each in _spellings(url) if each in entries), otherwise)


def host_of(url: httpx.URL) -> str:
    """Return the host that a URL leads to, an IPv6 address without brackets."""
    # Not `host`, which httpx decodes from IDNA: what is checked is what is dialled.
    return url.raw_host.decode("ascii")


def port_of(url: httpx.URL) -> int:
    """Return the port that a URL leads to."""
    return url.port or _DEFAULT_PORTS[url.scheme]


def _spellings(url: httpx.URL) -> tuple[Registry, ...]:
    registry = registry_of(url)
    if registry.port is not None:
        return (registry,)
    return registry, Registry(registry.host, _DEFAULT_PORTS.get(url.scheme))


def is_ip_literal(url: httpx.URL) -> bool:
    """Tell whether the host is an address and not a name, in any spelling that is dialled.

    To the resolver 127.1, 0x7f000001 and 2130706433 are addresses, too; no name ends in a number.
    """
    # Not `host`, which httpx decodes from IDNA, and which fails where that is none.
    host = url.raw_host.decode("ascii")
    last = host.rstrip(".").rpartition(".")[2].lower()
    return ":" in host or last.isdecimal() or last.startswith("0x")


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Tell whether scheme, host and port are equal."""
    return one.scheme == other.scheme and registry_of(one) == registry_of(other)
