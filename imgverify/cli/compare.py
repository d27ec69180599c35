"""`imgverify compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.output import print_verdicts
from imgverify.exitcode import of_verdicts
from imgverify.report.explain import Occasion

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.exitcode import ExitCode


@click.command("compare")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@options.compares
@options.in_manner(timeout=300)
@click.pass_obj
def command(
    app: App, *, one: str, other: str, asked: options.Asked, manner: options.Manner
) -> ExitCode:
    """Compare B with A, platform by platform and layer by layer.

    A takes the part of upstream, B that of a copy elsewhere. Exit status 0 only if both are
    identical.

    \b
    imgverify compare docker.io/library/nginx:1.27 mirror.example/hub/nginx:1.27
    """  # noqa: D301 - click's sign for lines that are kept
    question = options.comparison_from(one, other, asked)

    from imgverify.policy.model import SAMENESS  # noqa: PLC0415 - after usage errors
    from imgverify.verify import verify  # noqa: PLC0415 - as above

    with app.network(manner) as network:
        verdicts = [verify(question, network, SAMENESS, app.now)]
    app.detail_sources(verdicts)
    print_verdicts(verdicts, manner, colour=app.colour, occasion=Occasion.COMPARE)
    return of_verdicts(verdicts)
