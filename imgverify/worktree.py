"""The user's own files: found below folders, read within bounds, and rewritten.

No symbolic link is followed, so nothing outside of what was named is read or written.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError, StoreError
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PASSED_OVER: Final = frozenset({".git"})
# A pipe in a file's place must not be waited for.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class WorkFile:
    """A file, or what stands for one; `name` is how it is shown.

    `data` is None where it could not be read, and `problem` then says why.  `is_named` tells a
    file that was named from one that was found in a folder.
    """

    path: Path
    name: str
    data: bytes | None = None
    problem: str = ""
    is_named: bool = False


class WorkTree:
    """Files as they are seen from one folder, which names are relative to."""

    def __init__(self, here: Path, wanted: Callable[[str], bool]) -> None:
        self._here = here
        self._wanted = wanted
        self._entries = 0
        self._files = 0
        self._size = 0
        self._is_full = False
        self._seen: set[str] = set()

    def read(self, paths: Iterable[Path]) -> Iterator[WorkFile]:
        """Read files, and all wanted ones below folders, in the order of their names.

        Raises `InputError` for a path that is not there, or is a symbolic link.
        """
        for path in paths:
            mode = _mode(path)
            found = (
                self._below(path, 0)
                if stat.S_ISDIR(mode)
                else iter((self._file(path, is_named=True),))
            )
            for each in found:
                if each.name not in self._seen:
                    self._seen.add(each.name)
                    yield each

    def _below(self, folder: Path, depth: int) -> Iterator[WorkFile]:
        if depth > limits.GATE_FOLDER_DEPTH:
            yield self._unread(folder, f"folders nested deeper than {limits.GATE_FOLDER_DEPTH}")
            return
        try:
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda each: each.name)
        except OSError as error:
            yield self._unread(folder, f"cannot be read: {error.strerror}")
            return
        for entry in entries:
            if self._is_full:
                return
            if entry.name not in _PASSED_OVER and not entry.is_symlink():
                yield from self._entry(entry, folder / entry.name, depth)

    def _entry(self, entry: os.DirEntry[str], path: Path, depth: int) -> Iterator[WorkFile]:
        self._entries += 1
        is_folder = entry.is_dir(follow_symlinks=False)
        is_wanted = entry.is_file(follow_symlinks=False) and self._wanted(self._name(path))
        is_more = self._files >= limits.GATE_FILES or self._size > limits.GATE_SIZE
        if (is_wanted and is_more) or self._entries > limits.GATE_ENTRIES:
            self._is_full = True
            yield self._unread(path, "more files than are ever looked through")
        elif is_folder:
            yield from self._below(path, depth + 1)
        elif is_wanted:
            yield self._file(path, is_named=False)

    def _file(self, path: Path, *, is_named: bool) -> WorkFile:
        self._files += 1
        try:
            data = _read(path)
        except OSError as error:
            return self._unread(path, f"cannot be read: {error.strerror}")
        self._size += len(data)
        return WorkFile(path, self._name(path), data, is_named=is_named)

    def _unread(self, path: Path, problem: str) -> WorkFile:
        return WorkFile(path, self._name(path), None, problem)

    def _name(self, path: Path) -> str:
        whole = Path(os.path.normpath(self._here / path))
        return str(whole.relative_to(self._here) if whole.is_relative_to(self._here) else whole)


def _mode(path: Path) -> int:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InputError(msg) from error
    if stat.S_ISLNK(mode):
        msg = f"{path} is a symbolic link, which is not followed"
        raise InputError(msg, hint="name the file itself, or - for standard input")
    return mode


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, _READ), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, "it is no regular file")
        return file.read(limits.GATE_FILE_SIZE + 1)


def rewrite(path: Path, before: bytes, after: bytes) -> None:
    """Replace a file's content at once, keeping its mode; raises `StoreError`.

    A file that no longer holds what was read is left as it is.
    """
    aside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        if _read(path) != before:
            msg = f"{path} has been changed meanwhile"
            raise StoreError(msg, hint="run it again")
        mode = stat.S_IMODE(path.lstat().st_mode)
        with os.fdopen(os.open(aside, _NEW, 0o600), "wb") as file:
            file.write(after)
            os.fchmod(file.fileno(), mode)
        aside.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise StoreError(msg) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
