"""What a trusted root consists of, piece by piece, and how two of them differ.  Pure."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from imgverify.signature.trusted import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from imgverify.signature.trusted import (
        CertificateAuthority,
        TransparencyLog,
        TrustedKey,
        TrustedRoot,
    )


class Role(enum.StrEnum):
    """What a piece of trust material vouches for."""

    AUTHORITY = "certificate authority"
    LOG = "transparency log"
    CT_LOG = "certificate log"
    TIMESTAMPS = "timestamp authority"
    KEY = "signer's key"


class Fitness(enum.IntEnum):
    """Whether something could be signed today that would count; the worst is the last."""

    GOOD = enum.auto()
    ENDING = enum.auto()
    OVER = enum.auto()


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """One key or authority.

    `fingerprint` is the SHA-256 of the key, or of the certificate that issues. `window` is when it
    counts, by the trusted root and by its own certificates.
    """

    role: Role
    name: str
    kind: str
    fingerprint: str
    window: Window


@dataclass(frozen=True, slots=True)
class Change:
    """A piece before and after; None where there was, or is, none."""

    before: Piece | None
    after: Piece | None


def pieces_of(root: TrustedRoot) -> tuple[Piece, ...]:
    """Return what a trusted root consists of, in its own order."""
    return (
        *(_authority(Role.AUTHORITY, each) for each in root.authorities),
        *(_log(Role.LOG, each) for each in root.logs),
        *(_log(Role.CT_LOG, each) for each in root.ct_logs),
        *(_authority(Role.TIMESTAMPS, each) for each in root.timestamp_authorities),
    )


def piece_of(trusted: TrustedKey, name: str) -> Piece:
    """Return what is to be said of a signer's key."""
    key = trusted.key
    return Piece(Role.KEY, name, key.kind, key.fingerprint.encoded, trusted.window)


def changes(before: Sequence[Piece], after: Sequence[Piece]) -> tuple[Change, ...]:
    """Return what differs: new pieces, pieces that are gone, and those with another window."""
    old = {(each.role, each.fingerprint): each for each in before}
    new = {(each.role, each.fingerprint): each for each in after}
    pairs = ((old.get(key), new.get(key)) for key in dict.fromkeys((*new, *old)))
    return tuple(Change(was, now) for was, now in pairs if was != now)


def fitness(pieces: Sequence[Piece], now: datetime, soon: timedelta) -> Fitness:
    """Say whether each role has a piece that counts now, and still will after `soon`.

    Pieces that are over are no fault: what they vouched for in their time still counts.
    """
    ordered = sorted(pieces, key=lambda each: each.role)
    worst = Fitness.GOOD
    for _, group in groupby(ordered, key=lambda each: each.role):
        worst = max(worst, _fitness([each.window for each in group], now, soon))
    return worst if pieces else Fitness.OVER


def _fitness(windows: list[Window], now: datetime, soon: timedelta) -> Fitness:
    if not any(now in each for each in windows):
        return Fitness.OVER
    lasting = any(now in each and now + soon in each for each in windows)
    return Fitness.GOOD if lasting else Fitness.ENDING


def _authority(role: Role, authority: CertificateAuthority) -> Piece:
    issuing, window = authority.chain[0], authority.window
    starts = [each.not_valid_before_utc for each in authority.chain]
    ends = [each.not_valid_after_utc for each in authority.chain]
    certified = Window(
        max([*starts, *([window.start] if window.start else [])]),
        min([*ends, *([window.end] if window.end else [])]),
    )
    fingerprint = hashlib.sha256(issuing.public_bytes(Encoding.DER)).hexdigest()
    name = f"{authority.name} ({issuing.subject.rfc4514_string()})"
    return Piece(role, name, "certificate", fingerprint, certified)


def _log(role: Role, log: TransparencyLog) -> Piece:
    kind, fingerprint = "a key of an unknown kind", log.log_id.hex()
    if log.key is not None:
        kind, fingerprint = log.key.kind, log.key.fingerprint.encoded
    return Piece(role, log.name, kind, fingerprint, log.window)
