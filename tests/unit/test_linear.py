"""Text without end costs no more than its length, and beyond a bound next to nothing.

Processor time of this thread is measured, and measured again where it seems too long: a busy
machine can make anything slow once, but not quick.
"""

import contextlib
import gc
import json
import socket
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import httpx
import pytest

from imgverify.errors import ImgverifyError, Side
from imgverify.oci import limits
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import parse_manifest
from imgverify.oci.mediatype import MediaType
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference, Registry, Repository, Route, parse_mirror
from imgverify.registry import listing, session
from imgverify.registry.challenge import parse_challenges
from imgverify.registry.urls import is_ip_literal, registry_of, resolve_server_url
from imgverify.report.escape import escape, redact_url
from tests.unit.oci.samples import descriptor
from tests.unit.registry.scene import named, network, raw_server, receive_head

BASE = httpx.URL("https://good.test/v2/")
ASKED = httpx.Request("GET", BASE)
UPSTREAM = Reference.parse("nginx:1.27")
HOST = Registry("a.b")
TRIES = 6
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


def next_page(header: str) -> object:
    response = httpx.Response(200, headers=[(b"Link", header.encode())], request=ASKED)
    return listing._next_page(response)


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
    "link": lambda text: next_page(f"{text}"),
    "link-relation": lambda text: next_page(f'<x>; rel="{text}'),
    "link-target": lambda text: next_page(f"<{text}"),
    "escape": escape,
    "redact": redact_url,
}


def spent(read: Callable[[], object]) -> float:
    """Processor seconds."""
    gc.disable()
    try:
        started = time.thread_time()
        with contextlib.suppress(ImgverifyError):
            read()
        return time.thread_time() - started
    finally:
        gc.enable()


def is_linear(half: Callable[[], object], whole: Callable[[], object]) -> bool:
    # The millisecond is for what any call costs, and is far below what a square would take.
    return any(spent(whole) <= 3 * spent(half) + 0.001 for _ in range(TRIES))


def is_quick(read: Callable[[], object], seconds: float) -> bool:
    return any(spent(read) < seconds for _ in range(TRIES))


@pytest.mark.parametrize("name", BOUNDED)
def test_regex_idna_cpu_twice_the_text_takes_at_most_three_times_as_long(name: str) -> None:
    read = BOUNDED[name]
    for unit in UNITS:
        half = (unit * limits.URL_LENGTH)[: limits.URL_LENGTH // 2 - 64]
        assert is_linear(partial(read, half), partial(read, half * 2)), unit


WHOLE: dict[str, Reader] = {
    **{
        name: read for name, read in BOUNDED.items() if not name.startswith(("loc", "chal", "link"))
    },
    "challenge": parse_challenges,
    "location": lambda text: resolve_server_url(BASE, text),
}


@pytest.mark.parametrize("name", WHOLE)
def test_split_parse_alloc_regex_idna_cpu_megabytes_are_refused_by_their_length(name: str) -> None:
    read = WHOLE[name]
    for unit in (".", "/", "@"):
        text = unit * 10_000_000
        assert is_quick(partial(read, text), 0.05), unit
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

    half, whole = document(2_000_000), document(4_000_000)
    assert is_linear(partial(parse_manifest, half), partial(parse_manifest, whole))


@pytest.mark.parametrize(
    "name",
    ["WWW-Authenticate", "Location", "Link", "Retry-After", "Docker-Content-Digest",
     "Content-Type", "Content-Encoding", "Content-Range", "Content-Length", "X-Other"],
)  # fmt: skip
def test_split_parse_alloc_no_header_takes_long_to_read(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No header is longer than a line that http.client reads."""
    monkeypatch.setattr(session, "_BACKOFF", 0.001)
    sent = b""
    status = {"WWW-Authenticate": b"401", "Location": b"302", "Retry-After": b"429"}.get(
        name, b"200"
    )

    def answer(connection: socket.socket) -> None:
        receive_head(connection)
        head = b"HTTP/1.1 %b X\r\nConnection: close\r\n%b: %b\r\n\r\n"
        connection.sendall(head % (status, name.encode(), sent.strip()))

    with raw_server(answer) as host, network(host) as net:
        remote = net.at(named(host).repository, Side.MIRROR)
        for unit in UNITS:
            sent = unit.encode() * (60_000 // len(unit.encode()))
            assert is_quick(partial(remote.manifest, named(host)), 0.1), unit
