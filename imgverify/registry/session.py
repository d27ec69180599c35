"""One request to a registry, carried to an answer: authentication, redirects, retries, errors."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self, TypeVar

import httpx

from imgverify.errors import (
    ContentError,
    LimitExceeded,
    RateLimited,
    Unauthorized,
    Unreachable,
)
from imgverify.oci import limits
from imgverify.registry.auth import Authenticator, TokenAnswer
from imgverify.registry.body import error_code, read_body, refuse_encoding
from imgverify.registry.connect import NO_PROXIES, PLAIN_DIALER, Connector
from imgverify.registry.credentials import registry_at
from imgverify.registry.dial import HEARING
from imgverify.registry.failure import (
    about,
    status_error,
    unauthorized,
    unauthorized_elsewhere,
)
from imgverify.registry.ratelimit import parse_rate_limit, span
from imgverify.registry.tls import NOTHING_OWN, Security
from imgverify.registry.transport import Transport
from imgverify.registry.urls import (
    entry_for,
    is_among,
    registry_of,
    resolve_server_url,
    same_origin,
)
from imgverify.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from imgverify.errors import SourceError
    from imgverify.oci.reference import Registry
    from imgverify.registry.credentials import CredentialStore, Place
    from imgverify.registry.deadline import Clock, Deadline
    from imgverify.registry.dial import Dialer
    from imgverify.registry.proxy import Proxies
    from imgverify.registry.ratelimit import RateLimit
    from imgverify.registry.tls import HostTls

Result = TypeVar("Result")

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_REFUSALS: Final = frozenset({401, 403})
_BACKOFF: Final = 0.5
#: From here on somebody who watches wants to know why nothing happens; seconds.
_LONG_WAIT: Final = 5.0
#: Everything else is dropped when a redirect leaves the origin.
_TRAVELLING_HEADERS: Final = frozenset({"accept", "accept-encoding", "range", "user-agent"})


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How hosts are reached: which without TLS or without a valid certificate, never implied.

    `said_by` tells of insecure hosts that were not named for this run where they were.
    `tls` holds what single hosts have of their own; a host that another one redirects to, or
    names as its token server, has only what is said of itself.
    `token_servers` are pairs: the credentials for the first may be sent to the second as well.
    """

    insecure_http: frozenset[Registry] = frozenset()
    insecure_tls: frozenset[Registry] = frozenset()
    tls: Mapping[Registry, HostTls] = field(default_factory=dict)
    proxies: Proxies = NO_PROXIES
    dialer: Dialer = PLAIN_DIALER
    said_by: Mapping[Registry, str] = field(default_factory=dict)
    token_servers: frozenset[tuple[Registry, Registry]] = frozenset()

    def security(self, url: httpx.URL) -> Security:
        """Return how TLS with the host of a URL is done."""
        own = entry_for(url, self.tls, NOTHING_OWN)
        return Security(registry_of(url), own, is_among(url, self.insecure_tls))


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a registry, or to the repository there that it is about.

    `deadline` ends all that is done for it, `seconds` are how long one try of it may take.
    """

    method: str
    url: httpx.URL
    place: Place
    deadline: Deadline
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = limits.REQUEST_TIMEOUT

    @property
    def registry(self) -> Registry:
        """The registry that is asked."""
        return registry_at(self.place)

    def begun(self) -> Call:
        """Return the call as a try of it that begins now."""
        return replace(self, deadline=self.deadline.within(self.seconds))


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, not yet read, and the hosts that were asked, in order.

    Use it as a context manager: leaving it gives the connection back, or closes it.
    """

    response: httpx.Response
    served_by: tuple[str, ...]

    def __enter__(self) -> Self:
        """Return the answer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the response."""
        self.response.close()


class Session:
    """Sends calls; safe to share between threads.

    `clock` lets it say when to try again; `tell` is told of long waits, in a sentence.
    `allowance` is the most requests that it ever makes, those to token servers and those that
    redirects cause included; `LimitExceeded` is raised instead of one more.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        credentials: CredentialStore,
        *,
        clock: Clock | None = None,
        tell: Callable[[str], None] | None = None,
        allowance: int | None = None,
    ) -> None:
        self.settings = settings
        self.sent = 0
        self._allowance = allowance
        self._lock = threading.Lock()
        self._clock = clock
        self._tell = tell
        connector = Connector(settings.security, settings.proxies, settings.dialer)
        self._transport = Transport(connector)
        servers = settings.token_servers
        self._authenticator = Authenticator(credentials, self._ask_for_token, servers)
        self._rate_limits: dict[Registry, RateLimit] = {}
        self._peers: dict[str, set[object]] = {}
        self._unproven: set[str] = set()
        self._reading = threading.Lock()

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    @property
    def rate_limits(self) -> dict[Registry, RateLimit]:
        """What each registry that said so still allows, as it said last."""
        return dict(self._rate_limits)

    @property
    def credential_sources(self) -> dict[Place, str]:
        """Where the credentials are from that were looked up."""
        return self._authenticator.sources

    def send(self, call: Call) -> Answer:
        """Carry a call to an answer of 2xx.

        Raises a `SourceError` for any other status and for network faults, `ContentError` for
        answers that break the protocol.  Only what is transient (429, 502, 503, 504 and broken
        connections) is tried again, at most `limits.RETRIES` times, or `limits.RATE_LIMIT_RETRIES`
        where the registry says when to, and within the deadline.
        """
        return self.retried(self.attempt, call)

    def fetch(
        self, call: Call, most: int, longer: type[ContentError] = LimitExceeded
    ) -> tuple[Answer, bytes]:
        """Carry a call to its whole body; else as `send`.

        One of more than `most` bytes raises `longer`. A body that breaks off is asked for again.
        """

        def whole(call: Call) -> tuple[Answer, bytes]:
            with self.attempt(call) as answer:
                return answer, read_body(answer.response, most, longer)

        return self.retried(whole, call)

    def retried(self, attempt: Callable[[Call], Result], call: Call) -> Result:
        """Try again what failed for a transient reason, within the deadline.

        All tries share the time that one may take, but for what a rate limit makes them wait.
        """
        once = call.begun()
        number = 0
        while True:
            try:
                return attempt(once)
            except (Unreachable, RateLimited) as error:
                wait = _wait_before_retry(error, number)
                limited = isinstance(error, RateLimited)
                if wait is None or not self._wait(wait, call if limited else once):
                    raise
                once = call.begun() if limited else once
            number += 1

    def _wait(self, seconds: float, call: Call) -> bool:
        if self._tell is not None and _LONG_WAIT <= seconds < call.deadline.remaining:
            self._tell(f"{call.registry} limits the rate of requests: waiting {span(seconds)}")
        return call.deadline.sleep(seconds)

    @contextmanager
    def reading(self, deadline: Deadline) -> Iterator[None]:
        """Let one thread at a time make objects of a document: they take many times its size."""
        while not self._reading.acquire(timeout=deadline.patience(HEARING)):
            pass
        try:
            yield
        finally:
            self._reading.release()

    def attempt(self, call: Call) -> Answer:
        """Do what `send` does, once."""
        answer = self.converse(call)
        response = answer.response
        if response.is_success:
            return answer
        try:
            raise self._error(call, response)
        finally:
            response.close()

    def _error(self, call: Call, response: httpx.Response) -> SourceError:
        status, host = response.status_code, registry_of(response.request.url)
        if status not in _REFUSALS:
            return status_error(response, host, error_code(response), self._clock)
        if not same_origin(response.request.url, call.url):
            return unauthorized_elsewhere(call.registry, host, status)
        return unauthorized(host, status, self._authenticator.source(call.place))

    def converse(self, call: Call) -> Answer:
        """Carry a call through login and redirects to an answer of whatever status.

        A challenge that cannot be met is given back closed.
        """
        answer = self.ask(call)
        for learn in (self._authenticator.challenged, self._authenticator.widened):
            if not _may_be_answered(answer.response, call):
                break
            answer.response.close()
            if not learn(call.place, answer.response, call.deadline):
                break
            answer = self.ask(call)
        return answer

    def ask(self, call: Call) -> Answer:
        """Carry a call through redirects to an answer of whatever status, a challenge included."""
        url = call.url
        served_by: tuple[str, ...] = (str(registry_of(url)),)
        headers = {
            "Host": call.url.netloc.decode("ascii"),
            "User-Agent": f"imgverify/{__version__}",
            "Accept-Encoding": "identity",
            **call.headers,
        }
        authorization = self._authenticator.header(call.place, call.deadline)
        if authorization:
            headers["Authorization"] = authorization
        for _ in range(limits.REDIRECTS + 1):
            request = httpx.Request(call.method, url, headers=headers)
            response = self._exchange(request, call.deadline)
            if same_origin(url, call.url) and (limit := parse_rate_limit(response.headers)):
                self._rate_limits[call.registry] = limit
            if response.status_code not in _REDIRECTS:
                if response.is_success:
                    refuse_encoding(response)
                return Answer(response, served_by)
            response.close()
            target = self._redirect_target(url, response)
            headers = _travelling(headers, url, target)
            url, served_by = target, (*served_by, str(registry_of(target)))
        msg = f"{call.registry} redirects more than {limits.REDIRECTS} times"
        raise LimitExceeded(msg)

    def _redirect_target(self, url: httpx.URL, response: httpx.Response) -> httpx.URL:
        target = resolve_server_url(url, response.headers.get("Location", ""))
        host = registry_of(target)
        if target.scheme == "http" and (
            url.scheme == "https" or not is_among(target, self.settings.insecure_http)
        ):
            msg = f"{registry_of(url)} redirects to plain HTTP at {host}"
            hint = f"plain HTTP is used only for hosts that are named: --insecure-http {host}"
            raise Unreachable(msg, hint="" if url.scheme == "https" else hint)
        return target

    def _exchange(self, request: httpx.Request, deadline: Deadline) -> httpx.Response:
        self._count()
        request.extensions["deadline"] = deadline
        host = registry_of(request.url)
        with about(host):
            response = self._transport.handle_request(request)
        if self.settings.proxies.choose(request.url) is None:
            # Through a proxy all hosts would have the proxy's address.
            self._peers.setdefault(str(host), set()).add(response.extensions["peer"])
        if request.url.scheme == "http" or is_among(request.url, self.settings.insecure_tls):
            self._unproven.add(str(host))
        return response

    def is_same_server(self, host: str, other: str) -> bool:
        """Tell whether `other`, as far as no certificate says otherwise, was `host` again.

        Names that certificates prove may share an address: large registries have such fronts.
        """
        if other not in self._unproven:
            return host == other
        return host == other or not self._peers.get(other, set()).isdisjoint(
            self._peers.get(host, ())
        )

    def open(self, url: httpx.URL, deadline: Deadline) -> httpx.Response:
        """Ask any host for a document: with no credentials, and no redirect is followed."""
        headers = {"User-Agent": f"imgverify/{__version__}", "Accept-Encoding": "identity"}
        return self._exchange(httpx.Request("GET", url, headers=headers), deadline)

    def _count(self) -> None:
        with self._lock:
            if self._allowance is not None and self.sent >= self._allowance:
                msg = f"{self._allowance} requests were made, which is all that are"
                raise LimitExceeded(msg)
            self.sent += 1

    def _ask_for_token(self, request: httpx.Request) -> TokenAnswer:
        realm = registry_of(request.url)
        if request.url.scheme == "http" and not is_among(request.url, self.settings.insecure_http):
            msg = f"the token server {realm} is plain HTTP"
            hint = f"plain HTTP is used only for hosts that are named: --insecure-http {realm}"
            raise Unauthorized(msg, hint=hint)
        request.headers["User-Agent"] = f"imgverify/{__version__}"
        request.headers["Accept-Encoding"] = "identity"
        if request.method == "POST":
            request.read()
        response = self._exchange(request, request.extensions["deadline"])
        try:
            if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
                # What a token server says may hold a token, and is not quoted.
                raise status_error(response, realm, "", self._clock)
            refuse_encoding(response)
            return TokenAnswer(response.status_code, read_body(response, limits.TOKEN_SIZE))
        finally:
            response.close()


def _may_be_answered(response: httpx.Response, call: Call) -> bool:
    """Tell whether a response asks for credentials, and is the registry's own."""
    unauthorized = response.status_code == httpx.codes.UNAUTHORIZED
    return unauthorized and same_origin(response.request.url, call.url)


def _travelling(headers: dict[str, str], url: httpx.URL, target: httpx.URL) -> dict[str, str]:
    kept = {
        name: value
        for name, value in headers.items()
        if same_origin(url, target) or name.lower() in _TRAVELLING_HEADERS
    }
    return kept | {"Host": target.netloc.decode("ascii")}


def _wait_before_retry(error: Unreachable | RateLimited, attempt: int) -> float | None:
    """Return how long to wait before another attempt, None where none would help."""
    said = error.retry_after if isinstance(error, RateLimited) else None
    most = limits.RATE_LIMIT_RETRIES if said else limits.RETRIES
    if attempt >= most or not error.transient or (said or 0) > limits.RETRY_AFTER:
        return None
    growth = 2 ** min(attempt, limits.RETRIES)
    backoff: float = _BACKOFF * growth * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
    if not said:
        return backoff
    # Those who were refused together would be again if they all came back at one moment.
    return said + backoff if attempt else max(said, backoff)
