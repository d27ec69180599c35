"""Runs one case after another in this process, and says what was wrong with each.

The command line is called as the program calls it. Three things of imgverify are replaced: how a
connection is opened (`wire.Stage.dial` for `Dialer.connect`), how long is waited before another
attempt (a hundredth, but in one case of 50), and that click takes escape sequences out of
what it prints elsewhere than on a terminal.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import json
import os
import shutil
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from unittest.mock import patch

import click.utils

from imgverify.cli import app
from imgverify.registry import dial, session
from tests.fuzz.campaign import cases
from tests.fuzz.campaign.cases import Case, Knowledge, Point
from tests.fuzz.campaign.outcome import (
    SECONDS,
    Outcome,
    Run,
    complaints,
    forget_peak,
    peak_memory,
)
from tests.fuzz.campaign.reply import Reply
from tests.fuzz.campaign.scenarios import SCENARIOS
from tests.fuzz.campaign.truth import Evidence, has_image
from tests.fuzz.campaign.wire import Exchange, Play, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from socket import socket

    from imgverify.registry.deadline import Deadline
    from imgverify.serve.distribution import Request
    from tests.fuzz.campaign.scenarios import Scenario

    #: Returns what is sent in the place of an answer, and what was done to it.
    Script = Callable[[Point, int, Reply], tuple[Play, tuple[str, ...]]]

_PATIENT: Final = 50
_HURRY: Final = 0.01
#: Time enough for a run that nobody disturbs, on a machine that does other things as well.
_CALM: Final = 60.0
_TIDY: Final = 60_000_000
_CONFIG: Final = "config.json"


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
        self._before = 0
        self.known: Knowledge

    def __enter__(self) -> Self:
        """Put the replacements in place, and see what the scenarios ask."""
        for target, name, new in (
            (dial.Dialer, "connect", self._connect),
            (click.utils, "should_strip_ansi", lambda *_: False),
        ):
            self._replaced.enter_context(patch.object(target, name, new))
        forget_peak()
        # What a process that has done other things before holds is no case's.
        self._before = max(0, peak_memory() - _TIDY)
        try:
            self.known = self._learn()
        except BaseException:
            self._replaced.close()
            raise
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
        scenario = one.manner.of(replace(one.scenario, sites=sites))
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
            run = self._execute(scenario, seconds)
        finally:
            self._stage.close()
        if self._stage.failure is not None:
            message = f"the campaign itself failed in {label}"
            raise RuntimeError(message) from self._stage.failure
        log = tuple(self._stage.log)
        name, command = scenario.name, scenario.command
        outcome = Outcome(name, command, label, tuple(done), run, log)
        return replace(outcome, complaints=tuple(self._wrong_with(outcome, scenario)))

    def _execute(self, scenario: Scenario, limit: float) -> Run:
        self._clear(scenario)
        words = scenario.words(self._folder, limit)
        out, err = io.StringIO(), io.StringIO()
        forget_peak()
        started = time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = scenario.call(limit) if scenario.call else app.execute(words)
        seconds = time.monotonic() - started
        peak = peak_memory() - self._before
        if peak > _TIDY:
            # Else what this case took would count for the next one.
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
        return Run(status, seconds, peak, out.getvalue(), err.getvalue())

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

    def _wrong_with(self, outcome: Outcome, scenario: Scenario) -> Iterator[str]:
        yield from complaints(outcome)
        status, out = outcome.run.status, self._folder / "out"
        if status == 0:
            problem = scenario.truth(Evidence(outcome.log, outcome.run.out, out))
            if problem:
                yield f"wrong accept: {problem}"
        elif has_image(out):
            yield f"left: exit {status}, and there is an image"
        yield from (f"left: {each.name}" for each in self._left() if each != out)

    def _connect(self, host: str, port: int, _deadline: Deadline) -> socket:
        return self._stage.dial(host, port)

    def _learn(self) -> Knowledge:
        answered: dict[str, dict[Point, Reply]] = {}

        def script(point: Point, _nth: int, answer: Reply) -> tuple[Play, tuple[str, ...]]:
            answered[name].setdefault(point, answer)
            return answer.play, ()

        for name, scenario in SCENARIOS.items():
            answered[name] = {}
            outcome = self.perform(scenario, script, name, _CALM)
            # The first run of a command loads what it needs, which takes as long as it takes.
            wrong = [each for each in outcome.complaints if not each.startswith("late")]
            if outcome.run.status != scenario.exit or wrong:
                message = f"{name}: exit {outcome.run.status}, not {scenario.exit}: {outcome}"
                raise RuntimeError(message)
        return cases.learn(answered)


def _nobody(host: str, _request: Request, _target: str) -> Exchange:
    raise ConnectionRefusedError(host)
