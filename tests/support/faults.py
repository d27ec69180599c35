"""What a `FakeRegistry` does wrong, as data: each fault says what happens, and `When`."""

import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus

from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.serve.loopback import Pairs, Response, error
from tests.support.fault import (
    ALWAYS,
    BLOBS,
    FOREVER,
    MANIFESTS,
    Call,
    Fault,
    When,
    pause,
    without,
)

__all__ = ["ALWAYS", "BLOBS", "FOREVER", "MANIFESTS", "Call", "Fault", "When"]


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """Another status; without a body, one in the API's form is made up."""

    code: int
    headers: Pairs = ()
    body: bytes | None = None

    def apply(self, call: Call) -> Response:
        if self.body is not None:
            return Response(self.code, self.headers, self.body)
        status = HTTPStatus(self.code)
        return error(status, status.name, f"{status.phrase}: {call.request.path}", *self.headers)


@dataclass(frozen=True, slots=True)
class Redirect(Fault):
    """Sends elsewhere; `{path}` in `to` is replaced by the request's path."""

    to: str
    code: int = 307

    def apply(self, call: Call) -> Response:
        return Response(self.code, (("Location", self.to.replace("{path}", call.request.path)),))


@dataclass(frozen=True, slots=True)
class Header(Fault):
    """One header set to something else, or dropped where `value` is None."""

    name: str
    value: str | None

    def apply(self, call: Call) -> Response:
        headers = without(call.headers, self.name.lower())
        if self.value is not None:
            headers += ((self.name, self.value),)
        return replace(call.response, headers=headers)


@dataclass(frozen=True, slots=True)
class Body(Fault):
    """Another body under the same headers; its length is told truthfully."""

    data: bytes

    def apply(self, call: Call) -> Response:
        headers = without(call.headers, "content-length")
        return Response(call.response.status, headers, self.data)


@dataclass(frozen=True, slots=True)
class Truncate(Fault):
    """The connection is closed (in good order) after `size` bytes of the body."""

    size: int

    def apply(self, call: Call) -> Response:
        data = call.data
        length = ("Content-Length", str(len(data)))
        headers = (*without(call.headers, "content-length"), length)
        return Response(call.response.status, headers, data[: self.size])


@dataclass(frozen=True, slots=True)
class Longer(Fault):
    """`extra` bytes after the body: beyond Content-Length, or chunked and so part of the body."""

    extra: bytes
    chunked: bool = False

    def apply(self, call: Call) -> Response:
        data = call.data
        headers = without(call.headers, "content-length")
        if self.chunked:
            return Response(call.response.status, headers, (data, self.extra))
        headers += (("Content-Length", str(len(data))),)
        return Response(call.response.status, headers, data + self.extra)


@dataclass(frozen=True, slots=True)
class Endless(Fault):
    """A chunked body without end, which starts with the real one."""

    filler: bytes = b" " * 65536

    def apply(self, call: Call) -> Response:
        headers = without(call.headers, "content-length")
        return Response(call.response.status, headers, self._body(call))

    def _body(self, call: Call) -> Iterator[bytes]:
        yield call.data
        while not call.stopping.is_set():
            yield self.filler


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """The body comes `size` bytes at a time, with `seconds` before each."""

    size: int
    seconds: float

    def apply(self, call: Call) -> Response:
        data = call.data
        length = ("Content-Length", str(len(data)))
        headers = (*without(call.headers, "content-length"), length)
        return Response(call.response.status, headers, self._body(call, data))

    def _body(self, call: Call, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), self.size):
            pause(call, self.seconds)
            yield data[start : start + self.size]


@dataclass(frozen=True, slots=True)
class DripHeaders(Fault):
    """Useless headers, one after another, with `seconds` before each; then the real ones."""

    seconds: float
    count: int = 1_000_000

    def apply(self, call: Call) -> Response:
        return replace(call.response, headers=self._headers(call))

    def _headers(self, call: Call) -> Iterator[tuple[str, str]]:
        for number in range(self.count):
            pause(call, self.seconds)
            yield "X-Padding", str(number)
        yield from call.headers


@dataclass(frozen=True, slots=True)
class Hang(Fault):
    """Silence before the answer."""

    seconds: float = FOREVER

    def apply(self, call: Call) -> Response:
        pause(call, self.seconds)
        return call.response


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """Silence in the middle of the body, after `size` bytes."""

    size: int
    seconds: float = FOREVER

    def apply(self, call: Call) -> Response:
        data = call.data
        length = ("Content-Length", str(len(data)))
        headers = (*without(call.headers, "content-length"), length)
        return Response(call.response.status, headers, self._body(call, data))

    def _body(self, call: Call, data: bytes) -> Iterator[bytes]:
        yield data[: self.size]
        pause(call, self.seconds)
        yield data[self.size :]


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """The connection is reset: before the answer, or after `size` bytes of the body."""

    size: int | None = None

    def apply(self, call: Call) -> Response:
        if self.size is None:
            raise ConnectionResetError
        length = ("Content-Length", str(len(call.data)))
        headers = (*without(call.headers, "content-length"), length)
        return Response(call.response.status, headers, self._body(call.data))

    def _body(self, data: bytes) -> Iterator[bytes]:
        yield data[: self.size]
        # A reset overtakes what was sent; give the client time to read that.
        time.sleep(0.05)
        raise ConnectionResetError


@dataclass(frozen=True, slots=True)
class Gzip(Fault):
    """A Content-Encoding nobody asked for; `level` 9 of a long run of zeros is a bomb."""

    level: int = 6

    def apply(self, call: Call) -> Response:
        headers = without(call.headers, "content-length")
        body = gzip.compress(call.data, self.level, mtime=0)
        return Response(call.response.status, (*headers, ("Content-Encoding", "gzip")), body)


@dataclass(frozen=True, slots=True)
class NotModified(Fault):
    """304, though nothing was asked with a condition."""

    def apply(self, call: Call) -> Response:
        return Response(304, without(call.headers, "content-length", "content-type"))


@dataclass(frozen=True, slots=True)
class RangeIgnored(Fault):
    """The whole blob with 200, whatever range was asked for."""

    def apply(self, call: Call) -> Response:
        headers = without(call.request.headers, "range")
        response = call.api(replace(call.request, headers=headers))
        return replace(response, headers=without(tuple(response.headers), "accept-ranges"))


@dataclass(frozen=True, slots=True)
class RangeShifted(Fault):
    """Another range than the one asked for; the Content-Range says which, or `lies`."""

    by: int
    lies: bool = False

    def apply(self, call: Call) -> Response:
        asked = call.request.header("Range")
        if asked is None:
            return call.response
        first, _, last = asked.removeprefix("bytes=").partition("-")
        other = f"bytes={int(first) + self.by}-{int(last) + self.by if last else ''}"
        headers = (*without(call.request.headers, "range"), ("Range", other))
        response = call.api(replace(call.request, headers=headers))
        if not self.lies:
            return response
        said = ("Content-Range", call.header("Content-Range") or "")
        kept = without(tuple(response.headers), "content-range")
        return replace(response, headers=(*kept, said))


@dataclass(frozen=True, slots=True)
class LoopingPages(Fault):
    """Every page of a list links to a next one: to itself, or each to a `fresh` one."""

    fresh: bool = False

    def apply(self, call: Call) -> Response:
        target = f"{call.request.path}?last={call.nth}" if self.fresh else call.request.path
        link = ("Link", f'<{target}>; rel="next"')
        return replace(call.response, headers=(*without(call.headers, "link"), link))


@dataclass(frozen=True, slots=True)
class TagHistory(Fault):
    """A tag that moves: the n-th request for it gets the n-th digest, the last one for ever.

    HEAD and GET count together unless `when` names one of them.
    """

    digests: tuple[Digest, ...]

    def apply(self, call: Call) -> Response:
        name, _, tag = call.request.path.rpartition("/")
        if ":" in tag:
            return call.response
        digest = self.digests[min(call.nth, len(self.digests)) - 1]
        return call.api(replace(call.request, path=f"{name}/{digest}"))


def moving_tag(repository: str, tag: str, *digests: Digest) -> TagHistory:
    return TagHistory(digests, when=When(path=f"/v2/{repository}/manifests/{tag}"))


@dataclass(frozen=True, slots=True)
class ServeOther(Fault):
    """The bytes of another manifest of the repository under the digest that was asked for."""

    digest: Digest

    def apply(self, call: Call) -> Response:
        name, _, asked = call.request.path.rpartition("/")
        other = call.api(replace(call.request, path=f"{name}/{self.digest}"))
        said = asked if ":" in asked else call.header("Docker-Content-Digest") or ""
        kept = without(tuple(other.headers), "docker-content-digest")
        return replace(other, headers=(*kept, ("Docker-Content-Digest", said)))


@dataclass(frozen=True, slots=True)
class Schema1(Fault):
    """Converts to schema 1 for who does not accept the type that the manifest has."""

    def apply(self, call: Call) -> Response:
        accepted = call.request.header("Accept") or ""
        held = call.header("Content-Type") or ""
        if call.response.status != HTTPStatus.OK or held in accepted:
            return call.response
        document = {"schemaVersion": 1, "name": "x", "tag": "x", "fsLayers": [], "history": []}
        body = json.dumps(document).encode()
        headers = (
            ("Content-Type", str(mediatype.SCHEMA1_SIGNED)),
            ("Docker-Content-Digest", str(Digest.of(body))),
        )
        return Response(HTTPStatus.OK, headers, body)


@dataclass(frozen=True, slots=True)
class FlipByte(Fault):
    """One bit of the byte at `offset` of the content is changed, in partial answers as well."""

    offset: int

    def apply(self, call: Call) -> Response:
        span = (call.header("Content-Range") or "").removeprefix("bytes ")
        start = int(span.partition("-")[0]) if span[:1].isdigit() else 0
        body = call.response.body
        if isinstance(body, bytes):
            return replace(call.response, body=b"".join(self._flip((body,), start)))
        return replace(call.response, body=self._flip(body, start))

    def _flip(self, chunks: Iterable[bytes], position: int) -> Iterator[bytes]:
        for chunk in chunks:
            at = self.offset - position
            position += len(chunk)
            if 0 <= at < len(chunk):
                yield chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]
            else:
                yield chunk


@dataclass(frozen=True, slots=True)
class Custom(Fault):
    """Whatever else; may raise `OSError` for a reset."""

    answer: Callable[[Call], Response]

    def apply(self, call: Call) -> Response:
        return self.answer(call)


def rate_limited(retry_after: str | None = None, *, when: When = ALWAYS) -> Status:
    headers = () if retry_after is None else (("Retry-After", retry_after),)
    return Status(429, headers, when=when)


def no_head() -> Status:
    return Status(405, when=When("HEAD"))


def no_referrers() -> Status:
    return Status(404, (), b"404 page not found\n", when=When(path="/referrers/"))
