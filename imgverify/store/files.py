"""Files, with every failure told as a `StoreError`."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING, Final

from imgverify.errors import LimitExceeded, Malformed, StoreError
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgverify.oci.digest import Digest

#: No link is followed, and no child process inherits the file.
SAFE: Final = os.O_NOFOLLOW | os.O_CLOEXEC
#: Besides, a pipe in the place of a file cannot make the program wait.
READ: Final = SAFE | os.O_RDONLY | os.O_NONBLOCK
FOLDER: Final = SAFE | os.O_RDONLY | os.O_DIRECTORY
PRIVATE: Final = 0o600
PUBLIC: Final = 0o644

_LOCK_PAUSE: Final = 0.01
_SPACE: Final = "free some space there, or name another place with --to"
_RIGHTS: Final = "name a place with --to that this user may write to"
_LINK: Final = "a link or a file stands where a directory has to be: remove it"
_HINTS: Final = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: "the disk quota is used up: " + _SPACE,
    errno.EFBIG: "the file system or a limit (ulimit -f) allows no file of that size",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ETIMEDOUT: "end that run, or name another place with --to",
    errno.ELOOP: _LINK,
    errno.ENOTDIR: _LINK,
}


def store_error(doing: str, path: Path, error: OSError) -> StoreError:
    """Say what could not be done, why, and what helps."""
    reason = error.strerror or str(error)
    hint = _HINTS.get(error.errno or 0, "")
    return StoreError(f"cannot {doing} {path}: {reason}", hint=hint)


@contextlib.contextmanager
def storing(doing: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` of the body into a `StoreError`."""
    try:
        yield
    except OSError as error:
        raise store_error(doing, path, error) from error


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data`: a disk that fills up may take a part of it before it says so."""
    left = memoryview(data)
    while left:
        count = os.pwrite(fd, left, offset)
        left, offset = left[count:], offset + count


def read_chunks(fd: int, size: int, base: int = 0) -> Iterator[bytes]:
    """Yield `size` bytes from `base` on; ends early where the file does."""
    position = 0
    while position < size:
        chunk = os.pread(fd, min(limits.CHUNK, size - position), base + position)
        if not chunk:
            return
        yield chunk
        position += len(chunk)


def hashes_to(fd: int, digest: Digest, size: int) -> bool:
    """Read a file once and tell whether it is the content."""
    if os.fstat(fd).st_size != size:
        return False
    hasher = digest.hasher()
    for chunk in read_chunks(fd, size):
        hasher.update(chunk)
    return hasher.hexdigest() == digest.encoded


def read_document(name: str, folder: int, most: int) -> bytes | None:
    """Read a small file, None if there is none.

    Raises `Malformed` if it is a link or no file at all, `LimitExceeded` above `most` bytes.
    """
    try:
        fd = os.open(name, READ, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        msg = f"{name} is a symbolic link"
        raise Malformed(msg) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            msg = f"{name} is not a file"
            raise Malformed(msg)
        data = b"".join(read_chunks(fd, most + 1))
    finally:
        close(fd)
    if len(data) > most:
        msg = f"{name} has more than {most} bytes"
        raise LimitExceeded(msg)
    return data


def require_space(fd: int, need: int, path: Path) -> None:
    """Refuse early what would fail late; `need` is in bytes."""
    status = os.fstatvfs(fd)
    free = status.f_bavail * status.f_frsize
    if need > free:
        msg = f"cannot store the image in {path}: it takes {need} bytes, and {free} are free"
        raise StoreError(msg, hint=_SPACE)


def open_folder(name: str, parent: int, *, mode: int | None = None) -> int:
    """Open a directory that is no link; with `mode` it is made if it is absent."""
    if mode is not None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=parent)
    return os.open(name, FOLDER, dir_fd=parent)


def lock(fd: int) -> None:
    """Lock a file against other runs; after `limits.LOCK_TIMEOUT` that is a `TimeoutError`."""
    end = time.monotonic() + limits.LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                msg = "another run that does not go on keeps it locked"
                raise TimeoutError(errno.ETIMEDOUT, msg) from None
            time.sleep(_LOCK_PAUSE)
        else:
            return


def close(fd: int) -> None:
    """Close; what mattered was synced before, so that a failure now tells nothing."""
    with contextlib.suppress(OSError):
        os.close(fd)
