"""A real registry on 127.0.0.1, for the demo and for tests.

It serves the pull side of the distribution API from a `Shelf`. Whatever else it is to do is
given to it as functions, which are asked before the shelf is.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Final, Self, cast
from urllib.parse import parse_qsl

from imgverify.serve.distribution import Pairs, Request, Response, error, pull_api
from imgverify.serve.shelf import Blob, Shelf, StoredManifest, Streamed

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence
    from types import TracebackType

__all__ = [
    "Answer",
    "Blob",
    "LoopbackRegistry",
    "Pairs",
    "Request",
    "Response",
    "Shelf",
    "StoredManifest",
    "Streamed",
    "error",
    "pull_api",
]

Answer = Callable[[Request], Response | None]

_ADDRESS: Final = "127.0.0.1"
_POLL: Final = 0.02
_LEAVE: Final = 5.0
_BODY_MAX: Final = 1 << 20
# Up to here a copy is cheaper than a second packet.
_JOINED: Final = 1 << 16
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_RESET: Final = struct.pack("ii", 1, 0)


class LoopbackRegistry:
    """A registry that answers while its `with` block runs.

    Every request goes to `answers` in order and to the shelf where none of them has a response.
    They run in one thread for each connection and may wait, best on `stopping`. One that raises
    `OSError`, also out of a response's body, has the connection reset. Any other exception
    closes the connection, and leaves the `with` block at its end.
    """

    def __init__(
        self,
        shelf: Shelf,
        answers: Sequence[Answer] = (),
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.shelf = shelf
        self.stopping = threading.Event()
        self._answers = tuple(answers)
        self._tls = tls
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that the system chose."""
        if self._listener is None:
            msg = "the registry has a port only inside its with block"
            raise RuntimeError(msg)
        return self._listener.server_port

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as it is written in references."""
        return f"{_ADDRESS}:{self.port}"

    @property
    def url(self) -> str:
        """The scheme and host, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def respond(self, request: Request) -> Response:
        """Answer a request without a network."""
        for answer in self._answers:
            response = answer(request)
            if response is not None:
                return response
        return pull_api(self.shelf, request)

    def __enter__(self) -> Self:
        """Listen; the port takes connections from here on."""
        self.stopping.clear()
        self._listener = _Listener(self, self._tls)
        self._thread = threading.Thread(
            target=self._listener.serve_forever,
            args=(_POLL,),
            name=f"loopback registry {self.port}",
            daemon=True,
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening and end the connections that are open."""
        listener, thread = self._listener, self._thread
        if listener is None or thread is None:
            return
        self.stopping.set()
        listener.shutdown()
        thread.join(_LEAVE)
        listener.server_close()
        listener.disconnect()
        self._listener = self._thread = None
        if listener.failure is not None and exception is None:
            raise listener.failure


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, registry: LoopbackRegistry, tls: ssl.SSLContext | None) -> None:
        self.registry = registry
        self.failure: Exception | None = None
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__((_ADDRESS, 0), _Connection)

    def server_bind(self) -> None:
        # HTTPServer's own would look the address up in DNS, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _ADDRESS, self.socket.getsockname()[1]

    def finish_request(self, request: object, client_address: object) -> None:
        connection = cast("socket.socket", request)
        if self._tls is not None:
            # Here and not in accept(): a client that never shakes hands holds up only itself.
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        with self._changed:
            stopping = self.registry.stopping.is_set()
            self._open.add(connection)
        try:
            if not stopping:
                super().finish_request(connection, client_address)
        finally:
            self.shutdown_request(connection)
            with self._changed:
                self._open.discard(connection)
                self._changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: clients that hang up are what a registry is used to."""

    def disconnect(self) -> None:
        """End the open connections and wait until their threads are through."""
        with self._changed:
            for each in self._open:
                with contextlib.suppress(OSError):
                    # The socket's, not that of TLS: another thread may be inside OpenSSL.
                    socket.socket.shutdown(each, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _LEAVE)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Take every method: which ones are allowed is for the API to say."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Print nothing: stderr belongs to the program."""

    def _serve(self) -> None:
        listener = cast("_Listener", self.server)
        try:
            self._send(listener.registry.respond(self._received()))
        except OSError:
            # A body that breaks off must not look like one that ended.
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.connection.close()
        except Exception as failure:
            listener.failure = failure
            raise

    def _received(self) -> Request:
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length", "0")
        size = min(int(length), _BODY_MAX) if length.isdecimal() else 0
        return Request(
            method=self.command,
            path=path,
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            headers=tuple(self.headers.items()),
            body=self.rfile.read(size),
        )

    def _send(self, response: Response) -> None:
        head, said = self._head(response.headers, f"HTTP/1.1 {self._status(response.status)}")
        body, length = response.body, said.get("content-length")
        bodiless = response.status in _BODILESS
        chunked = length is None and not bodiless and not isinstance(body, bytes)
        if chunked:
            head += b"Transfer-Encoding: chunked\r\n"
        elif length is None and not bodiless and isinstance(body, bytes):
            head += f"Content-Length: {len(body)}\r\n".encode()
        head += b"\r\n"
        if said.get("connection", "").lower() == "close":
            self.close_connection = True
        if bodiless or self.command == "HEAD":
            self.wfile.write(head)
        elif length not in (None, str(self._body(bytes(head), body, chunked=chunked))):
            self.close_connection = True

    def _head(
        self, headers: Iterable[tuple[str, str]], status: str
    ) -> tuple[bytearray, dict[str, str]]:
        """Return what is still to be sent of the head, and all headers in lower case."""
        head, said = bytearray(f"{status}\r\n".encode()), {}
        for name, value in headers:
            said[name.lower()] = value
            head += f"{name}: {value}\r\n".encode()
            if not isinstance(headers, tuple):
                self.wfile.write(head)
                head.clear()
        return head, said

    def _body(self, head: bytes, body: bytes | Iterable[bytes], *, chunked: bool) -> int:
        if isinstance(body, bytes) and len(body) <= _JOINED:
            self.wfile.write(head + body)
            return len(body)
        self.wfile.write(head)
        sent = 0
        for chunk in (body,) if isinstance(body, bytes) else body:
            sent += len(chunk)
            if chunked and chunk:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            elif chunk:
                self.wfile.write(chunk)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        return sent

    def _status(self, code: int) -> str:
        return f"{code:d} {responses.get(code, 'Unknown')}"
