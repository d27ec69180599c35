"""The private folder of a layout in which blobs wait until all of them are there.

::

    DIR/.imgverify-ingest/lock            held while the layout's files are looked at and changed
    DIR/.imgverify-ingest/run-…/lock      held as long as the run lives
    DIR/.imgverify-ingest/run-…/sha256-…  what that run has of a blob

A run whose lock is free has died or given up, and the next one takes over its files. The locks
are on files, not on folders, since only those reach the other hosts of a network file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING, Final

from imgverify.store.files import (
    PRIVATE,
    PUBLIC,
    SAFE,
    close,
    lock,
    open_folder,
    write_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.oci.digest import Digest

INGEST: Final = ".imgverify-ingest"

_LOCK: Final = "lock"
_RUN: Final = "run-"
_PRIVATE_FOLDER: Final = 0o700
_PART: Final = re.compile(r"sha(?:256|384|512)-[0-9a-f]{64,128}", re.ASCII)


class Ingest:
    """One run's part of the folder, from `claim` to `finish` or `release`.

    `mode` is what a finished file gets: readable by all, as far as the umask allows.
    Its methods raise `OSError`, for the sink to explain.
    """

    def __init__(self, root: int) -> None:
        """Take the descriptor of the layout's directory, which stays the caller's."""
        self._root = root
        self._name = f"{_RUN}{secrets.token_hex(8)}"
        self._run = -1
        self._lock = -1
        self.mode = PRIVATE

    def claim(self) -> None:
        """Make this run's folder, and take over what runs before it have left."""
        with self.locked() as folder:
            os.mkdir(self._name, _PRIVATE_FOLDER, dir_fd=folder)
            self._run = open_folder(self._name, folder)
            # The umask cannot be asked for without changing it for all threads: a file can.
            flags = SAFE | os.O_RDWR | os.O_CREAT | os.O_EXCL
            self._lock = os.open(_LOCK, flags, PUBLIC, dir_fd=self._run)
            self.mode = stat.S_IMODE(os.fstat(self._lock).st_mode)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            for name in _runs(folder):
                if name != self._name:
                    self._inherit(name, folder)

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Keep all other runs in this layout waiting; yields the folder's descriptor."""
        with contextlib.ExitStack() as stack:
            while True:
                attempt = stack.enter_context(contextlib.ExitStack())
                folder = open_folder(INGEST, self._root, mode=_PRIVATE_FOLDER)
                attempt.callback(close, folder)
                # The run that held the lock may have removed it, and the folder with it.
                with contextlib.suppress(FileNotFoundError):
                    fd = _open_lock(folder)
                    attempt.callback(close, fd)
                    lock(fd)
                    if os.fstat(fd).st_nlink:
                        break
                attempt.close()
            yield folder

    def open_part(self, digest: Digest, most: int) -> int:
        """Open what there is of a blob, or a new file; never one that is longer than `most`."""
        flags = SAFE | os.O_RDWR | os.O_CREAT
        fd = os.open(_part_name(digest), flags, PRIVATE, dir_fd=self._run)
        try:
            os.fchmod(fd, PRIVATE)
            if os.fstat(fd).st_size > most:
                os.ftruncate(fd, 0)
        except BaseException:
            close(fd)
            raise
        return fd

    def part_size(self, digest: Digest) -> int | None:
        """Return how many bytes of a blob are there, None if it was not begun."""
        return _size(_part_name(digest), self._run)

    def stage(self, name: str, data: bytes) -> None:
        """Write and sync a small file that is going to be published under `name`."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._run)
        flags = SAFE | os.O_WRONLY | os.O_CREAT | os.O_EXCL
        fd = os.open(name, flags, PRIVATE, dir_fd=self._run)
        try:
            write_at(fd, data, 0)
            os.fchmod(fd, self.mode)
            os.fsync(fd)
        finally:
            close(fd)

    def publish(self, name: str) -> None:
        """Give a staged file its place in the layout."""
        os.rename(name, name, src_dir_fd=self._run, dst_dir_fd=self._root)

    def publish_part(self, digest: Digest, folder: int) -> None:
        """Give a complete blob its final name in `folder`."""
        os.rename(_part_name(digest), digest.encoded, src_dir_fd=self._run, dst_dir_fd=folder)

    def finish(self, folder: int) -> None:
        """Remove all that this run has; `folder` is what `locked` gave. Never raises."""
        with contextlib.suppress(OSError):
            for name in _names(self._run):
                _unlink(name, self._run)
            self._leave(folder)
        self._close()

    def release(self) -> None:
        """Leave to the next run what it can resume, and nothing else. Never raises."""
        with contextlib.suppress(OSError), self.locked() as folder:
            if self._run >= 0:
                self._sort_out()
            self._leave(folder)
        self._close()

    def _sort_out(self) -> None:
        for name in _names(self._run):
            if not (_PART.fullmatch(name) and _size(name, self._run)) and name != _LOCK:
                _unlink(name, self._run)
        if _names(self._run) == [_LOCK]:
            _unlink(_LOCK, self._run)

    def _close(self) -> None:
        for fd in (self._run, self._lock):
            if fd >= 0:
                close(fd)
        self._run = self._lock = -1

    def _leave(self, folder: int) -> None:
        """Remove the folders that are empty; the others hold what somebody needs."""
        with contextlib.suppress(OSError):
            os.rmdir(self._name, dir_fd=folder)
        if not _runs(folder):
            _unlink(_LOCK, folder)
            with contextlib.suppress(OSError):
                os.rmdir(INGEST, dir_fd=self._root)

    def _inherit(self, name: str, folder: int) -> None:
        """Take over the parts of another run, unless it is alive."""
        with contextlib.ExitStack() as stack:
            other = open_folder(name, folder)
            stack.callback(close, other)
            fd = _open_lock(other)
            stack.callback(close, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            for each in _names(other):
                mine, theirs = _size(each, self._run) or 0, _size(each, other) or 0
                if _PART.fullmatch(each) and _is_plain(each, other) and theirs > mine:
                    os.rename(each, each, src_dir_fd=other, dst_dir_fd=self._run)
                else:
                    _unlink(each, other)
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=folder)


def _open_lock(folder: int) -> int:
    # Not read-only: over NFS an exclusive lock takes a file that is open for writing.
    return os.open(_LOCK, SAFE | os.O_RDWR | os.O_CREAT, PRIVATE, dir_fd=folder)


def _part_name(digest: Digest) -> str:
    return f"{digest.algorithm.value}-{digest.encoded}"


def _names(folder: int) -> list[str]:
    return sorted(os.listdir(folder))


def _runs(folder: int) -> list[str]:
    return [name for name in _names(folder) if name.startswith(_RUN)]


def _size(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def _is_plain(name: str, folder: int) -> bool:
    """Tell whether writing to a file changes that file, and no other that it is linked to."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _unlink(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
