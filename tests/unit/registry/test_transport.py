import contextlib
import gc
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from imgverify.errors import Interrupted, Unreachable
from imgverify.oci import limits
from imgverify.registry import transport as module
from imgverify.registry.deadline import Deadline
from imgverify.registry.failure import describe
from imgverify.registry.transport import Transport
from tests.support.faults import Header, Longer, Reset, Truncate, When
from tests.support.registry import FakeRegistry, Shelf
from tests.unit.registry.scene import OK, body, raw_server, receive_head, request, transport

HELLO = OK + b"Content-Length: 5\r\n\r\nhello"


def idle(made: Transport) -> int:
    return sum(len(each) for each in made._idle.values())


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"\r\nhello", id="no-length"),
        pytest.param(OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nhello", id="http-1.0"),
        pytest.param(OK + b"Content-Length: -5\r\n\r\nhello", id="negative-length"),
        pytest.param(OK + b"Content-Length: x\r\n\r\nhello", id="length-no-number"),
    ],
)
def test_a_body_that_the_connections_end_ends_is_read_and_the_connection_not_kept(
    answer: bytes,
) -> None:
    with raw_server(answer) as host, transport() as made:
        assert body(made.handle_request(request(host))) == b"hello"
        assert idle(made) == 0


@pytest.mark.parametrize("said", [b"caf\xe9", "café".encode(), b"\xff\xfe", b"a\r\n b"])
def test_a_header_that_is_not_ascii_breaks_nothing(said: bytes) -> None:
    answer = OK + b"Server: " + said + b"\r\nContent-Length: 5\r\n\r\nhello"
    with raw_server(answer) as host, transport() as made:
        assert body(made.handle_request(request(host))) == b"hello"


@pytest.mark.parametrize("status", [b"102 Processing", b"103 Early Hints"])
def test_an_interim_answer_is_no_answer_and_the_one_after_it_nobody_elses(status: bytes) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\n\r\n" + HELLO
    with raw_server(answer) as host, transport() as made:
        assert body(made.handle_request(request(host))) == b""
        assert idle(made) == 0


@pytest.mark.parametrize(("answer", "words"), [(HELLO, b"hello"), (b"", None)])
def test_what_was_said_before_the_connection_ended_is_heard(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, words: bytes | None
) -> None:
    connected, ended = threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        connected.wait(5)
        connection.sendall(answer)
        # The next byte from the other side is an error to it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        ended.set()

    send = module._send

    def late(connection: module._Connection, asked: httpx.Request) -> None:
        connection.connect()
        connected.set()
        assert ended.wait(5)
        time.sleep(0.05)
        send(connection, asked)

    monkeypatch.setattr(module, "_send", late)
    with raw_server(serve) as host, transport() as made:
        if words is None:
            with pytest.raises(httpx.ReadError, match=r"(?i)reset|pipe"):
                made.handle_request(request(host))
        else:
            assert body(made.handle_request(request(host))) == words


def test_what_comes_after_an_answer_is_not_the_next_one() -> None:
    poisoned = threading.Event()

    def serve(connection: socket.socket) -> None:
        receive_head(connection)
        connection.sendall(HELLO)
        poisoned.wait(5)
        connection.sendall(OK + b"Content-Length: 4\r\n\r\nevil")
        connection.recv(1)

    with raw_server(serve, HELLO) as host, transport() as made:
        assert body(made.handle_request(request(host))) == b"hello"
        (kept,) = next(iter(made._idle.values()))
        poisoned.set()
        until = time.monotonic() + 5
        while kept.wire.is_quiet() and time.monotonic() < until:
            time.sleep(0.01)
        assert body(made.handle_request(request(host))) == b"hello"


def test_a_connection_is_used_again(fake: FakeRegistry) -> None:
    with transport() as made:
        for _ in range(3):
            body(made.handle_request(request(fake.host)))
            assert idle(made) == 1


def test_a_connection_is_given_back_once(fake: FakeRegistry) -> None:
    with transport() as made:
        response = made.handle_request(request(fake.host))
        body(response)
        response.close()
        assert isinstance(response.stream, module._Body)
        response.stream.close()
        assert idle(made) == 1


def test_two_answers_at_once_have_a_connection_each(fake: FakeRegistry) -> None:
    with transport() as made:
        one = made.handle_request(request(fake.host))
        other = made.handle_request(request(fake.host))
        assert body(one) == body(other)
        assert idle(made) == 2


def test_a_connection_given_back_after_the_end_is_closed(fake: FakeRegistry) -> None:
    with transport() as made:
        response = made.handle_request(request(fake.host))
        made.close()
        body(response)
        assert idle(made) == 0


def test_a_body_left_unread_costs_the_connection(fake: FakeRegistry) -> None:
    with transport() as made:
        made.handle_request(request(fake.host)).close()
        assert idle(made) == 0


@pytest.mark.parametrize("closes", ["in-good-order", "reset"])
def test_a_connection_that_the_server_closed_meanwhile_is_replaced(closes: str) -> None:
    closed = threading.Event()

    def serve(connection: socket.socket) -> None:
        receive_head(connection)
        connection.sendall(HELLO)
        if closes == "reset":
            time.sleep(0.05)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        closed.set()

    with raw_server(serve) as host, transport() as made:
        for _ in range(3):
            closed.clear()
            assert body(made.handle_request(request(host))) == b"hello"
            assert closed.wait(5)


def test_a_connection_closed_upon_the_next_request_is_replaced() -> None:
    def serve(connection: socket.socket) -> None:
        receive_head(connection)
        connection.sendall(HELLO)
        receive_head(connection)

    with raw_server(serve, HELLO) as host, transport() as made:
        for _ in range(2):
            assert body(made.handle_request(request(host))) == b"hello"


def test_a_new_connection_that_is_closed_unanswered_is_not_asked_again() -> None:
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        asked.append(receive_head(connection))

    with (
        raw_server(serve) as host,
        transport() as made,
        pytest.raises(httpx.ReadError, match="closed the connection without"),
    ):
        made.handle_request(request(host))
    assert len(asked) == 1


def test_a_reset_before_the_answer_is_a_read_error(fake: FakeRegistry) -> None:
    fake.play(Reset())
    with transport() as made, pytest.raises(httpx.ReadError, match="reset"):
        made.handle_request(request(fake.host))


@pytest.mark.parametrize("fault", [Reset(1), Truncate(1)])
def test_a_connection_that_ends_in_the_body_is_a_read_error(
    fake: FakeRegistry, fault: Reset | Truncate
) -> None:
    fake.play(Header("X-A", "b"), fault)
    with transport() as made, pytest.raises(httpx.ReadError, match=r"reset|bytes before"):
        body(made.handle_request(request(fake.host)))


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 70_000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        OK + b"X: y\r\n" * 200 + b"\r\n",
        b"",
    ],
)
def test_what_is_no_http_is_a_read_error(answer: bytes) -> None:
    with raw_server(answer) as host, transport() as made:
        with pytest.raises(httpx.ReadError):
            body(made.handle_request(request(host)))
        assert idle(made) == 0


def test_bytes_beyond_the_length_are_not_part_of_the_body(fake: FakeRegistry) -> None:
    fake.play(Longer(b"more"))
    with transport() as made:
        for _ in range(3):
            assert b"more" not in body(made.handle_request(request(fake.host)))


def test_an_answer_to_head_keeps_the_connection(fake: FakeRegistry) -> None:
    with transport() as made:
        made.handle_request(request(fake.host, method="HEAD")).close()
        assert idle(made) == 1


def test_a_closed_port_is_a_connect_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        with transport() as made, pytest.raises(httpx.ConnectError, match="refused"):
            made.handle_request(request(host))


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 70 + ".invalid"])
def test_a_name_that_is_none_is_a_connect_error(name: str) -> None:
    with transport() as made, pytest.raises(httpx.ConnectError, match="name"):
        made.handle_request(request(name, seconds=20))


def test_a_name_without_addresses_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with transport() as made, pytest.raises(httpx.ConnectError, match="no address"):
        made.handle_request(request("reg.test"))


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, fake: FakeRegistry) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = (socket.AF_INET, socket.SOCK_STREAM, 6, "", unused.getsockname())
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", fake.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [closed, good])
        with transport() as made:
            assert b"404" not in body(made.handle_request(request("reg.test")))


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20) and [])
    yield
    released.set()


@pytest.mark.usefixtures("slow_names")
def test_slow_and_endless_a_name_server_is_not_waited_for_beyond_the_deadline() -> None:
    start = time.monotonic()
    with transport() as made, pytest.raises(Unreachable, match=r"within 0\.2 s"):
        made.handle_request(request("reg.test", seconds=0.2))
    assert time.monotonic() - start < 8


@pytest.mark.usefixtures("slow_names")
def test_a_name_server_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT", 0.1)
    with transport() as made, pytest.raises(httpx.ConnectError, match="not resolved"):
        made.handle_request(request("reg.test"))


@contextlib.contextmanager
def full_port() -> Iterator[str]:
    """A port that takes no more connections: its queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_slow_and_endless_connecting_ends_at_the_deadline() -> None:
    start = time.monotonic()
    with full_port() as host, transport() as made, pytest.raises(Unreachable):
        made.handle_request(request(host, seconds=0.2))
    assert time.monotonic() - start < 8


def test_connecting_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT", 0.1)
    with (
        full_port() as host,
        transport() as made,
        pytest.raises(httpx.ConnectError, match="no connection within"),
    ):
        made.handle_request(request(host))


def silent(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.settimeout(10)
        while connection.recv(65536):
            pass


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_interrupt_ends_the_wait_for_a_silent_server(scheme: str) -> None:
    deadline = Deadline.after(20)
    with raw_server(silent) as host, transport() as made:
        threading.Timer(0.2, deadline.cancelled.set).start()
        start = time.monotonic()
        asked = httpx.Request("GET", f"{scheme}://{host}/", extensions={"deadline": deadline})
        with pytest.raises(Interrupted):
            made.handle_request(asked)
        assert time.monotonic() - start < 8


def test_an_interrupt_ends_the_wait_for_a_name_and_a_connection(slow_names: None) -> None:
    del slow_names
    deadline = Deadline.after(20)
    threading.Timer(0.1, deadline.cancelled.set).start()
    start = time.monotonic()
    asked = httpx.Request("GET", "http://reg.test/", extensions={"deadline": deadline})
    with transport() as made, pytest.raises(Interrupted):
        made.handle_request(asked)
    assert time.monotonic() - start < 8


def test_silence_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STALL_TIMEOUT", 0.1)
    monkeypatch.setattr(module, "HEARING", 0.05)
    with (
        raw_server(silent) as host,
        transport() as made,
        pytest.raises(httpx.ConnectError, match="nothing arrived"),
    ):
        made.handle_request(request(host))


def test_slow_and_endless_silence_ends_at_the_deadline() -> None:
    with raw_server(silent) as host, transport() as made, pytest.raises(Unreachable):
        made.handle_request(request(host, seconds=0.1))


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "nothing arrived for 30 s"),
        (socket.gaierror(-2, "Name or service not known"), "name was not found"),
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (ssl.SSLError(1, "[SSL] odd"), "TLS failed"),
        (ValueError("secret"), "no valid HTTP: ValueError"),
    ],
)
def test_an_error_is_told_in_a_readers_words(error: Exception, words: str) -> None:
    assert words in describe(error)
    assert "secret" not in describe(error)


def test_a_chunk_is_a_view_of_one_buffer_that_is_used_again(fake: FakeRegistry) -> None:
    data = bytes(range(256)) * 4096
    shelf: Shelf = fake.shelf
    digest = shelf.put_blob(data)
    shelf.add_repository("app")
    asked = request(fake.host)
    asked = httpx.Request("GET", f"{fake.url}/v2/app/blobs/{digest}", extensions=asked.extensions)
    with transport() as made, contextlib.closing(made.handle_request(asked)) as response:
        seen = [(memoryview(each).obj, len(each)) for each in response.iter_raw()]
    assert {size for _, size in seen} == {limits.CHUNK}
    assert len({id(buffer) for buffer, _ in seen}) == 1


def test_nothing_is_left_open(fake: FakeRegistry) -> None:
    fake.play(Reset(1, when=When(last=1)))
    with transport() as made:
        for _ in range(2):
            with contextlib.suppress(httpx.ReadError):
                body(made.handle_request(request(fake.host)))
    del made
    gc.collect()


def test_a_connection_whose_other_end_is_gone_has_no_peer() -> None:
    with socket.socket() as unconnected:
        assert module._Wire(unconnected, Deadline.after(1)).peer is None
