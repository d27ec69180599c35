"""Without upstream: its signers alone say what it published, of the digest that the mirrors have.

They do not say under which tag it was, nor whether there is a newer one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError, Side
from imgverify.policy.decide import Facts
from imgverify.registry.client import Served
from imgverify.verdict import (
    Explanation,
    Finding,
    Grade,
    Level,
    MirrorResult,
    ResolvedFrom,
    Rule,
    UpstreamResult,
)
from imgverify.verify.judge import Case, failed_mirror, grade_mirror
from imgverify.verify.parallel import all_or_raise, attempt_all
from imgverify.verify.resolve import Moment

if TYPE_CHECKING:
    from datetime import datetime

    from imgverify.oci.local import MirrorName
    from imgverify.verify.parallel import Outcome
    from imgverify.verify.question import Question
    from imgverify.verify.way import Way

_OTHER: Final = "other bytes than the first has; without upstream nobody knows which are current"
_HELD: Final = "held against its signatures"


def require_answerable(question: Question, *, signed: bool) -> None:
    """Refuse a question that nobody is left to answer; raises `InputError`."""
    if not question.mirrors:
        msg = f"with --offline upstream is not asked for {question.requested}, and nobody else is"
        raise InputError(msg, hint="name a copy or mirror: --mirror oci:DIR, --mirror HOST")
    if not signed:
        msg = f"with --offline there is nothing to hold {question.requested} against"
        hint = "name who has to have signed it (--key, --certificate-identity)"
        raise InputError(msg, hint=hint)


def gather_offline(question: Question, way: Way, now: datetime, *, thorough: bool) -> Facts:
    """Read what the mirrors have; the digest of the first is what has to be vouched for.

    Those that do not have the same are inconclusive: signatures do not tell an image from a
    later one.
    """
    outcomes = attempt_all([partial(way.served, each) for each in question.mirrors])
    first = next((each for each in outcomes if isinstance(each, Served)), None)
    digest = first.manifest.digest if first else None
    upstream = UpstreamResult(question.upstream, digest, rung=ResolvedFrom.SIGNATURE)
    tasks = [
        partial(_judge, question, way, (each, outcome, first), now=now, thorough=thorough)
        for each, outcome in zip(question.mirrors, outcomes, strict=True)
    ]
    findings = () if first is None else _written_findings(question, first)
    return Facts(question.requested, now, upstream, all_or_raise(tasks), findings)


def _judge(
    question: Question,
    way: Way,
    what: tuple[MirrorName, Outcome[Served], Served | None],
    *,
    now: datetime,
    thorough: bool,
) -> MirrorResult:
    mirror, served, first = what
    if not isinstance(served, Served):
        return failed_mirror(mirror, served)
    digest = (first or served).manifest.digest
    if not digest.matches(served.manifest.content.data):
        explanation = Explanation(_OTHER)
        own = served.manifest.digest
        return MirrorResult(mirror, Grade.INCONCLUSIVE, explanation, own, served.served_by)
    case = Case(
        question,
        # Never asked: what it serves is compared with itself.
        way.network.at(question.upstream.repository, Side.UPSTREAM),
        way.mirror(mirror.repository),
        Moment(digest, (), first, ()),
        way.network.is_same_server,
        now,
        thorough,
        way.is_rebuilt(mirror),
    )
    result = grade_mirror(case, mirror, served)
    if result.grade is not Grade.IDENTICAL:
        return result
    return replace(result, explanation=replace(result.explanation, summary=_HELD))


def _written_findings(question: Question, served: Served) -> tuple[Finding, ...]:
    """A digest in the image's name has to be that of what the mirrors have."""
    wanted = question.upstream.digest
    if wanted is None or wanted.matches(served.manifest.content.data):
        return ()
    message = f"the mirrors have {served.manifest.digest}, not the digest that was written"
    return (Finding(Rule.TAG_DIGEST_MISMATCH, Level.ERROR, message, Side.MIRROR),)
