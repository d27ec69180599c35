"""One request to a registry, carried to an answer: authentication, redirects, retries, errors."""

from __future__ import annotations

import email.utils
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self, TypeVar

import httpx

from imgverify.errors import (
    ContentError,
    ImgverifyError,
    LimitExceeded,
    Malformed,
    NotFound,
    RateLimited,
    SourceError,
    Unauthorized,
    Unreachable,
)
from imgverify.oci import limits
from imgverify.oci.strictjson import load_object
from imgverify.registry.auth import Authenticator, TokenAnswer
from imgverify.registry.dial import HEARING
from imgverify.registry.failure import about
from imgverify.registry.transport import Transport
from imgverify.registry.urls import is_among, registry_of, resolve_server_url, same_origin
from imgverify.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from imgverify.oci.reference import Registry
    from imgverify.registry.credentials import CredentialStore
    from imgverify.registry.deadline import Deadline

Result = TypeVar("Result")

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TRANSIENT: Final = frozenset({502, 503, 504})
_BACKOFF: Final = 0.5
#: Everything else is dropped when a redirect leaves the origin.
_TRAVELLING_HEADERS: Final = frozenset({"accept", "accept-encoding", "range", "user-agent"})


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Which hosts may be reached without TLS, or without a valid certificate; never implied."""

    insecure_http: frozenset[Registry] = frozenset()
    insecure_tls: frozenset[Registry] = frozenset()


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a registry; `scope` is what a token for it has to allow."""

    method: str
    url: httpx.URL
    registry: Registry
    scope: str
    deadline: Deadline
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with a status of 2xx, not yet read, and the hosts that were asked, in order.

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
    """Sends calls; safe to share between threads."""

    def __init__(self, settings: NetworkSettings, credentials: CredentialStore) -> None:
        self.settings = settings
        self._verified = Transport()
        self._unverified = Transport(insecure_tls=True)
        self._authenticator = Authenticator(credentials, self._ask_for_token)
        self._reading = threading.Lock()

    def close(self) -> None:
        """Close idle connections."""
        self._verified.close()
        self._unverified.close()

    def send(self, call: Call) -> Answer:
        """Carry a call to an answer of 2xx.

        Raises a `SourceError` for any other status and for network faults, `ContentError` for
        answers that break the protocol.  Only what is transient (429, 502, 503, 504 and broken
        connections) is tried again, at most `limits.RETRIES` times and within the deadline.
        """
        return self.retried(lambda: self.attempt(call), call.deadline)

    def fetch(
        self, call: Call, most: int, longer: type[ContentError] = LimitExceeded
    ) -> tuple[Answer, bytes]:
        """Carry a call to its whole body; else as `send`.

        One of more than `most` bytes raises `longer`. A body that breaks off is asked for again.
        """

        def whole() -> tuple[Answer, bytes]:
            with self.attempt(call) as answer:
                return answer, read_body(answer.response, most, longer)

        return self.retried(whole, call.deadline)

    def retried(self, attempt: Callable[[], Result], deadline: Deadline) -> Result:
        """Try again what failed for a transient reason, within the deadline."""
        for number in range(limits.RETRIES + 1):
            try:
                return attempt()
            except (Unreachable, RateLimited) as error:
                wait = _wait_before_retry(error, number)
                if wait is None or not deadline.sleep(wait):
                    raise
        raise AssertionError  # pragma: no cover

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
        response, served_by = self._follow(call)
        if response.status_code == httpx.codes.UNAUTHORIZED and len(served_by) == 1:
            response.close()
            refused = (response, response.request.headers.get("Authorization"))
            if not self._authenticator.challenged(
                call.registry, call.scope, refused, call.deadline
            ):
                raise _unauthorized(call.registry, httpx.codes.UNAUTHORIZED)
            response, served_by = self._follow(call)
        if response.is_success:
            _refuse_encoding(response)
            return Answer(response, served_by)
        try:
            raise _status_error(response, registry_of(response.request.url))
        finally:
            response.close()

    def _follow(self, call: Call) -> tuple[httpx.Response, tuple[str, ...]]:
        url = call.url
        served_by: tuple[str, ...] = (str(registry_of(url)),)
        headers = {
            "Host": call.url.netloc.decode("ascii"),
            "User-Agent": f"imgverify/{__version__}",
            "Accept-Encoding": "identity",
            **call.headers,
        }
        authorization = self._authenticator.header(call.registry, call.scope, call.deadline)
        if authorization:
            headers["Authorization"] = authorization
        for _ in range(limits.REDIRECTS + 1):
            request = httpx.Request(call.method, url, headers=headers)
            response = self._exchange(request, call.deadline)
            if response.status_code not in _REDIRECTS:
                return response, served_by
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
        request.extensions["deadline"] = deadline
        insecure = is_among(request.url, self.settings.insecure_tls)
        transport = self._unverified if insecure else self._verified
        with about(registry_of(request.url)):
            return transport.handle_request(request)

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
                raise _status_error(response, realm, quote=False)
            _refuse_encoding(response)
            return TokenAnswer(response.status_code, read_body(response, limits.TOKEN_SIZE))
        finally:
            response.close()


def read_body(
    response: httpx.Response, most: int, longer: type[ContentError] = LimitExceeded
) -> bytes:
    """Read a whole body of at most `most` bytes; raises `longer` or `Unreachable`."""
    body = bytearray()
    host = registry_of(response.request.url)
    with about(host):
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > most:
                msg = f"{host} sent more than {most} bytes where less is all that can be right"
                raise longer(msg)
    return bytes(body)


def _travelling(headers: dict[str, str], url: httpx.URL, target: httpx.URL) -> dict[str, str]:
    kept = {
        name: value
        for name, value in headers.items()
        if same_origin(url, target) or name.lower() in _TRAVELLING_HEADERS
    }
    return kept | {"Host": target.netloc.decode("ascii")}


def _refuse_encoding(response: httpx.Response) -> None:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() not in ("identity", ""):
        response.close()
        msg = (
            f"{registry_of(response.request.url)} sent content encoded as {encoding!r},"
            " which was not asked for"
        )
        raise Malformed(msg, hint="a proxy in between compresses; it must not")


def _unauthorized(host: Registry, status: int) -> Unauthorized:
    what = "wants credentials" if status == httpx.codes.UNAUTHORIZED else "refuses access"
    msg = f"{host} {what} ({status})"
    return Unauthorized(msg, hint=f"log in (docker login {host}), and check the image's name")


def _status_error(response: httpx.Response, host: Registry, *, quote: bool = True) -> SourceError:
    """Say what a status means; `quote` tells whether the body may be quoted from."""
    status = response.status_code
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return _unauthorized(host, status)
    code = _error_code(response) if quote else ""
    msg = f"{host} answered {status}" + (f" ({code})" if code else "")
    if status == httpx.codes.NOT_FOUND:
        return NotFound(msg)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        wait = _retry_after(response)
        when = f"in {wait:.0f} s" if wait else "later"
        return RateLimited(
            msg, hint=f"the rate limit is used up: try again {when}", retry_after=wait
        )
    hint = "the registry is at fault: try again later"
    return Unreachable(msg, hint=hint, transient=status in _TRANSIENT, status=status)


def _error_code(response: httpx.Response) -> str:
    """Return the distribution error codes of a response, which a HEAD has none of."""
    if response.request.method == "HEAD":
        return ""
    try:
        errors = load_object(read_body(response, limits.ERROR_BODY_SIZE), "").get("errors")
        codes = [str(each["code"]) for each in errors] if isinstance(errors, list) else []
    except (ImgverifyError, TypeError, KeyError):
        return ""
    return ", ".join(codes)[: limits.DISPLAY_LENGTH]


def _retry_after(response: httpx.Response) -> float | None:
    """Read Retry-After (RFC 9110 §10.2.3): seconds, or a date held against the server's own."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[: limits.JSON_INTEGER_DIGITS])
    try:
        then = email.utils.parsedate_to_datetime(text)
        now = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, (_utc(then) - _utc(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _wait_before_retry(error: Unreachable | RateLimited, attempt: int) -> float | None:
    """Return how long to wait before another attempt, None where none would help."""
    if attempt == limits.RETRIES or not error.transient:
        return None
    backoff: float = _BACKOFF * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
    if isinstance(error, RateLimited) and error.retry_after is not None:
        wait = max(error.retry_after, backoff)
        return wait if wait <= limits.RETRY_AFTER else None
    return backoff
