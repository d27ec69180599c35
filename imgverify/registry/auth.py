"""Answering authentication challenges: whom to be, and with which token, shared by all threads."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, Unauthorized
from imgverify.oci import limits
from imgverify.registry.challenge import parse_challenges
from imgverify.registry.credentials import ANONYMOUS, registry_at
from imgverify.registry.dial import HEARING
from imgverify.registry.failure import about, unauthorized
from imgverify.registry.tokenserver import (
    Token,
    TokenWish,
    basic_header,
    parse_token,
    token_requests,
    wider_scopes,
    wish_for,
)
from imgverify.registry.urls import registry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from imgverify.oci.reference import Registry
    from imgverify.registry.challenge import Challenge
    from imgverify.registry.credentials import Credentials, CredentialStore, Place
    from imgverify.registry.deadline import Deadline

_OK: Final = 200
_NO_POST: Final = frozenset({404, 405})


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token server's answer: its status, and a body within `limits.TOKEN_SIZE`."""

    status: int
    body: bytes = field(repr=False)


class Authenticator:
    """Remembers which registry wants what, and one token per wish and credentials.

    `send` performs one request without redirects.  Safe to share between threads: what several
    need at once is got once.
    """

    def __init__(
        self,
        credentials: CredentialStore,
        send: Callable[[httpx.Request], TokenAnswer],
        token_servers: frozenset[tuple[Registry, Registry]],
    ) -> None:
        self._credentials = credentials
        self._send = send
        self._token_servers = token_servers
        self._lock = threading.Lock()
        self._turns: dict[object, threading.Lock] = {}
        self._known: dict[Place, Credentials | Unauthorized] = {}
        self._wanted: dict[Place, TokenWish | str] = {}
        self._tokens: dict[tuple[TokenWish, Credentials], Token | Unauthorized] = {}

    def header(self, place: Place, deadline: Deadline) -> str | None:
        """Return the Authorization header for a request, None where nothing was asked for yet."""
        wanted = self._wanted.get(place)
        if isinstance(wanted, TokenWish):
            return f"Bearer {self._token(wanted, self._lookup(place, deadline), deadline)}"
        return wanted

    def challenged(self, place: Place, response: httpx.Response, deadline: Deadline) -> bool:
        """Take note of a 401; tells whether there is another answer than what it refused."""
        credentials = self._lookup(place, deadline)
        used = response.request.headers.get("Authorization")
        wanted = self._choose(place, response, credentials)
        if wanted is None or wanted == used:
            return False
        with self._lock:
            if isinstance(wanted, TokenWish):
                wanted = _widest(wanted, self._wanted.get(place))
                token = self._tokens.get((wanted, credentials))
                # Another thread may have a new one already, which nobody has refused.
                if isinstance(token, Token) and used == f"Bearer {token.value}":
                    del self._tokens[wanted, credentials]
            self._wanted[place] = wanted
        return True

    def widened(self, place: Place, response: httpx.Response, deadline: Deadline) -> bool:
        """Take note of a 401 to a new token; tells whether one that allows more can be had.

        What a token server issues for others as well is never asked for in a registry's words.
        """
        wanted = self._wanted.get(place)
        if not isinstance(wanted, TokenWish):
            return False
        if not wanted.is_own and self._lookup(place, deadline) != ANONYMOUS:
            return False
        for challenge in _challenges(response):
            more = wider_scopes(wanted, challenge)
            if challenge.scheme == "bearer" and more:
                with self._lock:
                    self._wanted[place] = replace(wanted, scopes=(*wanted.scopes, *more))
                return True
        return False

    @property
    def sources(self) -> dict[Place, str]:
        """Where the credentials are from that were looked up, as far as there were any."""
        known = self._known.copy().items()
        return {
            place: found.source
            for place, found in known
            if not isinstance(found, Unauthorized) and found != ANONYMOUS
        }

    def source(self, place: Place) -> str | None:
        """Return where the credentials for a place are from; None where there are none."""
        return self.sources.get(self._credentials.key(place))

    def _choose(
        self, place: Place, response: httpx.Response, credentials: Credentials
    ) -> TokenWish | str | None:
        """Return what answers the first challenge that can be answered: a token, or a header.

        Raises what is wrong with the first that must not be, where there is no other.
        """
        wrong: Unauthorized | ContentError | None = None
        for challenge in _challenges(response):
            try:
                answer = self._answer(place, challenge, response.request.url, credentials)
            except (Unauthorized, ContentError) as error:
                wrong = wrong or error
            else:
                if answer is not None:
                    return answer
        if wrong is not None:
            raise wrong
        return None

    def _answer(
        self, place: Place, challenge: Challenge, url: httpx.URL, credentials: Credentials
    ) -> TokenWish | str | None:
        named = credentials.username and not credentials.identity_token
        if challenge.scheme == "basic" and (named or credentials.password):
            return basic_header(credentials.username, credentials.password)
        if challenge.scheme != "bearer":
            return None
        if credentials.registry_token:
            return f"Bearer {credentials.registry_token}"
        return wish_for(place, challenge, url, credentials, token_servers=self._token_servers)

    def _lookup(self, place: Place, deadline: Deadline) -> Credentials:
        """Look credentials up once: a helper takes long, may ask the user, and may fail."""
        key = self._credentials.key(place)
        with self._turn(key, registry_at(place), deadline):
            known = self._known.get(key)
            if known is None:
                try:
                    known = self._credentials.lookup(place, deadline)
                except Unauthorized as error:
                    known = error
                self._known[key] = known
        if isinstance(known, Unauthorized):
            raise _again(known)
        return known

    def _token(self, wish: TokenWish, credentials: Credentials, deadline: Deadline) -> str:
        key = (wish, credentials)
        with self._turn(key, wish.registry, deadline):
            token = self._tokens.get(key)
            ended = isinstance(token, Token) and token.expires <= time.monotonic()
            if token is None or ended:
                token = self._fetch(wish, credentials, deadline)
                self._tokens[key] = token
        if isinstance(token, Unauthorized):
            raise _again(token)
        return token.value

    def _fetch(
        self, wish: TokenWish, credentials: Credentials, deadline: Deadline
    ) -> Token | Unauthorized:
        """Ask the token server; its refusal is an answer, which is kept like a token.

        So a wrong password is sent once, whatever is asked for with it: accounts get locked.
        """
        status = 0
        for request in token_requests(wish, credentials):
            request.extensions["deadline"] = deadline.within(limits.REQUEST_TIMEOUT)
            answer = self._send(request)
            status = answer.status
            if status == _OK:
                return parse_token(answer.body, registry_of(wish.realm))
            if status not in _NO_POST:
                break
        source = None if credentials == ANONYMOUS else credentials.source
        return unauthorized(wish.registry, status, source, token_server=registry_of(wish.realm))

    @contextmanager
    def _turn(self, key: object, registry: Registry, deadline: Deadline) -> Iterator[None]:
        """Wait while another thread gets what this one wants as well, but never deaf."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with about(registry):
            while not turn.acquire(timeout=deadline.patience(HEARING)):
                pass
        try:
            yield
        finally:
            turn.release()


def _challenges(response: httpx.Response) -> tuple[Challenge, ...]:
    return parse_challenges(", ".join(response.headers.get_list("WWW-Authenticate")))


def _widest(wish: TokenWish, known: TokenWish | str | None) -> TokenWish:
    """Return the wish that is known already, if it is the same one with more scopes."""
    if isinstance(known, TokenWish) and replace(known, scopes=wish.scopes) == wish:
        return known
    return wish


def _again(error: Unauthorized) -> Unauthorized:
    # Each thread raises one of its own: the side that it is about is written into it.
    return Unauthorized(error.message, hint=error.hint)
