"""Opening connections: name lookup, TCP and TLS, each wait bounded and heard when called off."""

from __future__ import annotations

import errno
import os
import queue
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Final

from imgverify.oci import limits

if TYPE_CHECKING:
    from imgverify.registry.deadline import Deadline

    Address = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]

#: No wait is longer than this at a time, so that whoever calls the work off is heard.
HEARING: Final = 0.1


def dial(host: str, port: int, tls: ssl.SSLContext | None, deadline: Deadline) -> socket.socket:
    """Connect to a host, and shake hands if `tls` is given.

    Raises `OSError`, and what `Deadline.patience` raises.
    """
    sock = _connect(host, port, deadline)
    if tls is None:
        return sock
    try:
        return _shake_hands(sock, host, tls, deadline)
    except BaseException:
        sock.close()
        raise


def _shake_hands(
    sock: socket.socket, host: str, tls: ssl.SSLContext, deadline: Deadline
) -> ssl.SSLSocket:
    until = deadline.within(limits.CONNECT_TIMEOUT)
    secured = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                _await(secured, deadline, until, reading=True)
            except ssl.SSLWantWriteError:
                _await(secured, deadline, until, reading=False)
            else:
                return secured
    except BaseException:
        secured.close()
        raise


def _await(sock: socket.socket, deadline: Deadline, until: Deadline, *, reading: bool) -> bool:
    """Wait a moment for a socket, tell whether it is ready; raises `OSError` after `until`."""
    patience = deadline.patience(HEARING)
    if until.remaining <= 0:
        msg = f"no connection within {limits.CONNECT_TIMEOUT:g} s"
        raise OSError(0, msg)
    wanted = select.POLLIN if reading else select.POLLOUT
    # Not select.select(), which knows no file descriptor above 1023.
    poll = select.poll()
    poll.register(sock, wanted)
    return bool(poll.poll(patience * 1000))


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    failure: OSError = OSError(0, "the name has no address")
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
        if _await(sock, deadline, until, reading=False):
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
