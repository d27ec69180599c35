"""Endpoints that have nothing and write down who asked: what a runtime is seen to contact."""

from __future__ import annotations

import http.server
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_MISSING = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"nothing is here"}]}'


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: `host` is `127.0.0.1:PORT`, `target` the path with its query."""

    host: str
    method: str
    target: str


class Endpoints:
    """Several servers on loopback with one record of all requests, in the order of arrival."""

    def __init__(self, number: int) -> None:
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        record = self._record

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                port: int = self.connection.getsockname()[1]
                record(Seen(f"127.0.0.1:{port}", self.command, self.path))
                is_base = self.path.rstrip("/").endswith("/v2")
                body = b"{}" if is_base else _MISSING
                self.send_response(200 if is_base else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._servers = [
            http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(number)
        ]
        self.hosts = tuple(f"127.0.0.1:{each.server_address[1]}" for each in self._servers)

    def _record(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)

    def forget(self) -> None:
        """Start recording anew."""
        with self._lock:
            self._seen.clear()

    @property
    def asked_for_manifests(self) -> tuple[tuple[str, str], ...]:
        """Where manifests were asked for, each place once: host, and path with its query."""
        with self._lock:
            places = [(each.host, each.target) for each in self._seen]
        return tuple(dict.fromkeys(each for each in places if "/manifests/" in each[1]))

    def __enter__(self) -> Self:
        """Start serving."""
        for each in self._servers:
            threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        for each in self._servers:
            each.shutdown()
            each.server_close()
