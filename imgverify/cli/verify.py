"""`imgverify verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.output import print_verdicts
from imgverify.cli.signers import WHO, requirements_of, signs
from imgverify.errors import InputError
from imgverify.exitcode import of_verdicts

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.cli.signers import Signers
    from imgverify.exitcode import ExitCode


@click.command("verify")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.asks_deep
@signs
@click.option(
    "--show-cosign", is_flag=True, help="Also print what cosign would be asked for the same."
)
@options.in_manner(timeout=300)
@click.pass_obj
def command(
    app: App,
    *,
    images: tuple[str, ...],
    asked: options.Asked,
    signers: Signers,
    show_cosign: bool,
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
    requires = requirements_of(signers, app.trusted_roots)
    if show_cosign and not requires:
        raise InputError("cosign verifies signatures, and no signer is named", hint=WHO)
    policy = app.policy(requires)

    from imgverify.verify import verify_all  # noqa: PLC0415 - after usage errors

    with app.network(manner, access) as network:
        verdicts = verify_all(questions, network, policy, app.now)
    if show_cosign:
        from imgverify.cli.cosign import Asking, with_cosign  # noqa: PLC0415 - only on request

        verdicts = with_cosign(
            Asking(signers, requires, manner.insecure), verdicts, questions, policy
        )
    app.detail_sources(verdicts)
    print_verdicts(verdicts, manner, colour=app.colour)
    return of_verdicts(verdicts)
