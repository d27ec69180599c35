"""`imgverify pull`."""

from __future__ import annotations

import click

from imgverify.cli import options
from imgverify.cli.app import App
from imgverify.cli.deliver import deliver
from imgverify.exitcode import ExitCode


@click.command("pull")
@click.argument("image", metavar="IMAGE")
@click.option(
    "--to",
    "destination",
    required=True,
    metavar="SINK",
    help="Where to: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF].",
)
@options.mirror
@options.upstream
@options.platform
@options.report_format
@options.output
@options.timeout(24 * 3600)
@options.insecure
@click.pass_obj
def command(
    app: App,
    *,
    image: str,
    destination: str,
    mirrors: tuple[str, ...],
    upstream: str | None,
    platforms: tuple[str, ...],
    form: str,
    output: str | None,
    timeout: float,
    insecure_http: tuple[str, ...],
    insecure_tls: tuple[str, ...],
) -> ExitCode:
    """Verify an image, then fetch exactly what was verified.

    The bytes come from the mirrors, and from upstream what they lack or falsify. Prints the
    image's name with its digest. Nothing appears at the destination before all of it is verified.

    \b
    imgverify pull docker.io/library/nginx:1.27 --mirror mirror.example --to oci:nginx:1.27
    """
    (question,) = options.questions_from((image,), mirrors, upstream, platforms)
    insecure = options.registries(insecure_http), options.registries(insecure_tls)
    with app.network(timeout, *insecure) as network:
        return deliver(app, question, network, destination, (form, output))
