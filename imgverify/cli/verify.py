"""`imgverify verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.output import print_verdicts
from imgverify.cli.signers import requirements_of, signs
from imgverify.exitcode import of_verdicts

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.cli.signers import Signers
    from imgverify.exitcode import ExitCode


@click.command("verify")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.asks_deep
@signs
@options.in_manner(timeout=300)
@click.pass_obj
def command(
    app: App,
    *,
    images: tuple[str, ...],
    asked: options.Asked,
    signers: Signers,
    manner: options.Manner,
) -> ExitCode:
    """Say whether a mirror would give what upstream published.

    \b
    imgverify verify docker.io/library/nginx:1.27 --mirror mirror.example
    imgverify verify docker.io/library/nginx:1.27 --mirrors-from docker
    imgverify verify mirror.example/docker.io/library/nginx:1.27
    imgverify verify mirror.example/hub/nginx:1.27 --upstream docker.io/library/nginx
    """  # noqa: D301 - click's sign for lines that are kept
    questions, access = app.questions(images, asked)
    policy = app.policy(requirements_of(signers))

    from imgverify.verify import verify  # noqa: PLC0415 - after usage errors

    with app.network(manner, access) as network:
        verdicts = [verify(each, network, policy, app.now) for each in questions]
    app.detail_sources(verdicts)
    print_verdicts(verdicts, manner, colour=app.colour)
    return of_verdicts(verdicts)
