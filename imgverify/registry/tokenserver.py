"""Token servers (distribution/distribution, spec/auth): who may be one, and how it is asked."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import httpx

from imgverify.errors import ContentError, Malformed, Unauthorized
from imgverify.oci import limits
from imgverify.oci.reference import Registry, Repository
from imgverify.oci.strictjson import load_object
from imgverify.registry.credentials import ANONYMOUS, registry_at
from imgverify.registry.urls import is_among, is_ip_literal, registry_of, resolve_server_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.registry.challenge import Challenge
    from imgverify.registry.credentials import Credentials, Place

#: Token servers that registries are known to share credentials with.
_KNOWN: Final = (
    (Registry("docker.io"), Registry("auth.docker.io")),
    (Registry("registry.gitlab.com"), Registry("gitlab.com")),
)
_CLIENT_ID: Final = "imgverify"
_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)
_SCOPE: Final = re.compile(r"(repository(?:\([a-z0-9]+\))?:[!-~]+):([a-z*,]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """What a token server gave, and when it is of no use any more (monotonic seconds)."""

    value: str = field(repr=False)
    expires: float


@dataclass(frozen=True, slots=True)
class TokenWish:
    """Which token a registry wants to see, and where to get it.

    Made by `wish_for`, so that whoever may not have the credentials is never asked.
    """

    registry: Registry
    realm: httpx.URL
    service: str
    scopes: tuple[str, ...]

    @property
    def is_own(self) -> bool:
        """Whether the registry itself is the token server."""
        return is_among(self.realm, {self.registry})


def wish_for(
    place: Place,
    challenge: Challenge,
    url: httpx.URL,
    credentials: Credentials,
    *,
    token_servers: frozenset[tuple[Registry, Registry]],
) -> TokenWish:
    """Return the token that answers the challenge to a request for `url`, which is at `place`.

    `token_servers` adds to those that are known.
    Raises `Unauthorized` or `ContentError` for a realm that the credentials must not be sent to.
    """
    registry = registry_at(place)
    realm = _realm(registry, url, challenge.parameter("realm"))
    others = (host for own, host in (*_KNOWN, *token_servers) if own == registry)
    allowed = {registry, *others}
    if credentials != ANONYMOUS and not is_among(realm, allowed):
        host = registry_of(realm)
        msg = f"{registry} wants its credentials to be sent to another host, {host}"
        hint = f"if {host} is known to issue the tokens of {registry}:"
        raise Unauthorized(msg, hint=f"{hint} --token-server {registry}={host}")
    scopes = (f"repository:{place.path}:pull",) if isinstance(place, Repository) else ()
    return TokenWish(registry, realm, challenge.parameter("service"), scopes)


def _realm(registry: Registry, url: httpx.URL, text: str) -> httpx.URL:
    if not text.lower().startswith(("http://", "https://")):
        msg = f"{registry} names no token server that can be asked (its realm is no URL)"
        raise Unauthorized(msg, hint="tell the registry's operator")
    realm = resolve_server_url(url, text)
    if url.scheme == "https" and (realm.scheme != "https" or is_ip_literal(realm)):
        allowed = realm.scheme == "https" and realm.raw_host == url.raw_host
        if not allowed:
            msg = f"{registry} sends its callers to {registry_of(realm)} for a token"
            hint = "a token server is reached by name over https; tell the registry's operator"
            raise Unauthorized(msg, hint=hint)
    return realm


def wider_scopes(wish: TokenWish, challenge: Challenge) -> tuple[str, ...]:
    """Return what a registry wants a token to allow beyond what was asked for: pulling only."""
    found = map(_SCOPE.fullmatch, challenge.parameter("scope").split())
    pulls = [f"{each[1]}:pull" for each in found if each and {"pull", "*"} & {*each[2].split(",")}]
    every = tuple(dict.fromkeys((*wish.scopes, *pulls)))
    return every[len(wish.scopes) : limits.SCOPES]


def token_requests(wish: TokenWish, credentials: Credentials) -> Iterator[httpx.Request]:
    """Yield the requests to make; the next one only where the first is not supported."""
    if credentials.identity_token:
        yield _oauth_request(wish, credentials.identity_token)
    yield _token_request(wish, credentials)


def _token_request(wish: TokenWish, credentials: Credentials) -> httpx.Request:
    query = [("service", wish.service), *(("scope", each) for each in wish.scopes)]
    headers = _host(wish.realm)
    # Where no refresh token is taken by POST, it is what stands for a password.
    password = credentials.password or credentials.identity_token
    if credentials.username or password:
        query.append(("account", credentials.username))
        headers["Authorization"] = basic_header(credentials.username, password)
    # quote, not quote_plus: some token servers do not read "+" as a space.
    extra = urlencode([each for each in query if each[1]], quote_via=quote)
    old = wish.realm.query.decode("ascii")
    query_string = "&".join(filter(None, (old, extra))).encode("ascii")
    url = wish.realm.copy_with(query=query_string or None)
    return httpx.Request("GET", url, headers=headers)


def _oauth_request(wish: TokenWish, refresh: str) -> httpx.Request:
    form = {
        "grant_type": "refresh_token",
        "service": wish.service,
        "client_id": _CLIENT_ID,
        "scope": " ".join(wish.scopes),
        "refresh_token": refresh,
    }
    present = {name: value for name, value in form.items() if value}
    return httpx.Request("POST", wish.realm, data=present, headers=_host(wish.realm))


def _host(realm: httpx.URL) -> dict[str, str]:
    # httpx itself would decode the name from IDNA before it writes it as it was.
    return {"Host": realm.netloc.decode("ascii")}


def basic_header(username: str, password: str) -> str:
    """Return the Authorization header of a user name and a password."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def parse_token(body: bytes, host: Registry) -> Token:
    """Read the answer of a token server; raises `Malformed` without quoting it."""
    fields = _fields(body)
    value = fields.get("token") or fields.get("access_token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        msg = f"the token server {host} gave an answer that holds no token"
        raise Malformed(msg)
    lifetime = fields.get("expires_in")
    if not isinstance(lifetime, int) or isinstance(lifetime, bool) or lifetime <= 0:
        lifetime = limits.TOKEN_LIFETIME
    lifetime = min(float(lifetime), limits.TOKEN_LIFETIME_MAX)
    # A token that ends while a request is under way is as good as none.
    return Token(value, time.monotonic() + lifetime * 0.9)


def _fields(body: bytes) -> dict[str, object]:
    try:
        return load_object(body, "")
    except ContentError:
        # Not raised on: the error's chain would hold the answer, and so perhaps the token.
        return {}
