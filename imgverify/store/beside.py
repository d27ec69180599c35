"""What lies beside an image in a layout: signatures are listed in several ways, or not at all."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, LimitExceeded
from imgverify.oci import limits
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Algorithm, Content, Digest
from imgverify.oci.manifest import Index, parse_manifest
from imgverify.oci.mediatype import OCI_MANIFEST
from imgverify.store.documents import BLOBS
from imgverify.store.reader import is_cosigns, is_tagged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgverify.store.reader import CopyReader

_MARK: Final = b'"subject"'
_DIGEST: Final = re.compile(rb"sha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})")


class Beside:
    """Finds what refers to a digest; the blobs are looked through once, at the first question."""

    def __init__(self, reader: CopyReader, tick: Callable[[], object]) -> None:
        self._reader = reader
        self._tick = tick
        self._lock = threading.Lock()
        self._subjects: dict[Digest, list[Descriptor]] | None = None

    def listed(self, digest: Digest) -> tuple[Descriptor, ...]:
        """Return what a tag for this digest lists, and what `cosign save` put into `index.json`.

        Cosign does not say whose signatures these are; they say it themselves.
        """
        entries = self._reader.entries or ()
        found = [each for each in entries if is_cosigns(each)]
        tag = f"{digest.algorithm.value}-{digest.encoded}"
        for each in (each for each in entries if is_tagged(each, tag)):
            content = self._reader.content(each.digest, limits.MANIFEST_SIZE)
            index = parse_manifest(content, expected=each.media_type)
            found += index.manifests if isinstance(index, Index) else ()
        return tuple(found)

    def referring(self, digest: Digest) -> tuple[Descriptor, ...]:
        """Return the manifests among the blobs whose subject is this digest.

        What hashes to something else than its name, and has this digest in it, is among them:
        reading it tells what is wrong. Raises `LimitExceeded`.
        """
        if self._reader.entries is None:
            return ()
        with self._lock:
            if self._subjects is None:
                self._subjects = self._look_through()
            return tuple(self._subjects.get(digest, ()))

    def _look_through(self) -> dict[Digest, list[Descriptor]]:
        subjects: dict[Digest, list[Descriptor]] = {}
        size = 0
        for name in self._names():
            self._tick()
            data = self._document(name, limits.LAYOUT_SCAN_SIZE - size)
            size += len(data)
            for subject, found in _referring(name, data):
                subjects.setdefault(subject, []).append(found)
        return subjects

    def _names(self) -> Iterator[Digest]:
        tree, count = self._reader.tree, 0
        for algorithm in Algorithm:
            for each in tree.names(f"{BLOBS}/{algorithm.value}"):
                count += 1
                if count > limits.LAYOUT_BLOBS:
                    msg = f"{tree.path(BLOBS)} has more than {limits.LAYOUT_BLOBS} files"
                    raise LimitExceeded(msg)
                try:
                    yield Digest(algorithm, each)
                except ContentError:
                    continue  # No blob has that name, so nothing can ask for it.

    def _document(self, name: Digest, most: int) -> bytes:
        """Read a blob that may be a manifest; nothing of all others."""
        with self._reader.open(name) as opened:
            if opened is None or opened.size > limits.MANIFEST_SIZE:
                return b""
            if opened.head(1) != b"{":
                return b""
            if opened.size > most:
                msg = f"{self._reader.tree.path(BLOBS)} has too many documents to look through"
                raise LimitExceeded(msg)
            return b"".join(opened.chunks())


def _referring(name: Digest, data: bytes) -> Iterator[tuple[Digest, Descriptor]]:
    if _MARK not in data:
        return
    if not name.matches(data):
        broken = Descriptor(OCI_MANIFEST, name, len(data))
        for each in dict.fromkeys(_DIGEST.findall(data)):
            yield Digest.parse(each.decode()), broken
        return
    try:
        found = parse_manifest(Content(data, name))
    except ContentError:
        return
    if found.subject is not None:
        yield (
            found.subject.digest,
            Descriptor(found.media_type, name, len(data), artifact_type=found.artifact_type),
        )
