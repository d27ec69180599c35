"""Answers that never end, and such as grow when they are unpacked."""

import contextlib
import gzip
import itertools
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard

from imgverify.errors import (
    ImgverifyError,
    LimitExceeded,
    Malformed,
    Side,
    SourceError,
    Unreachable,
)
from imgverify.registry import session as module
from imgverify.serve.loopback import Response
from tests.support.fault import Call
from tests.support.faults import Custom, When
from tests.support.registry import FakeRegistry
from tests.support.tokens import BearerGuard, TokenService
from tests.unit.registry.scene import (
    PATH,
    TAG,
    named,
    network,
    raw_server,
    receive_head,
    repository,
    stock,
)

SECONDS = 0.15
SLACK = 8.0
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF", 0.001)


# --- without end ------------------------------------------------------------------------------


def flood(start: bytes, more: bytes) -> Iterator[bytes]:
    yield start
    yield from itertools.repeat(more * (65536 // len(more)))


def drip(start: bytes, more: bytes) -> Iterator[bytes]:
    yield start
    for piece in itertools.repeat(more):
        time.sleep(0.02)
        yield piece


SENT = {
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim-with-headers": (b"", b"HTTP/1.1 100 Continue\r\nX-Padding: x\r\n\r\n"),
    "interim-of-headers": (b"HTTP/1.1 100 Continue\r\n", b"X-Padding: x\r\n"),
    "early-hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "status-line": (b"HTTP/1.1 200 ", b"OK "),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Padding: x\r\n"),
    "one-header": (b"HTTP/1.1 200 OK\r\nX-Padding: ", b"x"),
    "folded-header": (b"HTTP/1.1 200 OK\r\nX-Padding: x\r\n", b" x\r\n"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "chunk-size": (CHUNKED, b"0"),
    "chunk-extension": (CHUNKED + b"1;", b"x"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X-Padding: x\r\n"),
    "until-closed": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x"),
    "error-body": (b"HTTP/1.1 500 Oops\r\nContent-Length: 99999999999\r\n\r\n", b" "),
    "redirect-body": (b"HTTP/1.1 307 No\r\nLocation: /\r\nContent-Length: 999999999\r\n\r\n", b"x"),
    "challenge-body": (b"HTTP/1.1 401 No\r\nContent-Length: 99999999999\r\n\r\n", b"x"),
}


def ask(sent: str, pace: Callable[[bytes, bytes], Iterator[bytes]]) -> None:
    """Ask a server for a manifest whose answer has such a part, and measure."""
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        receive_head(connection)
        with contextlib.suppress(OSError):
            for piece in pace(*SENT[sent]):
                connection.sendall(piece)
        stopped.set()

    with raw_server(serve) as host, network(host, seconds=SECONDS) as net:
        remote = net.at(named(host).repository, Side.MIRROR)
        started = time.monotonic()
        with pytest.raises((SourceError, LimitExceeded, Malformed)) as caught:
            remote.manifest(named(host))
        took = time.monotonic() - started
        # The connection is closed by then, and not kept for the next request.
        assert stopped.wait(5), sent
    assert took < SECONDS + SLACK, sent
    assert host in caught.value.message, sent
    assert caught.value.side is Side.MIRROR, sent


@pytest.mark.parametrize("sent", SENT)
def test_slow_and_endless_a_flood_ends_at_the_deadline_and_is_not_kept(sent: str) -> None:
    tracemalloc.start()
    try:
        ask(sent, flood)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_slow_and_endless_a_drip_of_any_part_ends_at_the_deadline() -> None:
    with ThreadPoolExecutor(len(SENT)) as pool:
        for each in [pool.submit(ask, sent, drip) for sent in SENT]:
            each.result()


def test_slow_and_endless_a_token_server_without_end_is_left() -> None:
    tokens = TokenService()
    with (
        raw_server(_serve_forever) as issuer,
        FakeRegistry(guard=BearerGuard(tokens, realm=f"http://{issuer}/token")) as fake,
    ):
        started = time.monotonic()
        with (
            repository(stock(fake), issuer, seconds=SECONDS) as remote,
            pytest.raises((Unreachable, LimitExceeded), match=issuer),
        ):
            remote.manifest(named(fake.host))
        assert time.monotonic() - started < SECONDS + SLACK


def _serve_forever(connection: socket.socket) -> None:
    receive_head(connection)
    for piece in flood(CHUNKED, b"1\r\n \r\n"):
        connection.sendall(piece)


# --- unpacked ---------------------------------------------------------------------------------

ZEROS = bytes(1_000_000)


def _gzip() -> bytes:
    return gzip.compress(ZEROS, 9, mtime=0) * 200


def _zstd() -> bytes:
    return zstandard.ZstdCompressor().compress(ZEROS) * 2000


def _nested() -> bytes:
    body = _gzip()
    for _ in range(19):
        body = gzip.compress(body, 9, mtime=0)
    return body


BOMBS = {
    "gzip": ("gzip", _gzip()),
    "br": ("br", b"\x8b\xff\x7f\x80" * 1000),
    "zstd": ("zstd", _zstd()),
    "nested": (", ".join(["gzip"] * 20), _nested()),
}


def bomb(name: str, status: int) -> Custom:
    encoding, body = BOMBS[name]
    extra = {
        302: (("Location", "/v2/elsewhere"),),
        401: (("WWW-Authenticate", 'Basic realm="x"'),),
    }.get(status, ())

    def answer(_: Call) -> Response:
        return Response(status, (*extra, ("Content-Encoding", encoding)), body)

    return Custom(answer, when=When(path="/manifests/"))


@pytest.mark.parametrize("status", [200, 206, 302, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("name", BOMBS)
def test_http_decompression_a_bomb_is_unpacked_nowhere(name: str, status: int) -> None:
    with FakeRegistry(faults=[bomb(name, status)]) as fake, repository(stock(fake)) as remote:
        tracemalloc.start()
        try:
            with pytest.raises(ImgverifyError) as caught:
                remote.manifest(named(fake.host))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert ("not asked for" in caught.value.message) is (status in (200, 206))
        assert {each.header("Accept-Encoding") for each in fake.requests} == {"identity"}
    assert peak < 3_000_000


# A new process starts with the peak of the one that made it: let a small one make it.
SMALL = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_http_decompression_of_a_bomb_a_process_stays_small() -> None:
    with FakeRegistry(faults=[bomb("gzip", 200)]) as mirror, FakeRegistry() as upstream:
        stock(upstream)
        words = [f"{upstream.host}/{PATH}:{TAG}", "--mirror", mirror.host]
        for each in (mirror, upstream):
            words += ["--insecure-http", each.host]
        program = [sys.executable, "-m", "imgverify", "verify", *words]
        command = [sys.executable, "-S", "-c", SMALL, *program]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    status, peak = map(int, done.stdout.split())
    assert status == 3
    assert peak < 64 * 1024
