"""The use case: gather what both sides say, then decide.

Nothing here trusts a mirror to say what a tag means; upstream's word is compared with hashed
bytes of the mirror's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from imgverify.errors import ContentError, InputError, Side, SourceError
from imgverify.policy.decide import Facts, Purpose, decide, to_be_vouched_for, unmatched
from imgverify.registry.urls import api_url
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
from imgverify.verify.judge import Case, grade_mirror, published, unpublished
from imgverify.verify.parallel import all_or_raise
from imgverify.verify.question import Question
from imgverify.verify.resolve import observe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from imgverify.oci.digest import Digest
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Reference, Registry
    from imgverify.policy.model import Policy
    from imgverify.policy.model import Rule as PolicyRule
    from imgverify.registry.client import Network
    from imgverify.verdict import Verdict
    from imgverify.verify.resolve import Moment

__all__ = ["Question", "platforms_of", "verify", "verify_for_pull"]


def verify(question: Question, network: Network, policy: Policy, now: datetime) -> Verdict:
    """Say whether every mirror named would give what upstream published.

    A source that fails makes the verdict inconclusive; it raises nothing but `Interrupted`.
    """
    return _decided(question, network, policy, now, purpose=Purpose.USE)


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
    if not question.mirrors and not rule.all_required:
        msg = f"there is nothing to hold {question.requested} against"
        hint = (
            "name a mirror (--mirror), or who has to have signed it (--key, --certificate-identity)"
        )
        raise InputError(msg, hint=hint)
    asked = replace(
        question,
        platforms=platforms_of(question, policy),
        # Only what was read and hashed proves that other bytes say the same.
        deep=question.deep or Grade.REPACKAGED in rule.accept,
    )
    facts = _gather(asked, network, now, thorough=purpose is Purpose.USE)
    digests = to_be_vouched_for(policy, facts, purpose)
    if digests:
        own, vouching = _vouchings(asked, network, rule, (digests, now))
        facts = replace(facts, own=own, vouching=vouching)
    return decide(policy, facts, purpose)


def _vouchings(
    question: Question,
    network: Network,
    rule: PolicyRule,
    what: tuple[tuple[Digest, ...], datetime],
) -> tuple[Vouching | None, Vouching | None]:
    """Find out about what the rule requires, and what the caller does; None is nothing required."""
    # Here: what verifies signatures takes longer to load than an unsigned image takes to verify.
    from imgverify.verify.vouching import Inquiry, Places, vouch_for_all  # noqa: PLC0415 - as above

    digests, now = what
    mirrors = (network.at(each.repository, Side.MIRROR) for each in question.mirrors)
    places = Places((network.at(question.upstream.repository, Side.UPSTREAM), *mirrors))
    own, asked = (
        tuple(each.of_image(question.upstream) for each in required)
        for required in (rule.requires, rule.asked)
    )
    try:
        told = vouch_for_all(digests, Inquiry((own, asked), question.platforms, now), places)
    except (SourceError, ContentError) as error:
        finding = Finding(
            Rule.SIGNATURE_LOOKUP_FAILED, Level.ERROR, error.message, error.side, error.hint
        )
        told = (Vouching(Standing.UNKNOWN, (), (finding,)),) * 2
    return told[0] if own else None, told[1] if asked else None


def _gather(question: Question, network: Network, now: datetime, *, thorough: bool) -> Facts:
    notes = (*_insecure_findings(question, network), *_proxy_findings(question, network))
    try:
        moment = observe(question, network)
        absent = _absent_findings(question, network, moment)
    except (SourceError, ContentError) as error:
        undecided = tuple(map(_undecided, question.mirrors))
        upstream = UpstreamResult(question.upstream)
        return Facts(question.requested, now, upstream, undecided, (finding_of(error), *notes))
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
        by_digest = reference.repository in question.by_digest
        asked = reference.pinned(moment.digest) if by_digest else reference
        tasks.append(partial(grade_mirror, case, asked, served))
    upstream = UpstreamResult(question.upstream, moment.digest, moment.served_by)
    findings = (*moment.findings, *_tag_findings(question, moment), *absent, *notes)
    return Facts(question.requested, now, upstream, all_or_raise(tasks), findings)


def _undecided(mirror: Reference) -> MirrorResult:
    explanation = Explanation("upstream's digest is not known, so there is nothing to compare with")
    return MirrorResult(mirror, Grade.INCONCLUSIVE, explanation)


def _absent_findings(question: Question, network: Network, moment: Moment) -> tuple[Finding, ...]:
    """Say which platforms upstream lacks; where there are mirrors, each is graded by that."""
    if question.mirrors or not question.platforms:
        return ()
    upstream = network.at(question.upstream.repository, Side.UPSTREAM)
    return unpublished(published(question, upstream, moment), question.platforms)


def _tag_findings(question: Question, moment: Moment) -> tuple[Finding, ...]:
    """A digest beside a tag has to be the one that the tag names."""
    wanted = question.upstream
    if wanted.tag is None or wanted.digest in (None, moment.digest):
        return ()
    message = f"the tag {wanted.tag!r} names {moment.digest}, not the digest that was written"
    hint = "update the digest, or leave the tag out to ask for the digest alone"
    return (Finding(Rule.TAG_DIGEST_MISMATCH, Level.ERROR, message, Side.UPSTREAM, hint),)


def _insecure_findings(question: Question, network: Network) -> tuple[Finding, ...]:
    """Say of every host that was named as insecure how it was reached.

    Those that are neither upstream nor mirror may have been redirected to, or asked for tokens.
    """
    settings = network.settings
    sides = dict(reversed([*_sides(question)]))
    others = sorted((settings.insecure_http | settings.insecure_tls) - sides.keys(), key=str)
    findings = []
    for registry in (*reversed(sides), *others):
        was = "was" if registry in sides else "may have been"
        how = "without a check of its certificate" if registry in settings.insecure_tls else ""
        how = "over plain HTTP" if registry in settings.insecure_http else how
        said_by = settings.said_by.get(registry)
        where = f", as {said_by} has it" if said_by else ""
        if how:
            message = f"{registry} {was} reached {how}{where}"
            side = sides.get(registry, Side.LOCAL)
            findings.append(Finding(Rule.INSECURE, Level.NOTE, message, side))
    return tuple(findings)


def _proxy_findings(question: Question, network: Network) -> tuple[Finding, ...]:
    settings = network.settings
    findings: dict[str, Finding] = {}
    for registry, side in _sides(question):
        url = api_url(registry, "/", insecure_http=settings.insecure_http)
        proxy = settings.proxies.choose(url)
        if proxy is not None:
            message = f"{registry} was asked through the proxy {proxy} ({proxy.named_by})"
            findings[message] = Finding(Rule.PROXIED, Level.NOTE, message, side)
    return tuple(findings.values())


def _sides(question: Question) -> Iterator[tuple[Registry, Side]]:
    yield question.upstream.registry, Side.UPSTREAM
    for mirror in question.mirrors:
        yield mirror.registry, Side.MIRROR
