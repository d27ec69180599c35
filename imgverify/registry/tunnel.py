"""Asking a proxy for a tunnel: CONNECT (RFC 9110 §9.3.6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imgverify.errors import Unreachable
from imgverify.oci import limits
from imgverify.registry.dial import HEARING
from imgverify.version import __version__

if TYPE_CHECKING:
    from imgverify.registry.deadline import Deadline
    from imgverify.registry.handshake import Stream
    from imgverify.registry.proxy import Proxy

_STATUS: Final = re.compile(rb"HTTP/1\.[01] (?P<status>[0-9]{3})(?: [^\r\n]*)?")
_END: Final = b"\r\n\r\n"
_PIECE: Final = 4096
_SUCCESS: Final = range(200, 300)
#: Proxy Authentication Required.
WANTS_CREDENTIALS: Final = 407


def open_tunnel(stream: Stream, target: str, proxy: Proxy, deadline: Deadline) -> None:
    """Have `target` (`host:port`) put at the other end of a connection to a proxy.

    The proxy gets to know the target, and who we are to it, and nothing else.  Errors speak of
    the proxy as "it": `imgverify.registry.failure.about_proxy` says which one.
    Raises `Unreachable`, `OSError`, and what `Deadline.patience` raises.
    """
    lines = [
        f"CONNECT {target} HTTP/1.1",
        f"Host: {target}",
        f"User-Agent: imgverify/{__version__}",
    ]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    stream.settimeout(deadline.patience(limits.CONNECT_TIMEOUT))
    stream.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    head, _, more = _read_head(stream, deadline).partition(_END)
    status = _STATUS.fullmatch(head.partition(b"\r\n")[0])
    if status is None:
        msg = "its answer is no HTTP"
        raise OSError(0, msg)
    code = int(status["status"])
    if code == WANTS_CREDENTIALS:
        raise credentials_wanted(proxy)
    if code not in _SUCCESS:
        msg = f"it makes no connection to {target} ({code})"
        hint = f"its operator has to allow that; to go without it: --proxy {target}=direct"
        raise Unreachable(msg, hint=hint)
    if more:
        # Nobody but the target may speak from here on, and it does not speak first.
        msg = "it sent more than its answer"
        raise OSError(0, msg)


def credentials_wanted(proxy: Proxy) -> Unreachable:
    """Say that a proxy answered 407, what it was given and what it wants."""
    if proxy.authorization:
        msg = "it does not take the user name and password it was given (407)"
        return Unreachable(msg, hint=f"check them in {proxy.named_by}")
    msg = "it wants a user name and password (407)"
    scheme, _, place = str(proxy).partition("://")
    return Unreachable(msg, hint=f"write them into its URL: {scheme}://USER:PASSWORD@{place}")


def _read_head(stream: Stream, deadline: Deadline) -> bytes:
    until = deadline.within(limits.CONNECT_TIMEOUT)
    head, piece = bytearray(), memoryview(bytearray(_PIECE))
    while _END not in head:
        stream.settimeout(deadline.patience(HEARING))
        if until.remaining <= 0:
            msg = f"no answer within {limits.CONNECT_TIMEOUT:g} s"
            raise OSError(0, msg)
        try:
            count = stream.recv_into(piece)
        except TimeoutError:
            continue
        if not count:
            msg = "it closed the connection without an answer"
            raise OSError(0, msg)
        head += piece[:count]
        if len(head) > limits.PROXY_HEAD_SIZE:
            msg = f"its answer is longer than {limits.PROXY_HEAD_SIZE} bytes"
            raise OSError(0, msg)
    return bytes(head)
