"""From verdicts to the process's exit status: the only place where one is chosen."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from imgverify.errors import InputError, Interrupted, StoreError
from imgverify.verdict import Decision

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from imgverify.gate.outcome import Outcome
    from imgverify.verdict import Verdict


class ExitCode(enum.IntEnum):
    """The exit statuses of every command."""

    ALLOWED = 0
    DENIED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    NOT_STORED = 4
    INTERRUPTED = 130


def of_verdicts(verdicts: Sequence[Verdict]) -> ExitCode:
    """Return 1 if any image is denied, else 3 if any is inconclusive, else 0; nothing is 2."""
    return of_decisions([each.decision for each in verdicts])


def of_decisions(decisions: Collection[Decision]) -> ExitCode:
    """Return what `of_verdicts` does, for whatever was decided on."""
    if Decision.DENY in decisions:
        return ExitCode.DENIED
    if not decisions:
        return ExitCode.USAGE
    return ExitCode.ALLOWED if set(decisions) == {Decision.ALLOW} else ExitCode.INCONCLUSIVE


def of_outcome(outcome: Outcome) -> ExitCode:
    """Return what follows for a gate; nothing found is 2, unless that is allowed."""
    if outcome.is_empty and not outcome.allow_empty:
        return ExitCode.USAGE
    return of_decisions([outcome.decision])


def of_error(error: BaseException) -> ExitCode:
    """Return the status for work that ended with an exception; never 0."""
    if isinstance(error, InputError):
        return ExitCode.USAGE
    if isinstance(error, StoreError):
        return ExitCode.NOT_STORED
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return ExitCode.INTERRUPTED
    return ExitCode.INCONCLUSIVE
