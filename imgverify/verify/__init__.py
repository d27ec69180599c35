"""The use case: gather what both sides say, then decide.

Nothing here trusts a mirror to say what a tag means; upstream's word is compared with hashed
bytes of the mirror's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgverify.errors import ContentError, Side, SourceError
from imgverify.policy.decide import Facts, decide, decide_pull
from imgverify.verdict import (
    Explanation,
    Finding,
    Grade,
    Level,
    MirrorResult,
    Rule,
    UpstreamResult,
)
from imgverify.verify.judge import Case, grade_mirror, rule_of
from imgverify.verify.parallel import all_or_raise
from imgverify.verify.question import Question
from imgverify.verify.resolve import observe

if TYPE_CHECKING:
    from datetime import datetime

    from imgverify.oci.reference import Reference
    from imgverify.policy.model import Policy
    from imgverify.registry.client import Network
    from imgverify.verdict import Verdict
    from imgverify.verify.resolve import Moment

__all__ = ["Question", "verify", "verify_for_pull"]


def verify(question: Question, network: Network, policy: Policy, now: datetime) -> Verdict:
    """Say whether every mirror named would give what upstream published.

    A source that fails makes the verdict inconclusive; it raises nothing but `Interrupted`.
    """
    return decide(policy, _gather(question, network, now, thorough=True))


def verify_for_pull(question: Question, network: Network, policy: Policy, now: datetime) -> Verdict:
    """Say whether upstream's image may be fetched with the mirrors as sources.

    The blobs are verified when they arrive, so the mirrors are asked for the tag alone.
    """
    return decide_pull(policy, _gather(question, network, now, thorough=False))


def _gather(question: Question, network: Network, now: datetime, *, thorough: bool) -> Facts:
    insecure = _insecure_findings(question, network)
    try:
        moment = observe(question, network)
    except (SourceError, ContentError) as error:
        finding = Finding(rule_of(error), Level.ERROR, error.message, error.side, error.hint)
        undecided = tuple(map(_undecided, question.mirrors))
        upstream = UpstreamResult(question.upstream)
        return Facts(question.requested, upstream, undecided, (finding, *insecure))
    tasks = []
    for reference, served in zip(question.mirrors, moment.mirrors, strict=True):
        case = Case(
            question,
            network.at(question.upstream.repository, Side.UPSTREAM),
            network.at(reference.repository, Side.MIRROR),
            moment,
            network.is_same_server,
            now,
            thorough,
        )
        tasks.append(partial(grade_mirror, case, reference, served))
    upstream = UpstreamResult(question.upstream, moment.digest, moment.served_by)
    findings = (*moment.findings, *_tag_findings(question, moment), *insecure)
    return Facts(question.requested, upstream, all_or_raise(tasks), findings)


def _undecided(mirror: Reference) -> MirrorResult:
    explanation = Explanation("upstream could not be asked, so there is nothing to compare with")
    return MirrorResult(mirror, Grade.INCONCLUSIVE, explanation)


def _tag_findings(question: Question, moment: Moment) -> tuple[Finding, ...]:
    """A digest beside a tag has to be the one that the tag names."""
    wanted = question.upstream
    if wanted.tag is None or wanted.digest in (None, moment.digest):
        return ()
    message = f"the tag {wanted.tag!r} names {moment.digest}, not the digest that was written"
    hint = "update the digest, or leave the tag out to ask for the digest alone"
    return (Finding(Rule.TAG_DIGEST_MISMATCH, Level.ERROR, message, Side.UPSTREAM, hint),)


def _insecure_findings(question: Question, network: Network) -> tuple[Finding, ...]:
    settings = network.settings
    sides = [(question.upstream, Side.UPSTREAM)]
    sides += [(each, Side.MIRROR) for each in question.mirrors]
    findings: dict[str, Finding] = {}
    for reference, side in sides:
        registry = reference.registry
        if registry in settings.insecure_http:
            message = f"{registry} was reached over plain HTTP"
            findings[message] = Finding(Rule.INSECURE, Level.NOTE, message, side)
        elif registry in settings.insecure_tls:
            message = f"the certificate of {registry} was not checked"
            findings[message] = Finding(Rule.INSECURE, Level.NOTE, message, side)
    return tuple(findings.values())
