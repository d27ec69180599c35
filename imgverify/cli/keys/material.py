"""What `imgverify keys` speaks of: shipped, fetched and named files, read into values."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from imgverify.oci import limits
from imgverify.report.keys import Material
from imgverify.signature.inventory import piece_of, pieces_of
from imgverify.trust.files import read_file, read_key
from imgverify.trust.shipped import (
    PUBLIC_GOOD,
    PUBLIC_GOOD_NAME,
    PUBLIC_GOOD_TUF,
    SHIPPED_ON,
    public_good,
    read_shipped,
)
from imgverify.trust.stored import list_stored
from imgverify.trust.trustedroot import parse_trusted_roots

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from imgverify.signature.inventory import Piece
    from imgverify.signature.trusted import TrustedRoot
    from imgverify.trust.stored import Stored

_ALONG = f"comes with imgverify, taken on {SHIPPED_ON:%Y-%m-%d}"


def all_material(home: Path | None) -> tuple[Material, ...]:
    """Return what is there without being named; raises `InputError`."""
    stored = list_stored(home) if home else ()
    materials = [fetched(each) for each in stored]
    shipped = _shipped(used=not any(each.used for each in materials))
    data = read_shipped(PUBLIC_GOOD_TUF)
    name = f"the TUF root of {PUBLIC_GOOD_NAME}"
    tuf = Material(name, f"{_ALONG}; only keys update reads it", "", _sha256(data), ())
    return (shipped, *materials, tuf)


def fetched(stored: Stored) -> Material:
    """Return what is to be said of a trusted root that was fetched."""
    name = PUBLIC_GOOD_NAME if stored.is_public else stored.url
    origin = f"{stored.url}, fetched on {stored.taken:%Y-%m-%d %H:%M:%S} UTC"
    if stored.is_public and not stored.is_newer:
        origin += "; what comes along is newer"
    used = stored.is_public and stored.is_newer
    return Material(
        name, origin, str(stored.path), stored.sha256, _pieces(stored.roots()), used=used
    )


def named(path: Path) -> Material:
    """Return what is to be said of a file: a trusted root, or a key; raises `InputError`."""
    data = read_file(path, limits.TRUSTED_ROOT_SIZE, "the file")
    # Other JSON than trusted roots has keys in PEM form in it.
    if b"-----BEGIN" in data and not data.lstrip().startswith(b"{"):
        pieces: tuple[Piece, ...] = (piece_of(read_key(path), path.name),)
    else:
        pieces = _pieces(parse_trusted_roots(data, str(path)))
    return Material(path.name, "the file that was named", str(path), _sha256(data), pieces)


def shipped_pieces() -> tuple[Piece, ...]:
    """Return what the public instance's trusted root consists of, as it comes along."""
    return _pieces(public_good())


def _shipped(*, used: bool) -> Material:
    digest = _sha256(read_shipped(PUBLIC_GOOD))
    return Material(PUBLIC_GOOD_NAME, _ALONG, "", digest, shipped_pieces(), used=used)


def _pieces(roots: Iterable[TrustedRoot]) -> tuple[Piece, ...]:
    return tuple(piece for each in roots for piece in pieces_of(each))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
