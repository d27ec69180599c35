"""From a URL to a stream of bytes that its host is at the other end of."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imgverify.oci.reference import Registry
from imgverify.registry.dial import Dialer
from imgverify.registry.failure import about_proxy
from imgverify.registry.handshake import shake_hands, shake_hands_within
from imgverify.registry.proxy import Proxies
from imgverify.registry.tls import Contexts
from imgverify.registry.tunnel import open_tunnel
from imgverify.registry.urls import host_of, origin_url, port_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import httpx

    from imgverify.registry.deadline import Deadline
    from imgverify.registry.handshake import Stream
    from imgverify.registry.proxy import Proxy
    from imgverify.registry.tls import Security

NO_PROXIES: Final = Proxies()
PLAIN_DIALER: Final = Dialer()


class Connector:
    """Opens connections: directly or through a proxy, secured as `security` says of the host.

    Safe to share between threads.
    """

    def __init__(
        self,
        security: Callable[[httpx.URL], Security],
        proxies: Proxies = NO_PROXIES,
        dialer: Dialer = PLAIN_DIALER,
    ) -> None:
        self._security = security
        self._proxies = proxies
        self._dialer = dialer
        self._contexts = Contexts()

    def forwarder(self, url: httpx.URL) -> Proxy | None:
        """Return the proxy that is itself sent the requests for a URL: for plain HTTP alone."""
        return self._proxies.choose(url) if url.scheme == "http" else None

    def open(self, url: httpx.URL, deadline: Deadline) -> Stream:
        """Connect to a URL's host, or to the proxy that plain requests for it are sent to.

        Raises `OSError`, `Unreachable`, `InputError` for a host's TLS files, and what
        `Deadline.patience` raises.
        """
        host = host_of(url)
        # Before anything is dialled: it may be that a file cannot be used.
        context = self._context(url) if url.scheme == "https" else None
        proxy = self._proxies.choose(url)
        if proxy is None:
            stream = self._dialer.connect(host, port_of(url), deadline)
        else:
            self._dialer.refuse_literal(host)
            stream = self._through(proxy, url, deadline)
        if context is None:
            return stream
        if isinstance(stream, ssl.SSLSocket):
            return shake_hands_within(stream, host, context, deadline)
        return shake_hands(stream, host, context, deadline)

    def _context(self, url: httpx.URL) -> ssl.SSLContext:
        return self._contexts.of(self._security(url))

    def _through(self, proxy: Proxy, url: httpx.URL, deadline: Deadline) -> socket.socket:
        host = proxy.at.host
        context = self._context(origin_url(proxy.at, secure=True)) if proxy.secure else None
        # Whoever configured the proxy chose its address; the guard is for what others choose.
        dialer = replace(self._dialer, guard=None)
        with about_proxy(proxy):
            stream = dialer.connect(host, proxy.port, deadline)
            if context is not None:
                stream = shake_hands(stream, host, context, deadline)
            if url.scheme == "https":
                _open_tunnel(stream, url, proxy, deadline)
        return stream


def _open_tunnel(stream: socket.socket, url: httpx.URL, proxy: Proxy, deadline: Deadline) -> None:
    try:
        open_tunnel(stream, str(Registry(host_of(url), port_of(url))), proxy, deadline)
    except BaseException:
        stream.close()
        raise
