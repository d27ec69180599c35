"""What registries tell of their rate limits (Docker Hub: `ratelimit-remaining: 98;w=21600`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NUMBER: Final = re.compile(r"\s*([0-9]{1,9})(?:\s*;\s*w=([0-9]{1,9}))?\s*", re.ASCII)
_PREFIXES: Final = ("ratelimit-", "x-ratelimit-")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests of a kind are left; `window` is the seconds after which they count anew."""

    remaining: int
    limit: int | None = None
    window: int | None = None


def read_rate_limit(heads: Iterable[Mapping[str, str]]) -> RateLimit | None:
    """Read the last answer that tells; header names are in lower case."""
    told = None
    for headers in heads:
        for prefix in _PREFIXES:
            remaining = _NUMBER.fullmatch(headers.get(f"{prefix}remaining", ""))
            limit = _NUMBER.fullmatch(headers.get(f"{prefix}limit", ""))
            if remaining is not None:
                window = remaining[2] or (limit[2] if limit else None)
                told = RateLimit(
                    int(remaining[1]),
                    int(limit[1]) if limit else None,
                    int(window) if window else None,
                )
    return told
