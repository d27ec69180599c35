"""The hosts that there are, and the ways in which registries serve what they hold.

A way of serving starts anew for every run: what it counts is counted from the run's start.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from imgverify.serve.distribution import Request, Response, error, pull_api

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.serve.shelf import Shelf

    Answer = Callable[[Request], Response]
    Serving = Callable[[Shelf], Answer]

UP: Final = "up.example"
MIRROR: Final = "mirror.example"
SECOND: Final = "second.example"
CDN: Final = "cdn.example"
AUTH: Final = "auth.example"
#: Asked only where a changed answer leads there; it has another image under every name.
EVIL: Final = "evil.example"
HOSTS: Final = (UP, MIRROR, SECOND, CDN, AUTH, EVIL)

PASSWORD: Final = "hunter2-of-the-user"
USER_TOKEN: Final = "token-of-the-user"
BASIC: Final = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
#: A user's secrets, in the forms in which they travel, and the hosts that may see them.
SECRETS: Final = {
    PASSWORD: frozenset({MIRROR}),
    BASIC.removeprefix("Basic "): frozenset({MIRROR}),
    USER_TOKEN: frozenset({MIRROR}),
}


@dataclass(frozen=True, slots=True)
class Site:
    """What a host holds, and how it serves that."""

    shelf: Shelf
    serving: Serving


def plain(shelf: Shelf) -> Answer:
    """Serve what is there."""
    return lambda request: pull_api(shelf, request)


def without_head(shelf: Shelf) -> Answer:
    """Refuse HEAD, as some proxies do."""
    refused = error(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "no HEAD")
    return lambda request: refused if request.method == "HEAD" else pull_api(shelf, request)


def without_digest(shelf: Shelf) -> Answer:
    """Say no digest in any header."""

    def answer(request: Request) -> Response:
        found = pull_api(shelf, request)
        kept = tuple(each for each in found.headers if each[0] != "Docker-Content-Digest")
        return replace(found, headers=kept)

    return answer


def without_referrers(shelf: Shelf) -> Answer:
    """Know no referrers API."""
    unknown = error(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "no such endpoint")
    return lambda request: unknown if "/referrers/" in request.path else pull_api(shelf, request)


def redirecting(part: str, code: int = 307) -> Serving:
    """Send who asks for what has `part` in its path to the other host that has it."""

    def serving(shelf: Shelf) -> Answer:
        def answer(request: Request) -> Response:
            if part not in request.path:
                return pull_api(shelf, request)
            signed = f"http://{CDN}{request.path}?signature=abc"
            return Response(code, (("Location", signed),), b"it is elsewhere")

        return answer

    return serving


def failing(status: HTTPStatus, *headers: tuple[str, str], times: int = 1 << 30) -> Serving:
    """Answer the first requests with an error; without `times` all of them."""

    def serving(shelf: Shelf) -> Answer:
        asked: list[str] = []

        def answer(request: Request) -> Response:
            asked.append(request.path)
            if len(asked) <= times:
                return error(status, status.name, "not now", *headers)
            return pull_api(shelf, request)

        return answer

    return serving


def breaking_off(shelf: Shelf) -> Answer:
    """Send half of every layer, and the rest to who asks for that by Range."""

    def answer(request: Request) -> Response:
        found = pull_api(shelf, request)
        partial = request.header("Range") is not None
        if partial or "/blobs/" not in request.path or not isinstance(found.body, bytes):
            return found
        return replace(found, body=found.body[: len(found.body) // 2])

    return answer


def guarded(challenge: str, *accepted: str) -> Serving:
    """Let in who has one of the `accepted` Authorization headers, and give tokens at /token."""

    def serving(shelf: Shelf) -> Answer:
        header = ("WWW-Authenticate", challenge)
        refused = error(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "log in", header)

        def answer(request: Request) -> Response:
            if request.path == "/token":
                return _token(request)
            known = request.header("Authorization") in accepted
            return pull_api(shelf, request) if known else refused

        return answer

    return serving


def behind(guard: Serving, serving: Serving) -> Serving:
    """Let a guard see every request first, and serve in another way what it lets through."""

    def combined(shelf: Shelf) -> Answer:
        first, then = guard(shelf), serving(shelf)

        def answer(request: Request) -> Response:
            response = first(request)
            refused = response.status == HTTPStatus.UNAUTHORIZED or request.path == "/token"
            return response if refused else then(request)

        return answer

    return combined


def token_server(shelf: Shelf) -> Answer:
    """Give tokens, and nothing else."""
    return lambda request: _token(request) if request.path == "/token" else pull_api(shelf, request)


def bearer(host: str, service: str, path: str) -> str:
    """Return the challenge that names a token server."""
    return f'Bearer realm="http://{host}/token",service="{service}",scope="repository:{path}:pull"'


def _token(request: Request) -> Response:
    """Give a token for the service that is named, and the user's own to who has the password."""
    token = f"token-for-{request.parameter('service') or 'nobody'}"
    if (request.header("Authorization") or "").startswith("Basic "):
        if request.header("Authorization") != BASIC:
            return error(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "wrong password")
        token = USER_TOKEN
    fields = {"token": token, "access_token": token, "expires_in": 300}
    document = json.dumps(fields | {"issued_at": "2026-03-01T00:00:00Z"}).encode()
    return Response(HTTPStatus.OK, (("Content-Type", "application/json"),), document)


def in_pages(size: int) -> Serving:
    """List tags and referrers in pages, by Link headers."""

    def serving(shelf: Shelf) -> Answer:
        def answer(request: Request) -> Response:
            if request.path.endswith("/tags/list"):
                rest = tuple(each for each in request.query if each[0] != "n")
                return pull_api(shelf, replace(request, query=(*rest, ("n", str(size)))))
            found = pull_api(shelf, request)
            return _page(request, found, size) if "/referrers/" in request.path else found

        return answer

    return serving


def _page(request: Request, whole: Response, size: int) -> Response:
    document = json.loads(whole.body if isinstance(whole.body, bytes) else b"")
    every = document.get("manifests", [])
    asked = request.parameter("page") or ""
    first = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < size else 0
    document["manifests"] = every[first : first + size]
    headers = tuple(whole.headers)
    if first + size < len(every):
        headers += (("Link", f'<{request.path}?page={first + size}>; rel="next"'),)
    return replace(whole, headers=headers, body=json.dumps(document).encode())
