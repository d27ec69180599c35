"""`oci-archive:FILE[:TAG]` and `docker-archive:FILE[:REF]`: an image in one tar file.

Both write the same tree, an OCI layout with the blobs as they came; for Docker there is a
`manifest.json` besides, as `docker save` has written it since version 25. Nothing is
recompressed, so that the image keeps its digest in either.
"""

from __future__ import annotations

import contextlib
import stat
from typing import TYPE_CHECKING, Protocol

from imgverify.errors import InputError, StoreError
from imgverify.oci import limits
from imgverify.oci.mediatype import Kind
from imgverify.store import documents, tar
from imgverify.store.base import missing
from imgverify.store.files import require_space, storing, write_at
from imgverify.store.part import FilePart
from imgverify.store.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.reference import Reference
    from imgverify.store.base import Delivered, Part

# More than index.json and manifest.json take, with their headers.
_LATE_SIZE = limits.MIB


class Style(Protocol):
    """What one kind of archive has besides the blobs."""

    def check(self, blobs: Sequence[Descriptor]) -> None:
        """Refuse what the format cannot hold; raises `InputError`."""

    def annotations(self, image: Delivered) -> Mapping[str, str]:
        """Return what the image's entry in `index.json` says about its name."""

    def files(self, image: Delivered) -> Mapping[str, bytes]:
        """Return the files besides the layout's; raises `InputError` as `check` does."""


class OciStyle:
    """The archive that skopeo calls `oci-archive`; the image has a name only if one is given."""

    def __init__(self, ref_name: str | None = None) -> None:
        self._ref_name = ref_name

    def check(self, blobs: Sequence[Descriptor]) -> None:
        """Accept all that a layout can hold."""

    def annotations(self, image: Delivered) -> Mapping[str, str]:  # noqa: ARG002 - see Style
        """Return the name that was given."""
        return {documents.REF_NAME: self._ref_name} if self._ref_name else {}

    def files(self, image: Delivered) -> Mapping[str, bytes]:  # noqa: ARG002 - see Style
        """Return nothing: a layout is all there is."""
        return {}


class DockerStyle:
    """The archive that `docker load` reads: one platform, under `name` or else upstream's name."""

    def __init__(self, name: Reference | None = None) -> None:
        self._name = name

    def check(self, blobs: Sequence[Descriptor]) -> None:
        """Refuse several manifests before anything is fetched.

        An attestation beside the only image counts too, for a descriptor does not tell it apart.
        """
        _require_one(sum(each.media_type.kind is Kind.MANIFEST for each in blobs))

    def annotations(self, image: Delivered) -> Mapping[str, str]:
        """Return the names that containerd and Docker over it look for."""
        name = self._name or image.name
        if name.tag is None:
            return {}
        full = f"{name.repository}:{name.tag}"
        return {documents.CONTAINERD_NAME: full, documents.REF_NAME: name.tag}

    def files(self, image: Delivered) -> Mapping[str, bytes]:
        """Return `manifest.json`."""
        _require_one(len(image.manifests))
        if not image.manifests[0].is_image:
            kind = image.manifests[0].config.media_type
            msg = f"a docker-archive holds images, and {image.name} is none: its config is {kind}"
            raise InputError(msg, hint="write an oci-archive, which holds anything")
        tag = documents.familiar(self._name or image.name)
        data = documents.docker_manifest(image.manifests[0], [tag] if tag else [])
        return {documents.DOCKER_FILE: data}


class ArchiveSink:
    """Writes an image into a new file, which takes the place of `path` at commit and not before.

    Sizes are known, so every blob has its place and all are written side by side, in a private
    file in the same directory. Nothing is resumed across processes: a file of a killed run is
    removed by the next.
    Raises `InputError` if `path` is no file, or in no directory.
    """

    def __init__(self, path: Path, style: Style) -> None:
        self._path = path
        self._style = style
        self._scratch: Scratch | None = None
        self._plan = tar.plan(())
        self._blobs: dict[Digest, Descriptor] = {}
        self._offsets: dict[Digest, int] = {}
        self._completed: set[Digest] = set()
        with storing("read", path):
            _check(path)

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        """Lay out the archive and open the private file."""
        self._blobs = {each.digest: each for each in blobs}
        self._style.check(tuple(self._blobs.values()))
        self._plan = tar.plan(self._blobs.values())
        with storing("write", self._path):
            self._scratch = Scratch.beside(self._path)
        try:
            with storing("write", self._path):
                require_space(self._scratch.folder, self._plan.end + _LATE_SIZE, self._path)
        except BaseException:
            self.abandon()
            raise

    def holds(self, want: Descriptor) -> bool:
        """Tell whether the blob was completed in this run."""
        return want.digest in self._completed

    @contextlib.contextmanager
    def part(self, want: Descriptor) -> Iterator[Part]:
        """Open the blob's place; within this run it is resumed where it was left."""
        digest, fd, completed = want.digest, self._opened.fd, self._completed
        if digest not in self._blobs:
            msg = f"{digest} has no place in the archive: begin was not told of it"
            raise ValueError(msg)
        base = self._plan.slots[digest].content
        part = _ArchivedPart(fd, want, self._path, base=base, completed=completed)
        part.offset = self._offsets.get(digest, 0)
        try:
            yield part
        finally:
            self._offsets[digest] = part.offset

    def commit(self, image: Delivered) -> None:
        """Write what makes an archive of the blobs, sync, and put it in its place."""
        absent = missing(self._blobs, self._completed, image) or self._unplaced(image.manifests)
        if absent:
            msg = f"cannot finish {self._path}: it lacks {absent[0]}"
            raise StoreError(msg)
        late = self._late(image)
        scratch = self._opened
        with storing("write", self._path):
            write_at(scratch.fd, self._plan.head, 0)
            for slot in self._plan.slots.values():
                write_at(scratch.fd, slot.header, slot.start)
            write_at(scratch.fd, late, self._plan.end)
            scratch.publish(self._path.name)
        self._scratch = None

    def abandon(self) -> None:
        """Remove the private file; a file that was at `path` before is untouched."""
        if self._scratch is not None:
            self._scratch.discard()
            self._scratch = None

    @property
    def _opened(self) -> Scratch:
        if self._scratch is None:
            msg = "a sink takes blobs between begin and commit"
            raise ValueError(msg)
        return self._scratch

    def _unplaced(self, manifests: Sequence[Manifest]) -> tuple[Digest, ...]:
        """Return what the manifests name and the archive has not: no reader would take that."""
        named = [each.digest for one in manifests for each in (one.config, *one.layers)]
        return tuple(digest for digest in named if digest not in self._blobs)

    def _late(self, image: Delivered) -> bytes:
        entry = documents.index_entry(image.root, self._style.annotations(image))
        files = {documents.INDEX_FILE: documents.index_with(entry), **self._style.files(image)}
        return b"".join(tar.entry(name, data) for name, data in files.items()) + tar.END


class _ArchivedPart(FilePart):
    """A part between others; its bytes are synced with the whole file."""

    def __init__(
        self, fd: int, want: Descriptor, path: Path, *, base: int, completed: set[Digest]
    ) -> None:
        super().__init__(fd, want, path, base=base)
        self._completed = completed

    def restart(self) -> None:
        """Start over: what was written is written over."""
        self._completed.discard(self._want.digest)
        self.offset = 0

    def complete(self) -> None:
        """Note that the place is filled."""
        self._require_all()
        self._completed.add(self._want.digest)


def _require_one(count: int) -> None:
    if count != 1:
        msg = f"a docker-archive holds one manifest, and this image has {count}"
        hint = "name one with --platform, or write an oci-archive, which holds them all"
        raise InputError(msg, hint=hint)


def _check(path: Path) -> None:
    """Refuse to take the place of anything but a file: as root even a device would give way."""
    if not path.parent.is_dir():
        msg = f"{path.parent} is not a directory"
        raise InputError(msg, hint="make it, or name another place with --to")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "not a file"
        msg = f"{path} is {what}"
        raise InputError(msg, hint="name the file itself, or one that does not exist yet")
