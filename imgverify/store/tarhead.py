"""Where everything lies in a tar archive: its headers, read strictly and within bounds.

The standard library's reader keeps whole extended headers in memory, follows links and sparse
maps, and takes the last of two equal names; two readers of one archive could see two images.
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    ReadAt = Callable[[int, int], bytes]

_BLOCK: Final = tarfile.BLOCKSIZE
_REGULAR: Final = frozenset({b"0", b"\0", b"7"})
_LINKS: Final = {b"1": "hard", b"2": "symbolic"}
_FOLDER: Final = b"5"
_LONG_NAME, _LONG_LINK, _OWN, _ALL = b"L", b"K", b"x", b"g"
_EXTENDED: Final = frozenset({_LONG_NAME, _LONG_LINK, _OWN, _ALL})
_OCTAL: Final = re.compile(rb"[ ]*([0-7]*)[ \0]*", re.ASCII)
_RECORD: Final = re.compile(rb"([0-9]{1,6}) ([^=\n]{1,256})=", re.ASCII)
_DECIMAL: Final = re.compile(rb"[0-9]{1,15}", re.ASCII)
_BINARY: Final = 0x80
# What star writes after this many bytes of a name are times.
_STAR_PREFIX: Final = 131


@dataclass(frozen=True, slots=True)
class Member:
    """A file's place in an archive; `link` is what a link of no content of its own points to.

    A symbolic link's target is by then a name in the archive; a link that leads out is refused.
    """

    base: int
    size: int
    link: str | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    kind: bytes
    name: bytes
    link: bytes
    size: int


def read_members(read_at: ReadAt, length: int, tick: Callable[[], object]) -> Mapping[str, Member]:
    """Return the files and links of an archive of `length` bytes by their names.

    `tick` is called for each header. Raises `Malformed` for what no tool that saves images
    writes: names that lead out of the archive, two members of one name, devices, sparse files,
    a cut end. `LimitExceeded` beyond the limits.
    """
    members: dict[str, Member] = {}
    extended: dict[bytes, bytes] = {}
    kinds: tuple[bytes, ...] = ()
    position = 0
    for _ in range(limits.ARCHIVE_MEMBERS):
        tick()
        block = read_at(position, _BLOCK)
        if not any(block):
            # An archive's last blocks are empty; some writers leave them out.
            _refuse_cut(block, position, length)
            return members
        header = _parse(block)
        base = position + _BLOCK
        if header.kind in _EXTENDED:
            kinds = _unmixed(kinds, header.kind)
            extended |= _extension(header, read_at, base, length)
            position = base + _padded(header.size)
            continue
        header, extended, kinds = _extend(header, extended), {}, ()
        if base + header.size > length:
            msg = f"the archive is cut off within {_shown(header.name)}"
            raise Malformed(msg)
        _add(members, header, base)
        position = base + _padded(header.size)
    msg = f"an archive of more than {limits.ARCHIVE_MEMBERS} members"
    raise LimitExceeded(msg)


def _refuse_cut(block: bytes, position: int, length: int) -> None:
    if position > length or (block and len(block) != _BLOCK):
        msg = "the archive is cut off"
        raise Malformed(msg)


def _unmixed(before: tuple[bytes, ...], kind: bytes) -> tuple[bytes, ...]:
    """Refuse two extended headers for one member of which readers take different ones."""
    if kind == _ALL:
        return before
    if before and (kind in before or _OWN in (kind, *before)):
        msg = "the archive has a member with two extended headers that say its name"
        raise Malformed(msg)
    return (*before, kind)


def _parse(block: bytes) -> _Header:
    if len(block) != _BLOCK:
        msg = "the archive is cut off within a header"
        raise Malformed(msg)
    unsigned = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _number(block[148:156]) != unsigned:
        msg = "the archive has a header with a wrong checksum, or is no tar archive"
        raise Malformed(msg)
    kind = block[156:157]
    name, prefix = _text(block[0:100]), _text(block[345:500])
    if len(prefix) > _STAR_PREFIX and block[508:512] == b"tar\0":
        msg = "the archive has a header whose name has two lengths"
        raise Malformed(msg)
    if prefix and block[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    return _Header(kind, name, _text(block[157:257]), _number(block[124:136]))


def _number(field: bytes) -> int:
    if field[0] & _BINARY:
        number = int.from_bytes(bytes([field[0] & ~_BINARY]) + field[1:])
    else:
        digits = _OCTAL.fullmatch(field)
        if digits is None:
            msg = "the archive has a header with a number that is none"
            raise Malformed(msg)
        number = int(digits[1] or b"0", 8)
    if number > limits.BLOB_SIZE:
        msg = f"the archive has a member that says to have {number} bytes"
        raise LimitExceeded(msg)
    return number


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _extension(header: _Header, read_at: ReadAt, base: int, length: int) -> dict[bytes, bytes]:
    """Read what an extended header says of the member after it: its name, target and size."""
    if header.size > limits.ARCHIVE_HEADER_SIZE:
        msg = f"the archive has an extended header of {header.size} bytes"
        raise LimitExceeded(msg)
    if base + header.size > length:
        msg = "the archive is cut off within a header"
        raise Malformed(msg)
    data = read_at(base, header.size)
    if header.kind == _LONG_NAME:
        return {b"path": _text(data)}
    if header.kind == _LONG_LINK:
        return {b"linkpath": _text(data)}
    records = _records(data)
    if header.kind == _OWN:
        return records
    if records:
        msg = "the archive has a header that gives all its members one name or size"
        raise Malformed(msg)
    return {}


def _records(data: bytes) -> dict[bytes, bytes]:
    """Read pax records; only name, target and size matter, and sparse files are refused."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        start = _RECORD.match(data, position)
        end = position + int(start[1]) if start else 0
        if start is None or not start.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            msg = "the archive has an extended header that cannot be read"
            raise Malformed(msg)
        key, value = start[2], data[start.end() : end - 1]
        if key.startswith(b"GNU.sparse.") or key in found:
            msg = f"the archive has a sparse file, or says {_shown(key)} twice"
            raise Malformed(msg)
        if key in (b"path", b"linkpath", b"size"):
            found[key] = value
        position = end
    return found


def _extend(header: _Header, said: Mapping[bytes, bytes]) -> _Header:
    size = header.size
    if b"size" in said:
        if not _DECIMAL.fullmatch(said[b"size"]) or int(said[b"size"]) > limits.BLOB_SIZE:
            msg = "the archive has a member of a size that is none"
            raise Malformed(msg)
        size = int(said[b"size"])
    name, link = said.get(b"path", header.name), said.get(b"linkpath", header.link)
    return _Header(header.kind, name, link, size)


def _add(members: dict[str, Member], header: _Header, base: int) -> None:
    name = _inside(header.name)
    if header.size and header.kind not in _REGULAR:
        # Readers do not agree whether to skip it.
        msg = f"{_shown(header.name)} in the archive has content, and is no file"
        raise Malformed(msg)
    if header.kind == _FOLDER:
        return
    if header.kind in _LINKS:
        member = Member(base, 0, _target(name, header))
    elif header.kind in _REGULAR and name and not header.name.endswith(b"/"):
        member = Member(base, header.size)
    else:
        # Of a file that is called like a folder some readers take the content for members.
        msg = f"{_shown(header.name)} in the archive is neither a file nor a folder"
        raise Malformed(msg)
    if name in members:
        msg = f"the archive has {name} twice"
        raise Malformed(msg)
    members[name] = member


def _target(name: str, header: _Header) -> str:
    """Return where a link leads, which is taken from the link's own folder if it is symbolic."""
    if _LINKS[header.kind] == "hard":
        return _inside(header.link)
    folders = name.split("/")[:-1]
    for part in _decoded(header.link).split("/"):
        if part == ".." and folders:
            folders.pop()
        elif part in ("", ".."):
            msg = f"{name} in the archive is a link that leads out of it"
            raise Malformed(msg)
        elif part != ".":
            folders.append(part)
    return "/".join(folders)


def _inside(raw: bytes) -> str:
    """Return a member's name without what changes nothing; it has to stay in the archive."""
    parts = _decoded(raw).rstrip("/").split("/")
    kept = [each for each in parts if each != "."]
    if "" in kept or ".." in kept:
        msg = f"the archive has a member called {_shown(raw)}, which is outside of it"
        raise Malformed(msg)
    return "/".join(kept)


def _decoded(raw: bytes) -> str:
    if len(raw) > limits.ARCHIVE_NAME_LENGTH:
        msg = f"the archive has a name of {len(raw)} bytes"
        raise LimitExceeded(msg)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text or "\0" in text:
        msg = f"the archive has a member called {_shown(raw)}"
        raise Malformed(msg)
    return text


def _shown(raw: bytes) -> str:
    return repr(raw[:100].decode("utf-8", "replace"))


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
