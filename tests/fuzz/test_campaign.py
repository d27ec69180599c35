"""The campaign finds nothing in a short run, and finds what is there to be found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzz.campaign import __main__ as command
from tests.fuzz.campaign import cases, recording
from tests.fuzz.campaign.crew import FULL, ROOT, Crew
from tests.fuzz.campaign.runner import Runner
from tests.fuzz.campaign.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

REGRESSIONS = sorted((Path(__file__).parent / "campaign" / "regressions").glob("*.json"))


def run(*words: object) -> subprocess.CompletedProcess[str]:
    # Not measured: coverage takes time and memory that are not the client's.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.slow
def test_malformed_crash_a_short_campaign_finds_nothing(tmp_path: Path) -> None:
    words = ("--cases", 1500, "--seed", 20260301, "--failures", tmp_path)
    done = run("tests.fuzz.campaign", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("1500 cases in ")
    assert "failures: 0\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_bugs_that_are_put_in_are_found_and_recorded(tmp_path: Path) -> None:
    done = run("tests.fuzz.campaign.planted", tmp_path)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(found) > 12
    assert [each["bug"] for each in found if not each["found"]] == []
    # A recorded case repeats what was sent, and without the bug there is nothing wrong with it.
    assert [each["without"] for each in found if each["without"]] == []
    assert len(list(tmp_path.iterdir())) == len(found)


@pytest.mark.slow
def test_what_was_found_once_stays_mended() -> None:
    assert REGRESSIONS
    done = run("tests.fuzz.campaign", "--replay", *REGRESSIONS)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("\nexit ") == len(REGRESSIONS)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with Runner(tmp_path_factory.mktemp("campaign") / "case") as made:
        yield made


def test_a_case_is_the_same_every_time(runner: Runner) -> None:
    numbers = range(60)
    made = [[cases.case(number, 5, runner.known) for number in numbers] for _ in range(2)]
    assert made[0] == made[1]
    assert made[0] != [cases.case(number, 6, runner.known) for number in numbers]
    calm = [each for each in made[0] if "slow." not in each.label][:25]
    runs = [[runner.run_case(each) for each in calm] for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        assert (one.run.status, sorted(one.done)) == (other.run.status, sorted(other.done))
        sent = [sorted((each.target, each.play.text) for each in run.log) for run in (one, other)]
        assert sent[0] == sent[1]


def test_every_scenario_and_every_kind_of_change_comes_up(runner: Runner) -> None:
    made = [cases.case(number, 1, runner.known) for number in range(12_000)]
    assert {each.scenario.name for each in made} == set(runner.known.asked)
    kinds = {change.kind for each in made for change in each.changes}
    assert kinds == {kind for family in cases.KINDS.values() for kind in family}
    assert any(each.grafts for each in made)
    points = {change.point for each in made for change in each.changes}
    assert points == {point for asked in runner.known.asked.values() for point in asked}


def test_every_endpoint_is_a_seed(runner: Runner) -> None:
    asked = {point for found in runner.known.asked.values() for point in found}
    parts = (
        "/manifests/1.4",
        "/manifests/sha256:",
        "/blobs/",
        "/referrers/",
        "/tags/list",
        "/token",
        "/v2/",
    )
    for part in parts:
        assert any(part in each.target for each in asked), part
    assert {each.method for each in asked} == {"GET", "HEAD"}
    answers = [answer for found in runner.known.asked.values() for answer in found.values()]
    statuses = {each.status[:3] for each in answers}
    assert statuses == {"200", "206", "307", "400", "401", "403", "404", "405", "429", "500"}
    names = {name for each in answers for name, _ in each.headers}
    assert names >= {"Link", "Location", "Retry-After", "WWW-Authenticate"}
    resumed = runner.run_case(cases.Case(1, SCENARIOS["pulled-in-halves"]))
    assert any(b"206 Partial Content" in each.play.text for each in resumed.log)


def test_a_recorded_case_is_sent_again_as_it_was(runner: Runner, tmp_path: Path) -> None:
    made = (cases.case(number, 3, runner.known) for number in range(4000))
    number = next(each.number for each in made if each.scenario.name == "tampered" and each.grafts)
    outcome = runner.run(number, 3)
    again = recording.replay(recording.write(tmp_path, "one", outcome), runner)
    assert again.run.status == outcome.run.status
    texts = [sorted(each.play.text for each in one.log) for one in (outcome, again)]
    assert texts[0] == texts[1]


STUB = """
import argparse, json, pathlib, sys, time
parser = argparse.ArgumentParser()
for name in ("start", "step", "cases"):
    parser.add_argument(f"--{name}", type=int)
options = parser.parse_args()
folder = pathlib.Path(__file__).parent
print("ready", flush=True)
for number in range(options.start, options.cases, options.step):
    found = {"case": number, "status": number % 4, "seconds": number / 10, "peak": number}
    found["kinds"] = ["a"] if number else []
    mark = folder / f"seen-{number}"
    first = not mark.exists()
    mark.touch()
    if number == 5 and first:
        sys.exit(75)
    if number == 7:
        sys.exit(9)
    if number == 8 and first:
        time.sleep(60)
    if number in (10, 11) and first or number == 11:
        found |= {"complaints": ["late: 3 s"], "label": "x"}
    if number == 12:
        found |= {"complaints": ["crash"], "label": "y"}
    print(json.dumps(found), flush=True)
"""


@pytest.fixture
def stub(tmp_path: Path) -> list[str]:
    (tmp_path / "stub.py").write_text(STUB)
    return [sys.executable, str(tmp_path / "stub.py")]


def test_a_crew_goes_on_where_a_process_ends(stub: list[str]) -> None:
    assert FULL == 75
    crew = Crew(stub, 3, hung=3.0)
    tally = crew.run(range(15))
    failed = {each["case"]: each["complaints"] for each in tally.failures}
    assert failed == {
        7: ["ended: the process did, with 9"],
        8: ["ended: the process did, with -9"],
        10: ["late: 3 s"],
        11: ["late: 3 s"],
        12: ["crash"],
    }
    assert (tally.cases, tally.replaced) == (15, 1)
    assert (tally.slowest, tally.peak) == ((1.4, 14), (14, 14))
    assert tally.kinds == {"a": 12, "answer never asked for": 3}
    crew.confirm(tally)
    assert sorted(each["case"] for each in tally.failures) == [7, 8, 11, 12]
    assert [each["case"] for each in tally.late] == [10]


def test_a_crew_does_not_go_on_where_nothing_starts() -> None:
    with pytest.raises(RuntimeError, match="ended with 3 before its first case"):
        Crew([sys.executable, "-c", "import sys; sys.exit(3)"], 2).run(range(4))


def test_failures_are_told_with_what_to_do_next(
    stub: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Crew(stub, 1).run(range(12, 13))
    options: Any = command._options(["--seed", "4", "--failures", "there"])
    assert command.report(tally, 2.0, options) == 1
    said = capsys.readouterr().out
    assert "1 cases in 2 s (0 a second), seed 4" in said
    assert "  case 12: crash\n    y\n" in said
    assert "next: --seed 4 --only NUMBER" in said
    command.show(tally)


def test_one_case_is_shown() -> None:
    done = run("tests.fuzz.campaign", "--seed", 1, "--only", 3)
    assert done.returncode == 0
    for part in ("--> ", "<-- ", "--- standard output", "exit "):
        assert part in done.stdout
