"""Who may pull from a `FakeRegistry`: Basic authentication, and Bearer tokens with their issuer."""

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

from imgverify.serve.loopback import Request, Response, error

NOBODY: Mapping[str, str] = {}


def basic_user(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = (request.header("Authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    user, _, password = base64.b64decode(encoded).decode().partition(":")
    return user, password


def _refused(challenge: str) -> Response:
    text = "authentication required"
    return error(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", text, ("WWW-Authenticate", challenge))


@dataclass(frozen=True, slots=True)
class BasicGuard:
    """Lets only `users` (name → password) in."""

    users: Mapping[str, str]

    def __call__(self, request: Request) -> Response | None:
        known = basic_user(request)
        if known is not None and self.users.get(known[0]) == known[1]:
            return None
        return _refused('Basic realm="registry"')


class _Grant:
    def __init__(self, scopes: frozenset[str], ends: float) -> None:
        self.scopes = scopes
        self.ends = ends
        self.used = 0


class TokenService:
    """Issues tokens at `/token` and knows which are good.

    `users` (name → password) get tokens, anybody does where `anonymous`. A token is told to live
    `expires_in` seconds (None: not told), lives `lifetime` seconds and is good for `uses`
    requests. A scope is granted if it asks for nothing but `pull` of a repository not in `denied`.
    `field` is the name the token has in the answer. `sign` makes the token of whom it is for and
    what it allows; without it tokens are random, and known here alone.
    """

    def __init__(
        self,
        service: str = "registry.test",
        *,
        users: Mapping[str, str] = NOBODY,
        refresh_tokens: frozenset[str] = frozenset(),
        anonymous: bool = True,
        denied: frozenset[str] = frozenset(),
        field: str = "token",
    ) -> None:
        self.service = service
        self.users = users
        self.refresh_tokens = refresh_tokens
        self.anonymous = anonymous
        self.denied = denied
        self.field = field
        self.expires_in: object = 300
        self.sign: Callable[[str, frozenset[str]], str] | None = None
        self.lifetime = 300.0
        self.uses: int | None = None
        self.issued = 0
        self._grants: dict[str, _Grant] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Response | None:
        """Answer for `/token`: GET with a query, or POST with a form (OAuth2)."""
        if request.path != "/token":
            return None
        form = parse_qsl(request.body.decode()) if request.method == "POST" else request.query
        words = [value for name, value in form if name == "scope"]
        service = dict(form).get("service")
        if service != self.service:
            return error(HTTPStatus.BAD_REQUEST, "UNAUTHORIZED", f"not my service: {service}")
        if not self._knows(request, dict(form)):
            return error(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "incorrect username or password")
        user = dict(form).get("account", "")
        return self._issue(user, {each for word in words for each in word.split()})

    def revoke(self) -> None:
        """Make every token that was issued invalid."""
        with self._lock:
            self._grants.clear()

    def problem(self, token: str, scope: str) -> str | None:
        """Use a token once; return what is wrong with it in OAuth's words."""
        with self._lock:
            grant = self._grants.get(token)
            if grant is None or time.monotonic() >= grant.ends:
                return "invalid_token"
            if scope and scope not in grant.scopes:
                return "insufficient_scope"
            grant.used += 1
            if self.uses is not None and grant.used > self.uses:
                return "invalid_token"
        return None

    def _knows(self, request: Request, form: dict[str, str]) -> bool:
        if request.method == "POST":
            if form.get("grant_type") == "refresh_token":
                return form.get("refresh_token") in self.refresh_tokens
            user = (form.get("username", ""), form.get("password", ""))
        else:
            known = basic_user(request)
            if known is None:
                return self.anonymous
            user = known
        return user[0] in self.users and self.users[user[0]] == user[1]

    def _issue(self, user: str, scopes: set[str]) -> Response:
        granted = frozenset(each for each in scopes if self._allows(each))
        token = self.sign(user, granted) if self.sign else secrets.token_urlsafe(16)
        with self._lock:
            self.issued += 1
            self._grants[token] = _Grant(granted, time.monotonic() + self.lifetime)
        document: dict[str, object] = {self.field: token}
        if self.expires_in is not None:
            document["expires_in"] = self.expires_in
        headers = (("Content-Type", "application/json"),)
        return Response(HTTPStatus.OK, headers, json.dumps(document).encode())

    def _allows(self, scope: str) -> bool:
        match = re.fullmatch("repository:(.+):pull", scope)
        return match is not None and match[1] not in self.denied


@dataclass(frozen=True, slots=True)
class BearerGuard:
    """Lets in who has a token of `tokens` for the repository.

    An empty `realm` is `/token` on the host and scheme of the registry itself. `challenge`
    replaces the whole WWW-Authenticate header. `inside` comes before a repository's name in the
    scope that is wanted, as in a registry that calls its repositories otherwise than the world.
    """

    tokens: TokenService
    realm: str = ""
    challenge: str = ""
    scheme: str = "http"
    inside: str = ""

    def __call__(self, request: Request) -> Response | None:
        named = re.fullmatch("/v2/(.+)/(?:manifests|blobs|referrers|tags)/[^/]+", request.path)
        scope = f"repository:{self.inside}{named[1]}:pull" if named else ""
        kind, _, token = (request.header("Authorization") or "").partition(" ")
        problem: str | None = ""
        if kind.lower() == "bearer":
            problem = self.tokens.problem(token, scope)
        if problem is None:
            return None
        realm = self.realm or f"{self.scheme}://{request.header('Host')}/token"
        challenge = f'Bearer realm="{realm}",service="{self.tokens.service}"'
        if scope:
            challenge += f',scope="{scope}"'
        if problem:
            challenge += f',error="{problem}"'
        return _refused(self.challenge or challenge)
