"""Fetching a newer trusted root by TUF: the one place where trust comes from the network.

The client is python-tuf's; bytes come through the same transport as a registry's, without
credentials and without following redirects. Nothing takes effect before all of it is verified.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
from tuf.api import exceptions as tuf
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from imgverify.errors import InputError, LimitExceeded, Malformed, NotFound, Unreachable
from imgverify.oci import limits
from imgverify.registry.body import refuse_encoding
from imgverify.registry.failure import about
from imgverify.registry.urls import is_among, registry_of, repository_url, resolve_server_url
from imgverify.trust.stored import PUBLIC_GOOD_URL, next_generation, read_stored
from imgverify.trust.trustedroot import parse_trusted_roots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from imgverify.oci.reference import Registry
    from imgverify.registry.client import Network
    from imgverify.trust.stored import Generation, Stored

TARGET: Final = "trusted_root.json"
_CONFIG: Final = UpdaterConfig(
    max_root_rotations=limits.TUF_ROTATIONS,
    max_delegations=limits.TUF_DELEGATIONS,
    root_max_length=limits.TUF_ROOT_SIZE,
    timestamp_max_length=limits.TUF_TIMESTAMP_SIZE,
    snapshot_max_length=limits.TUF_SNAPSHOT_SIZE,
    targets_max_length=limits.TUF_TARGETS_SIZE,
)
_UNCHANGED: Final = "nothing was changed"
#: The special ones first: the others are their bases.
_WRONG: Final[tuple[tuple[type[tuf.RepositoryError], str], ...]] = (
    (tuf.ExpiredMetadataError, "has expired: somebody serves an old state, or nobody renews it"),
    (tuf.BadVersionNumberError, "has a version that does not go with what is known: a rollback"),
    (tuf.UnsignedMetadataError, "is not signed by as many keys as it has to be"),
    (tuf.LengthOrHashMismatchError, "is not what the metadata above it names"),
    (tuf.RepositoryError, "does not follow the specification"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A TUF repository, and the root metadata that its chain of trust begins with."""

    url: httpx.URL
    root: bytes

    @property
    def name(self) -> str:
        """The URL as it is remembered."""
        return str(self.url).rstrip("/")

    @property
    def host(self) -> Registry:
        """Whom it is fetched from."""
        return registry_of(self.url)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What was stored before, and what is now."""

    before: Stored | None
    after: Stored


def source_of(url: str, root: bytes, plain: frozenset[Registry]) -> Source:
    """Read a repository's address; raises `InputError`. `plain` are hosts without TLS."""
    read = repository_url(url)
    if read is None:
        msg = "that is not the URL of a TUF repository"
        raise InputError(msg, hint=f"write it as {PUBLIC_GOOD_URL}")
    if read.scheme == "http" and not is_among(read, plain):
        msg = f"{registry_of(read)} would be asked over plain HTTP"
        raise InputError(msg, hint=f"write https://, or add --insecure-http {registry_of(read)}")
    return Source(read, root)


def refresh(source: Source, network: Network, home: Path, now: datetime) -> Refreshed:
    """Fetch, verify and store the newest trusted root of a repository.

    Raises a `SourceError` or `ContentError`, after which all is as it was.
    """
    before = read_stored(home, source.name)
    with next_generation(home, source.name, now) as generation, _telling(source.host):
        _fetch(source, network, generation)
    after = read_stored(home, source.name)
    if after is None:
        raise AssertionError  # pragma: no cover - it was just stored
    return Refreshed(before, after)


def _fetch(source: Source, network: Network, generation: Generation) -> None:
    updater = Updater(
        str(generation.metadata),
        source.name,
        target_base_url=f"{source.name}/targets",
        fetcher=_Fetcher(source, network),
        config=_CONFIG,
        bootstrap=source.root,
    )
    updater.refresh()
    target = updater.get_targetinfo(TARGET)
    if target is None:
        msg = f"{source.host} publishes no {TARGET}"
        raise NotFound(msg, hint=_UNCHANGED)
    if target.length > limits.TRUSTED_ROOT_SIZE:
        msg = f"{TARGET} of {source.host} has {target.length} bytes, which is too many"
        raise LimitExceeded(msg, hint=_UNCHANGED)
    updater.download_target(target, str(generation.target))
    try:
        roots = parse_trusted_roots(generation.target.read_bytes(), f"{TARGET} of {source.host}")
    except InputError as error:
        raise Malformed(error.message, hint=_UNCHANGED) from error
    if len(roots) != 1:
        msg = f"{TARGET} of {source.host} is not a trusted root, but {len(roots)} of them"
        raise Malformed(msg, hint=_UNCHANGED)


@contextmanager
def _telling(host: Registry) -> Iterator[None]:
    """Say in imgverify's own errors what python-tuf found."""
    try:
        yield
    except tuf.DownloadHTTPError as error:
        msg = f"{host} answered with HTTP status {error.status_code}"
        if httpx.codes.is_redirect(error.status_code):
            msg += ", and a redirect is not followed"
        raise Unreachable(msg, hint=_UNCHANGED, status=error.status_code) from error
    except tuf.DownloadLengthMismatchError as error:
        msg = f"{host} sent more bytes than can be right"
        raise LimitExceeded(msg, hint=_UNCHANGED) from error
    except tuf.RepositoryError as error:
        found = next(text for kind, text in _WRONG if isinstance(error, kind))
        msg = f"what {host} serves {found} ({error})"
        raise Malformed(msg, hint=_UNCHANGED) from error


class _Fetcher(FetcherInterface):
    """Gives python-tuf the bytes of a URL; how many may come is counted by its base."""

    def __init__(self, source: Source, network: Network) -> None:
        self._source = source
        self._network = network

    def _fetch(self, url: str) -> Iterator[bytes]:
        # Made of names that the repository chose.
        address = resolve_server_url(self._source.url, url)
        response = self._network.open(address)
        try:
            if response.status_code != httpx.codes.OK:
                msg = "not the document"
                raise tuf.DownloadHTTPError(msg, response.status_code)
            refuse_encoding(response)
            with about(registry_of(address)):
                for chunk in response.iter_raw():
                    yield bytes(chunk)
        finally:
            response.close()
