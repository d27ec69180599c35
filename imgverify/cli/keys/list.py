"""`imgverify keys list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli.keys.material import all_material
from imgverify.cli.output import write_report
from imgverify.exitcode import ExitCode
from imgverify.report.keys import render_materials, render_materials_json

if TYPE_CHECKING:
    from imgverify.cli.app import App


@click.command("list")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(app: App, *, form: str) -> ExitCode:
    """Say what trust material there is, and which of it holds where nothing is named."""
    materials = all_material(app.trust_home)
    if form == "json":
        text = render_materials_json(materials)
    else:
        text = render_materials(materials, app.now, whole=False)
    write_report(text, None)
    return ExitCode.ALLOWED
