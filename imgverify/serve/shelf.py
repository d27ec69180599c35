"""What a loopback registry holds: content as data, changeable while it is being served."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.oci.digest import Algorithm, Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imgverify.oci.mediatype import MediaType


@dataclass(frozen=True, slots=True)
class Streamed:
    """A blob that is made while it is sent, so that it may be larger than memory.

    `chunks` is called once for each request and starts at the first byte every time.
    """

    size: int
    chunks: Callable[[], Iterable[bytes]]


Blob = bytes | Streamed


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest or index as it is served."""

    data: bytes
    media_type: MediaType
    digest: Digest


class _Repository:
    def __init__(self) -> None:
        self.manifests: dict[Digest, StoredManifest] = {}
        self.tags: dict[str, Digest] = {}


class Shelf:
    """Manifests and tags for each repository, blobs for all of them; safe between threads.

    A repository exists from the first manifest, tag or `add_repository` on.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._blobs: dict[Digest, Blob] = {}
        self._repositories: dict[str, _Repository] = {}

    def add_repository(self, repository: str) -> None:
        """Make an empty repository, which answers 404 to less than an unknown one does."""
        with self._lock:
            self._repositories.setdefault(repository, _Repository())

    def put_blob(self, data: bytes, algorithm: Algorithm = Algorithm.SHA256) -> Digest:
        """Keep a blob under the digest of its bytes."""
        digest = Digest.of(data, algorithm)
        self.replace_blob(digest, data)
        return digest

    def replace_blob(self, digest: Digest, blob: Blob) -> None:
        """Serve `blob` for `digest`, whatever it hashes to."""
        with self._lock:
            self._blobs[digest] = blob

    def remove_blob(self, digest: Digest) -> None:
        """Forget a blob; one that is absent already is no error."""
        with self._lock:
            self._blobs.pop(digest, None)

    def put_manifest(
        self,
        repository: str,
        data: bytes,
        media_type: MediaType,
        *,
        tag: str | None = None,
        algorithm: Algorithm = Algorithm.SHA256,
    ) -> Digest:
        """Keep a manifest or index under the digest of its bytes, and tag it where asked to."""
        digest = Digest.of(data, algorithm)
        with self._lock:
            self.add_repository(repository)
            held = self._repositories[repository]
            held.manifests[digest] = StoredManifest(data, media_type, digest)
            if tag is not None:
                held.tags[tag] = digest
        return digest

    def remove_manifest(self, repository: str, digest: Digest) -> None:
        """Forget a manifest; tags that name it stay and lead nowhere."""
        with self._lock:
            self._repositories[repository].manifests.pop(digest, None)

    def tag(self, repository: str, tag: str, digest: Digest) -> None:
        """Let a tag name a digest, which need not be there."""
        with self._lock:
            self.add_repository(repository)
            self._repositories[repository].tags[tag] = digest

    def untag(self, repository: str, tag: str) -> None:
        """Forget a tag; its manifest stays."""
        with self._lock:
            self._repositories[repository].tags.pop(tag, None)

    def has_repository(self, repository: str) -> bool:
        """Tell whether the repository exists."""
        with self._lock:
            return repository in self._repositories

    def blob(self, digest: Digest) -> Blob | None:
        """Return what is served for a digest."""
        with self._lock:
            return self._blobs.get(digest)

    def resolve(self, repository: str, tag: str) -> Digest | None:
        """Return the digest that a tag names."""
        with self._lock:
            return self._held(repository).tags.get(tag)

    def manifest(self, repository: str, digest: Digest) -> StoredManifest | None:
        """Return a manifest of the repository."""
        with self._lock:
            return self._held(repository).manifests.get(digest)

    def tags(self, repository: str) -> tuple[str, ...]:
        """Return the repository's tags in the order of their characters."""
        with self._lock:
            return tuple(sorted(self._held(repository).tags))

    def referrers(self, repository: str, subject: Digest) -> tuple[dict[str, object], ...]:
        """Return the descriptors (as JSON objects) of the manifests whose subject is `subject`.

        distribution-spec, "Listing Referrers"; the order is that in which they were put.
        """
        with self._lock:
            held = tuple(self._held(repository).manifests.values())
        found = (_referrer(each, subject) for each in held)
        return tuple(each for each in found if each is not None)

    def _held(self, repository: str) -> _Repository:
        return self._repositories.get(repository) or _Repository()


def _referrer(stored: StoredManifest, subject: Digest) -> dict[str, object] | None:
    document = _object(stored.data)
    if _member(document, "subject").get("digest") != str(subject):
        return None
    descriptor: dict[str, object] = {
        "mediaType": str(stored.media_type),
        "digest": str(stored.digest),
        "size": len(stored.data),
    }
    # An artifact without a type of its own has that of its config.
    artifact_type = document.get("artifactType") or _member(document, "config").get("mediaType")
    if artifact_type:
        descriptor["artifactType"] = artifact_type
    if "annotations" in document:
        descriptor["annotations"] = document["annotations"]
    return descriptor


def _object(data: bytes) -> dict[str, object]:
    """Read leniently: a shelf also holds what is no JSON, to see what clients make of it."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _member(document: dict[str, object], key: str) -> dict[str, object]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
