"""`imgverify doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.output import terminal_width, write_report
from imgverify.exitcode import of_decisions

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.exitcode import ExitCode


@click.command("doctor")
@click.argument("mirrors", nargs=-1, required=True, metavar="MIRROR...")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="REF",
    help="An image to ask for, by its upstream name. Repeatable.",
)
@options.in_manner(timeout=120)
@click.pass_obj
def command(
    app: App, *, mirrors: tuple[str, ...], images: tuple[str, ...], manner: options.Manner
) -> ExitCode:
    """Say what a mirror really does, with few requests.

    Exit status 0: all could be asked, and nothing forbids a mirror; 1: a mirror must not be used,
    as it lies or gives other bytes than it is asked for; 3: not all could be found out.

    \b
    imgverify doctor mirror.example --image docker.io/library/nginx:1.27
    """  # noqa: D301 - click's sign for lines that are kept
    from imgverify.cli.places import places_from  # noqa: PLC0415 - keeps --help quick

    references, places = places_from(mirrors, images)

    from imgverify.doctor.gather import gather  # noqa: PLC0415 - after usage errors
    from imgverify.doctor.judgement import judge  # noqa: PLC0415 - as above

    with app.network(manner) as network:
        reports = judge(gather(network, places, references), app.now)
    if manner.form == "json":
        from imgverify.doctor.jsonreport import render_json  # noqa: PLC0415 - only one is needed

        text = render_json(reports)
    else:
        from imgverify.doctor.text import render_text  # noqa: PLC0415 - only one is needed

        colour = app.colour and manner.output is None
        text = render_text(reports, colour=colour, width=terminal_width())
    write_report(text, manner.output)
    return of_decisions([each.decision for each in reports])
