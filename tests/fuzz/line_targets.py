"""Targets for `fuzz_parsers` that are one line long: names, headers, URLs, and text to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from imgverify.errors import Malformed
from imgverify.oci import limits
from imgverify.oci.reference import Reference, parse_mirror
from imgverify.registry.listing import _next_page
from imgverify.registry.ratelimit import parse_retry_after
from imgverify.registry.urls import registry_of, resolve_server_url
from imgverify.report.escape import escape, redact_url
from tests.unit.report.harm import commands, unseen

if TYPE_CHECKING:
    from collections.abc import Callable

_BASE: Final = httpx.URL("https://registry.example/v2/library/app/tags/list?n=2")
_IMAGE: Final = Reference.parse("docker.io/library/app:1.4")


def _answer(*headers: tuple[str, str]) -> httpx.Response:
    raw = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers]
    return httpx.Response(200, headers=raw, request=httpx.Request("GET", _BASE))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def read_mirror(data: bytes) -> object:
    """Read what --mirror takes; it names a place, and never another tag or digest by itself."""
    reference = parse_mirror(_text(data), _IMAGE)
    assert Reference.parse(str(reference)) == reference
    return reference


def read_link(data: bytes) -> object:
    """Read a Link header; the next page is on the host that was asked, if there is one."""
    url = _next_page(_answer(("Link", _text(data))))
    if url is None:
        raise Malformed("it has no next page")
    assert (url.scheme, url.netloc) == (_BASE.scheme, _BASE.netloc)
    return url


def read_retry_after(data: bytes) -> object:
    """Read a Retry-After header and, behind a bar, a Date header."""
    wish, _, date = _text(data).partition("|")
    seconds = parse_retry_after(_answer(("Retry-After", wish), ("Date", date)).headers)
    if seconds is None:
        raise Malformed("it says nothing")
    assert 0 <= seconds < float("inf")
    return seconds


def read_server_url(data: bytes) -> object:
    """Resolve a URL that a server chose; another parser sees the same host in it."""
    url = resolve_server_url(_BASE, _text(data))
    parts = urlsplit(str(url))
    assert parts.scheme in ("http", "https")
    assert parts.username is parts.password is None
    assert (parts.hostname or "").encode() == url.raw_host.lower()
    return registry_of(url)


def show(data: bytes) -> object:
    """Escape text; what comes out does nothing, and stays as it is when it is escaped again."""
    shown = escape(_text(data))
    assert len(shown) <= limits.DISPLAY_LENGTH
    assert not unseen(shown)
    assert not commands(shown)
    assert escape(shown) == shown
    return shown


def show_url(data: bytes) -> object:
    """Show a URL; no user, no password, no query, no fragment."""
    shown = redact_url(_text(data))
    assert not unseen(shown)
    assert not set("?#@") & set(shown)
    return shown


TARGETS: dict[str, Callable[[bytes], object]] = {
    "mirror": read_mirror,
    "link": read_link,
    "retry-after": read_retry_after,
    "server-url": read_server_url,
    "escape": show,
    "redact-url": show_url,
}
#: These take anything: there is nothing to refuse.
TAKE_ANYTHING: Final = frozenset({"escape", "redact-url"})
