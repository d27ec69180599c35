"""`oci:DIR[:TAG]`: a directory in the OCI image layout (image-spec, image-layout.md)."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, InputError, StoreError
from imgverify.oci import limits
from imgverify.store import documents
from imgverify.store.base import missing
from imgverify.store.documents import BLOBS, INDEX_FILE, LAYOUT_FILE
from imgverify.store.files import (
    READ,
    close,
    hashes_to,
    open_folder,
    read_document,
    require_space,
    storing,
)
from imgverify.store.ingest import INGEST, Ingest
from imgverify.store.part import FilePart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.store.base import Delivered, Part

_FOLDER_MODE: Final = 0o755
_LAYOUT_FILE_SIZE: Final = 4 * limits.KIB
_TRIES: Final = 20
# What a run that was ended before its commit may leave; a layout it becomes with index.json.
_UNFINISHED: Final = frozenset({INGEST, BLOBS, LAYOUT_FILE})
_HINT: Final = "name an empty or absent directory, or one that is an OCI layout"


class LayoutSink:
    """Adds an image to a layout, which is made if `path` is absent or empty.

    An image of the same `ref_name` gives way, the others stay. Blobs gather in a private folder
    and get their names when all are there, so that giving up leaves no trace; what they had so
    far is resumed by the next run, in this process or another. Several processes may add to one
    layout at once.
    `path` may be a link to a directory; below it no link is followed.
    Raises `InputError` for a `path` that holds something else.
    """

    def __init__(self, path: Path, ref_name: str | None = None) -> None:
        self._path = path
        self._ref_name = ref_name
        self._root = -1
        self._ingest: Ingest | None = None
        self._made: list[Path] = []
        self._blobs: dict[Digest, Descriptor] = {}
        self._held: set[Digest] = set()
        self._completed: set[Digest] = set()
        with storing("read", path), contextlib.suppress(FileNotFoundError):
            _check(path)

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        """Make the directory if need be, and take over what an earlier run left."""
        self._blobs = {each.digest: each for each in blobs}
        try:
            with storing("write to", self._path):
                self._enter()
                _check(self._path)
                need = sum(map(self._lacks, self._blobs.values()))
                require_space(self._root, need, self._path)
        except BaseException:
            self.abandon()
            raise

    def holds(self, want: Descriptor) -> bool:
        """Hash what the layout, or else an earlier run, has of the blob.

        A file that is not what its name says is removed, and so is a link in its place.
        """
        with storing("read a blob of", self._path):
            if self._holds_published(want):
                self._held.add(want.digest)
                return True
            return self._holds_ingested(want)

    @contextlib.contextmanager
    def part(self, want: Descriptor) -> Iterator[Part]:
        """Open the blob's file aside."""
        with storing("open a file in", self._path):
            fd = self._claimed.open_part(want.digest, want.size)
        try:
            with storing("open a file in", self._path):
                mode, completed = self._claimed.mode, self._completed
                part = _IngestedPart(fd, want, self._path, mode=mode, completed=completed)
            yield part
        finally:
            close(fd)

    def commit(self, image: Delivered) -> None:
        """Put the blobs in their places, then the image into `index.json`."""
        absent = missing(self._blobs, self._held | self._completed, image)
        if absent:
            msg = f"cannot finish {self._path}: it lacks {absent[0]}"
            raise StoreError(msg)
        ingest = self._claimed
        with storing("write to", self._path), ingest.locked() as folder:
            try:
                self._stage(image)
            except ContentError as error:
                msg = f"cannot add to {self._path}: {error.message}"
                raise StoreError(msg, hint=_HINT) from error
            self._publish_blobs()
            # Readers look for these two, and find every blob if they find them.
            for name in (LAYOUT_FILE, INDEX_FILE):
                ingest.publish(name)
            os.fsync(self._root)
            ingest.finish(folder)
        self._close()

    def abandon(self) -> None:
        """Remove what is of no use to a later run, and the directory if this run made it."""
        self._release()
        with contextlib.suppress(OSError):
            for each in reversed(self._made):
                each.rmdir()
        self._made = []

    @property
    def _claimed(self) -> Ingest:
        if self._ingest is None:
            msg = "a sink takes blobs between begin and commit"
            raise ValueError(msg)
        return self._ingest

    def _enter(self) -> None:
        """Open the directory; another run may be removing it at the same time."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(FileNotFoundError):
                self._try_to_enter()
                return
        self._try_to_enter()

    def _try_to_enter(self) -> None:
        try:
            _make_folders(self._path, self._made)
            self._root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._ingest = Ingest(self._root)
            self._ingest.claim()
        except FileNotFoundError:
            self._release()
            raise

    def _release(self) -> None:
        if self._ingest is not None:
            self._ingest.release()
        self._close()

    def _close(self) -> None:
        self._ingest = None
        if self._root >= 0:
            close(self._root)
            self._root = -1

    def _lacks(self, want: Descriptor) -> int:
        """Return how many bytes of a blob are still to be written, by its size alone."""
        if self._published_size(want.digest) == want.size:
            return 0
        return max(0, want.size - (self._claimed.part_size(want.digest) or 0))

    def _holds_ingested(self, want: Descriptor) -> bool:
        if self._claimed.part_size(want.digest) != want.size:
            return False
        fd = self._claimed.open_part(want.digest, want.size)
        try:
            if hashes_to(fd, want.digest, want.size):
                _settle(fd, self._claimed.mode)
                self._completed.add(want.digest)
                return True
            os.ftruncate(fd, 0)
            return False
        finally:
            close(fd)

    def _holds_published(self, want: Descriptor) -> bool:
        try:
            folder = self._blob_folder(want.digest)
        except FileNotFoundError:
            return False
        try:
            return self._holds_file(want, folder)
        finally:
            close(folder)

    def _holds_file(self, want: Descriptor, folder: int) -> bool:
        name = want.digest.encoded
        try:
            fd = os.open(name, READ, dir_fd=folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            os.unlink(name, dir_fd=folder)
            return False
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode) and hashes_to(fd, want.digest, want.size):
                return True
            with self._claimed.locked():
                _unlink_same(name, folder, fd)
            return False
        finally:
            close(fd)

    def _blob_folder(self, digest: Digest, *, mode: int | None = None) -> int:
        blobs = open_folder(BLOBS, self._root, mode=mode)
        try:
            return open_folder(digest.algorithm.value, blobs, mode=mode)
        finally:
            close(blobs)

    def _published_size(self, digest: Digest) -> int | None:
        try:
            path = documents.blob_path(digest)
            return os.stat(path, dir_fd=self._root, follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def _stage(self, image: Delivered) -> None:
        """Write the layout's own files aside: what can fail fails before anything is moved."""
        annotations = {documents.REF_NAME: self._ref_name} if self._ref_name else {}
        existing = read_document(INDEX_FILE, self._root, limits.LAYOUT_INDEX_SIZE)
        entry = documents.index_entry(image.root, annotations)
        self._claimed.stage(INDEX_FILE, documents.index_with(entry, existing))
        self._claimed.stage(LAYOUT_FILE, documents.LAYOUT)

    def _publish_blobs(self) -> None:
        for digest in (self._held - self._completed) & self._blobs.keys():
            if self._published_size(digest) != self._blobs[digest].size:
                msg = f"cannot finish {self._path}: {digest} was removed meanwhile"
                raise StoreError(msg, hint="run the same command again")
        folders: dict[str, int] = {}
        with contextlib.ExitStack() as stack:
            for digest in sorted(self._completed & self._blobs.keys()):
                name = digest.algorithm.value
                if name not in folders:
                    folders[name] = self._blob_folder(digest, mode=_FOLDER_MODE)
                    stack.callback(close, folders[name])
                self._claimed.publish_part(digest, folders[name])
            for folder in folders.values():
                os.fsync(folder)


class _IngestedPart(FilePart):
    """A part in a file of its own, at whose end an earlier run stopped."""

    def __init__(
        self, fd: int, want: Descriptor, path: Path, *, mode: int, completed: set[Digest]
    ) -> None:
        super().__init__(fd, want, path)
        self._mode = mode
        self._completed = completed
        self.offset = os.fstat(fd).st_size

    def restart(self) -> None:
        """Empty the file: its length is what the next run takes for the offset."""
        self._completed.discard(self._want.digest)
        with storing("write", self._path):
            os.ftruncate(self._fd, 0)
        self.offset = 0

    def complete(self) -> None:
        """Sync the file; it is renamed at commit."""
        self._require_all()
        with storing("write", self._path):
            _settle(self._fd, self._mode)
        self._completed.add(self._want.digest)


def _settle(fd: int, mode: int) -> None:
    """Bring a blob to the disk as it is going to be published."""
    os.fchmod(fd, mode)
    os.fsync(fd)


def _check(path: Path) -> None:
    """Refuse a directory that is neither empty nor a layout, nor on the way to become one."""
    try:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        msg = f"{path} is not a directory"
        raise InputError(msg, hint=_HINT) from None
    try:
        _check_files(root, path)
        for folder in (BLOBS, f"{BLOBS}/sha256", f"{BLOBS}/sha384", f"{BLOBS}/sha512"):
            with contextlib.suppress(FileNotFoundError):
                close(open_folder(folder, root))
    except (ContentError, NotADirectoryError) as error:
        reason = error.message if isinstance(error, ContentError) else "blobs is a link or a file"
        msg = f"{path} is not a sound OCI layout: {reason}"
        raise InputError(msg, hint=_HINT) from None
    finally:
        close(root)


def _check_files(root: int, path: Path) -> None:
    names = set(os.listdir(root))
    if LAYOUT_FILE not in names and names - _UNFINISHED:
        msg = f"{path} is neither empty nor an OCI layout"
        raise InputError(msg, hint=_HINT)
    layout = read_document(LAYOUT_FILE, root, _LAYOUT_FILE_SIZE)
    if layout is not None:
        documents.check_layout_file(layout)
    index = read_document(INDEX_FILE, root, limits.LAYOUT_INDEX_SIZE)
    if index is not None:
        documents.read_index(index)


def _make_folders(path: Path, made: list[Path]) -> None:
    """Make a directory and its parents; those that were absent are added to `made`."""
    absent = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(absent):
        with contextlib.suppress(FileExistsError):
            each.mkdir(_FOLDER_MODE)
            made.append(each)


def _unlink_same(name: str, folder: int, fd: int) -> None:
    """Remove a file unless another run has put a sound one in its place."""
    with contextlib.suppress(FileNotFoundError):
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if os.path.samestat(there, os.fstat(fd)):
            os.unlink(name, dir_fd=folder)
