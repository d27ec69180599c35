"""Reading an image from a layout or archive: every byte is believed by its hash alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imgverify.compare.expand import detect
from imgverify.errors import ContentError, DigestMismatch, InputError, LimitExceeded, Malformed
from imgverify.errors import NotFound as Absent
from imgverify.oci import limits
from imgverify.oci.config import parse_config
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Algorithm, Content, Digest
from imgverify.oci.local import CopyKind
from imgverify.oci.manifest import Index, Manifest, parse_manifest
from imgverify.oci.mediatype import DOCKER_CONFIG, Compression, Kind
from imgverify.store import documents
from imgverify.store.documents import (
    CONTAINERD_NAME,
    DOCKER_FILE,
    INDEX_FILE,
    LAYOUT_FILE,
    REF_NAME,
    blob_path,
)
from imgverify.store.saved import LAYER_TYPES, SavedImage, parse_saved, rebuilt
from imgverify.store.tree import Archive, Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from imgverify.oci.local import LocalCopy
    from imgverify.store.tree import Opened, Tree

    Tick = Callable[[], object]

#: What `cosign save` says of an entry that signs or attests the image beside it.
_COSIGN_KIND: Final = "kind"
_COSIGN_BESIDE: Final = frozenset(
    f"dev.cosignproject.cosign/{each}" for each in ("sigs", "atts", "sboms")
)
# A tag that stands for what lies beside an image, alone or at the end of a whole name.
_BESIDE_TAG: Final = re.compile(
    r"(?:.*:)?sha(?:256|384|512)-[0-9a-f]{64,128}(?:\.[a-z]+)?", re.ASCII
)
_IMAGE_ID: Final = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?", re.ASCII)
_NAMES: Final = 12
_AGAIN: Final = "make this copy again from where it came from"


class CopyReader:
    """The images of a local copy, and what lies beside them.

    `saved` are those that `docker save` lists. Safe to share between threads once it is made.
    Raises `InputError` for a place that is not there, or is nothing of the kind.
    """

    def __init__(self, copy: LocalCopy, tick: Tick) -> None:
        self._copy = copy
        self._tick = tick
        self._places: dict[Digest, str] = {}
        self.tree: Tree = (
            Folder(copy.path) if copy.kind is CopyKind.LAYOUT else Archive(copy.path, tick)
        )
        try:
            self.entries = self._read_entries()
            self.saved = self._read_saved()
        except BaseException:
            self.tree.close()
            raise

    def choose(self) -> Descriptor | SavedImage:
        """Return the image that was named, or the only one there is.

        Raises `NotFound` where none has the name, `InputError` where several could be meant.
        """
        if self.entries is None:
            return self._choose_saved()
        named = [each for each in self.entries if self._is_named(each)]
        found = list({each.digest: each for each in named if not self._is_set_aside(each)}.values())
        if len(found) > 1:
            found = [each for each in found if self._may_run(each)]
        if len(found) == 1:
            self._refuse_shadowed(found[0], named)
            return found[0]
        names = tuple(name for each in self.entries for name in _names(each))
        raise self._none_or_several(len(found), names)

    def open(self, digest: Digest) -> AbstractContextManager[Opened | None]:
        """Open a blob; what is in it has yet to be hashed."""
        return self.tree.open(self._place(digest))

    def path(self, digest: Digest) -> str:
        """Return where a blob lies, as the user can find it."""
        return self.tree.path(self._place(digest))

    def content(self, digest: Digest, most: int, size: int | None = None) -> Content:
        """Read a small blob, and hash it; raises `NotFound` and what is wrong with it.

        What is listed with a `size` that can be read, and is too long for that, is not it.
        """
        longer = LimitExceeded if size is None or size > most else DigestMismatch
        data = self._bytes(self._place(digest), most, longer)
        if data is None:
            msg = f"{self.path(digest)} is not there"
            raise Absent(msg)
        if not digest.matches(data):
            actual = Digest.of(data, digest.algorithm)
            msg = f"{self.path(digest)} has {len(data)} bytes that hash to {actual}"
            raise DigestMismatch(msg)
        return Content(data, digest)

    def rebuild(self, image: SavedImage) -> Content:
        """Write a manifest over the files of a saved image, each hashed.

        Raises `DigestMismatch` for a layer that is not the one in the image's config.
        """
        data = self._bytes(image.config, limits.CONFIG_SIZE)
        if data is None:
            raise self._lacks(image.config)
        config = Content.of(data)
        said = _IMAGE_ID.fullmatch(image.config)
        if said and said[1] != config.digest.encoded:
            msg = f"{self.tree.path(image.config)} has bytes that hash to {config.digest}"
            raise DigestMismatch(msg)
        diff_ids = parse_config(config, layers=len(image.layers)).diff_ids
        layers = [self._layer(*each) for each in zip(image.layers, diff_ids, strict=True)]
        self._places[config.digest] = image.config
        return rebuilt(Descriptor(DOCKER_CONFIG, config.digest, len(data)), layers)

    def require_agreement(self, manifests: dict[Digest, Manifest]) -> None:
        """Refuse an archive whose two lists of images, of which tools read one, differ."""
        named = [each for each in self.saved if self._is_saved_as(each)] or list(self.saved)
        offered = {
            (blob_path(each.config.digest), tuple(blob_path(one.digest) for one in each.layers))
            for each in manifests.values()
        }
        if any((each.config, each.layers) not in offered for each in named):
            msg = (
                f"{self.tree.path(DOCKER_FILE)} names another image than {INDEX_FILE};"
                " which one is loaded depends on the tool"
            )
            raise DigestMismatch(msg)

    def _read_entries(self) -> tuple[Descriptor, ...] | None:
        """Read `index.json`; a Docker archive may do without."""
        layout = self._bytes(LAYOUT_FILE, limits.LAYOUT_FILE_SIZE)
        if layout is None and self._copy.kind is CopyKind.DOCKER:
            return None
        if layout is None:
            msg = f"{self._copy.path} is no OCI layout: it has no {LAYOUT_FILE}"
            raise InputError(msg, hint="name a directory or archive that a tool wrote as one")
        documents.check_layout_file(layout)
        index = self._bytes(INDEX_FILE, limits.LAYOUT_INDEX_SIZE)
        if index is None:
            raise self._lacks(INDEX_FILE)
        entries = documents.entries_of(index)
        # Of an image that was saved by its ID Docker lists nothing there.
        return None if not entries and self._copy.kind is CopyKind.DOCKER else entries

    def _read_saved(self) -> tuple[SavedImage, ...]:
        if self._copy.kind is not CopyKind.DOCKER:
            return ()
        data = self._bytes(DOCKER_FILE, limits.LAYOUT_INDEX_SIZE)
        if data is None:
            msg = f"{self._copy.path} is no archive of docker save: it has no {DOCKER_FILE}"
            raise InputError(msg, hint="name one that docker save or skopeo wrote")
        return parse_saved(data)

    def _choose_saved(self) -> SavedImage:
        found = [each for each in self.saved if self._is_saved_as(each)]
        if len(found) == 1:
            return found[0]
        raise self._none_or_several(
            len(found), tuple(name for each in self.saved for name in each.names)
        )

    def _is_saved_as(self, image: SavedImage) -> bool:
        return self._copy.name is None or image.is_called(self._copy.name)

    def _is_named(self, entry: Descriptor) -> bool:
        wanted = self._copy.name
        if wanted is None:
            return True
        if self._copy.kind is CopyKind.DOCKER:
            return SavedImage(_names(entry), "", ()).is_called(wanted)
        return wanted in _names(entry)

    def _is_set_aside(self, entry: Descriptor) -> bool:
        """Tell whether an entry is kept beside an image; one that other tools would run is not."""
        return _is_beside(entry) and not self._has_layers(entry)

    def _has_layers(self, entry: Descriptor) -> bool:
        """Tell whether an entry is an image by what it holds, whatever is said of it."""
        try:
            found = parse_manifest(self.content(entry.digest, limits.MANIFEST_SIZE))
        except (Absent, ContentError):
            return False
        if isinstance(found, Index):
            # A tag that stands for what lies beside an image names an index of that.
            return not _has_tag_beside(entry)
        return found.is_image and any(each.media_type.kind is Kind.LAYER for each in found.layers)

    def _refuse_shadowed(self, chosen: Descriptor, named: list[Descriptor]) -> None:
        """Refuse a name under which tools that take the first entry find something else."""
        if self._copy.name is not None and named[0].digest != chosen.digest:
            msg = f"{self._copy} is {named[0].digest} to some tools, and {chosen.digest} to others"
            raise InputError(msg, hint=_AGAIN)

    def _may_run(self, entry: Descriptor) -> bool:
        """Tell an image from an artifact, where what lists them does not."""
        try:
            found = parse_manifest(self.content(entry.digest, limits.MANIFEST_SIZE))
        except (Absent, ContentError):
            return True
        image = isinstance(found, Index) or found.is_image
        return image and found.subject is None

    def _none_or_several(self, count: int, names: tuple[str, ...]) -> Absent | InputError:
        shown = ", ".join(map(repr, dict.fromkeys(names[:_NAMES]))) or "no names"
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        if not count:
            wanted = self._copy.name
            called = "any image" if wanted is None else f"an image called {wanted!r}"
            msg = f"{self._copy.path} does not have {called}; it has {shown}{more}"
            return Absent(msg)
        msg = f"{self._copy} may be {count} images; there are {shown}{more}"
        hint = f"name one: {self._copy.kind}:{self._copy.path}:NAME"
        return InputError(msg, hint=hint if self._copy.name is None else _AGAIN)

    def _place(self, digest: Digest) -> str:
        return self._places.get(digest) or blob_path(digest)

    def _bytes(
        self, name: str, most: int, longer: type[ContentError] = LimitExceeded
    ) -> bytes | None:
        with self.tree.open(name) as opened:
            if opened is None:
                return None
            if opened.size > most:
                msg = f"{self.tree.path(name)} has {opened.size} bytes; {most} are the most"
                raise longer(msg)
            return b"".join(opened.chunks())

    def _layer(self, name: str, diff_id: Digest) -> Descriptor:
        hasher, head, size = Digest.of(b"").hasher(), b"", 0
        with self.tree.open(name) as opened:
            if opened is None:
                raise self._lacks(name)
            for chunk in opened.chunks():
                self._tick()
                head = head or chunk[:4]
                hasher.update(chunk)
                size += len(chunk)
        digest = Digest(Algorithm.SHA256, hasher.hexdigest())
        compression = detect(head)
        if compression is Compression.NONE and digest != diff_id:
            msg = f"{self.tree.path(name)} hashes to {digest}, the image's config has {diff_id}"
            raise DigestMismatch(msg)
        self._places[digest] = name
        return Descriptor(LAYER_TYPES[compression], digest, size)

    def _lacks(self, name: str) -> Malformed:
        return Malformed(f"{self.tree.path(name)} is not there")


def _is_beside(entry: Descriptor) -> bool:
    """Tell whether an entry is something that a writer keeps beside an image."""
    return entry.artifact_type is not None or is_cosigns(entry) or _has_tag_beside(entry)


def _has_tag_beside(entry: Descriptor) -> bool:
    """Tell whether all names of an entry are tags for what lies beside an image."""
    names = _names(entry)
    return bool(names) and all(map(_BESIDE_TAG.fullmatch, names))


def is_cosigns(entry: Descriptor) -> bool:
    """Tell whether `cosign save` wrote an entry for the signatures of the image in the layout."""
    return entry.annotation(_COSIGN_KIND) in _COSIGN_BESIDE


def is_tagged(entry: Descriptor, tag: str) -> bool:
    """Tell whether an entry has a tag, alone or at the end of a whole name."""
    return any(each == tag or each.endswith(f":{tag}") for each in _names(entry))


def _names(entry: Descriptor) -> tuple[str, ...]:
    said = (entry.annotation(REF_NAME), entry.annotation(CONTAINERD_NAME))
    return tuple(each for each in said if each)
