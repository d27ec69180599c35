"""What a failed exchange with a host is to the caller: whose failure, why, and what to do."""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx

from imgverify.errors import NotFound, RateLimited, Unauthorized, Unreachable
from imgverify.oci import limits
from imgverify.registry.ratelimit import parse_rate_limit, parse_retry_after, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.errors import SourceError
    from imgverify.oci.reference import Registry
    from imgverify.registry.deadline import Clock
    from imgverify.registry.proxy import Proxy
    from imgverify.registry.ratelimit import RateLimit

#: What a fault's text says where a host refused this client, and not the other way round.
CLIENT_CERTIFICATE: Final = "it wants a client certificate"
_TRANSIENT: Final = frozenset({502, 503, 504})


@contextmanager
def about(host: Registry) -> Iterator[None]:
    """Say which host it was that a network fault or the deadline's end is about."""
    try:
        yield
    except httpx.TransportError as error:
        raise _network_error(host, error) from error
    except Unreachable as error:
        msg = f"{host}: {error.message}"
        raise Unreachable(msg, hint=error.hint) from error


@contextmanager
def about_proxy(proxy: Proxy) -> Iterator[None]:
    """Say of a network fault or the deadline's end that it is the proxy's, not the host's."""
    try:
        yield
    except (OSError, ValueError) as error:
        text = describe(error)
        hint = _hint(proxy.at, text)
        if "WRONG_VERSION_NUMBER" in text:
            hint = f"it does not speak TLS: write it as http://{proxy.at}"
        msg = f"the proxy {proxy}: {text}"
        raise Unreachable(msg, hint=hint) from error
    except Unreachable as error:
        msg = f"the proxy {proxy}: {error.message}"
        raise Unreachable(msg, hint=error.hint) from error


def _network_error(host: Registry, error: httpx.TransportError) -> Unreachable:
    msg = f"{host}: {error}"
    transient = isinstance(error, httpx.ReadError)
    return Unreachable(msg, hint=_hint(host, str(error)), transient=transient)


def _hint(host: Registry, text: str) -> str:
    if "WRONG_VERSION_NUMBER" in text:
        return f"it does not speak TLS; if it is meant to be plain HTTP: --insecure-http {host}"
    if CLIENT_CERTIFICATE in text:
        return f"name the one that it knows: --tls-client-cert {host}=CERT:KEY"
    if "local issuer" in text or "self-signed" in text:
        return f"a TLS failure is final; a private authority is named with --tls-ca {host}=FILE"
    if "TLS" in text:
        return "a TLS failure is final: check the host name and its certificate authority"
    return "check the name, the network and that the registry runs"


def describe(error: BaseException) -> str:
    """Say what went wrong on the network in a reader's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the TLS certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        # Only errors that OpenSSL itself raised have a reason.
        reason = str(getattr(error, "reason", None) or error)
        # The other side's alerts: the certificate that they are about is this client's.
        about_client = "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)
        return f"TLS failed: {f'{CLIENT_CERTIFICATE} ({reason})' if about_client else reason}"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(error, TimeoutError):
        return f"nothing arrived for {limits.STALL_TIMEOUT:g} s"
    if isinstance(error, socket.gaierror):
        return f"the name was not found: {error.strerror}"
    words = error.strerror if isinstance(error, OSError) else None
    return f"{words[0].lower()}{words[1:]}" if words else f"no valid HTTP: {type(error).__name__}"


def status_error(
    response: httpx.Response, host: Registry, code: str, clock: Clock | None
) -> SourceError:
    """Say what a status means; `code` is what the body gives as the reason, if it may be quoted."""
    status = response.status_code
    msg = f"{host} answered {status}" + (f" ({code})" if code else "")
    if status == httpx.codes.NOT_FOUND:
        return NotFound(msg)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        wait = parse_retry_after(response.headers)
        hint = next_step(parse_rate_limit(response.headers), wait, clock)
        return RateLimited(msg, hint=hint, retry_after=wait)
    hint = "the registry is at fault: try again later"
    return Unreachable(msg, hint=hint, transient=status in _TRANSIENT, status=status)


def next_step(limit: RateLimit | None, wait: float | None, clock: Clock | None) -> str:
    """Say which limit was hit just now, and when to try again; without a clock, in how long."""
    spent = limit is not None and limit.remaining == 0
    which = f"the rate limit ({limit.name})" if limit and spent else "the rate limit"
    step, before = "try again", "after"
    if wait is None and limit and spent and limit.window:
        # It is not said when the window began, only how long it is.
        wait, step, before = float(limit.window), "it is renewed", "by"
    if wait is None or wait > limits.RETRY_AFTER_SAID:
        return f"{which} is used up: try again later"
    when = f"{before} {clock.later(wait)}" if clock else f"in {span(wait)}"
    return f"{which} is used up: {step} {when}"


def unauthorized(
    host: Registry, status: int, source: str | None, *, token_server: Registry | None = None
) -> Unauthorized:
    """Say who refused whom: the credentials from `source`, or nobody in particular (None)."""
    again = "" if source is None else " again"
    hint = f"log in{again} (docker login {host}), and check the image's name"
    whom = f"the credentials {f'from {source}' if source else 'that it was given'}"
    if token_server is not None:
        who = f"{host}: its token server"
        who += "" if token_server == host else f" {token_server}"
        what = "gives nobody a token" if source is None else f"refuses {whom}"
        return Unauthorized(f"{who} {what} ({status})", hint=hint)
    if source is not None:
        return Unauthorized(f"{host} refuses access with {whom} ({status})", hint=hint)
    what = "wants credentials" if status == httpx.codes.UNAUTHORIZED else "refuses access"
    return Unauthorized(f"{host} {what} ({status})", hint=hint)


def unauthorized_elsewhere(registry: Registry, target: Registry, status: int) -> Unauthorized:
    """Say that a registry redirects to where its credentials are not sent."""
    msg = f"{registry} redirects to {target}, which wants credentials ({status})"
    return Unauthorized(
        msg, hint="credentials never follow a redirect: tell the registry's operator"
    )
