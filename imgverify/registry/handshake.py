"""Making a connection secure: TLS over a socket, or over the TLS of a proxy."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from imgverify.oci import limits
from imgverify.registry.dial import HEARING

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.registry.deadline import Deadline

T = TypeVar("T")

_RECORD: Final = 64 * limits.KIB


class LayeredTls:
    """TLS inside the TLS of a proxy, as much like a socket as the transport needs.

    `ssl` itself can wrap a socket only.  A read that times out may be tried again; after a write
    that did, the connection is to be closed.
    """

    def __init__(self, outer: ssl.SSLSocket, host: str, context: ssl.SSLContext) -> None:
        self._outer = outer
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = context.wrap_bio(self._arrived, self._leaving, server_hostname=host)

    def do_handshake(self) -> None:
        """Shake hands; raises `TimeoutError` where it has to be called again."""
        self._do(self._inner.do_handshake)

    def recv_into(self, buffer: memoryview) -> int:
        """Read into a buffer; 0 is the end."""
        try:
            # The inner object's read takes a buffer, too, which its annotation leaves out.
            return self._do(lambda: self._inner.read(len(buffer), buffer))  # type: ignore[return-value]
        except ssl.SSLEOFError:
            return 0

    def sendall(self, data: bytes) -> None:
        """Send everything; into memory first, where it all goes at once."""
        self._do(lambda: self._inner.write(data))

    def pending(self) -> int:
        """Tell how many bytes came that nobody read."""
        return self._inner.pending() + self._arrived.pending + self._outer.pending()

    def settimeout(self, seconds: float) -> None:
        """Bound each of the waits to come."""
        self._outer.settimeout(seconds)

    def getpeername(self) -> tuple[str | int, ...]:
        """Return the address of the proxy, which is all that is known of the other end."""
        found: tuple[str | int, ...] = self._outer.getpeername()
        return found

    def fileno(self) -> int:
        """Return the number of the socket below."""
        return self._outer.fileno()

    def close(self) -> None:
        """Close the socket below."""
        self._outer.close()

    def _do(self, step: Callable[[], T]) -> T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                self._arrive()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if data := self._leaving.read():
            self._outer.sendall(data)

    def _arrive(self) -> None:
        data = self._outer.recv(_RECORD)
        if data:
            self._arrived.write(data)
        else:
            self._arrived.write_eof()


#: What bytes go over.
Stream: TypeAlias = socket.socket | LayeredTls


def shake_hands(
    sock: socket.socket, host: str, context: ssl.SSLContext, deadline: Deadline
) -> ssl.SSLSocket:
    """Make a connection secure; closes it where that fails.

    A host that is an address is not sent as a name (SNI), and its certificate has to have it as
    an address.  Raises `OSError` and what `Deadline.patience` raises.
    """
    made = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    _complete(made, deadline)
    return made


def shake_hands_within(
    outer: ssl.SSLSocket, host: str, context: ssl.SSLContext, deadline: Deadline
) -> LayeredTls:
    """Do what `shake_hands` does, inside a connection that TLS secures already."""
    made = LayeredTls(outer, host, context)
    _complete(made, deadline)
    return made


def _complete(secured: ssl.SSLSocket | LayeredTls, deadline: Deadline) -> None:
    try:
        _shake(secured, deadline)
    except BaseException:
        secured.close()
        raise


def _shake(secured: ssl.SSLSocket | LayeredTls, deadline: Deadline) -> None:
    until = deadline.within(limits.CONNECT_TIMEOUT)
    while True:
        secured.settimeout(deadline.patience(HEARING))
        try:
            secured.do_handshake()
        except TimeoutError:
            if until.remaining <= 0 < deadline.remaining:
                msg = f"no connection within {limits.CONNECT_TIMEOUT:g} s"
                raise OSError(0, msg) from None
        else:
            return
