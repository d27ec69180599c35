"""One repository of one registry, as one side of a comparison (OCI distribution-spec v1.1)."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

import httpx

from imgverify.errors import (
    ContentError,
    DigestMismatch,
    LimitExceeded,
    Malformed,
    NotFound,
    Side,
    SourceError,
    Unreachable,
)
from imgverify.oci import limits
from imgverify.oci.config import parse_config
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import Index, parse_manifest
from imgverify.oci.mediatype import ACCEPT_MANIFEST, MediaType
from imgverify.oci.reference import Reference
from imgverify.oci.stream import verified
from imgverify.registry.deadline import Clock
from imgverify.registry.failure import about
from imgverify.registry.listing import Referrers, list_referrers, list_tags, merge_referrers
from imgverify.registry.session import Answer, Call, NetworkSettings, Session
from imgverify.registry.urls import api_url, registry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from types import TracebackType

    from imgverify.oci.config import ImageConfig
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.reference import Registry, Repository
    from imgverify.registry.credentials import CredentialStore, Place
    from imgverify.registry.deadline import Deadline
    from imgverify.registry.ratelimit import RateLimit

_PARTIAL: Final = 206
_RANGE: Final = re.compile(r"bytes [0-9]{1,19}-[0-9]{1,19}/(?:[0-9]{1,19}|\*)", re.ASCII)
#: What registries answer to a HEAD that they do not support.
_NO_HEAD: Final = frozenset({400, 405, 501})


@dataclass(frozen=True, slots=True)
class Served:
    """A manifest as a registry served it.

    `claimed` is its Docker-Content-Digest header where there was a readable one: said by the
    server, checked by nobody, and never used but to be held against `manifest.digest`.
    `served_by` are the hosts asked, in order, redirects included.
    """

    manifest: Manifest | Index
    served_by: tuple[str, ...]
    claimed: Digest | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What a registry says a tag names, by the header of a HEAD answer or by its hashed bytes."""

    digest: Digest
    served_by: tuple[str, ...]
    served: Served | None = None


class Network:
    """The way to every repository, with one deadline for all that is done; a context manager.

    `allowance` is the most requests that are made.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        credentials: CredentialStore,
        deadline: Deadline,
        *,
        now: datetime | None = None,
        tell: Callable[[str], None] | None = None,
        allowance: int | None = None,
    ) -> None:
        """With `now`, errors name the time to try again; `tell` is told of long waits."""
        self.settings = settings
        self.deadline = deadline
        self._credentials = credentials
        clock = None if now is None else Clock(now, time.monotonic())
        self._session = Session(settings, credentials, clock=clock, tell=tell, allowance=allowance)

    def apart(self, allowance: int) -> Network:
        """Return a network for one host: connections and logins of its own, so many requests."""
        return Network(self.settings, self._credentials, self.deadline, allowance=allowance)

    @property
    def sent(self) -> int:
        """The number of requests that were made, those to token servers included."""
        return self._session.sent

    def at(self, repository: Repository, side: Side) -> RemoteRepository:
        """Return a repository as one side of a comparison."""
        return RemoteRepository(self._session, repository, side, self.deadline)

    def open(self, url: httpx.URL) -> httpx.Response:
        """Ask any host for a document as nobody; the answer is still to be read, and closed."""
        return self._session.open(url, self.deadline.within(limits.REQUEST_TIMEOUT))

    @property
    def rate_limits(self) -> Mapping[Registry, RateLimit]:
        """What each registry that said so still allows, as it said last."""
        return self._session.rate_limits

    @property
    def credential_sources(self) -> Mapping[Place, str]:
        """Where the credentials are from for what asked for some, as far as there were any."""
        return self._session.credential_sources

    def is_same_server(self, host: str, other: str) -> bool:
        """Tell whether two hosts that were asked are one, as far as can be known."""
        return self._session.is_same_server(host, other)

    def __enter__(self) -> Self:
        """Return the network itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Call off what still runs, and close every idle connection."""
        if kind is not None:
            self.deadline.cancelled.set()
        self._session.close()


class RemoteRepository:
    """Reads one repository; every error says the side that this repository is.

    Safe to share between threads.
    """

    def __init__(
        self, session: Session, repository: Repository, side: Side, deadline: Deadline
    ) -> None:
        self.repository = repository
        self.side = side
        self._session = session
        self.deadline = deadline

    @property
    def is_late(self) -> bool:
        """Whether the time for all that is done is used up: nobody can answer any more."""
        return self.deadline.remaining <= 0

    @property
    def host(self) -> str:
        """The host that is asked first, as `served_by` has it."""
        return str(registry_of(self._url("/")))

    def greet(self) -> Answer:
        """Ask the registry whether it speaks version 2 of the API, without logging in.

        Whatever it answers is given; it is still to be closed.
        """
        insecure = self._session.settings.insecure_http
        registry = self.repository.registry
        url = api_url(registry, f"{self.repository.route.api_path}/", insecure_http=insecure)
        with self._at_side():
            return self._session.ask(_soon(Call("GET", url, registry, self.deadline)))

    def look(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Ask for a path below the repository, once; whatever is answered is given, unread."""
        with self._at_side():
            return self._session.converse(_soon(self._call(method, path, headers)))

    def resolve(self, reference: Reference) -> Named:
        """Ask which digest a reference names: HEAD, or GET where HEAD gives no digest.

        On Docker Hub a HEAD is not counted as a pull.  Only an upstream's word about its own
        tags is worth asking for; a mirror's counts for nothing.
        """
        with self._at_side():
            try:
                with self._session.send(self._manifest_call("HEAD", _name(reference))) as answer:
                    claimed = _claimed_digest(answer.response)
                    served_by = answer.served_by
            except NotFound:
                # Some proxies know a tag only to GET, whose word counts.
                if reference.digest is not None:
                    raise
                claimed, served_by = None, ()
            except Unreachable as error:
                if error.status not in _NO_HEAD:
                    raise
                claimed, served_by = None, ()
        if claimed is not None and reference.digest in (None, claimed):
            return Named(claimed, served_by)
        served = self.manifest(reference)
        return Named(served.manifest.digest, served.served_by, served)

    def vouching_hosts(self, digest: Digest) -> tuple[str, ...]:
        """Return the hosts that were asked, redirects included, if a manifest is served by digest.

        Empty where it is not served: the registry's word by HEAD, or bytes where HEAD is refused.
        """
        with self._at_side():
            try:
                with self._session.send(self._manifest_call("HEAD", str(digest))) as answer:
                    served = _claimed_digest(answer.response) in (None, digest)
                    return answer.served_by if served else ()
            except NotFound:
                return ()
            except Unreachable as error:
                if error.status not in _NO_HEAD:
                    raise
            try:
                return self._fetch_manifest(str(digest), digest, None).served_by
            except NotFound:
                return ()

    def manifest(
        self, reference: Reference, expected: MediaType | None = None, size: int | None = None
    ) -> Served:
        """Fetch a manifest; with a digest in `reference` the bytes have to hash to it.

        `expected` is the media type that a parent index gave, `size` the number of bytes, of
        which not one more is read.
        Raises `DigestMismatch`, `Malformed`, `LimitExceeded` or a `SourceError`.
        """
        with self._at_side():
            return self._fetch_manifest(_name(reference), reference.digest, expected, size)

    def by_digest(
        self, digest: Digest, expected: MediaType | None = None, size: int | None = None
    ) -> Served:
        """Fetch a manifest by its digest alone, as `manifest` does."""
        return self.manifest(Reference(self.repository, digest=digest), expected, size)

    def by_tag(self, tag: str) -> Served:
        """Fetch a manifest by a tag, as `manifest` does."""
        return self.manifest(Reference(self.repository, tag))

    def document(self, want: Descriptor, most: int) -> Content:
        """Fetch a small blob (a config) whole; `most` bounds its size in bytes."""
        if want.size > most:
            msg = f"{want.digest} says to have {want.size} bytes; {most} are the most"
            raise LimitExceeded(msg, side=self.side)
        with self.blob(want) as (chunks, _), self._at_side():
            copies = (bytes(chunk) for chunk in chunks)
            return Content(b"".join(verified(copies, want)), want.digest)

    def config(self, manifest: Manifest) -> ImageConfig:
        """Fetch and read an image's config; raises what `document` raises, and `Malformed`."""
        content = self.document(manifest.config, limits.CONFIG_SIZE)
        with self._at_side(), self._session.reading(self.deadline):
            return parse_config(content, layers=len(manifest.layers))

    @contextmanager
    def blob(self, want: Descriptor, offset: int = 0) -> Iterator[tuple[Iterator[bytes], int]]:
        """Open a blob from `offset`; gives its chunks and the offset that they really start at.

        The chunks are not verified, and each is valid only until the next is asked for.
        A registry that does not know ranges starts at 0 again.
        """
        headers = {"Accept": "*/*"}
        if offset:
            headers["Range"] = f"bytes={offset}-{want.size - 1}"
        seconds = limits.REQUEST_TIMEOUT + want.size / limits.BLOB_MIN_RATE
        call = replace(self._call("GET", f"/blobs/{want.digest}", headers), seconds=seconds)
        with self._at_side(), self._session.send(call) as got:
            start = _start(got.response, offset, want.size)
            yield _chunks(got.response), start

    def tags(self) -> tuple[str, ...]:
        """List the repository's tags, all pages of it.

        Raises `LimitExceeded` beyond `limits.TAG_PAGES` pages or `limits.TAGS` tags.
        """
        with self._at_side():
            return list_tags(self._fetch_page, f"{self._base}/tags/list")

    def referrers(self, digest: Digest, artifact_type: MediaType | None = None) -> Referrers:
        """List what names `digest` as its subject, by referrers API and fallback tag together.

        Both are read: a registry that gained the API may not list what was pushed before.
        Raises `LimitExceeded` beyond `limits.REFERRERS`, and a `SourceError` where a lookup
        failed, which is not the same as finding nothing.
        """
        tag = f"{digest.algorithm.value[:32]}-{digest.encoded[:64]}"
        with self._at_side():
            api = list_referrers(self._fetch_page, f"{self._base}/referrers/{digest}")
            try:
                index = self._fetch_manifest(tag, None, None).manifest
            except NotFound:
                index = None
            more = index.manifests if isinstance(index, Index) else ()
            return merge_referrers(digest, api, more, artifact_type)

    def _fetch_page(self, target: str | httpx.URL, accept: str) -> tuple[Answer, bytes]:
        """Fetch one page of a listing, by path or by the URL of a checked Link header."""
        url = target if isinstance(target, httpx.URL) else self._url(target)
        call = Call("GET", url, self.repository, self.deadline, {"Accept": accept})
        return self._session.fetch(call, limits.TAG_PAGE_SIZE)

    def _fetch_manifest(
        self,
        name: str,
        digest: Digest | None,
        expected: MediaType | None,
        size: int | None = None,
    ) -> Served:
        call = self._manifest_call("GET", name)
        most = limits.MANIFEST_SIZE if size is None else min(size, limits.MANIFEST_SIZE)
        # What is longer than its index says is not what the index lists.
        longer = DigestMismatch if most == size else LimitExceeded
        answer, data = self._session.fetch(call, most, longer)
        headers = answer.response.headers
        content = Content.of(data) if digest is None else Content(data, digest)
        content_type = MediaType.from_header(headers.get("Content-Type", ""))
        with self._session.reading(call.deadline):
            manifest = parse_manifest(content, content_type=content_type, expected=expected)
        return Served(manifest, answer.served_by, _claimed_digest(answer.response))

    def _manifest_call(self, method: str, name: str) -> Call:
        headers = {"Accept": ACCEPT_MANIFEST}
        return self._call(method, f"/manifests/{quote(name, safe=':')}", headers)

    def _call(self, method: str, path: str, headers: Mapping[str, str]) -> Call:
        url = self._url(f"{self._base}{path}")
        return Call(method, url, self.repository, self.deadline, headers)

    def _url(self, path: str) -> httpx.URL:
        insecure = self._session.settings.insecure_http
        url = api_url(self.repository.registry, path, insecure_http=insecure)
        namespace = self.repository.route.namespace
        return url.copy_merge_params({"ns": namespace}) if namespace else url

    @property
    def _base(self) -> str:
        return f"{self.repository.route.api_path}/{self.repository.path}"

    @contextmanager
    def _at_side(self) -> Iterator[None]:
        try:
            yield
        except (SourceError, ContentError) as error:
            # What the caller does inside `blob` may fail at another side, which said so.
            if error.side is Side.LOCAL:
                error.side = self.side
            raise


def _soon(call: Call) -> Call:
    """Begin a call that a quick answer is wanted of, or none."""
    return replace(call, seconds=limits.PROBE_TIMEOUT).begun()


def _name(reference: Reference) -> str:
    """Return what a manifest is asked for by; a digest is preferred to a tag."""
    return str(reference.digest or reference.tag)


def _claimed_digest(response: httpx.Response) -> Digest | None:
    try:
        return Digest.parse(response.headers.get("Docker-Content-Digest"))
    except Malformed:
        return None


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    host = registry_of(response.request.url)
    with about(host):
        yield from response.iter_raw()


def _start(response: httpx.Response, offset: int, size: int) -> int:
    if response.status_code != _PARTIAL:
        return 0
    wanted = f"bytes {offset}-{size - 1}/"
    said = response.headers.get("Content-Range", "")
    if not said.startswith(wanted) or said[len(wanted) :] not in (str(size), "*"):
        range_ = said if _RANGE.fullmatch(said) else "that is none"
        msg = f"asked for bytes from {offset}, answered with the range {range_}"
        raise Malformed(msg)
    return offset
