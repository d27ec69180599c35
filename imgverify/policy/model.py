"""Policies as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imgverify.verdict import Grade

_NEVER: Final = frozenset({Grade.DIVERGED, Grade.INCONCLUSIVE, Grade.MISSING})


@dataclass(frozen=True, slots=True)
class Policy:
    """Which grades are acceptable; an empty set would accept nothing."""

    accept: frozenset[Grade]

    def __post_init__(self) -> None:
        """Refuse to accept what no policy may accept."""
        if self.accept & _NEVER:
            msg = f"{', '.join(sorted(self.accept & _NEVER))} cannot be accepted"
            raise ValueError(msg)


#: What holds where nothing else is said.
DEFAULT_POLICY: Final = Policy(frozenset({Grade.IDENTICAL, Grade.SUBSET}))
#: What `compare` asks: sameness and nothing less.
SAMENESS: Final = Policy(frozenset({Grade.IDENTICAL}))
