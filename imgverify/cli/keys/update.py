"""`imgverify keys update`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.keys.material import fetched, shipped_pieces
from imgverify.cli.output import write_report
from imgverify.errors import InputError
from imgverify.exitcode import ExitCode
from imgverify.oci import limits
from imgverify.report.keys import change_lines, render_materials, render_materials_json
from imgverify.signature.inventory import changes
from imgverify.trust.files import read_file
from imgverify.trust.shipped import PUBLIC_GOOD_TUF, read_shipped
from imgverify.trust.stored import PUBLIC_GOOD_URL

if TYPE_CHECKING:
    from imgverify.cli.app import App


@click.command("update")
@click.option("--tuf-url", metavar="URL", help="Another deployment's TUF repository.")
@click.option(
    "--tuf-root",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The root metadata that its chain of trust begins with.",
)
@options.in_manner(timeout=120)
@click.pass_obj
def command(
    app: App, *, tuf_url: str | None, tuf_root: Path | None, manner: options.Manner
) -> ExitCode:
    """Fetch the newest trusted root by TUF, verify it, and say what changed.

    The public Sigstore instance's holds for all commands from then on; that of another deployment
    is named with --trusted-root. What fails to verify changes nothing.
    """
    if (tuf_url is None) != (tuf_root is None):
        msg = "a repository of one's own is named by --tuf-url and --tuf-root together"
        raise InputError(msg, hint="the root has to come from somewhere else than the repository")
    home = app.trust_home
    if home is None:
        msg = "there is no home directory to keep it in"
        raise InputError(msg, hint="set HOME or XDG_DATA_HOME")

    from imgverify.refresh import refresh, source_of  # noqa: PLC0415 - loads the TUF client

    root = read_shipped(PUBLIC_GOOD_TUF)
    if tuf_root is not None:
        root = read_file(tuf_root, limits.TUF_ROOT_SIZE, "the TUF root")
    source = source_of(PUBLIC_GOOD_URL if tuf_url is None else tuf_url, root, manner.insecure[0])
    with app.network(manner) as network:
        done = refresh(source, network, home, app.now)
    material = fetched(done.after)
    before = fetched(done.before).pieces if done.before else None
    before = before or (shipped_pieces() if done.after.is_public else ())
    if manner.form == "json":
        text = render_materials_json([material])
    else:
        text = render_materials([material], app.now, whole=False)
        text += "".join(f"  {each}\n" for each in change_lines(changes(before, material.pieces)))
    write_report(text, manner.output)
    return ExitCode.ALLOWED
