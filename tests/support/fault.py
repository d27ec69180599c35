"""What a fault of `FakeRegistry` is, and which requests it is for."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from imgverify.serve.loopback import Pairs, Request, Response

FOREVER = 3600.0


@dataclass(frozen=True, slots=True)
class When:
    """Which requests a fault is for: those it fits, from the `first` to the `last` of them.

    `path` is any part of the path; an empty method or path fits all.
    """

    method: str = ""
    path: str = ""
    first: int = 1
    last: int | None = None

    def fits(self, request: Request) -> bool:
        return self.method in ("", request.method) and self.path in request.path

    def is_due(self, nth: int) -> bool:
        return self.first <= nth and (self.last is None or nth <= self.last)


ALWAYS = When()
MANIFESTS = When(path="/manifests/")
BLOBS = When(path="/blobs/")


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way through the faults, with the response that it has so far."""

    request: Request
    response: Response
    nth: int
    api: Callable[[Request], Response]
    stopping: threading.Event

    @property
    def headers(self) -> Pairs:
        return tuple(self.response.headers)

    def header(self, name: str) -> str | None:
        found = (value for key, value in self.headers if key.lower() == name.lower())
        return next(found, None)

    @property
    def data(self) -> bytes:
        body = self.response.body
        return body if isinstance(body, bytes) else b"".join(body)


def without(headers: Pairs, *names: str) -> Pairs:
    return tuple(each for each in headers if each[0].lower() not in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The base of all: a step from one response to another; `when` is always given by name."""

    when: When = ALWAYS

    def apply(self, call: Call) -> Response:
        raise NotImplementedError(call)


def pause(call: Call, seconds: float) -> None:
    """Wait, but not longer than the registry lives; then break the connection off."""
    if call.stopping.wait(seconds):
        raise ConnectionAbortedError
