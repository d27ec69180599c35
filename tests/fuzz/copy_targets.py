"""Targets for `fuzz_parsers` that read copies on this machine: archives, layouts, their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.errors import Malformed
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.local import LocalCopy
from imgverify.oci.strictjson import loads
from imgverify.store.documents import entries_of
from imgverify.store.saved import parse_saved
from imgverify.store.tarhead import read_members

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK: Final = 512


def read_local_copy(data: bytes) -> object:
    """Read the name of a copy, which is then its own text."""
    copy = LocalCopy.parse(data.decode("utf-8", "replace"))
    assert LocalCopy.parse(str(copy)) == copy
    return copy


def read_tar(data: bytes) -> object:
    """Read an archive's headers, as they are but for their checksums."""
    return _members(b"".join(map(_resigned, _blocks(data))))


def read_tar_list(data: bytes) -> object:
    """Read an archive of what a JSON list says: name, kind, target and size of each member.

    What is described may be changed in all its parts, where a change in an archive mostly hits
    nothing.
    """
    listed = loads(data)
    if not isinstance(listed, list):
        raise Malformed("no list")
    return _members(b"".join(map(_described, listed)) + bytes(_BLOCK))


def _described(member: object) -> bytes:
    parts = [*member, "", "", "", ""] if isinstance(member, list) else ["", "", "", ""]
    name, kind, link, size = (str(each).encode("utf-8", "surrogatepass") for each in parts[:4])
    number = int(size) if size.isdigit() and len(size) < 4 else 0
    head = name[:100].ljust(100, b"\0") + bytes(24) + f"{number:011o}".encode().ljust(24, b"\0")
    head = head.ljust(156, b"\0") + (kind[:1] or b"\0") + link[:100].ljust(100, b"\0")
    block = _resigned((head + b"ustar\x0000").ljust(_BLOCK, b"\0"))
    return block + bytes(-(-number // _BLOCK) * _BLOCK)


def _members(signed: bytes) -> object:
    """What the headers name lies in the archive, and nowhere else."""
    members = read_members(lambda at, size: signed[at : at + size], len(signed), lambda: None)
    for name, member in members.items():
        assert 0 <= member.base <= member.base + member.size <= len(signed)
        for path in (name, member.link or name):
            assert not path.startswith("/")
            assert not {"", ".", ".."} & set(path.split("/"))
    return members


def read_saved(data: bytes) -> object:
    """Read what `docker save` lists, and ask for its names."""
    images = parse_saved(data)
    return [each.is_called("nginx:1.27") for each in images]


def read_layout_index(data: bytes) -> object:
    """Read an `index.json`."""
    entries = entries_of(data)
    assert all(isinstance(each, Descriptor) for each in entries)
    return entries


def _blocks(data: bytes) -> list[bytes]:
    return [data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK)]


def _resigned(block: bytes) -> bytes:
    """Put the right checksum into a header: hardly a change would get behind it otherwise."""
    if len(block) != _BLOCK or block[257:262] != b"ustar":
        return block
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    return block[:148] + f"{total:06o}".encode() + b"\0 " + block[156:]


TARGETS: dict[str, Callable[[bytes], object]] = {
    "local-copy": read_local_copy,
    "tar": read_tar,
    "tar-list": read_tar_list,
    "saved": read_saved,
    "layout-index": read_layout_index,
}
