"""The files of a local copy by their names: of a directory, or of an archive.

No link is followed out of either, and nothing is read but plain files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from imgverify.compare.expand import detect, expand
from imgverify.errors import InputError, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.mediatype import Compression
from imgverify.store.files import FOLDER, READ, close, read_chunks, write_at
from imgverify.store.tarhead import read_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imgverify.store.tarhead import Member

    Tick = Callable[[], object]

_MAGIC_LENGTH: Final = 4
# Of which limits.EXPANSION_RATIO times as much may come out, before `tick` is called again.
_PIECE: Final = 32 * limits.KIB
_LINKED: Final = frozenset({errno.ELOOP, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class Opened:
    """A file's bytes: `size` of them, from `base` on."""

    fd: int
    base: int
    size: int

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `offset` on; ends early where the file was cut meanwhile."""
        return read_chunks(self.fd, self.size - offset, self.base + offset)

    def head(self, size: int) -> bytes:
        """Return the first bytes, at most `size` of them."""
        return b"".join(read_chunks(self.fd, min(size, self.size), self.base))


class Tree(Protocol):
    """Files below one place, which does not change while it is read, or is caught by its hashes."""

    def open(self, name: str) -> contextlib.AbstractContextManager[Opened | None]:
        """Open a file; None if there is none. Raises `Malformed` for what is no plain file."""

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of the files in a folder; raises `LimitExceeded` for too many."""

    def path(self, name: str) -> str:
        """Return a file's name as the user can find it."""

    def close(self) -> None:
        """Close what is open."""


class Folder:
    """The files of a directory, which itself may be named by a link."""

    def __init__(self, path: str) -> None:
        self._path = path
        with _named(path, "a directory"):
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Opened | None]:
        """Open a file below the directory, with no link on the way."""
        with self._folder(name.rpartition("/")[0]) as folder:
            fd = None if folder is None else self._open(name, folder)
        if fd is None:
            yield None
            return
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                msg = f"{self.path(name)} is not a file"
                raise Malformed(msg)
            yield Opened(fd, 0, status.st_size)
        finally:
            close(fd)

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, in their order."""
        found: list[str] = []
        with self._folder(folder) as fd:
            if fd is None:
                return ()
            with os.scandir(fd) as entries:
                for entry in entries:
                    found.append(entry.name)
                    _require_few(len(found), self.path(folder))
        return tuple(sorted(found))

    def path(self, name: str) -> str:
        """Return the file's path."""
        return str(Path(self._path) / name)

    def close(self) -> None:
        """Close the directory."""
        close(self._root)

    @contextlib.contextmanager
    def _folder(self, name: str) -> Iterator[int | None]:
        """Open a folder below the directory; None if it is not there."""
        with contextlib.ExitStack() as stack:
            fd = self._root
            for part in filter(None, name.split("/")):
                try:
                    fd = os.open(part, FOLDER, dir_fd=fd)
                except FileNotFoundError:
                    yield None
                    return
                except OSError as error:
                    raise self._linked(name, error) from None
                stack.callback(close, fd)
            yield fd

    def _open(self, name: str, folder: int) -> int | None:
        try:
            return os.open(name.rpartition("/")[2], READ, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._linked(name, error) from None

    def _linked(self, name: str, error: OSError) -> Exception:
        # A socket cannot be opened at all.
        if error.errno not in (*_LINKED, errno.ENXIO):
            return error
        return Malformed(f"{self.path(name)} is a link, or no file")


class Archive:
    """The files of a tar archive, which may be compressed; a compressed one is unpacked aside."""

    def __init__(self, path: str, tick: Tick) -> None:
        self._path = path
        with _named(path, "a file"):
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _require_file(self._fd, path)
            self._expand(tick)
            self._members = self._read(tick)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Opened | None]:
        """Open a member, or what a link leads to within the archive."""
        member = self._members.get(name)
        if member is not None and member.link is not None:
            # One step: what is saved twice is a link to the file itself.
            target = self._members.get(member.link)
            if target is None or target.link is not None:
                msg = f"{self.path(name)} is a link to what is no file"
                raise Malformed(msg)
            member = target
        yield None if member is None else Opened(self._fd, member.base, member.size)

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of the members in a folder, and of the folders in it."""
        start = f"{folder}/"
        inside = (each[len(start) :] for each in self._members if each.startswith(start))
        found = dict.fromkeys(each.partition("/")[0] for each in inside)
        _require_few(len(found), self.path(folder))
        return tuple(sorted(found))

    def path(self, name: str) -> str:
        """Return the member's name, and the archive's."""
        return f"{name} in {self._path}"

    def close(self) -> None:
        """Close the archive."""
        close(self._fd)

    def _read(self, tick: Tick) -> Mapping[str, Member]:
        length = os.fstat(self._fd).st_size
        return read_members(lambda at, size: os.pread(self._fd, size, at), length, tick)

    def _expand(self, tick: Tick) -> None:
        """Put what is compressed uncompressed into a file without a name, and read that."""
        compression = detect(os.pread(self._fd, _MAGIC_LENGTH, 0))
        if compression is Compression.NONE:
            return
        with tempfile.TemporaryFile() as aside:
            position = 0
            for piece in expand(self._pieces(tick), compression):
                write_at(aside.fileno(), piece, position)
                position += len(piece)
            os.dup2(aside.fileno(), self._fd, inheritable=False)

    def _pieces(self, tick: Tick) -> Iterator[bytes]:
        position = 0
        while piece := os.pread(self._fd, _PIECE, position):
            tick()
            yield piece
            position += len(piece)


@contextlib.contextmanager
def _named(path: str, what: str) -> Iterator[None]:
    """Tell the user that what was named cannot be opened."""
    try:
        yield
    except OSError as error:
        msg = f"{path} cannot be read as {what}: {error.strerror}"
        raise InputError(msg, hint="name a copy that is there: oci:DIR, oci-archive:FILE") from None


def _require_file(fd: int, path: str) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        msg = f"{path} is not a file"
        raise InputError(msg, hint="a directory is named oci:DIR")


def _require_few(count: int, where: str) -> None:
    if count > limits.LAYOUT_BLOBS:
        msg = f"{where} has more than {limits.LAYOUT_BLOBS} files"
        raise LimitExceeded(msg)
