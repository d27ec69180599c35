"""What is played arrives as over a network: late, in pieces, broken off, or not at all."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.campaign.wire import End, Exchange, Play, Stage, Step

if TYPE_CHECKING:
    from imgverify.serve.distribution import Request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
Playing = Callable[[int], Play]


@contextmanager
def staged(play: Play | Playing) -> Iterator[tuple[Stage, socket.socket]]:
    count = 0

    def answering(host: str, request: Request, target: str) -> Exchange:
        nonlocal count
        count += 1
        return Exchange(host, request, target, play if isinstance(play, Play) else play(count))

    stage = Stage(frozenset({"a.example", "b.example:81"}), answering)
    sock = stage.dial("a.example", 80)
    sock.settimeout(5)
    try:
        with closing(sock):
            yield stage, sock
    finally:
        stage.close()


def ask(sock: socket.socket, method: str = "GET", body: bytes = b"") -> http.client.HTTPResponse:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    sock.sendall(f"{method} /x?y=z HTTP/1.1\r\nHost: a\r\n{length}\r\n".encode())
    if body:
        sock.sendall(body)
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return response


def test_requests_are_answered_one_after_the_other() -> None:
    with staged(lambda nth: Play((Step(HEAD + b"abc"),)) if nth < 3 else Play((), End.CLOSE)) as (
        stage,
        sock,
    ):
        assert [ask(sock).read(), ask(sock, "POST", b"form").read()] == [b"abc", b"abc"]
        with pytest.raises(http.client.RemoteDisconnected):
            ask(sock)
    assert [each.request.method for each in stage.log] == ["GET", "POST", "GET"]
    assert stage.log[1].request.body == b"form"
    assert (stage.log[0].target, stage.log[0].request.parameter("y")) == ("/x?y=z", "z")


@pytest.mark.parametrize("size", [2, 1 << 20])
def test_a_reset_is_a_reset_after_what_was_sent(size: int) -> None:
    with staged(Play((Step(HEAD), Step(b"a" * size)), End.RESET)) as (_, sock):
        assert ask(sock).status == 200
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: sock.recv(1 << 16), b""))


def test_slow_answers_take_their_time_and_do_not_hold_up_the_sender() -> None:
    slow = Play((Step(HEAD, pause=1), Step(b"a", 3, 0.1)))
    with staged(slow) as (_, sock):
        started = time.monotonic()
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert time.monotonic() - started < 0.9
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert response.read() == b"aaa"
        assert 1.2 <= time.monotonic() - started < 30


def test_large_answers_wait_for_whoever_reads_them() -> None:
    size = 8 << 20
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    with staged(Play((Step(head), Step(b"a" * 4096, size // 4096)))) as (_, sock):
        assert len(ask(sock).read()) == size
        assert len(ask(sock).read()) == size


def test_what_never_ends_ends_with_the_stage() -> None:
    started = time.monotonic()
    with staged(Play((Step(HEAD), Step(b"a", 1 << 40), Step(b"", pause=3600)))) as (_, sock):
        assert ask(sock).read() == b"aaa"
    assert time.monotonic() - started < 30


def test_only_hosts_that_there_are_can_be_dialled() -> None:
    stage = Stage(frozenset({"a.example", "b.example:81"}), lambda *_: pytest.fail("asked"))
    stage.dial("b.example", 81).close()
    for host, port in (("b.example", 80), ("a.example", 81), ("c.example", 80)):
        with pytest.raises(socket.gaierror):
            stage.dial(host, port)
    with pytest.raises(ConnectionRefusedError):
        stage.dial("a.example", 443)
    stage.close()


def test_a_mistake_of_the_campaign_is_no_fault_of_the_client() -> None:
    stage = Stage(frozenset({"a.example"}), lambda *_: 1 / 0)  # type: ignore[arg-type] # the mistake
    with closing(stage.dial("a.example", 80)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    stage.close()
    assert isinstance(stage.failure, ZeroDivisionError)


def test_what_is_remembered_of_an_answer_has_a_bound() -> None:
    assert Play((Step(b"ab", 3), Step(b"c"))).text == b"abababc"
    assert len(Play((Step(b"a" * 1000, 1 << 40),)).text) == 4 << 20
