"""A failure as a small file: the answers that were sent otherwise than a scenario has them.

Such a file needs neither the case's number nor the code that changed the answers, so it stays a
test when those change: put it into `regressions/`.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.fuzz.campaign.cases import Point
from tests.fuzz.campaign.reply import Reply
from tests.fuzz.campaign.scenarios import SCENARIOS
from tests.fuzz.campaign.wire import End, Play, Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fuzz.campaign.outcome import Outcome
    from tests.fuzz.campaign.runner import Runner
    from tests.fuzz.campaign.scenarios import Scenario

    Sent = dict[tuple[Point, int], Play]


def write(folder: Path, name: str, outcome: Outcome) -> Path:
    """Write down a run so that `replay` can repeat it."""
    scenario = SCENARIOS[outcome.scenario]
    answers = [
        {
            "host": point.host,
            "method": point.method,
            "target": point.target,
            "nth": nth,
            "steps": [_step(each) for each in play.steps],
            "end": play.end.value,
        }
        for (point, nth), play in _differing(scenario, outcome)
    ]
    document = {
        "scenario": scenario.name,
        "command": outcome.command,
        "label": outcome.label,
        "done": outcome.done,
        "complaints": outcome.complaints,
        "answers": answers,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def replay(path: Path, runner: Runner) -> Outcome:
    """Send the answers of a file once more; raises `ValueError` for one of no known scenario."""
    document = json.loads(path.read_text(encoding="utf-8"))
    command = tuple(document["command"])
    scenario = replace(SCENARIOS[document["scenario"]], command=command)
    sent = dict(map(_read, document["answers"]))

    def script(point: Point, nth: int, answer: Reply) -> tuple[Play, tuple[str, ...]]:
        recorded = sent.get((point, nth))
        return (answer.play, ()) if recorded is None else (recorded, ("recorded",))

    return runner.perform(scenario, script, path.stem)


def _differing(scenario: Scenario, outcome: Outcome) -> Iterator[tuple[tuple[Point, int], Play]]:
    usual = scenario.answers()
    asked: Counter[Point] = Counter()
    for each in outcome.log:
        point = Point(each.host, each.request.method, each.target)
        asked[point] += 1
        bodiless = each.request.method == "HEAD"
        if each.play != Reply.of(usual[each.host](each.request), bodiless=bodiless).play:
            yield (point, asked[point]), each.play


def _step(step: Step) -> dict[str, Any]:
    fields: dict[str, Any] = {"times": step.times, "pause": step.pause}
    text = step.data.decode("latin-1")
    if text.isascii() and len(text) < 1000:
        return fields | {"text": text}
    return fields | {"zlib": base64.b64encode(zlib.compress(step.data, 9)).decode()}


def _read(answer: dict[str, Any]) -> tuple[tuple[Point, int], Play]:
    point = Point(answer["host"], answer["method"], answer["target"])
    steps = tuple(Step(_data(each), each["times"], each["pause"]) for each in answer["steps"])
    return (point, answer["nth"]), Play(steps, End(answer["end"]))


def _data(step: dict[str, Any]) -> bytes:
    if "text" in step:
        return str(step["text"]).encode("latin-1")
    return zlib.decompress(base64.b64decode(step["zlib"]))
