"""`imgverify demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli.output import terminal_width, write_report
from imgverify.exitcode import ExitCode

if TYPE_CHECKING:
    from imgverify.cli.app import App


@click.command("demo")
@click.pass_obj
def command(app: App) -> ExitCode:
    """See a tampered mirror caught, on this machine, with nothing set up.

    Starts an upstream and a mirror on loopback, verifies and pulls images that are as published,
    trimmed, recompressed, out of date, replaced and tampered with. Exit status 0 only if every
    outcome was the right one.
    """
    from imgverify.demo.scenario import play  # noqa: PLC0415 - loads httpx
    from imgverify.demo.table import render_played  # noqa: PLC0415 - as above

    app.note("Starting two registries on loopback ...\n")
    played = play(app.now)
    write_report(render_played(played, colour=app.colour, width=terminal_width()), None)
    return ExitCode.ALLOWED if played.is_right else ExitCode.DENIED
