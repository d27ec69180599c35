"""Trust material in words, and for programs: what there is, until when, and what changed.  Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.oci import limits
from imgverify.report.escape import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from imgverify.signature.inventory import Change, Piece
    from imgverify.signature.trusted import Window

#: Grows when a reader of the previous version would misread it.
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Material:
    """A file of trust material: what it is, where it is from, and what it consists of.

    `used` says that it counts where nothing is named.
    """

    name: str
    origin: str
    path: str
    sha256: str
    pieces: tuple[Piece, ...]
    used: bool = False


def render_materials(materials: Sequence[Material], now: datetime, *, whole: bool) -> str:
    """Write what there is; `whole` adds every piece."""
    blocks = ["\n".join(_material(each, now, whole=whole)) for each in materials]
    return "\n\n".join(blocks) + "\n"


def render_materials_json(materials: Sequence[Material]) -> str:
    """Write the same for programs."""
    found = [
        {
            "name": escape(each.name),
            "origin": escape(each.origin),
            "path": escape(each.path, limits.REFERENCE_LENGTH),
            "sha256": each.sha256,
            "usedByDefault": each.used,
            "pieces": [_piece_object(piece) for piece in each.pieces],
        }
        for each in materials
    ]
    return json.dumps({"schemaVersion": SCHEMA_VERSION, "material": found}, indent=2) + "\n"


def change_lines(changes: Sequence[Change]) -> tuple[str, ...]:
    """Return a line for each change: what is new, what is gone, what ends otherwise."""
    return tuple(map(_change, changes)) or ("nothing changed",)


def _change(change: Change) -> str:
    if change.after is None:
        return f"- {_piece(change.before)}" if change.before else ""
    return f"{'~' if change.before else '+'} {_piece(change.after)}"


def _material(material: Material, now: datetime, *, whole: bool) -> Iterator[str]:
    used = " (used where nothing is named)" if material.used else ""
    yield f"{escape(material.name)}{used}"
    yield f"  from     {escape(material.origin)}"
    if material.path:
        yield f"  file     {escape(material.path, limits.REFERENCE_LENGTH)}"
    yield f"  SHA-256  {material.sha256}"
    if material.pieces:
        today = sum(now in each.window for each in material.pieces)
        span = _span(material.pieces)
        yield f"  valid    {span}; {today} of {len(material.pieces)} count today"
    if whole:
        yield from (f"  {_piece(each)}" for each in material.pieces)


def _span(pieces: Sequence[Piece]) -> str:
    starts = [each.window.start for each in pieces]
    ends = [each.window.end for each in pieces]
    first = min(filter(None, starts)) if all(starts) else None
    last = max(filter(None, ends)) if all(ends) else None
    return f"{_day(first, 'ever')} to {_day(last, 'no end')}"


def _piece(piece: Piece) -> str:
    window = f"{_day(piece.window.start, 'ever')} to {_day(piece.window.end, 'no end')}"
    what = f"{piece.role} {escape(piece.name)}"
    return f"{what}: {escape(piece.kind)} {piece.fingerprint}, {window}"


def _piece_object(piece: Piece) -> dict[str, str | None]:
    return {
        "role": piece.role.value,
        "name": escape(piece.name),
        "kind": escape(piece.kind),
        "fingerprint": piece.fingerprint,
        **_window_object(piece.window),
    }


def _window_object(window: Window) -> dict[str, str | None]:
    return {
        "start": window.start.isoformat() if window.start else None,
        "end": window.end.isoformat() if window.end else None,
    }


def _day(time: datetime | None, otherwise: str) -> str:
    return f"{time:%Y-%m-%d}" if time else otherwise
