"""Answering authentication challenges (distribution/distribution, spec/auth: token and oauth2)."""

from __future__ import annotations

import base64
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import httpx

from imgverify.errors import ContentError, Malformed, Unauthorized
from imgverify.oci import limits
from imgverify.oci.reference import Registry
from imgverify.oci.strictjson import load_object
from imgverify.registry.challenge import Challenge, parse_challenges
from imgverify.registry.credentials import ANONYMOUS, Credentials
from imgverify.registry.dial import HEARING
from imgverify.registry.failure import about
from imgverify.registry.urls import is_among, is_ip_literal, registry_of, resolve_server_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgverify.registry.credentials import CredentialStore
    from imgverify.registry.deadline import Deadline

#: Token servers that registries are known to share credentials with.
_REALM_HOSTS: Final = {
    Registry("docker.io"): Registry("auth.docker.io"),
    Registry("registry.gitlab.com"): Registry("gitlab.com"),
}
_CLIENT_ID: Final = "imgverify"
_OK: Final = 200
_BEARER: Final = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires: float


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token server's answer: its status, and a body within `limits.TOKEN_SIZE`."""

    status: int
    body: bytes = field(repr=False)


class Authenticator:
    """Remembers which registry wants what, and one token per realm, service and scope.

    `send` performs one request without redirects.  Safe to share between threads.
    """

    def __init__(
        self,
        credentials: CredentialStore,
        send: Callable[[httpx.Request], TokenAnswer],
    ) -> None:
        self._credentials = credentials
        self._send = send
        self._lock = threading.Lock()
        self._turns: dict[Registry, threading.Lock] = {}
        self._known: dict[Registry, Credentials | Unauthorized] = {}
        self._wanted: dict[tuple[Registry, str], tuple[Challenge, httpx.URL]] = {}
        self._tokens: dict[tuple[str, str, str], _Token] = {}

    def header(self, registry: Registry, scope: str, deadline: Deadline) -> str | None:
        """Return the Authorization header for a request, None where nothing was asked for yet."""
        wanted = self._wanted.get((registry, scope))
        if wanted is None:
            return None
        with self._turn(registry, deadline):
            challenge, url = wanted
            credentials = self._lookup(registry, deadline)
            if challenge.scheme == "basic":
                return _basic(credentials)
            if credentials.registry_token:
                return f"Bearer {credentials.registry_token}"
            token = self._token(registry, challenge, (url, scope), deadline)
            return f"Bearer {token.value}"

    def challenged(
        self,
        registry: Registry,
        scope: str,
        refused: tuple[httpx.Response, str | None],
        deadline: Deadline,
    ) -> bool:
        """Take note of a 401 and of the header that it refused; tells if it can be answered."""
        response, used = refused
        header = ", ".join(response.headers.get_list("WWW-Authenticate"))
        for challenge in parse_challenges(header):
            if challenge.scheme not in ("basic", "bearer"):
                continue
            with self._turn(registry, deadline):
                if challenge.scheme == "basic" and not self._lookup(registry, deadline).username:
                    continue
                self._wanted[registry, scope] = (challenge, response.request.url)
                token = self._tokens.get(_key(challenge, scope))
                # Another thread may have a new one already, which nobody has refused.
                if token is not None and used == f"Bearer {token.value}":
                    del self._tokens[_key(challenge, scope)]
            return True
        return False

    @contextmanager
    def _turn(self, registry: Registry, deadline: Deadline) -> Iterator[None]:
        """Wait while another thread gets what this one wants as well, but never deaf."""
        with self._lock:
            turn = self._turns.setdefault(registry, threading.Lock())
        with about(registry):
            while not turn.acquire(timeout=deadline.patience(HEARING)):
                pass
        try:
            yield
        finally:
            turn.release()

    def _lookup(self, registry: Registry, deadline: Deadline) -> Credentials:
        """Look credentials up once: a helper takes long, may ask the user, and may fail."""
        known = self._known.get(registry)
        if known is None:
            try:
                known = self._credentials.lookup(registry, deadline)
            except Unauthorized as error:
                known = error
            self._known[registry] = known
        if isinstance(known, Unauthorized):
            raise Unauthorized(known.message, hint=known.hint)
        return known

    def _token(
        self,
        registry: Registry,
        challenge: Challenge,
        asked: tuple[httpx.URL, str],
        deadline: Deadline,
    ) -> _Token:
        url, scope = asked
        key = _key(challenge, scope)
        token = self._tokens.get(key)
        if token is None or token.expires <= time.monotonic():
            credentials = self._lookup(registry, deadline)
            realm = _realm(url, challenge)
            _refuse_foreign_realm(registry, realm, credentials)
            token = self._fetch(realm, challenge, (credentials, scope), deadline)
            self._tokens[key] = token
        return token

    def _fetch(
        self,
        realm: httpx.URL,
        challenge: Challenge,
        who: tuple[Credentials, str],
        deadline: Deadline,
    ) -> _Token:
        credentials, scope = who
        service = challenge.parameter("service")
        extensions = {"deadline": deadline.within(limits.REQUEST_TIMEOUT)}
        if credentials.identity_token:
            request = _oauth_request(realm, service, scope, credentials.identity_token)
        else:
            request = _token_request(realm, service, scope, credentials)
        request.extensions.update(extensions)
        answer = self._send(request)
        if answer.status != _OK:
            host = registry_of(realm)
            msg = f"the token server {host} answered {answer.status}"
            hint = "check the credentials for this registry (docker login)"
            raise Unauthorized(msg, hint=hint)
        return _parse_token(answer.body)


def _key(challenge: Challenge, scope: str) -> tuple[str, str, str]:
    return challenge.parameter("realm"), challenge.parameter("service"), scope


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def _realm(url: httpx.URL, challenge: Challenge) -> httpx.URL:
    text = challenge.parameter("realm")
    if not text.lower().startswith(("http://", "https://")):
        msg = "the registry names no token server that can be asked (its realm is no URL)"
        raise Unauthorized(msg)
    realm = resolve_server_url(url, text)
    if url.scheme == "https" and (realm.scheme != "https" or is_ip_literal(realm)):
        allowed = realm.scheme == "https" and realm.host == url.host
        if not allowed:
            msg = f"the registry sends its callers to {registry_of(realm)} for a token"
            hint = "a token server is reached by name over https; tell the registry's operator"
            raise Unauthorized(msg, hint=hint)
    return realm


def _refuse_foreign_realm(registry: Registry, realm: httpx.URL, credentials: Credentials) -> None:
    allowed = {registry, _REALM_HOSTS.get(registry, registry)}
    if credentials == ANONYMOUS or is_among(realm, allowed):
        return
    host = registry_of(realm)
    msg = f"the registry wants its credentials to be sent to another host, {host}"
    hint = f"credentials for {registry} are only ever sent to {registry}; log out to go on"
    raise Unauthorized(msg, hint=hint)


def _token_request(
    realm: httpx.URL, service: str, scope: str, credentials: Credentials
) -> httpx.Request:
    query = {"service": service} if service else {}
    if scope:
        query["scope"] = scope
    if credentials.username:
        query["account"] = credentials.username
    # quote, not quote_plus: some token servers do not read "+" as a space.
    extra = urlencode(query, quote_via=quote)
    old = realm.query.decode("ascii")
    url = realm.copy_with(query="&".join(filter(None, (old, extra))).encode("ascii"))
    headers = {"Authorization": _basic(credentials)} if credentials.username else {}
    return httpx.Request("GET", url, headers=_host(realm) | headers)


def _oauth_request(realm: httpx.URL, service: str, scope: str, refresh: str) -> httpx.Request:
    form = {
        "grant_type": "refresh_token",
        "service": service,
        "client_id": _CLIENT_ID,
        "scope": scope,
        "refresh_token": refresh,
    }
    return httpx.Request("POST", realm, data=form, headers=_host(realm))


def _host(realm: httpx.URL) -> dict[str, str]:
    # httpx itself would decode the name from IDNA before it writes it as it was.
    return {"Host": realm.netloc.decode("ascii")}


def _parse_token(body: bytes) -> _Token:
    fields = _fields(body)
    value = fields.get("token") or fields.get("access_token")
    if not isinstance(value, str) or not _BEARER.fullmatch(value):
        msg = "the token server's answer holds no token"
        raise Malformed(msg)
    lifetime = fields.get("expires_in")
    if not isinstance(lifetime, int) or isinstance(lifetime, bool) or lifetime <= 0:
        lifetime = limits.TOKEN_LIFETIME
    lifetime = min(float(lifetime), limits.TOKEN_LIFETIME_MAX)
    # A token that ends while a request is under way is as good as none.
    return _Token(value, time.monotonic() + lifetime * 0.9)


def _fields(body: bytes) -> dict[str, object]:
    try:
        return load_object(body, "")
    except ContentError:
        # Not raised on: the error's chain would hold the answer, and so perhaps the token.
        return {}
