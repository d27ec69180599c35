"""HTTP/1.1 under httpx's interface, with a deadline on every byte.

httpx's own transport limits each read but not their sum, and costs twice the processor time on
large bodies (docs/adr/0002-transport.md).
This one keeps httpx's requests, responses and exceptions, and leaves the protocol to
`http.client`.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import ssl
import threading
from functools import partial
from typing import TYPE_CHECKING

import httpx

from imgverify.errors import Interrupted, Unreachable
from imgverify.oci import limits
from imgverify.registry.dial import HEARING
from imgverify.registry.failure import about_proxy, describe
from imgverify.registry.handshake import LayeredTls
from imgverify.registry.tunnel import WANTS_CREDENTIALS, credentials_wanted
from imgverify.registry.urls import host_of, port_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.registry.connect import Connector
    from imgverify.registry.deadline import Deadline
    from imgverify.registry.handshake import Stream

    Origin = tuple[str, str, int]

#: The first status of a final answer; http.client knows no interim one but 100.
_FINAL = 200
_HUNG_UP = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class _Wire(io.RawIOBase):
    """A socket as `http.client` uses one; every read and write keeps the current deadline."""

    def __init__(self, sock: Stream, deadline: Deadline) -> None:
        super().__init__()
        self._sock = sock
        self.peer = _peer(sock)
        self.deadline = deadline
        self._readers = 0
        self._ends = False

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        until = self.deadline.within(limits.STALL_TIMEOUT)
        while True:
            self._sock.settimeout(self.deadline.patience(HEARING))
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                if until.remaining <= 0:
                    self.deadline.patience(HEARING)
                    raise

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self.deadline.patience(limits.STALL_TIMEOUT))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_Borrowed(self), 64 * limits.KIB)

    def close(self) -> None:
        """Close once nobody reads: `http.client` closes before an answer that ends it is read."""
        self._ends = True
        if self._readers == 0:
            self._sock.close()
            super().close()

    def left(self) -> None:
        """Take note that a reader is through."""
        self._readers -= 1
        if self._ends:
            self.close()

    def is_quiet(self) -> bool:
        """Tell whether nothing came since the last answer: neither its end nor bytes too many."""
        if isinstance(self._sock, ssl.SSLSocket | LayeredTls) and self._sock.pending():
            return False
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        return not poll.poll(0)


def _peer(sock: Stream) -> tuple[str | int, ...] | None:
    """Return the other end's address and port; None where it is gone already."""
    try:
        found: tuple[str | int, ...] = sock.getpeername()[:2]
    except OSError:
        return None
    return found


class _Borrowed(io.RawIOBase):
    """Reads from a wire without owning it: a response's end is not the connection's."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._wire.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._wire.left()


class _Connection(http.client.HTTPConnection):
    """One connection; `wire.deadline` is set anew for every request."""

    wire: _Wire

    def __init__(self, url: httpx.URL, connector: Connector, deadline: Deadline) -> None:
        self.origin = _origin(url)
        super().__init__(*self.origin[1:])
        self.forwarder = connector.forwarder(url)
        self.used = False
        self._open = partial(connector.open, url, deadline)
        self._deadline = deadline

    def connect(self) -> None:
        self.wire = _Wire(self._open(), self._deadline)
        self.sock = self.wire


class Transport(httpx.BaseTransport):
    """Keeps idle connections by origin; safe to share between threads.

    A request carries its deadline as `extensions={"deadline": Deadline}`.
    Bodies are iterated as views of one reused buffer: a chunk is valid until the next is asked
    for, so `Response.read` must not be used; `imgverify.registry.body.read_body` copies.
    A response says in `extensions["peer"]` which address and port it came from.
    Raises `httpx.TransportError`, `Unreachable` (deadline), `Interrupted`, and `InputError` for
    a host's certificate files.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._idle: dict[Origin, list[_Connection]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the response's body is still to be read, and closed."""
        deadline: Deadline = request.extensions["deadline"]
        try:
            connection, answer = self._exchange(request, deadline)
        except (Unreachable, Interrupted):
            raise
        except (ConnectionResetError, BrokenPipeError, http.client.HTTPException) as error:
            raise httpx.ReadError(describe(error), request=request) from error
        except (OSError, ValueError) as error:
            raise httpx.ConnectError(describe(error), request=request) from error
        if answer.status == WANTS_CREDENTIALS and connection.forwarder is not None:
            connection.close()
            with about_proxy(connection.forwarder):
                raise credentials_wanted(connection.forwarder)
        return httpx.Response(
            answer.status,
            # As they came: httpx itself would refuse what is not ASCII.
            headers=[
                (key.encode("latin-1"), v.encode("latin-1")) for key, v in answer.getheaders()
            ],
            stream=_Body(self, connection, answer),
            request=request,
            extensions={"peer": connection.wire.peer},
        )

    def _exchange(
        self, request: httpx.Request, deadline: Deadline
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        while True:
            connection = self._take(request.url, deadline)
            try:
                return connection, _ask(connection, request)
            except _HUNG_UP:
                connection.close()
                # Only a connection that had idled may have been closed under us.
                if not connection.used:
                    raise
            except BaseException:
                connection.close()
                raise

    def _take(self, url: httpx.URL, deadline: Deadline) -> _Connection:
        origin = _origin(url)
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                connection = idle.pop() if idle else None
            if connection is None:
                return _Connection(url, self._connector, deadline)
            if connection.wire.is_quiet():
                connection.used = True
                connection.wire.deadline = deadline
                return connection
            # Closed by the server, or followed by bytes that would pass for the next answer.
            connection.close()

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose response was read to its end."""
        with self._lock:
            if not self._closed:
                self._idle.setdefault(connection.origin, []).append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close idle connections; those in use close with their responses."""
        with self._lock:
            connections = [each for idle in self._idle.values() for each in idle]
            self._idle.clear()
            self._closed = True
        for each in connections:
            each.close()


class _Body(httpx.SyncByteStream):
    def __init__(
        self, transport: Transport, connection: _Connection, answer: http.client.HTTPResponse
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._answer = answer
        self._done = False
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        view = memoryview(bytearray(limits.CHUNK))
        try:
            while count := self._answer.readinto(view):
                # httpx only counts and passes on what it is given.
                yield view[:count]  # type: ignore[misc]
        except (Unreachable, Interrupted):
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise httpx.ReadError(describe(error)) from error
        if self._answer.length:
            msg = f"the connection ended {self._answer.length} bytes before the answer did"
            raise httpx.ReadError(msg)
        self._done = True

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # An answer to HEAD has no body to be read to its end.
        ended = self._done or self._answer.length == 0
        reusable = ended and not self._answer.will_close and self._answer.status >= _FINAL
        self._answer.close()
        if reusable:
            self._transport.give_back(self._connection)
        else:
            self._connection.close()


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, host_of(url), port_of(url)


def _ask(connection: _Connection, request: httpx.Request) -> http.client.HTTPResponse:
    try:
        _send(connection, request)
    except _HUNG_UP:
        if connection.used or connection.sock is None:
            raise
        # It may have said why: a server tells after the handshake what certificate it misses.
        with contextlib.suppress(*_HUNG_UP):
            return connection.getresponse()
        raise
    return connection.getresponse()


def _send(connection: _Connection, request: httpx.Request) -> None:
    target = request.url.raw_path.decode("ascii")
    proxy = connection.forwarder
    if proxy is not None:
        target = f"http://{request.url.netloc.decode('ascii')}{target}"
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.raw:
        connection.putheader(name.decode("ascii"), value)
    # Here and not among the request's own headers, which travel with redirects.
    if proxy is not None and proxy.authorization:
        connection.putheader("Proxy-Authorization", proxy.authorization)
    connection.endheaders(request.content or None)
