"""The command: hands cases to processes, watches them, and says what was found.

    make campaign ARGS="--cases 100000 --seed 1"
    make campaign ARGS="--seed 1 --only 4711"
    make campaign ARGS="--replay tests/fuzz/campaign/regressions/NAME.json"

It imports nothing of imgverify: a process starts with the memory of the one that made it, and
this one has to be small.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[3]
PER_CORE = 3
#: The status of a worker that has grown too large to go on.
FULL = 75
#: No case takes as long as this, whatever it waits for.
HUNG = 60.0
_SHOWN = 20


@dataclass(slots=True)
class Process:
    """A worker, and the case that it is at; None while it gets ready."""

    popen: subprocess.Popen[str]
    next: int
    ready: bool = False
    heard: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Tally:
    """What was found."""

    cases: int = 0
    replaced: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, -1)
    peak: tuple[int, int] = (0, -1)
    failures: list[dict[str, Any]] = field(default_factory=list)

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


class Campaign:
    """Runs the cases from `start` to `stop` in several processes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._lines: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._processes: dict[int, Process] = {}
        self.tally = Tally()

    def run(self) -> Tally:
        """Run all cases; every process that ends too early is an error, and is replaced."""
        step = min(self._options.workers, self._options.cases)
        for lane in range(step):
            self._start(lane, self._options.first + lane)
        try:
            while self._processes:
                self._hear()
        finally:
            for each in self._processes.values():
                each.popen.kill()
                each.popen.wait()
        return self.tally

    def _start(self, lane: int, number: int) -> None:
        options = self._options
        step = min(options.workers, options.cases)
        words = ["--seed", options.seed, "--start", number, "--step", step]
        words += ["--cases", options.first + options.cases]
        words += ["--failures", options.failures]
        popen = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.campaign.worker", *map(str, words)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes[lane] = Process(popen, number)
        threading.Thread(target=self._listen, args=(lane, popen.stdout), daemon=True).start()

    def _listen(self, lane: int, lines: IO[str]) -> None:
        for each in lines:
            self._lines.put((lane, each))
        self._lines.put((lane, ""))

    def _hear(self) -> None:
        try:
            lane, line = self._lines.get(timeout=1.0)
        except queue.Empty:
            self._end_hung()
            return
        process = self._processes[lane]
        process.heard = time.monotonic()
        if not line:
            self._ended(lane, process)
        elif line == "ready\n":
            process.ready = True
        else:
            self.tally.add(json.loads(line))
            process.next += min(self._options.workers, self._options.cases)
            self._show()

    def _end_hung(self) -> None:
        for each in self._processes.values():
            if time.monotonic() - each.heard > HUNG:
                each.popen.kill()

    def _ended(self, lane: int, process: Process) -> None:
        status = process.popen.wait()
        del self._processes[lane]
        stop = self._options.first + self._options.cases
        if process.next >= stop:
            return
        if status == FULL:
            self.tally.replaced += 1
            self._start(lane, process.next)
            return
        if not process.ready:
            message = f"a worker ended with {status} before its first case"
            raise RuntimeError(message)
        words = f"the process ended with {status}"
        found = {"case": process.next, "status": status, "seconds": 0.0, "peak": 0, "kinds": []}
        self.tally.add({**found, "complaints": [words], "label": ""})
        following = process.next + min(self._options.workers, self._options.cases)
        if following < stop:
            self._start(lane, following)

    def _show(self) -> None:
        tally, every = self.tally, self._options.cases
        if sys.stderr.isatty() and tally.cases % 100 == 0:
            line = f"\r{tally.cases} of {every}, {len(tally.failures)} failures"
            sys.stderr.write(line)
            sys.stderr.flush()


def report(tally: Tally, seconds: float, options: argparse.Namespace) -> int:
    """Say what was found; 1 if there is anything wrong."""
    say = sys.stdout.write
    say(f"{tally.cases} cases in {seconds:.0f} s ({tally.cases / seconds:.0f} a second)")
    say(f", seed {options.seed}, {options.workers} processes")
    say(f" ({tally.replaced} times replaced by a fresh one)\n")
    say("exit statuses: ")
    say(", ".join(f"{status}: {count}" for status, count in sorted(tally.statuses.items())))
    say(f"\nslowest: {tally.slowest[0]:.2f} s (case {tally.slowest[1]}), of 1 s and 1 s more\n")
    say(f"most memory: {tally.peak[0] / 1e6:.1f} MB (case {tally.peak[1]}), of 100 MB\n")
    say(f"changes, of {len(tally.kinds)} kinds: ")
    say(", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items())))
    say(f"\nfailures: {len(tally.failures)}\n")
    for each in sorted(tally.failures, key=lambda one: one["case"])[: options.show]:
        say(f"  case {each['case']}: {'; '.join(each['complaints'])}\n    {each['label']}\n")
    if tally.failures:
        say(f"written to {options.failures}; next: --seed {options.seed} --only NUMBER\n")
    return int(bool(tally.failures))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="campaign", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--workers", type=int, default=PER_CORE * (os.cpu_count() or 1))
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run one case, and show it")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run a recorded case")
    parser.add_argument("--failures", type=Path, default=ROOT / "build" / "campaign")
    parser.add_argument("--show", type=int, default=_SHOWN, help="at most as many failures")
    options = parser.parse_args(arguments)
    if options.only is not None or options.replay is not None:
        words = ["--only", options.only] if options.replay is None else ["--replay", options.replay]
        command = [sys.executable, "-m", "tests.fuzz.campaign.one", "--seed", options.seed, *words]
        return subprocess.run([*map(str, command)], cwd=ROOT, check=False).returncode
    started = time.monotonic()
    tally = Campaign(options).run()
    return report(tally, time.monotonic() - started, options)


if __name__ == "__main__":
    sys.exit(main())
