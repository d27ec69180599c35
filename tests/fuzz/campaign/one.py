"""One case, or one recorded failure, with all that can be seen of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.campaign import recording
from tests.fuzz.campaign.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.campaign.outcome import Outcome

_SHOWN = 600


def show(outcome: Outcome) -> int:
    """Print a run; 1 if there is anything wrong with it."""
    say = sys.stdout.write
    say(f"{outcome.label}\n")
    for each in outcome.log:
        text = each.play.text
        say(f"--> {each.host} {each.request.method} {each.target}\n")
        say(f"<-- {text[:_SHOWN]!r}{'…' if len(text) > _SHOWN else ''} ({each.play.end})\n")
    say("".join(f"changed: {each}\n" for each in outcome.done))
    run = outcome.run
    say(f"--- standard output\n{run.out}--- standard error\n{run.err}---\n")
    say(f"exit {run.status} after {run.seconds:.2f} s, {run.peak / 1e6:.1f} MB\n")
    say("".join(f"WRONG: {each}\n" for each in outcome.complaints))
    return int(bool(outcome.complaints))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, default=0)
    parser.add_argument("--replay", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="imgverify-campaign-") as folder,
        Runner(Path(folder) / "case") as runner,
    ):
        if options.replay:
            return max([show(recording.replay(each, runner)) for each in options.replay])
        return show(runner.run(options.only, options.seed))


if __name__ == "__main__":
    sys.exit(main())
