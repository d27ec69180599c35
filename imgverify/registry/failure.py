"""What a failed exchange with a host is to the caller: whose failure, why, and what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx

from imgverify.errors import NotFound, RateLimited, Unauthorized, Unreachable
from imgverify.registry.ratelimit import next_step, parse_rate_limit, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.errors import SourceError
    from imgverify.oci.reference import Registry
    from imgverify.registry.ratelimit import Clock

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


def _network_error(host: Registry, error: httpx.TransportError) -> Unreachable:
    msg = f"{host}: {error}"
    if "WRONG_VERSION_NUMBER" in str(error):
        hint = f"it does not speak TLS; if it is meant to be plain HTTP: --insecure-http {host}"
    elif "TLS" in str(error):
        hint = "a TLS failure is final: check the host name and its certificate authority"
    else:
        hint = "check the name, the network and that the registry runs"
    return Unreachable(msg, hint=hint, transient=isinstance(error, httpx.ReadError))


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
