"""Text without end costs no more than its length, and beyond a bound next to nothing.

Processor time of this thread is measured, which the other work of the machine does not count in.
"""

import contextlib
import json
import time
import tracemalloc
from collections.abc import Callable

import httpx
import pytest

from imgverify.errors import ContentError, ImgverifyError
from imgverify.oci import limits
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import parse_manifest
from imgverify.oci.mediatype import MediaType
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference, Registry, Repository, Route, parse_mirror
from imgverify.registry import auth, listing, session
from imgverify.registry.challenge import parse_challenges
from imgverify.registry.urls import is_ip_literal, registry_of, resolve_server_url
from imgverify.report.escape import escape, redact_url
from tests.unit.oci.samples import descriptor

BASE = httpx.URL("https://good.test/v2/")
UPSTREAM = Reference.parse("nginx:1.27")
HOST = Registry("a.b")
Reader = Callable[[str], object]

UNITS = [
    *'a.,/@%:"<= 0\u0301',
    "%25",
    "a.",
    "a-",
    "a=,",
    "next ",
    "xn--",
    ' ;rel="',
    "<x>;",
    "Basic realm=x, ",
]


def location(start: str) -> Reader:
    def read(text: str) -> object:
        url = resolve_server_url(BASE, start + text)
        return registry_of(url), is_ip_literal(url)

    return read


def header(name: str, read: Callable[[httpx.Response], object], start: str = "") -> Reader:
    def respond(text: str) -> object:
        value = (start + text).encode("utf-8")
        date = (b"Date", b"Wed, 21 Oct 2015 07:28:00 GMT")
        asked = httpx.Request("GET", BASE)
        return read(httpx.Response(200, headers=[(name.encode(), value), date], request=asked))

    return respond


def token(text: str) -> object:
    return auth._parse_token(json.dumps({"token": text}).encode())


BOUNDED: dict[str, Reader] = {
    "challenge": lambda text: parse_challenges(f"Bearer {text}"),
    "challenge-quoted": lambda text: parse_challenges(f'Bearer realm="{text}'),
    "location": location(""),
    "location-host": location("https://"),
    "location-port": location("https://a:"),
    "location-path": location("/"),
    "digest": Digest.parse,
    "media-type": MediaType.parse,
    "content-type": MediaType.from_header,
    "reference": Reference.parse,
    "registry": Registry.parse,
    "mirror": lambda text: parse_mirror(text, UPSTREAM),
    "repository": lambda text: Repository(HOST, text),
    "tag": lambda text: Reference(Repository(HOST, "c"), text),
    "route": Route,
    "platform": Platform.parse,
    "escape": escape,
    "redact": redact_url,
}
# What no header is longer than: http.client reads no longer line.
HEADERS: dict[str, Reader] = {
    "link": header("Link", listing._next_page),
    "link-relation": header("Link", listing._next_page, '<x>; rel="'),
    "link-target": header("Link", listing._next_page, "<"),
    "retry-after": header("Retry-After", session._retry_after),
    "content-digest": header("Docker-Content-Digest", lambda response: response.headers),
    "token": token,
}


def spent(read: Reader, text: str) -> float:
    """Processor seconds, the better of two."""
    took: list[float] = []
    for _ in range(2):
        started = time.thread_time()
        with contextlib.suppress(ImgverifyError):
            read(text)
        took.append(time.thread_time() - started)
    return min(took)


@pytest.mark.parametrize("name", [*BOUNDED, *HEADERS])
def test_regex_idna_cpu_twice_the_text_takes_at_most_three_times_as_long(name: str) -> None:
    read = (BOUNDED | HEADERS)[name]
    for unit in UNITS:
        half = (unit * limits.URL_LENGTH)[: limits.URL_LENGTH // 2 - 64]
        # The millisecond is for what any call costs, and is far below what a square would.
        assert spent(read, half * 2) <= 3 * spent(read, half) + 0.001, unit


WHOLE: dict[str, Reader] = {
    **{name: read for name, read in BOUNDED.items() if not name.startswith(("loc", "chal"))},
    "challenge": parse_challenges,
    "location": lambda text: resolve_server_url(BASE, text),
}


@pytest.mark.parametrize("name", WHOLE)
def test_split_parse_alloc_regex_idna_cpu_megabytes_are_refused_by_their_length(name: str) -> None:
    read = WHOLE[name]
    for unit in (".", "/", "@"):
        text = unit * 10_000_000
        assert spent(read, text) < 0.05, unit
        tracemalloc.start()
        try:
            with contextlib.suppress(ImgverifyError):
                read(text)
            assert tracemalloc.get_traced_memory()[1] < 100_000, unit
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "place", ["mediaType", "digest", "artifactType", "annotations", "platform", "urls"]
)
def test_split_parse_alloc_a_document_of_one_long_word(place: str) -> None:
    def document(size: int) -> Content:
        word: object = "." * size
        word = {"annotations": {"a": word}, "platform": {"os": word}, "urls": [word]}.get(
            place, word
        )
        listed = descriptor(**{place: word})
        return Content.of(json.dumps({"schemaVersion": 2, "manifests": [listed]}).encode())

    def read(size: int) -> float:
        content, took = document(size), []
        for _ in range(3):
            started = time.thread_time()
            with contextlib.suppress(ContentError):
                parse_manifest(content)
            took.append(time.thread_time() - started)
        return min(took)

    assert read(4_000_000) <= 3 * read(2_000_000) + 0.002
