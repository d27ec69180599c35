"""Hands cases to processes, hears what they find, and goes on where one ends too early.

It imports nothing of imgverify: a process starts with the memory of the one that made it, and
this one has to be small.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[3]
READY = "ready\n"
#: The status of a worker that has grown too large to go on.
FULL = 75
#: In seconds: no case takes as long as this, whatever it waits for.
HUNG = 120.0


@dataclass(slots=True)
class Tally:
    """What was found; `late` were late beside other processes, and not when they ran alone."""

    cases: int = 0
    replaced: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, -1)
    peak: tuple[int, int] = (0, -1)
    failures: list[dict[str, Any]] = field(default_factory=list)
    late: list[dict[str, Any]] = field(default_factory=list)

    def add(self, found: dict[str, Any]) -> None:
        """Count one case."""
        number = found["case"]
        self.cases += 1
        self.statuses[found["status"]] += 1
        self.kinds.update(found["kinds"] or ["answer never asked for"])
        self.slowest = max(self.slowest, (found["seconds"], number))
        self.peak = max(self.peak, (found["peak"], number))
        if "complaints" in found:
            self.failures.append(found)


@dataclass(slots=True)
class _Lane:
    """Every so-manieth case, and the process that runs them; `next` is the one it is at."""

    next: int
    popen: subprocess.Popen[str]
    ready: bool = False
    heard: float = field(default_factory=time.monotonic)


class Crew:
    """Runs cases in `size` processes.

    `program` is a command that takes `--start`, `--step` and `--cases` (the number to stop
    before), prints `READY`, and then a JSON object for each case.
    """

    def __init__(
        self,
        program: Sequence[str],
        size: int,
        *,
        hung: float = HUNG,
        watch: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        self._program = tuple(program)
        self._size = size
        self._hung = hung
        self._watch = watch

    def run(self, numbers: range) -> Tally:
        """Run cases; a process that ends before its last one is a failure of the one it was at."""
        return _Shift(self._program, min(self._size, len(numbers)), numbers, self._hung).work(
            self._watch
        )

    def confirm(self, tally: Tally) -> None:
        """Run again, each alone, what was only late: the machine may have been busy."""
        alone = Crew(self._program, 1, hung=self._hung)
        kept: list[dict[str, Any]] = []
        for each in tally.failures:
            only_late = all(one.startswith("late") for one in each["complaints"])
            number = each["case"]
            again = alone.run(range(number, number + 1)).failures if only_late else [each]
            kept += again
            tally.late += [] if again else [each]
        tally.failures = kept


class _Shift:
    def __init__(self, program: tuple[str, ...], size: int, numbers: range, hung: float) -> None:
        self._program = program
        self._size = size
        self._numbers = numbers
        self._hung = hung
        self._lines: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._lanes: dict[int, _Lane] = {}
        self._tally = Tally()

    def work(self, watch: Callable[[Tally], None]) -> Tally:
        for at in range(self._size):
            self._start(at, self._numbers.start + at)
        try:
            while self._lanes:
                self._end_hung()
                before = self._tally.cases
                self._hear()
                if self._tally.cases != before:
                    watch(self._tally)
        finally:
            for each in self._lanes.values():
                each.popen.kill()
                each.popen.wait()
        return self._tally

    def _start(self, at: int, number: int) -> None:
        bounds = ("--start", number, "--step", self._size, "--cases", self._numbers.stop)
        words = [*self._program, *map(str, bounds)]
        popen = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._lanes[at] = _Lane(number, popen)
        threading.Thread(target=self._listen, args=(at, popen.stdout), daemon=True).start()

    def _listen(self, at: int, lines: IO[str]) -> None:
        with lines:
            for each in lines:
                self._lines.put((at, each))
        self._lines.put((at, ""))

    def _hear(self) -> None:
        try:
            at, line = self._lines.get(timeout=min(1.0, self._hung))
        except queue.Empty:
            return
        lane = self._lanes[at]
        lane.heard = time.monotonic()
        if not line:
            self._ended(at, lane)
        elif line == READY:
            lane.ready = True
        else:
            self._tally.add(json.loads(line))
            lane.next += self._size

    def _end_hung(self) -> None:
        for each in self._lanes.values():
            if time.monotonic() - each.heard > self._hung:
                each.popen.kill()

    def _ended(self, at: int, lane: _Lane) -> None:
        status = lane.popen.wait()
        del self._lanes[at]
        if status == FULL:
            self._tally.replaced += 1
        elif lane.next < self._numbers.stop:
            self._blame(lane, status)
        if lane.next < self._numbers.stop:
            self._start(at, lane.next)

    def _blame(self, lane: _Lane, status: int) -> None:
        if not lane.ready:
            message = f"a worker ended with {status} before its first case"
            raise RuntimeError(message)
        found = {"case": lane.next, "status": status, "seconds": 0.0, "peak": 0, "kinds": []}
        words = [f"ended: the process did, with {status}"]
        self._tally.add({**found, "complaints": words, "label": ""})
        lane.next += self._size
