"""A listener that passes bytes on and keeps what the clients sent."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Self


class Relay:
    """Passes connections on to `target` (`address`, port) while its `with` block runs.

    `sent` has what each connection's client sent. Without a target connections are only heard.
    """

    def __init__(self, target: tuple[str, int] | None = None, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self._target = target
        self._stopping = threading.Event()
        self.sent: list[bytearray] = []

    @property
    def host(self) -> str:
        address, port = self._listener.getsockname()[:2]
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._stopping.is_set():
            with contextlib.suppress(OSError):
                client, _ = self._listener.accept()
                heard = bytearray()
                self.sent.append(heard)
                threading.Thread(target=self._pass, args=(client, heard), daemon=True).start()

    def _pass(self, client: socket.socket, heard: bytearray) -> None:
        with client, contextlib.suppress(OSError):
            if self._target is None:
                self._carry({client: None}, client, heard)
                return
            with socket.create_connection(self._target, 5) as target:
                self._carry({client: target, target: client}, client, heard)

    def _carry(
        self,
        ways: dict[socket.socket, socket.socket | None],
        client: socket.socket,
        heard: bytearray,
    ) -> None:
        while not self._stopping.is_set():
            for source in select.select(list(ways), [], [], 0.05)[0]:
                data = source.recv(65536)
                if not data:
                    return
                if source is client:
                    heard += data
                target = ways[source]
                if target is not None:
                    target.sendall(data)
