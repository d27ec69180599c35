"""A forward proxy on loopback that writes down all it gets to see."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import threading
from dataclasses import dataclass
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DONE = b"HTTP/1.1 200 Connection established\r\n\r\n"
_WHO = b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nwho"
_NOBODY = b"HTTP/1.1 502 Nobody\r\nContent-Length: 6\r\n\r\nnobody"
_BAD = b"HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nbad"
_OWN = {"proxy-authorization", "proxy-connection", "connection"}


@dataclass(frozen=True)
class Seen:
    """One request as the proxy saw it; header names are in small letters."""

    method: str
    target: str
    headers: Mapping[str, str]


class ForwardProxy(ThreadingTCPServer):
    """Makes tunnels (CONNECT) and forwards plain requests while its `with` block runs.

    `routes` is its hosts file: from `host:port` to the `host:port` that it really connects to.
    With `user` (`name:password`) everybody else is refused. Served over TLS with `certificate`.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        routes: Mapping[str, str] | None = None,
        *,
        user: str | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Client)
        self.routes = dict(routes or {})
        self.passed = bytearray()
        self.stopping = threading.Event()
        self._expected = user and f"Basic {base64.b64encode(user.encode()).decode()}"
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self._guard = threading.Lock()
        self._seen: list[Seen] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}"

    @property
    def seen(self) -> tuple[Seen, ...]:
        with self._guard:
            return tuple(self._seen)

    def note(self, request: Seen) -> bool:
        """Write a request down, and tell whether whoever sent it may."""
        with self._guard:
            self._seen.append(request)
        return self._expected in (None, request.headers.get("proxy-authorization"))

    def pass_on(self, data: bytes) -> None:
        """Write down what a client sent into a tunnel."""
        with self._guard:
            self.passed += data

    def finish_request(self, request: object, client_address: object) -> None:
        connection = cast("socket.socket", request)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        try:
            super().finish_request(connection, client_address)
        finally:
            self.shutdown_request(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: clients that hang up are what a proxy is used to."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()


class _Client(BaseRequestHandler):
    def handle(self) -> None:
        proxy = cast("ForwardProxy", self.server)
        head, body = _read_request(self.request)
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        if not proxy.note(Seen(method, target, headers)):
            self.request.sendall(_WHO)
            return
        place = target if method == "CONNECT" else target.split("/")[2]
        place = place if method == "CONNECT" or ":" in place else f"{place}:80"
        host, _, port = proxy.routes.get(place, place).rpartition(":")
        try:
            origin = socket.create_connection((host.strip("[]"), int(port)), 5)
        except OSError:
            self.request.sendall(_NOBODY)
            return
        with origin:
            if method == "CONNECT":
                self.request.sendall(_DONE)
                _pump(self.request, origin, proxy)
            else:
                path = "/" + "/".join(target.split("/")[3:])
                kept = [f"{name}: {headers[name]}" for name in headers if name not in _OWN]
                asked = [f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]
                origin.sendall("\r\n".join(asked).encode() + body)
                _relay(origin, self.request)


def _read_request(client: socket.socket) -> tuple[str, bytes]:
    client.settimeout(10)
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(4096)
        if not more:
            raise ConnectionAbortedError
        data += more
        if not data[:1].isalpha():
            client.sendall(_BAD)
            raise ConnectionAbortedError
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        while name.lower() == "content-length" and len(body) < int(value):
            body += client.recv(4096)
    return head.decode("latin-1"), body


def _relay(origin: socket.socket, client: socket.socket) -> None:
    """Pass an answer on, and say that the connection ends with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += origin.recv(65536)
    status, _, rest = data.partition(b"\r\n")
    client.sendall(status + b"\r\nConnection: close\r\n" + rest)
    while more := origin.recv(65536):
        client.sendall(more)


def _pump(client: socket.socket, origin: socket.socket, proxy: ForwardProxy) -> None:
    """Carry bytes both ways until one side ends or the proxy does."""
    poll = select.poll()
    for each in (client, origin):
        poll.register(each, select.POLLIN)
    while not proxy.stopping.is_set():
        waiting = isinstance(client, ssl.SSLSocket) and client.pending()
        ready = {number for number, _ in poll.poll(0 if waiting else 50)}
        for source, target in ((client, origin), (origin, client)):
            if source.fileno() not in ready and not (source is client and waiting):
                continue
            with contextlib.suppress(TimeoutError):
                data = source.recv(65536)
                if not data:
                    return
                if source is client:
                    proxy.pass_on(data)
                target.sendall(data)
