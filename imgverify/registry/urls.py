"""The one door for URLs that a server chose: redirects, token realms and next pages."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

import httpx

from imgverify.errors import InvalidReference, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Collection

_URL: Final = re.compile(r"[!-~]+", re.ASCII)
_AUTHORITY: Final = re.compile(r"https?://(?P<authority>[^/?#]*)", re.ASCII | re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def api_url(registry: Registry, path: str, *, insecure_http: Collection[Registry]) -> httpx.URL:
    """Build the URL of a path on a registry; plain HTTP only for the registries named."""
    scheme = "http" if registry in insecure_http else "https"
    return httpx.URL(f"{scheme}://{registry.api}{path}")


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
    try:
        url = base.join(text)
    except (httpx.InvalidURL, ValueError):
        msg = "the server sent a URL that cannot be read"
        raise Malformed(msg) from None
    authority = _AUTHORITY.match(str(url))
    if authority is None or "@" in authority["authority"] or "%" in authority["authority"]:
        msg = "the server sent a URL that is not plain http(s)://host/path"
        raise Malformed(msg)
    return url.copy_with(fragment=None)


def registry_of(url: httpx.URL) -> Registry:
    """Return the host and port that a URL leads to; a scheme's default port is left out."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = url.port if url.port != _DEFAULT_PORTS.get(url.scheme) else None
    try:
        return Registry.parse(host if port is None else f"{host}:{port}")
    except InvalidReference as error:
        raise Malformed(error.message) from None


def is_ip_literal(url: httpx.URL) -> bool:
    """Tell whether the host is an address and not a name."""
    try:
        ipaddress.ip_address(url.host)
    except ValueError:
        return False
    return True


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Tell whether scheme, host and port are equal."""
    return one.scheme == other.scheme and registry_of(one) == registry_of(other)
