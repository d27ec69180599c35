"""Opening connections: name lookup and TCP, each wait bounded and heard when called off."""

from __future__ import annotations

import errno
import os
import queue
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from imgverify.errors import Unreachable
from imgverify.oci import limits

if TYPE_CHECKING:
    from imgverify.registry.deadline import Deadline
    from imgverify.registry.guard import DialGuard

SocketAddress: TypeAlias = tuple[str | int | bytes, ...]
Address: TypeAlias = tuple[socket.AddressFamily, SocketAddress]
#: From a host and port to the addresses to be tried, in order; raises `OSError`.
Lookup: TypeAlias = Callable[[str, int], list[Address]]

#: No wait is longer than this at a time, so that whoever calls the work off is heard.
HEARING: Final = 0.1


def system_lookup(host: str, port: int) -> list[Address]:
    """Ask the system's resolver, to which 0x7f.1 is an address as well."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(each[0], each[4]) for each in answers]


@dataclass(frozen=True, slots=True)
class Dialer:
    """How a host's name becomes a connection.

    `guard` is asked about every address that the name led to, and what it allowed is what the
    socket is connected to; the name is not looked up again.
    """

    lookup: Lookup = system_lookup
    guard: DialGuard | None = None

    def connect(self, host: str, port: int, deadline: Deadline) -> socket.socket:
        """Connect to a host.

        Raises `OSError`, `Unreachable` where the guard allows no address, and what
        `Deadline.patience` raises.
        """
        failure: OSError = OSError(0, "the name has no address")
        for family, address in self._allowed(_addresses(self.lookup, host, port, deadline)):
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

    def refuse_literal(self, host: str) -> None:
        """Hold a host that is an address against the guard, where another will dial it.

        Raises `Unreachable`.  A name passes: it is whoever dials it who looks it up.
        """
        try:
            answers = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
        except OSError:
            return
        self._allowed([(each[0], each[4]) for each in answers])

    def _allowed(self, addresses: list[Address]) -> list[Address]:
        if self.guard is None:
            return addresses
        allowed = [each for each in addresses if self.guard.allows(str(each[1][0]))]
        if addresses and not allowed:
            msg = f"its address, {addresses[0][1][0]!s}, is not public, and so is not dialled"
            raise Unreachable(msg, hint="permit the address's network if this host is meant")
        return allowed


def _await_connection(sock: socket.socket, address: SocketAddress, deadline: Deadline) -> None:
    until = deadline.within(limits.CONNECT_TIMEOUT)
    # Not select.select(), which knows no file descriptor above 1023.
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    sock.settimeout(0)
    error = sock.connect_ex(address)
    while error == errno.EINPROGRESS:
        patience = deadline.patience(HEARING)
        if until.remaining <= 0:
            msg = f"no connection within {limits.CONNECT_TIMEOUT:g} s"
            raise OSError(0, msg)
        if poll.poll(patience * 1000):
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _addresses(lookup: Lookup, host: str, port: int, deadline: Deadline) -> list[Address]:
    """Look a name up without waiting for the resolver longer than for anything else."""
    found: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(lookup(host, port))
        except (OSError, UnicodeError) as error:
            found.put(error if isinstance(error, OSError) else OSError(0, "the name is no name"))

    threading.Thread(target=look_up, daemon=True).start()
    answer = _resolved(found, deadline)
    if isinstance(answer, OSError):
        raise answer
    return answer


def _resolved(
    found: queue.SimpleQueue[list[Address] | OSError], deadline: Deadline
) -> list[Address] | OSError:
    until = deadline.within(limits.CONNECT_TIMEOUT)
    while True:
        patience = deadline.patience(HEARING)
        try:
            return found.get(timeout=patience)
        except queue.Empty:
            if until.remaining <= 0 < deadline.remaining:
                msg = f"the name was not resolved within {limits.CONNECT_TIMEOUT:g} s"
                raise OSError(0, msg) from None
