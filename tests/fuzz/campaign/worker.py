"""One process of a campaign: runs every so-manieth case, and prints a line for each."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tests.fuzz.campaign import recording
from tests.fuzz.campaign.crew import FULL, READY
from tests.fuzz.campaign.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.campaign.outcome import Outcome


#: Python keeps what a case took, which then counts for the cases after it: above this much
#: another process goes on.
ROOM = 65_000_000


def line(number: int, outcome: Outcome) -> str:
    """Return what the campaign is told about a case."""
    kinds = sorted({_kind(each) for each in outcome.done})
    fields: dict[str, object] = {
        "case": number,
        "status": outcome.run.status,
        "seconds": round(outcome.run.seconds, 4),
        "peak": outcome.run.peak,
        "kinds": kinds,
    }
    if outcome.complaints:
        fields |= {"complaints": outcome.complaints, "label": outcome.label}
    return json.dumps(fields)


def resident() -> int:
    """Return the present size of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def _kind(done: str) -> str:
    """Return the first of the changes, without what it was made to."""
    return done.rpartition(" ")[2].partition("+")[0]


def work(options: argparse.Namespace, folder: Path, report: TextIO) -> int:
    """Run the cases that fall to this process; `FULL` if another has to go on."""
    numbers = range(options.start, options.cases, options.step)
    with Runner(folder) as runner:
        report.write(READY)
        report.flush()
        for number in numbers:
            outcome = runner.run(number, options.seed)
            if outcome.complaints and options.failures:
                recording.write(options.failures, f"{options.seed}-{number}", outcome)
            report.write(line(number, outcome) + "\n")
            report.flush()
            if resident() > ROOM:
                return FULL
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--start", type=int, required=True)
    parser.add_argument("--step", type=int, required=True)
    parser.add_argument("--cases", type=int, required=True, help="stop before this number")
    parser.add_argument("--failures", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="imgverify-campaign-") as folder:
        return work(options, Path(folder) / "case", sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
