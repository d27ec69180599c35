"""The pull side of the OCI distribution API over a shelf: a request in, a response out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlencode

from imgverify.errors import Malformed
from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.serve.shelf import Streamed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgverify.serve.shelf import Blob, Shelf

Pairs = tuple[tuple[str, str], ...]

_ROUTE: Final = re.compile(r"/v2/(.+)/(manifests|blobs|referrers|tags(?=/list$))/([^/]+)", re.ASCII)
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_JSON: Final = ("Content-Type", "application/json")
_VERSION: Final = ("Docker-Distribution-API-Version", "registry/2.0")
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was received; `path` is without the query and not yet percent-decoded."""

    method: str
    path: str
    query: Pairs = ()
    headers: Pairs = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whose name has no case."""
        return _first(self.headers, name)

    def parameter(self, name: str) -> str | None:
        """Return the first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer; headers and body may be made while they are sent.

    Without a Content-Length, bytes get one and any other body is sent chunked. A Content-Length
    that is there is sent as it is, and the connection is closed where the body has another one.
    The answer to a HEAD is that to a GET; its body is not sent.
    """

    status: int
    headers: Iterable[tuple[str, str]] = ()
    body: bytes | Iterable[bytes] = b""


def error(status: HTTPStatus, code: str, message: str, *headers: tuple[str, str]) -> Response:
    """Build an error in the API's own form (distribution-spec, "Error Codes")."""
    document = {"errors": [{"code": code, "message": message, "detail": None}]}
    return Response(status, (_JSON, _VERSION, *headers), json.dumps(document).encode())


def pull_api(shelf: Shelf, request: Request) -> Response:
    """Answer one request as a registry that only lets itself be pulled from."""
    if request.method not in ("GET", "HEAD"):
        allow = ("Allow", "GET, HEAD")
        return error(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "this is read-only", allow)
    path = unquote(request.path)
    if path in ("/v2", "/v2/"):
        return Response(HTTPStatus.OK, (_JSON, _VERSION), b"{}")
    route = _ROUTE.fullmatch(path)
    if route is None:
        return error(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "no such endpoint")
    name, endpoint, what = route.groups()
    if not shelf.has_repository(name):
        return error(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", f"no repository {name}")
    return _in_repository(shelf, request, name, (endpoint, what))


def _in_repository(shelf: Shelf, request: Request, name: str, asked: tuple[str, str]) -> Response:
    endpoint, what = asked
    if endpoint == "tags":
        return _tags(shelf, request, name)
    if endpoint == "manifests" and ":" not in what:
        return _manifest(shelf, name, shelf.resolve(name, what))
    return _by_digest(shelf, request, name, asked)


def _by_digest(shelf: Shelf, request: Request, name: str, asked: tuple[str, str]) -> Response:
    endpoint, text = asked
    try:
        digest = Digest.parse(text)
    except Malformed as problem:
        return error(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", problem.message)
    if endpoint == "manifests":
        return _manifest(shelf, name, digest)
    if endpoint == "referrers":
        return _referrers(shelf, request, name, digest)
    return _blob(shelf, request, digest)


def _manifest(shelf: Shelf, name: str, digest: Digest | None) -> Response:
    stored = shelf.manifest(name, digest) if digest else None
    if stored is None:
        return error(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest")
    headers = (
        ("Content-Type", str(stored.media_type)),
        ("Docker-Content-Digest", str(stored.digest)),
        _VERSION,
    )
    return Response(HTTPStatus.OK, headers, stored.data)


def _blob(shelf: Shelf, request: Request, digest: Digest) -> Response:
    blob = shelf.blob(digest)
    if blob is None:
        return error(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", f"no blob {digest}")
    size = blob.size if isinstance(blob, Streamed) else len(blob)
    headers = (
        ("Content-Type", "application/octet-stream"),
        ("Docker-Content-Digest", str(digest)),
        ("Accept-Ranges", "bytes"),
    )
    wanted = _wanted(request, size)
    if wanted is None:
        length = ("Content-Length", str(size))
        return Response(HTTPStatus.OK, (*headers, length), _slice(blob, 0, size))
    start, stop = wanted
    if start >= stop:
        span = ("Content-Range", f"bytes */{size}")
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        return error(status, "SIZE_INVALID", "the blob ends before that range", span)
    part = (
        ("Content-Range", f"bytes {start}-{stop - 1}/{size}"),
        ("Content-Length", str(stop - start)),
    )
    return Response(HTTPStatus.PARTIAL_CONTENT, (*headers, *part), _slice(blob, start, stop))


def _wanted(request: Request, size: int) -> tuple[int, int] | None:
    """Read a Range of one part as a half-open interval; RFC 9110 lets all others be ignored.

    An empty interval is one that cannot be satisfied.
    """
    match = _RANGE.fullmatch(request.header("Range") or "")
    if match is None or request.method == "HEAD" or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _slice(blob: Blob, start: int, stop: int) -> bytes | Iterable[bytes]:
    if isinstance(blob, Streamed):
        return _passing(blob.chunks(), start, stop)
    return blob if (start, stop) == (0, len(blob)) else blob[start:stop]


def _passing(chunks: Iterable[bytes], start: int, stop: int) -> Iterator[bytes]:
    position = 0
    for chunk in chunks:
        part = chunk[max(0, start - position) : max(0, stop - position)]
        position += len(chunk)
        if part:
            yield part
        if position >= stop:
            return


def _referrers(shelf: Shelf, request: Request, name: str, subject: Digest) -> Response:
    found = shelf.referrers(name, subject)
    wanted = request.parameter("artifactType")
    headers: Pairs = (("Content-Type", str(mediatype.OCI_INDEX)), _VERSION)
    if wanted:
        found = tuple(each for each in found if each.get("artifactType") == wanted)
        headers += (("OCI-Filters-Applied", "artifactType"),)
    index = {"schemaVersion": 2, "mediaType": str(mediatype.OCI_INDEX), "manifests": found}
    return Response(HTTPStatus.OK, headers, json.dumps(index).encode())


def _tags(shelf: Shelf, request: Request, name: str) -> Response:
    count = request.parameter("n")
    if count is not None and not re.fullmatch("[0-9]{1,9}", count, re.ASCII):
        text = "n is a number"
        return error(HTTPStatus.BAD_REQUEST, "PAGINATION_NUMBER_INVALID", text)
    last = request.parameter("last") or ""
    rest = tuple(each for each in shelf.tags(name) if each > last)
    page = rest if count is None else rest[: int(count)]
    headers: Pairs = (_JSON, _VERSION)
    if page and len(page) < len(rest):
        query = urlencode({"last": page[-1], "n": count})
        headers += (("Link", f'</v2/{name}/tags/list?{query}>; rel="next"'),)
    document = {"name": name, "tags": page}
    return Response(HTTPStatus.OK, headers, json.dumps(document).encode())


def _first(pairs: Pairs, name: str) -> str | None:
    return next((value for key, value in pairs if key.lower() == name.lower()), None)
