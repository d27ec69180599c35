"""Where everything lies in an archive, known before the first byte of content has come."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.store import documents

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest

#: Two empty blocks end an archive.
END: Final = bytes(2 * tarfile.BLOCKSIZE)

_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755


@dataclass(frozen=True, slots=True)
class Slot:
    """A file's place in an archive: its header at `start`, its content right behind."""

    start: int
    header: bytes
    size: int

    @property
    def content(self) -> int:
        """Where the first byte of the file is."""
        return self.start + len(self.header)

    @property
    def end(self) -> int:
        """Where the next header is: files are filled up to whole blocks."""
        return self.content + _padded(self.size)


@dataclass(frozen=True, slots=True)
class Plan:
    """An archive of blobs; `head` comes before them, and what is small and late after `end`."""

    head: bytes
    slots: dict[Digest, Slot]
    end: int


def plan(blobs: Iterable[Descriptor]) -> Plan:
    """Give every blob its place, once; equal blobs in any order make equal plans."""
    sizes = {each.digest: each.size for each in blobs}
    folders = sorted({digest.algorithm.value for digest in sizes})
    head = _folder(documents.BLOBS)
    head += b"".join(_folder(f"{documents.BLOBS}/{each}") for each in folders)
    head += entry(documents.LAYOUT_FILE, documents.LAYOUT)
    slots, position = {}, len(head)
    for digest in sorted(sizes):
        size = sizes[digest]
        slots[digest] = Slot(position, _header(documents.blob_path(digest), size), size)
        position = slots[digest].end
    return Plan(head, slots, position)


def entry(name: str, data: bytes) -> bytes:
    """Return a small file as it stands in an archive."""
    return _header(name, len(data)) + data + bytes(_padded(len(data)) - len(data))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, _FILE_MODE
    return _bytes(info)


def _folder(name: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, _FOLDER_MODE
    return _bytes(info)


def _bytes(info: tarfile.TarInfo) -> bytes:
    # TarInfo's defaults are user 0, group 0 and the time 0: the same image, the same archive.
    # PAX is what Docker writes; it has room for files above 8 GiB.
    return info.tobuf(tarfile.PAX_FORMAT)


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
