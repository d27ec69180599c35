"""What `imgverify pull` does once its words are understood."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.cli.output import print_verdicts, tell, write_report
from imgverify.exitcode import of_verdicts
from imgverify.pull.engine import pull
from imgverify.pull.progress import Silence
from imgverify.pull.summary import details, summarise, with_delivery
from imgverify.report.explain import Occasion
from imgverify.report.text import render_text
from imgverify.store.sink import open_sink
from imgverify.verdict import Decision, Grade, Level
from imgverify.verify import platforms_of, verify_for_pull

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from imgverify.cli.app import App
    from imgverify.cli.options import Manner
    from imgverify.exitcode import ExitCode
    from imgverify.policy.model import Policy
    from imgverify.pull.progress import Progress
    from imgverify.registry.client import Network
    from imgverify.verdict import Verdict
    from imgverify.verify.question import Question


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be delivered, by which policy, and where to."""

    question: Question
    policy: Policy
    destination: str


def deliver(app: App, order: Order, network: Network, *, manner: Manner) -> ExitCode:
    """Verify, store, and say what was stored; a verdict against it is printed instead."""
    question, sink = order.question, open_sink(order.destination)
    verdict = verify_for_pull(question, network, order.policy, app.now)
    if verdict.decision is not Decision.ALLOW:
        print_verdicts([verdict], manner, colour=app.colour, occasion=Occasion.PULL)
        tell("imgverify: nothing was pulled")
        return of_verdicts([verdict])
    _note_mirrors(app, verdict)
    with _progress(app) as progress:
        wanted = platforms_of(question, order.policy)
        delivery = pull(verdict, network, sink, progress=progress, platforms=wanted)
    verdict = with_delivery(verdict, delivery)
    app.detail_sources([verdict])
    for line in details(delivery):
        app.detail(line)
    for line in summarise(delivery):
        app.note(line)
    if manner.form == "json" or manner.output is not None:
        print_verdicts([verdict], manner, colour=app.colour, occasion=Occasion.PULL)
    if manner.form != "json" or manner.output is not None:
        write_report(str(delivery.pinned), None)
    return of_verdicts([verdict])


def _note_mirrors(app: App, verdict: Verdict) -> None:
    findings = [*verdict.findings, *(one for each in verdict.mirrors for one in each.findings)]
    differs = any(each.grade is not Grade.IDENTICAL for each in verdict.mirrors)
    if differs or any(each.level is not Level.NOTE for each in findings):
        app.note(render_text([verdict], colour=False, width=None, occasion=Occasion.PULL))


def _progress(app: App) -> AbstractContextManager[Progress]:
    if not app.shows_progress:
        return nullcontext(Silence())
    from imgverify.cli.terminal import TerminalProgress  # noqa: PLC0415 - loads rich

    return TerminalProgress()
