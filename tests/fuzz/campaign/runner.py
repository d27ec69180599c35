"""Runs one case after another in this process, and says what was wrong with each.

The command line is called as the program calls it. Three things of imgverify are replaced: how a
connection is opened (`wire.Stage.dial` for `registry.dial.dial`), how long is waited before
another attempt (a hundredth, but in one case of 50), and that click takes escape sequences out of
what it prints elsewhere than on a terminal.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import json
import os
import re
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from unittest.mock import patch

import click.utils

from imgverify.cli import app
from imgverify.registry import session, transport
from tests.fuzz.campaign import cases
from tests.fuzz.campaign.cases import Case, Knowledge, Point
from tests.fuzz.campaign.hosts import SECRETS
from tests.fuzz.campaign.reply import Reply
from tests.fuzz.campaign.scenarios import SCENARIOS
from tests.fuzz.campaign.truth import Evidence, has_image
from tests.fuzz.campaign.wire import Exchange, Play, Stage
from tests.unit.report.harm import commands, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from socket import socket

    from imgverify.registry.deadline import Deadline
    from imgverify.serve.distribution import Request
    from tests.fuzz.campaign.scenarios import Scenario

    #: Returns what is sent in the place of an answer, and what was done to it.
    Script = Callable[[Point, int, Reply], tuple[Play, tuple[str, ...]]]

SECONDS: Final = 1.0
#: What may be added to the deadline, in seconds, and the most memory, in bytes.
GRACE: Final = 1.0
MEMORY: Final = 100_000_000
STATUSES: Final = frozenset({0, 1, 2, 3, 4})
_PATIENT: Final = 50
_HURRY: Final = 0.01
#: Time enough for a run that nobody disturbs, on a machine that does other things as well.
_CALM: Final = 60.0
_TIDY: Final = 60_000_000
_CONFIG: Final = "config.json"
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave; `complaints` is empty for a good one."""

    scenario: str
    label: str
    done: tuple[str, ...]
    status: int
    seconds: float
    peak: int
    complaints: tuple[str, ...]
    out: str
    err: str
    log: Sequence[Exchange] = field(repr=False)


class Runner:
    """Runs cases; `folder` is emptied of what each of them left.

    A context manager: the replacements hold inside it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._backoff: float = session._BACKOFF
        self._credentials: Mapping[str, object] | None = None
        self._stage = Stage(frozenset(), _nobody)
        self._replaced = contextlib.ExitStack()
        self.known: Knowledge

    def __enter__(self) -> Self:
        """Put the replacements in place, and see what the scenarios ask."""
        for target, name, new in (
            (transport, "dial", self._dial),
            (click.utils, "should_strip_ansi", lambda *_: False),
        ):
            self._replaced.enter_context(patch.object(target, name, new))
        self.known = self._learn()
        gc.collect()
        gc.freeze()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the replacements back."""
        gc.unfreeze()
        self._replaced.close()

    def run(self, number: int, seed: int) -> Outcome:
        """Run a case by its number."""
        return self.run_case(cases.case(number, seed, self.known))

    def run_case(self, one: Case) -> Outcome:
        """Run a case."""
        sites, grafted = cases.grafted_sites(one, self.known)
        scenario = replace(one.scenario, sites=sites)
        # Made before the clock runs, for it may take long, and much memory.
        ready = cases.prepared(one, self.known)

        def script(point: Point, nth: int, answer: Reply) -> tuple[Play, tuple[str, ...]]:
            due = one.due(point, nth)
            if not due:
                return answer.play, ()
            expected, changed = ready.get((point, due), (None, None))
            if changed is None or expected != answer:
                return cases.play(answer, point.target, due, self.known)
            return changed

        backoff = self._backoff * (1 if one.number % _PATIENT == 0 else _HURRY)
        with patch.object(session, "_BACKOFF", backoff):
            outcome = self.perform(scenario, script, one.label)
        return replace(outcome, done=(*grafted, *outcome.done))

    def perform(
        self, scenario: Scenario, script: Script, label: str, seconds: float = SECONDS
    ) -> Outcome:
        """Run a scenario whose answers go through a script."""
        answers = scenario.answers()
        asked: Counter[Point] = Counter()
        lock = threading.Lock()
        done: list[str] = []

        def answering(host: str, request: Request, target: str) -> Exchange:
            point = Point(host, request.method, target)
            with lock:
                asked[point] += 1
                nth = asked[point]
            answer = Reply.of(answers[host](request), bodiless=request.method == "HEAD")
            play, how = script(point, nth, answer)
            done.extend(f"{point} #{nth} {each}" for each in how)
            return Exchange(host, request, target, play)

        self._stage = Stage(frozenset(answers), answering)
        try:
            measured = self._execute(scenario, seconds)
        finally:
            self._stage.close()
        if self._stage.failure is not None:
            message = f"the campaign itself failed in {label}"
            raise RuntimeError(message) from self._stage.failure
        log = tuple(self._stage.log)
        return self._judged(Outcome(scenario.name, label, tuple(done), *measured, log), scenario)

    def _execute(
        self, scenario: Scenario, limit: float
    ) -> tuple[int, float, int, tuple[str, ...], str, str]:
        self._clear(scenario)
        words = scenario.words(self._folder, limit)
        out, err = io.StringIO(), io.StringIO()
        forget_peak()
        started = time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = scenario.call(limit) if scenario.call else app.execute(words)
        seconds = time.monotonic() - started
        peak = peak_memory()
        if peak > _TIDY:
            # Else what this case took would count for the next one.
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
        return status, seconds, peak, (), out.getvalue(), err.getvalue()

    def _clear(self, scenario: Scenario) -> None:
        """Leave nothing in the folder but the credentials of the scenario."""
        for each in self._left():
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink()
        if self._credentials != scenario.credentials:
            self._credentials = scenario.credentials
            (self._folder / _CONFIG).write_text(json.dumps(scenario.credentials))

    def _left(self) -> list[Path]:
        with os.scandir(self._folder) as entries:
            return [Path(each.path) for each in entries if each.name != _CONFIG]

    def _judged(self, outcome: Outcome, scenario: Scenario) -> Outcome:
        out = self._folder / "out"
        wrong = [*complaints(outcome)]
        if outcome.status == 0 and (
            problem := scenario.truth(Evidence(outcome.log, outcome.out, out))
        ):
            wrong.append(f"wrong accept: {problem}")
        if outcome.status != 0 and has_image(out):
            wrong.append(f"left: exit {outcome.status}, and there is an image")
        wrong += [f"left: {each.name}" for each in self._left() if each != out]
        return replace(outcome, complaints=tuple(wrong))

    def _dial(self, host: str, port: int, tls: object, deadline: Deadline) -> socket:
        return self._stage.dial(host, port, tls, deadline)

    def _learn(self) -> Knowledge:
        answered: dict[str, dict[Point, Reply]] = {}

        def script(point: Point, _nth: int, answer: Reply) -> tuple[Play, tuple[str, ...]]:
            answered[name].setdefault(point, answer)
            return answer.play, ()

        for name, scenario in SCENARIOS.items():
            answered[name] = {}
            outcome = self.perform(scenario, script, name, _CALM)
            if outcome.status != scenario.exit or outcome.complaints:
                message = f"{name}: exit {outcome.status}, not {scenario.exit}: {outcome}"
                raise RuntimeError(message)
        return cases.learn(answered)


def complaints(outcome: Outcome) -> Iterator[str]:
    """Say what is wrong with a run, whatever it was about."""
    said = outcome.out + outcome.err
    if "Traceback" in said or "internal error" in said:
        yield "crash: a traceback, or an internal error"
    if outcome.status not in STATUSES:
        yield f"status: {outcome.status}"
    if outcome.seconds > SECONDS + GRACE:
        yield f"late: {outcome.seconds:.2f} s, of {SECONDS + GRACE:g} s"
    if outcome.peak > MEMORY:
        yield f"memory: {outcome.peak / 1e6:.0f} MB"
    lines = _COLOUR.sub("", said).split("\n")
    harm = {found for line in lines if not line.isprintable() for found in unseen(line)}
    harm |= {found for line in lines for found in commands(line)}
    if harm:
        yield f"output: {sorted(harm)!r}"
    yield from _leaks(outcome)


def _leaks(outcome: Outcome) -> Iterator[str]:
    for secret, allowed in SECRETS.items():
        if secret in outcome.out or secret in outcome.err:
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
    """Let the largest size be counted from here on (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _nobody(host: str, _request: Request, _target: str) -> Exchange:
    raise ConnectionRefusedError(host)
