"""Whole processes in pairs: run in turn, the order reversed each round, medians and ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class InvalidRunError(Exception):
    """A run that failed, or gave something else than it should: its row says nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process: seconds of wall and processor time, and its largest resident size in bytes."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A command, what to do before each run (not timed), and how to see that it did its job."""

    name: str
    command: tuple[str, ...]
    before: Callable[[], None]
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """All runs of one contender."""

    name: str
    runs: tuple[Run, ...]

    def median(self, field: str) -> float:
        """Return the median of one of `Run`'s fields."""
        values: list[float] = [getattr(each, field) for each in self.runs]
        return statistics.median(values)

    def span(self, field: str) -> str:
        """Return median, minimum and maximum as text."""
        values = [getattr(each, field) for each in self.runs]
        scale = 1e6 if field == "memory" else 1.0
        low, high = min(values) / scale, max(values) / scale
        return f"{self.median(field) / scale:8.3f} ({low:.3f}-{high:.3f})"


def race(contenders: Sequence[Contender], rounds: int) -> tuple[Figures, ...]:
    """Run every contender `rounds` times, after one run each that does not count."""
    runs: dict[str, list[Run]] = {each.name: [] for each in contenders}
    for number in range(rounds + 1):
        ordered = contenders if number % 2 else tuple(reversed(contenders))
        for each in ordered:
            each.before()
            run = _run(each.command)
            each.check()
            if number:
                runs[each.name].append(run)
    return tuple(Figures(name, tuple(each)) for name, each in runs.items())


# A new process starts with the peak of the one that made it: let a small one make it.
_SMALL = """
import os, resource, subprocess, sys, time
started = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=2)
_, status, usage = os.wait4(process.pid, 0)
wall = time.monotonic() - started
process.returncode = os.waitstatus_to_exitcode(status)
print(process.returncode, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
"""


def _run(command: tuple[str, ...]) -> Run:
    words = [sys.executable, "-S", "-c", _SMALL, *command]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    status, wall, cpu, memory = done.stdout.split()
    if int(status):
        message = f"{command[0]} ended with {status}: {done.stderr[-1000:]}"
        raise InvalidRunError(message)
    return Run(float(wall), float(cpu), int(memory))


def settle(path: Path) -> None:
    """Write out what earlier runs left in memory, so that no run pays for another."""
    path.mkdir(parents=True, exist_ok=True)
    os.sync()
