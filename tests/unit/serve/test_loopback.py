import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.serve.loopback import (
    LoopbackRegistry,
    Request,
    Response,
    Shelf,
)
from tests.support.certificate import self_signed, trusting

MANIFEST = b'{"schemaVersion":2}'
BLOB = bytes(range(256)) * 4
NAME = "library/app"


@pytest.fixture
def shelf() -> Shelf:
    held = Shelf()
    held.put_manifest(NAME, MANIFEST, mediatype.OCI_MANIFEST, tag="1.4")
    held.put_blob(BLOB)
    return held


@pytest.fixture
def registry(shelf: Shelf) -> Iterator[LoopbackRegistry]:
    with LoopbackRegistry(shelf) as running:
        yield running


@pytest.fixture
def client(registry: LoopbackRegistry) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(registry.host, timeout=10)
    yield connection
    connection.close()


def ask(
    client: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    client.request(method, path, headers=headers)
    response = client.getresponse()
    return response, response.read()


def code(body: bytes) -> str:
    return str(json.loads(body)["errors"][0]["code"])


def blob_path(digest: Digest | None = None) -> str:
    return f"/v2/{NAME}/blobs/{digest or Digest.of(BLOB)}"


def test_a_blob_larger_than_any_send_buffer_arrives_whole(
    client: http.client.HTTPConnection, shelf: Shelf
) -> None:
    large = BLOB * 20_000
    response, body = ask(client, blob_path(shelf.put_blob(large)))
    assert response.status == 200
    assert body == large


def test_one_connection_serves_many_requests(client: http.client.HTTPConnection) -> None:
    ask(client, "/v2/")
    first = client.sock
    for path in ("/v2/", blob_path(), "/nothing"):
        ask(client, path)
    assert client.sock is first


def test_answers_are_asked_before_the_shelf(shelf: Shelf) -> None:
    asked: list[Request] = []

    def mine(request: Request) -> Response | None:
        asked.append(request)
        return Response(418, (("X-Mine", "1"),), b"tea") if request.path == "/tea" else None

    with LoopbackRegistry(shelf, [mine]) as registry:
        client = http.client.HTTPConnection(registry.host, timeout=10)
        client.request("POST", "/tea?a=1&a=2&b=", body=b"leaves", headers={"X-Kind": "green"})
        response = client.getresponse()
        assert (response.status, response.read()) == (418, b"tea")
        assert response.getheader("X-Mine") == "1"
        assert ask(client, "/v2/")[0].status == 200
        client.close()
    assert asked[0].method == "POST"
    assert asked[0].query == (("a", "1"), ("a", "2"), ("b", ""))
    assert asked[0].parameter("a") == "1"
    assert asked[0].header("x-kind") == "green"
    assert asked[0].header("absent") is None
    assert asked[0].body == b"leaves"


def one_answer(response: Response, method: str = "GET") -> bytes:
    """Everything that comes over the wire, read until the server closes."""
    with (
        LoopbackRegistry(Shelf(), [lambda _: response]) as registry,
        socket.create_connection(("127.0.0.1", registry.port), timeout=10) as raw,
    ):
        raw.sendall(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        while chunk := raw.recv(65536):
            received += chunk
        return received


def test_a_body_that_is_made_while_sent_is_chunked() -> None:
    response = Response(200, (("Connection", "close"),), iter([b"ab", b"", b"c" * 16]))
    assert one_answer(response) == (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n10\r\ncccccccccccccccc\r\n0\r\n\r\n"
    )


def test_headers_may_be_made_while_sent() -> None:
    response = Response(299, iter([("A", "1"), ("Connection", "close")]), b"x")
    assert one_answer(response) == (
        b"HTTP/1.1 299 Unknown\r\nA: 1\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
    )


@pytest.mark.parametrize("body", [b"four", [b"fo", b"ur"]])
@pytest.mark.parametrize("said", ["3", "5", "x"])
def test_a_length_that_is_not_the_body_s_ends_the_connection(
    said: str, body: bytes | list[bytes]
) -> None:
    received = one_answer(Response(200, (("Content-Length", said),), body))
    assert received == f"HTTP/1.1 200 OK\r\nContent-Length: {said}\r\n\r\nfour".encode()


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_where_http_knows_none(status: int) -> None:
    received = one_answer(Response(status, (("Connection", "close"),), b"x"))
    assert received.endswith(b"\r\nConnection: close\r\n\r\n")


def test_a_body_that_breaks_off_resets_the_connection() -> None:
    def body() -> Iterator[bytes]:
        yield b"some"
        raise OSError

    with pytest.raises(ConnectionResetError):
        one_answer(Response(200, (), body()))


def test_a_defect_of_an_answer_is_not_hidden() -> None:
    def broken(_: Request) -> Response | None:
        raise ZeroDivisionError

    registry = LoopbackRegistry(Shelf(), [broken])
    registry.__enter__()
    client = http.client.HTTPConnection(registry.host, timeout=10)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(client, "/v2/")
    client.close()
    with pytest.raises(ZeroDivisionError):
        registry.__exit__(None, None, None)


def test_leaving_ends_what_is_still_running() -> None:
    before = set(threading.enumerate())

    def slow(_: Request) -> Response | None:
        running.stopping.wait(60)
        return None

    running = LoopbackRegistry(Shelf(), [slow])
    with running as registry:
        idle = socket.create_connection(("127.0.0.1", registry.port), timeout=10)
        waiting = socket.create_connection(("127.0.0.1", registry.port), timeout=10)
        waiting.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 20
    with idle, waiting:
        assert idle.recv(1) == b""
    deadline = time.monotonic() + 2
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


def test_it_may_be_started_again(shelf: Shelf) -> None:
    registry = LoopbackRegistry(shelf)
    for _ in range(2):
        with registry:
            client = http.client.HTTPConnection(registry.host, timeout=10)
            assert ask(client, "/v2/")[0].status == 200
            client.close()
    with pytest.raises(RuntimeError):
        _ = registry.port
    registry.__exit__(None, None, None)


def test_a_silent_client_holds_up_nobody_behind_tls(shelf: Shelf, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    known, strict = trusting(certificate), ssl.create_default_context()
    with LoopbackRegistry(shelf, tls=server) as registry:
        assert registry.url == f"https://{registry.host}"
        silent = socket.create_connection(("127.0.0.1", registry.port), timeout=10)
        client = http.client.HTTPSConnection(registry.host, timeout=10, context=known)
        assert ask(client, f"/v2/{NAME}/manifests/1.4")[1] == MANIFEST
        client.close()
        client = http.client.HTTPSConnection(registry.host, timeout=10, context=strict)
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(client, "/v2/")
        client.close()
    with silent:
        assert silent.recv(1) == b""
