"""What a failed exchange with a host is to the caller: whose failure, why, and what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from imgverify.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.oci.reference import Registry


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
