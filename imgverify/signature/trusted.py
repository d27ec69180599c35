"""Trust: keys, logs and authorities, each with the time it may be trusted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from imgverify.signature.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time with both its ends; None is open."""

    start: datetime | None = None
    end: datetime | None = None

    def __contains__(self, time: datetime) -> bool:
        """Tell whether a time lies in the window."""
        after = self.start is None or self.start <= time
        return after and (self.end is None or time <= self.end)


ALWAYS = Window()


@dataclass(frozen=True, slots=True)
class TransparencyLog:
    """A log for signatures, or one for certificates.

    `key` is None where it is of a kind that cannot be used: what only this log vouches for, nobody
    vouches for. `note_id` begins with the four bytes that mark the log's line in a checkpoint.
    """

    name: str
    log_id: bytes
    key: PublicKey | None
    window: Window = ALWAYS
    note_id: bytes = b""

    @property
    def hint(self) -> bytes:
        """The four bytes that a checkpoint's signature line starts with."""
        return (self.note_id or self.log_id)[:4]


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """An authority for signers or for timestamps: its certificates, the root last."""

    name: str
    chain: tuple[x509.Certificate, ...]
    window: Window = ALWAYS

    def __post_init__(self) -> None:
        """Refuse an authority without a certificate."""
        if not self.chain:
            msg = f"the authority {self.name!r} has no certificate"
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many have to vouch: distinct logs and authorities, however often each does."""

    logs: int = 0
    scts: int = 0
    timestamps: int = 0

    def __post_init__(self) -> None:
        """Refuse negative numbers."""
        if min(self.logs, self.scts, self.timestamps) < 0:
            msg = "fewer than none cannot be asked for"
            raise InputError(msg)


NOTHING_MORE = Thresholds()


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """One Sigstore deployment. A signature has to hold within one; nothing is mixed from two.

    What a deployment has is what its signatures need: a log if there are logs, a certificate
    log's word if there are certificate logs, and a timestamp where there are authorities for them
    and no log that could tell the time.
    """

    name: str
    authorities: tuple[CertificateAuthority, ...] = ()
    logs: tuple[TransparencyLog, ...] = ()
    ct_logs: tuple[TransparencyLog, ...] = ()
    timestamp_authorities: tuple[CertificateAuthority, ...] = ()

    @property
    def thresholds(self) -> Thresholds:
        """What is needed here at least."""
        stamped = bool(self.timestamp_authorities) and not self.logs
        return Thresholds(int(bool(self.logs)), int(bool(self.ct_logs)), int(stamped))

    def log(self, log_id: bytes) -> TransparencyLog | None:
        """Return the log for signatures that has this ID; no other is tried."""
        return _by_id(self.logs, log_id)

    def ct_log(self, log_id: bytes) -> TransparencyLog | None:
        """Return the log for certificates that has this ID."""
        return _by_id(self.ct_logs, log_id)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A signer's key, and the time in which signatures by it count."""

    key: PublicKey
    window: Window = ALWAYS


def _by_id(logs: tuple[TransparencyLog, ...], log_id: bytes) -> TransparencyLog | None:
    return next((each for each in logs if each.log_id == log_id), None)
