"""What a run gave, and what is wrong with it whatever it was about."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imgverify.exitcode import ExitCode
from tests.fuzz.campaign.hosts import SECRETS
from tests.unit.report.harm import commands, unseen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fuzz.campaign.wire import Exchange

#: The deadline of every run, what may be added to it (both seconds), and the most memory (bytes).
SECONDS: Final = 1.0
GRACE: Final = 1.0
MEMORY: Final = 100_000_000
#: Nobody interrupts a run, so that 130 is wrong as well.
STATUSES: Final = frozenset({0, 1, 2, 3, 4})
#: What Python says, and what the command line says instead of it.
_CRASHES: Final = ("Traceback", "internal error", "this machine refused")
_DECISIONS: Final = {0: "allow", 1: "deny", 3: "inconclusive"}
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """What is seen of a run from outside; `peak` is its largest resident size in bytes."""

    status: int
    seconds: float
    peak: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run, what was asked and answered in it, and what was done to the answers.

    `complaints` is empty for a good one.
    """

    scenario: str
    command: tuple[str, ...]
    label: str
    done: tuple[str, ...]
    run: Run
    log: Sequence[Exchange] = field(repr=False)
    complaints: tuple[str, ...] = ()


def complaints(outcome: Outcome) -> Iterator[str]:
    """Say what is wrong with a run."""
    run = outcome.run
    said = run.out + run.err
    if any(each in said for each in _CRASHES):
        yield "crash: a traceback, or an internal error"
    if run.status not in STATUSES:
        yield f"status: {run.status}"
    if run.seconds > SECONDS + GRACE:
        yield f"late: {run.seconds:.2f} s, of {SECONDS + GRACE:g} s"
    if run.peak > MEMORY:
        yield f"memory: {run.peak / 1e6:.0f} MB"
    lines = _COLOUR.sub("", said).split("\n")
    harm = {found for line in lines if not line.isprintable() for found in unseen(line)}
    harm |= {found for line in lines for found in commands(line)}
    if harm:
        yield f"output: {sorted(harm)!r}"
    yield from _contradictions(outcome)
    yield from _leaks(outcome)


def _contradictions(outcome: Outcome) -> Iterator[str]:
    """Hold a report against the exit status; 4 is for what comes after the verdict."""
    run = outcome.run
    if "json" not in outcome.command or not run.out or run.status == ExitCode.NOT_STORED:
        return
    try:
        decision = _decision(json.loads(run.out))
    except (ValueError, LookupError, TypeError):
        yield "report: it is no JSON, or says no decision"
        return
    if decision != _DECISIONS.get(run.status):
        yield f"report: it says {decision}, and the exit status is {run.status}"


def _decision(report: dict[str, Any]) -> str:
    """Return what a report decides; the doctor's decides on each mirror by itself."""
    if "decision" in report:
        return str(report["decision"])
    decisions = {each["decision"] for each in report["mirrors"]}
    return next(each for each in ("deny", "inconclusive", "allow") if each in decisions)


def _leaks(outcome: Outcome) -> Iterator[str]:
    """Look for a user's secrets in what was printed, and in what was sent to whom."""
    for secret, allowed in SECRETS.items():
        if secret in outcome.run.out or secret in outcome.run.err:
            yield "leak: a secret is in the output"
        for each in outcome.log:
            asked = f"{each.target} {each.request.headers} {each.request.body!r}"
            if secret in asked and each.host not in allowed:
                yield f"leak: a secret was sent to {each.host}"


def peak_memory() -> int:
    """Return the largest resident size of this process, in bytes, since it was forgotten."""
    found = _PEAK.search(Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else 0


def forget_peak() -> None:
    """Let the largest size be counted from here on (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
