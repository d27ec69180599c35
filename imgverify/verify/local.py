"""A copy on this machine, as one side of a comparison: what a registry answers, without one."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.errors import (
    ContentError,
    DigestMismatch,
    InputError,
    Malformed,
    NotFound,
    Side,
    SourceError,
    Unreachable,
)
from imgverify.oci import limits
from imgverify.oci.config import parse_config
from imgverify.oci.local import CopyKind
from imgverify.oci.manifest import Index, Manifest, parse_manifest
from imgverify.oci.mediatype import Kind
from imgverify.registry.client import Served
from imgverify.registry.listing import Referrers, merge_referrers
from imgverify.store.beside import Beside
from imgverify.store.reader import CopyReader, is_tagged
from imgverify.store.saved import SavedImage
from imgverify.verify.read import require_bounds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from imgverify.oci.config import ImageConfig
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Content, Digest
    from imgverify.oci.local import LocalCopy
    from imgverify.oci.mediatype import MediaType
    from imgverify.registry.deadline import Deadline

_DOCUMENTS: Final = frozenset({Kind.MANIFEST, Kind.INDEX})


class LocalRepository:
    """Reads a local copy; every error says the side that it is.

    Raises `InputError` at once for a copy that is not there or could be several images. All
    else that is wrong with it is raised by whatever is read.
    """

    def __init__(self, copy: LocalCopy, side: Side, deadline: Deadline) -> None:
        self.repository = copy
        self.side = side
        self.deadline = deadline
        self._rebuilt: Content | None = None
        self._tick = partial(deadline.patience, 0)
        self._failure: SourceError | ContentError | None = None
        try:
            with self._at_side():
                self._reader = CopyReader(copy, self._tick)
        except (SourceError, ContentError) as error:
            self._failure = error
            return
        self._beside = Beside(self._reader, self._tick)
        try:
            self._chosen: Descriptor | SavedImage | NotFound = self._reader.choose()
        except NotFound as error:
            self._chosen = error
        except InputError:
            self._reader.tree.close()
            raise

    @property
    def is_late(self) -> bool:
        """Whether the time for all that is done is used up."""
        return self.deadline.remaining <= 0

    @property
    def host(self) -> str:
        """Nobody is asked."""
        return ""

    @property
    def is_rebuilt(self) -> bool:
        """Whether the image's manifest is none of a registry's, but was written for comparing."""
        return self._failure is None and isinstance(self._chosen, SavedImage)

    def close(self) -> None:
        """Close the files."""
        if self._failure is None:
            self._reader.tree.close()

    def image(self) -> Served:
        """Read the image that the copy is named for, and every manifest in it.

        Raises `NotFound` where there is none of the name, and `DigestMismatch` for any of the
        manifests whose bytes are not what their name says, wanted or not.
        """
        with self._reading() as reader:
            if isinstance(self._chosen, NotFound):
                raise NotFound(self._chosen.message)
            if isinstance(self._chosen, SavedImage):
                self._rebuilt = reader.rebuild(self._chosen)
                return Served(parse_manifest(self._rebuilt), ())
            top = self._manifest(self._chosen)
            manifests = self._all_manifests(top)
            if self.repository.kind is CopyKind.DOCKER:
                reader.require_agreement(manifests)
            return Served(top, ())

    def by_digest(
        self, digest: Digest, expected: MediaType | None = None, size: int | None = None
    ) -> Served:
        """Read a manifest by its digest; `expected` and `size` are what lists it says."""
        with self._reading() as reader:
            if self._rebuilt is not None and self._rebuilt.digest == digest:
                return Served(parse_manifest(self._rebuilt, expected=expected), ())
            content = reader.content(digest, limits.MANIFEST_SIZE, size)
            if size not in (None, len(content.data)):
                msg = f"{reader.path(digest)} has {len(content.data)} bytes, listed with {size}"
                raise Malformed(msg)
            return Served(parse_manifest(content, expected=expected), ())

    def by_tag(self, tag: str) -> Served:
        """Read the manifest that an entry of `index.json` gives this tag."""
        with self._reading() as reader:
            for entry in reader.entries or ():
                if is_tagged(entry, tag):
                    return Served(self._manifest(entry), ())
            msg = f"{self.repository} has no {tag}"
            raise NotFound(msg)

    def document(self, want: Descriptor, most: int) -> Content:
        """Read a small blob (a config) whole; `most` bounds its size in bytes."""
        with self._reading() as reader:
            content = reader.content(want.digest, most, want.size)
            if len(content.data) != want.size:
                msg = f"{reader.path(want.digest)} has {len(content.data)} bytes, not {want.size}"
                raise DigestMismatch(msg)
            return content

    def config(self, manifest: Manifest) -> ImageConfig:
        """Read an image's config; raises what `document` raises, and `Malformed`."""
        content = self.document(manifest.config, limits.CONFIG_SIZE)
        with self._at_side():
            return parse_config(content, layers=len(manifest.layers))

    @contextmanager
    def blob(self, want: Descriptor, offset: int = 0) -> Iterator[tuple[Iterator[bytes], int]]:
        """Open a blob from `offset`; its chunks are not verified."""
        with self._reading() as reader, reader.open(want.digest) as opened:
            if opened is None:
                msg = f"{reader.path(want.digest)} is not there"
                raise NotFound(msg)
            yield self._unhurried(opened.chunks(offset)), offset

    def referrers(self, digest: Digest, artifact_type: MediaType | None = None) -> Referrers:
        """List what lies beside a digest, by every way in which tools keep it in a layout.

        Raises `LimitExceeded` for more than is looked through.
        """
        with self._reading():
            found = (*self._beside.listed(digest), *self._beside.referring(digest))
            return merge_referrers(digest, None, found, artifact_type)

    def _manifest(self, entry: Descriptor) -> Manifest | Index:
        expected = entry.media_type if entry.media_type.kind in _DOCUMENTS else None
        return self.by_digest(entry.digest, expected, entry.size).manifest

    def _all_manifests(self, top: Manifest | Index) -> dict[Digest, Manifest]:
        """Read all that an index lists and that is there, whatever it is for."""
        if isinstance(top, Manifest):
            return {top.digest: top}
        found: dict[Digest, Manifest] = {}
        sizes: list[int] = []
        level: Collection[Descriptor] = top.manifests
        for _ in range(limits.INDEX_DEPTH):
            require_bounds(level, sizes, self.side)
            sizes += [each.size for each in level]
            documents = [each for each in map(self._present, level) if each is not None]
            found |= {each.digest: each for each in documents if isinstance(each, Manifest)}
            level = [one for each in documents if isinstance(each, Index) for one in each.manifests]
        return found

    def _present(self, entry: Descriptor) -> Manifest | Index | None:
        try:
            return self._manifest(entry)
        except NotFound:
            return None

    def _unhurried(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._tick()
            yield chunk

    @contextmanager
    def _reading(self) -> Iterator[CopyReader]:
        if self._failure is not None:
            raise self._failure
        with self._at_side():
            yield self._reader

    @contextmanager
    def _at_side(self) -> Iterator[None]:
        try:
            yield
        except (SourceError, ContentError) as error:
            # What the caller does inside `blob` may fail at another side, which said so.
            if error.side is Side.LOCAL:
                error.side = self.side
            raise
        except OSError as error:
            msg = f"{self.repository} could not be read: {error.strerror}"
            raise Unreachable(msg, side=self.side) from error
