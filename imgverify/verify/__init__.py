"""The use case: gather what both sides say, then decide.

Nothing here trusts a mirror to say what a tag means; upstream's word is compared with hashed
bytes of the mirror's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from imgverify.errors import ContentError, DigestMismatch, InputError, Side, SourceError
from imgverify.oci.local import LocalCopy
from imgverify.policy.decide import Facts, Purpose, decide, to_be_vouched_for, unmatched
from imgverify.verdict import (
    Explanation,
    Finding,
    Grade,
    Level,
    MirrorResult,
    Rule,
    Standing,
    UpstreamResult,
    Vouching,
)
from imgverify.verify.failure import finding_of
from imgverify.verify.judge import Case, failed_mirror, grade_mirror
from imgverify.verify.offline import gather_offline, require_answerable
from imgverify.verify.parallel import IMAGES, all_or_raise, attempt, each_image
from imgverify.verify.platforms import published, unpublished
from imgverify.verify.question import Question
from imgverify.verify.resolve import observe
from imgverify.verify.route import route_findings
from imgverify.verify.way import Way

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from imgverify.oci.digest import Digest
    from imgverify.oci.local import MirrorName
    from imgverify.oci.platform import Platform
    from imgverify.policy.model import Policy
    from imgverify.policy.model import Rule as PolicyRule
    from imgverify.registry.client import Network, RemoteRepository
    from imgverify.verdict import Verdict
    from imgverify.verify.resolve import Moment
    from imgverify.verify.way import Source

__all__ = ["Question", "platforms_of", "verify", "verify_all", "verify_for_pull"]


def verify(question: Question, network: Network, policy: Policy, now: datetime) -> Verdict:
    """Say whether every mirror named would give what upstream published.

    A source that fails makes the verdict inconclusive; it raises nothing but `Interrupted`, and
    `InputError` for a question that cannot be asked.
    """
    return _decided(question, network, policy, now, purpose=Purpose.USE)


def verify_all(
    questions: Sequence[Question],
    network: Network,
    policy: Policy,
    now: datetime,
    *,
    at_once: int = IMAGES,
) -> tuple[Verdict, ...]:
    """Do what `verify` does for several images, `at_once` at a time; verdicts are in order.

    What is wrong with one image stops no other; what raises calls off the rest.  A question that
    cannot be asked raises before any other is.
    """
    for each in questions:
        _refuse_idle(each, policy)
    tasks = [partial(verify, each, network, policy, now) for each in questions]
    return each_image(tasks, network.deadline.cancelled, at_once)


def verify_for_pull(question: Question, network: Network, policy: Policy, now: datetime) -> Verdict:
    """Say whether upstream's image may be fetched with the mirrors as sources.

    The blobs are verified when they arrive, so the mirrors are asked for the tag alone.
    """
    return _decided(question, network, policy, now, purpose=Purpose.PULL)


def platforms_of(question: Question, policy: Policy) -> tuple[Platform, ...]:
    """Return the platforms that are decided on, and so may be delivered; none means all."""
    rule = policy.rule_for(question.upstream.repository)
    return question.platforms or (rule.platforms if rule else ())


def _decided(
    question: Question, network: Network, policy: Policy, now: datetime, *, purpose: Purpose
) -> Verdict:
    rule = policy.rule_for(question.upstream.repository)
    if rule is None:
        return unmatched(question.requested, question.upstream)
    _refuse_idle(question, policy)
    asked = replace(
        question,
        platforms=platforms_of(question, policy),
        # Only what was read and hashed proves that other bytes say the same.
        deep=question.deep or Grade.REPACKAGED in rule.accept,
    )
    gather = gather_offline if question.offline else _gather
    with Way(network, question.mirrors) as way:
        facts = gather(asked, way, now, thorough=purpose is Purpose.USE)
        facts = replace(facts, findings=(*facts.findings, *route_findings(asked, network)))
        digests = to_be_vouched_for(policy, facts, purpose)
        if digests:
            own, vouching = _vouchings(asked, way, rule, (digests, now))
            facts = replace(facts, own=own, vouching=vouching)
    return decide(policy, facts, purpose)


def _refuse_idle(question: Question, policy: Policy) -> None:
    """Refuse to check an image against nothing, which never passes; raises `InputError`."""
    rule = policy.rule_for(question.upstream.repository)
    if rule is None:
        return
    if question.offline:
        require_answerable(question, signed=rule.needs_signatures)
    elif not question.mirrors and not rule.needs_signatures:
        msg = f"there is nothing to hold {question.requested} against"
        hint = (
            "name a mirror (--mirror), or who has to have signed it (--key, --certificate-identity)"
        )
        raise InputError(msg, hint=hint)
    if question.signatures and not any(each.needs_signatures for each in policy.rules):
        msg = f"signatures are looked for at {question.signatures}, and nobody has to have signed"
        raise InputError(msg, hint="name who has to (--key, --certificate-identity)")


def _vouchings(
    question: Question,
    way: Way,
    rule: PolicyRule,
    what: tuple[tuple[Digest, ...], datetime],
) -> tuple[Vouching | None, Vouching | None]:
    """Find out about what the rule requires, and what the caller does; None is nothing required."""
    # Here: what verifies signatures takes longer to load than an unsigned image takes to verify.
    from imgverify.verify.vouching import Inquiry, Places, vouch_for_all  # noqa: PLC0415 - as above

    digests, now = what
    places: list[Source] = [way.mirror(each.repository) for each in question.mirrors]
    if not question.offline:
        places.insert(0, way.network.at(question.upstream.repository, Side.UPSTREAM))
    own, asked = (
        tuple(each.of_image(question.upstream) for each in required)
        for required in (rule.requires, rule.asked)
    )
    inquiry = Inquiry((own, asked), question.platforms, now)
    try:
        told = vouch_for_all(digests, inquiry, Places(tuple(places), _apart(question, way)))
    except (SourceError, ContentError) as error:
        finding = Finding(
            Rule.SIGNATURE_LOOKUP_FAILED, Level.ERROR, error.message, error.side, error.hint
        )
        told = (Vouching(Standing.UNKNOWN, (), (finding,)),) * 2
    return told[0] if own else None, told[1] if asked else None


def _apart(question: Question, way: Way) -> tuple[Source, ...]:
    """Return where signatures are kept apart from the image, if that is another place at all."""
    kept = question.signatures
    images = {each.repository for each in question.mirrors}
    images |= set() if question.offline else {question.upstream.repository}
    return () if kept is None or kept in images else (way.network.at(kept, Side.SIGNATURES),)


def _gather(question: Question, way: Way, now: datetime, *, thorough: bool) -> Facts:
    remote = way.network.at(question.upstream.repository, Side.UPSTREAM)
    try:
        moment = observe(question, way)
        absent = _absent_findings(question, remote, moment)
    except (SourceError, ContentError) as error:
        undecided = all_or_raise([partial(_undecided, way, each) for each in question.mirrors])
        upstream = UpstreamResult(question.upstream)
        return Facts(question.requested, now, upstream, undecided, (finding_of(error),))
    tasks = []
    for mirror, served in zip(question.mirrors, moment.mirrors, strict=True):
        case = Case(
            question,
            remote,
            way.mirror(mirror.repository),
            moment,
            way.network.is_same_server,
            now,
            thorough,
            way.is_rebuilt(mirror),
        )
        tasks.append(partial(grade_mirror, case, question.wanted_of(mirror, moment.digest), served))
    upstream = UpstreamResult(question.upstream, moment.digest, moment.served_by)
    findings = (*moment.findings, *_tag_findings(question, moment), *absent)
    return Facts(question.requested, now, upstream, all_or_raise(tasks), findings)


def _undecided(way: Way, mirror: MirrorName) -> MirrorResult:
    if isinstance(mirror, LocalCopy):
        # That its bytes are not what they say is known without upstream.
        found = attempt(partial(way.served, mirror))
        if isinstance(found, DigestMismatch):
            return failed_mirror(mirror, found)
    explanation = Explanation("upstream's digest is not known, so there is nothing to compare with")
    return MirrorResult(mirror, Grade.INCONCLUSIVE, explanation)


def _absent_findings(
    question: Question, upstream: RemoteRepository, moment: Moment
) -> tuple[Finding, ...]:
    """Say which platforms upstream lacks; where there are mirrors, each is graded by that."""
    if question.mirrors or not question.platforms:
        return ()
    return unpublished(published(question, upstream, moment), question.platforms)


def _tag_findings(question: Question, moment: Moment) -> tuple[Finding, ...]:
    """A digest beside a tag has to be the one that the tag names."""
    wanted = question.upstream
    if wanted.tag is None or wanted.digest in (None, moment.digest):
        return ()
    message = f"the tag {wanted.tag!r} names {moment.digest}, not the digest that was written"
    hint = "update the digest, or leave the tag out to ask for the digest alone"
    return (Finding(Rule.TAG_DIGEST_MISMATCH, Level.ERROR, message, Side.UPSTREAM, hint),)
