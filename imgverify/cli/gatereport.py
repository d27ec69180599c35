"""Where a gate's outcome goes: one of its formats, and what CI runners show beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from imgverify.cli.output import terminal_width, write_report
from imgverify.report.gatetext import render_gate_text

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.cli.options import Manner
    from imgverify.gate.outcome import Outcome

FORMATS: Final = ("text", "json", "sarif", "junit", "markdown", "gitlab")


def print_outcome(outcome: Outcome, manner: Manner, *, colour: bool) -> None:
    """Put an outcome where it was asked for; a file is never coloured."""
    if manner.form == "text":
        colour = colour and manner.output is None
        text = render_gate_text(outcome, colour=colour, width=terminal_width())
    else:
        text = _rendered(outcome, manner.form)
    write_report(text, manner.output)


def _rendered(outcome: Outcome, form: str) -> str:
    # Each when it is asked for: only one is needed.
    from imgverify.report.gatejson import render_gate_json  # noqa: PLC0415 - as above
    from imgverify.report.gitlab import render_gitlab  # noqa: PLC0415 - as above
    from imgverify.report.junit import render_junit  # noqa: PLC0415 - as above
    from imgverify.report.markdown import render_markdown  # noqa: PLC0415 - as above
    from imgverify.report.sarif import render_sarif  # noqa: PLC0415 - as above

    renderers = {
        "json": render_gate_json,
        "sarif": render_sarif,
        "junit": render_junit,
        "markdown": render_markdown,
        "gitlab": render_gitlab,
    }
    return renderers[form](outcome)


def annotate(app: App, outcome: Outcome) -> None:
    """Tell GitHub's runner of each place, and add to the page of the step."""
    from imgverify.report.annotations import render_annotations  # noqa: PLC0415 - seldom
    from imgverify.report.markdown import render_markdown  # noqa: PLC0415 - as above

    for line in render_annotations(outcome):
        # These are commands, and meant to be: every value in them has been encoded.
        click.echo(line, err=True)
    app.step_summary(render_markdown(outcome))
