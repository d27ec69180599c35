"""`imgverify pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.signers import requirements_of, signs

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.cli.signers import Signers
    from imgverify.exitcode import ExitCode


@click.command("pull")
@click.argument("image", metavar="IMAGE")
@click.option(
    "--to",
    "destination",
    required=True,
    metavar="SINK",
    help="Where to put it, as listed above.",
)
@options.asks
@signs
@options.in_manner(timeout=24 * 3600)
@click.pass_obj
def command(
    app: App,
    *,
    image: str,
    destination: str,
    asked: options.Asked,
    signers: Signers,
    manner: options.Manner,
) -> ExitCode:
    """Verify an image, then fetch exactly what was verified.

    The bytes come from the mirrors, and from upstream what they lack or falsify. Prints the
    image's name with its digest. Nothing appears at the destination before all of it is verified.

    \b
    SINK is one of
      oci:DIR[:TAG]              an OCI image layout
      oci-archive:FILE[:TAG]     the same in one file
      docker-archive:FILE[:REF]  a file for docker load, with one platform

    \b
    imgverify pull docker.io/library/nginx:1.27 --mirror mirror.example --to oci:nginx:1.27
    """  # noqa: D301 - click's sign for lines that are kept
    (question,), access = app.questions((image,), asked)
    policy = app.policy(requirements_of(signers, app.trusted_roots))

    from imgverify.cli.deliver import Order, deliver  # noqa: PLC0415 - after usage errors

    with app.network(manner, access) as network:
        order = Order(question, policy, destination)
        return deliver(app, order, network, manner=manner)
