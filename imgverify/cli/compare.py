"""`imgverify compare`."""

from __future__ import annotations

import click

from imgverify.cli import options
from imgverify.cli.app import App
from imgverify.cli.output import render, write_report
from imgverify.exitcode import ExitCode, of_verdicts


@click.command("compare")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
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
    one: str,
    other: str,
    platforms: tuple[str, ...],
    deep: bool,
    form: str,
    output: str | None,
    timeout: float,
    insecure_http: tuple[str, ...],
    insecure_tls: tuple[str, ...],
) -> ExitCode:
    """Compare B with A, platform by platform and layer by layer.

    A takes the part of upstream. Exit status 0 only if both are identical.

    \b
    imgverify compare docker.io/library/nginx:1.27 mirror.example/hub/nginx:1.27
    """
    question = options.comparison_from(one, other, platforms, deep_reading=deep)
    insecure = options.registries(insecure_http), options.registries(insecure_tls)

    from imgverify.policy.model import SAMENESS  # noqa: PLC0415 - after the usage errors
    from imgverify.verify import verify  # noqa: PLC0415 - as above

    with app.network(timeout, *insecure) as network:
        verdict = verify(question, network, SAMENESS, app.now)
    write_report(render([verdict], form, colour=app.colour and output is None), output)
    return of_verdicts([verdict])
