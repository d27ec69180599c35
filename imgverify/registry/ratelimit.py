"""What a registry says of its rate limit: how much of it is left, and when to come back."""

from __future__ import annotations

import email.utils
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Mapping

# As Docker Hub writes it: "100;w=21600". Anything else is unknown, and never guessed at.
_COUNT: Final = re.compile(r"(?P<count>[0-9]{1,9})(?:;w=(?P<window>[0-9]{1,9}))?", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)
_SOURCE: Final = re.compile(r"[0-9A-Za-z.:_-]{1,64}", re.ASCII)
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many pulls a registry still allows, by its own word.

    `limit` pulls are allowed in `window` seconds, as far as it said; `source` is whose pulls it
    counts, an address or an account.
    """

    remaining: int
    limit: int | None = None
    window: int | None = None
    source: str = ""

    def __str__(self) -> str:
        """Return what is left, such as `98 of 100 pulls left in 6 h`."""
        of = f" of {self.limit}" if self.limit is not None else ""
        return f"{self.remaining}{of} pulls left{self._within}"

    @property
    def name(self) -> str:
        """What the limit is, such as `100 pulls in 6 h`."""
        whose = f" for {self.source}" if self.source else ""
        return f"{'' if self.limit is None else self.limit} pulls{self._within}{whose}".lstrip()

    @property
    def _within(self) -> str:
        return f" in {span(self.window)}" if self.window else ""


def parse_rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """Read Docker Hub's `ratelimit-*` headers of an answer; None where they do not say it.

    A HEAD of a manifest has them, too, and counts as no pull.
    """
    left = _COUNT.fullmatch(headers.get("ratelimit-remaining", ""))
    if left is None:
        return None
    most = _COUNT.fullmatch(headers.get("ratelimit-limit", ""))
    remaining, limit = int(left["count"]), int(most["count"]) if most else None
    if limit is not None and remaining > limit:
        return None
    windows = {each["window"] for each in (left, most) if each and each["window"]}
    window = int(windows.pop()) if len(windows) == 1 else None
    source = headers.get("docker-ratelimit-source", "")
    return RateLimit(remaining, limit, window, source if _SOURCE.fullmatch(source) else "")


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110 §10.2.3): seconds, or a date held against the server's own.

    None where it is absent or cannot be read.
    """
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text[: limits.JSON_INTEGER_DIGITS])
    try:
        then = email.utils.parsedate_to_datetime(text)
        now = email.utils.parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (_utc(then) - _utc(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def span(seconds: float) -> str:
    """Return a length of time in the largest unit that fits it whole, such as `6 h`."""
    whole = -int(-seconds // 1)
    for size, unit in _UNITS:
        if whole and whole % size == 0:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
