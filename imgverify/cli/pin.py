"""`imgverify pin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.files import names_files
from imgverify.cli.signers import signs

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.cli.files import Files
    from imgverify.cli.signers import Signers
    from imgverify.exitcode import ExitCode


@click.command("pin")
@names_files
@click.option(
    "--check",
    is_flag=True,
    help="Change nothing and ask nobody: exit with 1 where a reference has no digest.",
)
@options.asks_deep
@signs
@options.in_manner(timeout=900, formats=("text",))
@click.pass_obj
def command(
    app: App,
    *,
    files: Files,
    check: bool,
    asked: options.Asked,
    signers: Signers,
    manner: options.Manner,
) -> ExitCode:
    """Write the verified digest behind every image that files name.

    nginx:1.27 becomes nginx:1.27@sha256:…; nothing else in the file changes. What is denied or
    could not be decided stays as it is, and so does what has a digest or is put together from
    several places. PATH is as for gate.

    \b
    imgverify pin k8s/ compose.yaml Dockerfile --mirror mirror.example
    imgverify pin --check k8s/ compose.yaml Dockerfile
    """  # noqa: D301 - click's sign for lines that are kept
    from imgverify.cli.pinning import check_pins, pin_all  # noqa: PLC0415 - after usage errors

    if check:
        return check_pins(files, manner)
    return pin_all(app, files, (asked, signers, manner))
