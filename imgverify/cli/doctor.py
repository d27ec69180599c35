"""`imgverify doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.app import host_places
from imgverify.exitcode import of_decisions

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.exitcode import ExitCode


@click.command("doctor")
@click.argument("mirrors", nargs=-1, metavar="[MIRROR]...")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="REF",
    help="An image to look for, by its upstream name. Repeatable.",
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Without MIRROR: read the configuration of the system that lies below DIR.",
)
@options.in_manner(timeout=120)
@click.pass_obj
def command(
    app: App,
    *,
    mirrors: tuple[str, ...],
    images: tuple[str, ...],
    root: Path | None,
    manner: options.Manner,
) -> ExitCode:
    """Say what a MIRROR really does, with few requests.

    Without MIRROR, say where Docker, Podman, CRI-O and containerd on this host would look for an
    image, how that can be got around, and what closes it; no network is used.

    Exit status 0: all could be found out, and nothing forbids a mirror; 1: a mirror must not be
    used, as it lies or gives other bytes than it is asked for; 3: not all could be found out.

    \b
    imgverify doctor mirror.example --image docker.io/library/nginx:1.27
    imgverify doctor --image docker.io/library/nginx:1.27
    """  # noqa: D301 - click's sign for lines that are kept
    from imgverify.cli import diagnosis  # noqa: PLC0415 - keeps --help quick

    if mirrors:
        if root is not None:
            msg = "--root goes without MIRROR: a mirror is asked, whatever is configured"
            raise click.UsageError(msg)
        return of_decisions(diagnosis.of_mirrors(app, mirrors, images, manner))
    return of_decisions(diagnosis.of_host(app, host_places(root), images, manner))
