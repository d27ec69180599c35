"""`imgverify keys check`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from imgverify.cli.keys.material import named
from imgverify.cli.output import write_report
from imgverify.errors import InputError
from imgverify.exitcode import ExitCode
from imgverify.report.escape import escape
from imgverify.signature.inventory import Fitness, fitness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgverify.cli.app import App

_WORDS: Final = {
    Fitness.GOOD: "good",
    Fitness.ENDING: "about to end: something in it has no successor in {days} days",
    Fitness.OVER: "over: something in it counts no more, or not yet",
}


@click.command("check")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "--within",
    "days",
    type=click.IntRange(0, 36500),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="How soon an end is too soon.",
)
@click.pass_obj
def command(app: App, *, files: Sequence[Path], days: int) -> ExitCode:
    """Say whether trusted roots and keys would load, and whether they are about to end.

    Exit status: 0 all are good, 1 one is over or about to end, 2 one cannot be used.
    """
    status = ExitCode.ALLOWED
    lines = []
    for each in files:
        try:
            found = fitness(named(each).pieces, app.now, timedelta(days=days))
        except InputError as error:
            lines.append(f"{escape(str(each))}: unusable: {escape(error.message, limit=2000)}")
            status = ExitCode.USAGE
            continue
        lines.append(f"{escape(str(each))}: {_WORDS[found].format(days=days)}")
        if found is not Fitness.GOOD:
            status = max(status, ExitCode.DENIED)
    write_report("\n".join(lines), None)
    return status
