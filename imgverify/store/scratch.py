"""A file that nobody sees until it is finished."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING, Self

from imgverify.store.files import PRIVATE, PUBLIC, SAFE, close

if TYPE_CHECKING:
    from pathlib import Path


class Scratch:
    """`.NAME.<random>.part` beside NAME, locked while its process lives.

    The methods raise `OSError`, for the sink to explain.
    """

    def __init__(self, folder: int, fd: int, name: str, mode: int) -> None:
        self.fd = fd
        self.folder = folder
        self._name = name
        self._mode = mode

    @classmethod
    def beside(cls, path: Path) -> Self:
        """Make one for `path`, and remove those that killed processes have left for it."""
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sweep(folder, path.name)
            while True:
                name = f".{path.name}.{secrets.token_hex(8)}.part"
                # Made with the final mode, to learn what the umask leaves of it.
                flags = SAFE | os.O_RDWR | os.O_CREAT | os.O_EXCL
                fd = os.open(name, flags, PUBLIC, dir_fd=folder)
                made = cls(folder, fd, name, stat.S_IMODE(os.fstat(fd).st_mode))
                if made._lock():
                    return made
        except BaseException:
            close(folder)
            raise

    def _lock(self) -> bool:
        """Make the file private and lock it; not so if another process has swept it away."""
        try:
            os.fchmod(self.fd, PRIVATE)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if os.fstat(self.fd).st_nlink:
                return True
        except BaseException:
            _unlink(self._name, self.folder)
            close(self.fd)
            raise
        close(self.fd)
        return False

    def publish(self, name: str) -> None:
        """Sync the file and put it in the place of `name`, at once."""
        os.fchmod(self.fd, self._mode)
        os.fsync(self.fd)
        os.rename(self._name, name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        os.fsync(self.folder)
        self._close()

    def discard(self) -> None:
        """Remove the file; never raises."""
        _unlink(self._name, self.folder)
        self._close()

    def _close(self) -> None:
        close(self.fd)
        close(self.folder)


def _unlink(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _sweep(folder: int, name: str) -> None:
    stale = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.part", re.ASCII)
    for each in filter(stale.fullmatch, os.listdir(folder)):
        # Whatever cannot be locked or removed is somebody's, and in nobody's way.
        with contextlib.suppress(OSError):
            fd = os.open(each, SAFE | os.O_RDWR | os.O_NONBLOCK, dir_fd=folder)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(each, dir_fd=folder)
            finally:
                close(fd)
