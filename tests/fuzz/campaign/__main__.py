"""The command.

    make campaign ARGS="--cases 100000 --seed 1"
    make campaign ARGS="--seed 1 --only 4711"
    make campaign ARGS="--replay tests/fuzz/campaign/regressions/NAME.json"

Ends with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.campaign.crew import ROOT, Crew, Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

_PER_CORE = 3
_SHOWN = 20
_EVERY = 5000


def report(tally: Tally, seconds: float, options: argparse.Namespace) -> int:
    """Say what was found; 1 if there is anything wrong."""
    statuses = ", ".join(f"{count} with {each}" for each, count in sorted(tally.statuses.items()))
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items()))
    lines = [
        (
            f"{tally.cases} cases in {seconds:.0f} s ({tally.cases / seconds:.0f} a second)"
            f", seed {options.seed}, {options.workers} processes"
        ),
        f"exit statuses: {statuses}",
        f"slowest: {tally.slowest[0]:.2f} s (case {tally.slowest[1]}), of 1 s and 1 s more",
        f"most memory: {tally.peak[0] / 1e6:.1f} MB (case {tally.peak[1]}), of 100 MB",
        f"changes: {kinds}",
        f"late beside others, in time alone: {[each['case'] for each in tally.late]}",
        f"failures: {len(tally.failures)}",
    ]
    for each in sorted(tally.failures, key=lambda one: one["case"])[: options.show]:
        lines += [f"  case {each['case']}: {'; '.join(each['complaints'])}", f"    {each['label']}"]
    if tally.failures:
        lines += [f"written to {options.failures}; next: --seed {options.seed} --only NUMBER"]
    sys.stdout.write("\n".join([*lines, ""]))
    return int(bool(tally.failures))


def show(tally: Tally) -> None:
    """Tell who watches how far it is."""
    if tally.cases % _EVERY == 0:
        sys.stderr.write(f"{tally.cases} cases, {len(tally.failures)} failures\n")
        sys.stderr.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="campaign", description="run mutated answers")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--workers", type=int, default=_PER_CORE * (os.cpu_count() or 1))
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run one case, and show it")
    parser.add_argument(
        "--replay", type=Path, nargs="+", metavar="FILE", help="run what is recorded"
    )
    parser.add_argument("--failures", type=Path, default=ROOT / "build" / "campaign")
    parser.add_argument("--show", type=int, default=_SHOWN, help="at most as many failures")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    options = _options(arguments)
    seed = ["--seed", str(options.seed)]
    if options.only is not None or options.replay:
        words = (
            ["--only", options.only] if options.replay is None else ["--replay", *options.replay]
        )
        command = [sys.executable, "-m", "tests.fuzz.campaign.one", *seed, *map(str, words)]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    worker = [sys.executable, "-m", "tests.fuzz.campaign.worker", *seed]
    crew = Crew([*worker, "--failures", str(options.failures)], options.workers, watch=show)
    started = time.monotonic()
    tally = crew.run(range(options.first, options.first + options.cases))
    seconds = time.monotonic() - started
    crew.confirm(tally)
    return report(tally, seconds, options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
