"""`imgverify verify`."""

from __future__ import annotations

import click

from imgverify.cli import options
from imgverify.cli.app import App
from imgverify.cli.output import render, write_report
from imgverify.exitcode import ExitCode, of_verdicts


@click.command("verify")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.mirror
@options.upstream
@options.platform
@options.deep
@options.report_format
@options.output
@options.timeout(300)
@options.insecure
@click.pass_obj
def command(
    app: App,
    *,
    images: tuple[str, ...],
    mirrors: tuple[str, ...],
    upstream: str | None,
    platforms: tuple[str, ...],
    deep: bool,
    form: str,
    output: str | None,
    timeout: float,
    insecure_http: tuple[str, ...],
    insecure_tls: tuple[str, ...],
) -> ExitCode:
    """Say whether a mirror would give what upstream published.

    \b
    imgverify verify docker.io/library/nginx:1.27 --mirror mirror.example
    imgverify verify mirror.example/hub/nginx:1.27 --upstream docker.io/library/nginx
    """
    questions = options.questions_from(images, mirrors, upstream, platforms, deep_reading=deep)
    insecure = options.registries(insecure_http), options.registries(insecure_tls)

    from imgverify.policy.model import DEFAULT_POLICY  # noqa: PLC0415 - after the usage errors
    from imgverify.verify import verify  # noqa: PLC0415 - as above

    with app.network(timeout, *insecure) as network:
        verdicts = [verify(each, network, DEFAULT_POLICY, app.now) for each in questions]
    write_report(render(verdicts, form, colour=app.colour and output is None), output)
    return of_verdicts(verdicts)
