"""HTTP/1.1 under httpx's interface, with a deadline on every byte.

httpx's own transport limits each read but not their sum, and costs twice the processor time on
large bodies (docs/adr/0002-transport.md).
This one keeps httpx's requests, responses and exceptions, and leaves the protocol to
`http.client`.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import queue
import select
import socket
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from imgverify.errors import Interrupted, Unreachable
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.registry.deadline import Deadline

    Address = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]
    Origin = tuple[str, str, int]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEARING = 0.5


class _Wire(io.RawIOBase):
    """A socket as `http.client` uses one; every read and write keeps the current deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._sock = sock
        self.deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        until = self.deadline.within(limits.STALL_TIMEOUT)
        while True:
            # Short waits, so that whoever calls the work off is heard.
            self._sock.settimeout(self.deadline.patience(_HEARING))
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                if until.remaining <= 0:
                    self.deadline.patience(_HEARING)
                    raise

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self.deadline.patience(limits.STALL_TIMEOUT))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Borrowed(self), 64 * limits.KIB)

    def close(self) -> None:
        self._sock.close()
        super().close()


class _Borrowed(io.RawIOBase):
    """Reads from a wire without owning it: a response's end is not the connection's."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._wire.readinto(buffer)


class _Connection(http.client.HTTPConnection):
    """One connection; `wire.deadline` is set anew for every request."""

    wire: _Wire

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None, deadline: Deadline) -> None:
        _, host, port = origin
        super().__init__(host, port)
        self._tls = tls
        self._deadline = deadline
        self.used = False

    def connect(self) -> None:
        sock = _connect(self.host, self.port, self._deadline)
        try:
            if self._tls is not None:
                sock.settimeout(self._deadline.patience(limits.CONNECT_TIMEOUT))
                sock = self._tls.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise
        self.wire = _Wire(sock, self._deadline)
        self.sock = self.wire


class Transport(httpx.BaseTransport):
    """Keeps idle connections by origin; safe to share between threads.

    A request carries its deadline as `extensions={"deadline": Deadline}`.
    Bodies are iterated as views of one reused buffer: a chunk is valid until the next is asked
    for, so `Response.read` must not be used; `imgverify.registry.session.read_body` copies.
    Raises `httpx.TransportError`, `Unreachable` (deadline) and `Interrupted`.
    """

    def __init__(self, *, insecure_tls: bool = False) -> None:
        self._insecure_tls = insecure_tls
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[Origin, list[_Connection]] = {}
        self._lock = threading.Lock()

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
        return httpx.Response(
            answer.status,
            headers=answer.getheaders(),
            stream=_Body(self, connection, answer),
            request=request,
        )

    def _exchange(
        self, request: httpx.Request, deadline: Deadline
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        origin = _origin(request.url)
        while True:
            connection = self._take(origin, deadline)
            try:
                _send(connection, request)
                return connection, connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                connection.close()
                # Only a connection that had idled may have been closed under us.
                if not connection.used:
                    raise
            except BaseException:
                connection.close()
                raise

    def _take(self, origin: Origin, deadline: Deadline) -> _Connection:
        with self._lock:
            idle = self._idle.get(origin)
            connection = idle.pop() if idle else None
        if connection is None:
            tls = self._context() if origin[0] == "https" else None
            return _Connection(origin, tls, deadline)
        connection.used = True
        connection.wire.deadline = deadline
        return connection

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose response was read to its end."""
        scheme = "http" if connection._tls is None else "https"  # noqa: SLF001 - same module
        with self._lock:
            self._idle.setdefault((scheme, connection.host, connection.port), []).append(connection)

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = _tls_context(insecure=self._insecure_tls)
            return self._tls

    def close(self) -> None:
        """Close idle connections; those in use close with their responses."""
        with self._lock:
            connections = [each for idle in self._idle.values() for each in idle]
            self._idle.clear()
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
        reusable = (self._done or self._answer.length == 0) and not self._answer.will_close
        self._answer.close()
        if reusable:
            self._transport.give_back(self._connection)
        else:
            self._connection.close()


def describe(error: BaseException) -> str:
    """Say what went wrong on the network in a reader's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the TLS certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return f"nothing arrived for {limits.STALL_TIMEOUT:g} s"
    if isinstance(error, socket.gaierror):
        return f"the name was not found: {error.strerror}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"no valid HTTP: {type(error).__name__}"


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme]


def _send(connection: _Connection, request: httpx.Request) -> None:
    target = request.url.raw_path.decode("ascii")
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.raw:
        connection.putheader(name.decode("ascii"), value)
    connection.endheaders(request.content or None)


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    failure: OSError = OSError("the name has no address")
    for family, address in _addresses(host, port, deadline):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            _await_connection(sock, address, deadline)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _await_connection(
    sock: socket.socket, address: tuple[str | int | bytes, ...], deadline: Deadline
) -> None:
    until = deadline.within(limits.CONNECT_TIMEOUT)
    sock.settimeout(0)
    error = sock.connect_ex(address)
    while error == errno.EINPROGRESS:
        if until.remaining <= 0:
            deadline.patience(_HEARING)
            msg = f"no connection within {limits.CONNECT_TIMEOUT:g} s"
            raise OSError(0, msg)
        if select.select([], [sock], [], deadline.patience(_HEARING))[1]:
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _addresses(host: str, port: int, deadline: Deadline) -> list[Address]:
    """Look a name up without waiting for the resolver longer than for anything else."""
    found: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put([(each[0], each[4]) for each in answers])
        except (OSError, UnicodeError) as error:
            found.put(error if isinstance(error, OSError) else OSError(0, "the name is no name"))

    patience = deadline.patience(limits.CONNECT_TIMEOUT)
    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = found.get(timeout=patience)
    except queue.Empty:
        msg = f"the name was not resolved within {patience:.0f} s"
        raise OSError(0, msg) from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _tls_context(*, insecure: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # Not load_default_certs(): OpenSSL would follow SSL_CERT_FILE and SSL_CERT_DIR.
    paths = ssl.get_default_verify_paths()
    cafile = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    capath = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if cafile is None and capath is None:
        import certifi  # noqa: PLC0415 - only where the system ships no certificates

        cafile = certifi.where()
    context.load_verify_locations(cafile=cafile, capath=capath)
    return context
