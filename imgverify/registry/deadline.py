"""The end of every wait: a point in monotonic time, and a wish to stop."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from imgverify.errors import Interrupted, Unreachable


@dataclass(frozen=True, slots=True)
class Deadline:
    """When to give up (monotonic seconds), shared with whoever may call the work off."""

    at: float
    seconds: float
    cancelled: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return a deadline that many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and one that many seconds from now."""
        at = time.monotonic() + seconds
        return replace(self, at=at, seconds=seconds) if at < self.at else self

    @property
    def remaining(self) -> float:
        """Seconds left; zero or less once it has passed."""
        return self.at - time.monotonic()

    def patience(self, most: float) -> float:
        """Return how long one wait may take, `most` at the most.

        Raises `Unreachable` once the deadline has passed, `Interrupted` once called off.
        """
        if self.cancelled.is_set():
            msg = "interrupted"
            raise Interrupted(msg)
        left = self.remaining
        if left <= 0:
            msg = f"no complete answer within {self.seconds:g} s"
            raise Unreachable(msg, hint="try again, or allow more time with --timeout")
        return min(left, most)

    def sleep(self, seconds: float) -> bool:
        """Wait, unless that would pass the deadline; returns whether it waited."""
        if seconds >= self.remaining:
            return False
        self.cancelled.wait(seconds)
        self.patience(seconds)
        return True


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is, for who may not look: `now` was said when a monotonic clock showed `at`."""

    now: datetime
    at: float

    def later(self, seconds: float) -> str:
        """Return the UTC that many seconds from now, to the next whole second."""
        passed = time.monotonic() - self.at
        moment = self.now.astimezone(UTC) + timedelta(
            seconds=passed + seconds, microseconds=999_999
        )
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
