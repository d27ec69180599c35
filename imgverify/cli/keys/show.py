"""`imgverify keys show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgverify.cli.keys.material import all_material, named
from imgverify.cli.output import write_report
from imgverify.exitcode import ExitCode
from imgverify.report.keys import render_materials, render_materials_json

if TYPE_CHECKING:
    from imgverify.cli.app import App


@click.command("show")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(app: App, *, file: Path | None, form: str) -> ExitCode:
    """Say what a trusted root or key consists of.

    FILE is a trusted root, as JSON or JSON lines, or a public key, as PEM. Without it, the
    trusted root that holds where nothing is named is shown.
    """
    if file is None:
        materials = tuple(each for each in all_material(app.trust_home) if each.used)
    else:
        materials = (named(file),)
    if form == "json":
        text = render_materials_json(materials)
    else:
        text = render_materials(materials, app.now, whole=True)
    write_report(text, None)
    return ExitCode.ALLOWED
