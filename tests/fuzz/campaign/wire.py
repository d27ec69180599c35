"""Connections without a network: the client holds a real socket, and its other end is played.

What the client sends is answered in the client's own thread where the answer is quick, and goes
on in a thread of its own where it takes time, so that deadlines, stalls and resets are the
kernel's and not pretended.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from imgverify.serve.distribution import Request

if TYPE_CHECKING:
    from collections.abc import Callable


#: Up to here an answer fits what the kernel keeps for a socket, so that sending it cannot wait.
_INLINE = 1 << 16
_INLINE_STEPS = 4
_PATIENCE = 10.0
#: As much of an answer as is kept for those who look at it afterwards.
REMEMBERED = 4 << 20


class End(enum.StrEnum):
    """What becomes of the connection after an answer."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes to be sent `times` times, each time after a pause in seconds."""

    data: bytes
    times: int = 1
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Play:
    """All that is sent in answer to one request."""

    steps: tuple[Step, ...]
    end: End = End.KEEP

    @property
    def is_quick(self) -> bool:
        """Whether it can be sent without waiting for anybody."""
        short = sum(len(each.data) * each.times for each in self.steps) <= _INLINE
        waits = any(each.pause or each.times > 1 for each in self.steps)
        return short and not waits and len(self.steps) <= _INLINE_STEPS

    @property
    def text(self) -> bytes:
        """The first bytes of it."""
        sent = bytearray()
        for each in self.steps:
            most = (REMEMBERED - len(sent)) // max(1, len(each.data)) + 1
            sent += each.data * min(each.times, most)
            if len(sent) >= REMEMBERED:
                break
        return bytes(sent[:REMEMBERED])


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that a host was sent, and what it was answered."""

    host: str
    request: Request
    target: str
    play: Play
    changed: bool = False


@dataclass(slots=True)
class Stage:
    """The hosts that there are, and what was said; `answering` is asked once for each request.

    `failure` is an error of `answering`: it is no fault of the client's.
    """

    hosts: frozenset[str]
    answering: Callable[[str, Request, str], Exchange]
    log: list[Exchange] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None
    _far: list[Far] = field(default_factory=list)

    def dial(self, host: str, port: int) -> socket.socket:
        """Stand in for `imgverify.registry.dial.Dialer.connect`: the one way to a host."""
        name = host if port == 80 else f"{host}:{port}"
        if port == 443 and host in self.hosts:
            raise ConnectionRefusedError(111, "Connection refused")
        if name not in self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        near, other = socket.socketpair()
        far = Far(self, name, other)
        self._far.append(far)
        return Line(near, far)

    def close(self) -> None:
        """End every connection, and wait until nothing is played any more."""
        self.stopping.set()
        for each in self._far:
            each.close()
        for each in self._far:
            each.join()


class Line(socket.socket):
    """The client's end of a connection."""

    def __init__(self, near: socket.socket, far: Far) -> None:
        super().__init__(fileno=near.detach())
        self._far = far

    def getpeername(self) -> tuple[str, int]:
        return self._far.host, 0

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ANN401 - as the parent's
        super().sendall(data, flags)
        self._far.heard()


class Far:
    """The other end of a connection: reads requests and plays what they are answered."""

    def __init__(self, stage: Stage, host: str, sock: socket.socket) -> None:
        sock.settimeout(_PATIENCE)
        self._stage = stage
        self.host = host
        self._sock = sock
        self._lock = threading.Lock()
        self._busy = False
        self._kept = 0
        self._player: threading.Thread | None = None

    def heard(self) -> None:
        """Answer the requests that have arrived whole."""
        with self._lock:
            if self._busy:
                return
            self._busy = True
        self._go_on()

    def close(self) -> None:
        """Wake up whoever sends; the file descriptor is closed once nobody does."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait for the end of what is being played."""
        if self._player is not None:
            self._player.join(_PATIENCE)
        self._sock.close()

    def _go_on(self) -> None:
        while (play := self._next()) is not None:
            if not play.is_quick and threading.current_thread() is not self._player:
                self._player = threading.Thread(target=self._slowly, args=(play,), daemon=True)
                self._player.start()
                return
            if not self._perform(play):
                return

    def _slowly(self, play: Play) -> None:
        if self._perform(play):
            self._go_on()

    def _next(self) -> Play | None:
        with self._lock:
            request = self._read()
            if request is None:
                self._busy = False
                return None
        try:
            exchange = self._stage.answering(self.host, *request)
        except Exception as error:  # noqa: BLE001 - ours; the client would be blamed for it
            self._stage.failure = error
            self.close()
            return None
        self._stage.log.append(exchange)
        return exchange.play

    def _read(self) -> tuple[Request, str] | None:
        """Take a whole request off the socket, all but its last byte.

        A socket that is closed with something unread resets the connection, which a server that
        has read all could not do otherwise.
        """
        try:
            data = self._sock.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT)[self._kept :]
        except OSError:
            return None
        head, blank, rest = data.partition(b"\r\n\r\n")
        if not blank:
            return None
        lines = head.decode("latin-1").split("\r\n")
        headers = tuple(_header(each) for each in lines[1:])
        length = int(dict(headers).get("Content-Length", "0"))
        if len(rest) < length:
            return None
        self._sock.recv(self._kept + len(head) + 4 + length - 1)
        self._kept = 1
        method, target, _ = lines[0].split(" ")
        path, _, query = target.partition("?")
        asked = tuple(parse_qsl(query, keep_blank_values=True))
        return Request(method, path, asked, headers, rest[:length]), target

    def _perform(self, play: Play) -> bool:
        """Send an answer; tells whether another may follow."""
        try:
            for each in play.steps:
                for _ in range(each.times):
                    if each.pause and self._stage.stopping.wait(each.pause):
                        return False
                    self._sock.sendall(each.data)
            if play.end is End.KEEP:
                return True
            if play.end is End.CLOSE:
                self._sock.recv(self._kept)
            self._sock.close()
        except OSError:
            self.close()
        return False


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
