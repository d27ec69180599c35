"""From facts and a policy to a verdict.  No I/O, no clock: everything is in the arguments."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from imgverify.errors import Side
from imgverify.policy.model import Enforcement
from imgverify.policy.unasked import NOT_ITSELF, lacks_word, taken_back
from imgverify.verdict import (
    Decision,
    Finding,
    Grade,
    Level,
    MirrorResult,
    PlatformState,
    ResolvedFrom,
    Rule,
    Standing,
    UpstreamResult,
    Verdict,
    Vouching,
)

if TYPE_CHECKING:
    from datetime import datetime

    from imgverify.oci.digest import Digest
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Reference
    from imgverify.policy.model import Exemption, Policy
    from imgverify.policy.model import Rule as PolicyRule
    from imgverify.policy.requirement import Requirement

Wanted = tuple["Platform", ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was gathered about one image, before anything is decided.

    `findings` are about the image as a whole; each mirror carries its own.  `now` is the time
    at which exemptions have to hold.  `vouching` is what came of the caller's requirements, and
    `own` of the rule's; None where nobody looked.
    """

    requested: str
    now: datetime
    upstream: UpstreamResult
    mirrors: tuple[MirrorResult, ...]
    findings: tuple[Finding, ...] = ()
    vouching: Vouching | None = None
    own: Vouching | None = None


class Purpose(enum.Enum):
    """What is to be decided.

    `USE`: whether what the mirrors give may be used; every mirror has to be allowed.
    `PULL`: whether the image may be fetched, by digest, with the mirrors as sources.  What is
    delivered is what upstream published whatever a mirror's tag names, so a mirror that is
    behind, or down, stops nothing.  One that serves what upstream never published does.
    """

    USE = enum.auto()
    PULL = enum.auto()


def decide(policy: Policy, facts: Facts, purpose: Purpose = Purpose.USE) -> Verdict:
    """Decide about an image.

    Nothing to hold it against is inconclusive, and an image that no rule is for is denied.
    """
    rule = policy.rule_for(facts.upstream.reference.repository)
    if rule is None:
        return unmatched(facts.requested, facts.upstream.reference, facts.mirrors)
    judged = tuple(_judge(policy, rule, facts, each) for each in facts.mirrors)
    compared = _compared(rule, facts, judged, purpose)
    decision = _enforced(rule, facts, compared, judged)
    warned = decision is not compared
    if decision is Decision.ALLOW:
        excused = _excused(policy, facts, judged, purpose)
        facts = replace(facts, findings=(*facts.findings, *excused))
    if decision is Decision.ALLOW and _unvouched(policy, facts, judged, purpose):
        own = _vouched_for(rule.requires, facts.own)
        enforced = _enforced(rule, facts, own, ())
        warned = warned or enforced is not own
        decision = _worse(enforced, _vouched_for(rule.asked, facts.vouching))
    if decision is Decision.ALLOW and lacks_word(facts.upstream, (facts.own, facts.vouching)):
        decision, facts = Decision.DENY, replace(facts, findings=(*facts.findings, NOT_ITSELF))
    return _verdict(decision, rule, facts, judged, warned=warned)


def to_be_vouched_for(policy: Policy, facts: Facts, purpose: Purpose) -> tuple[Digest, ...]:
    """Return the digests that signatures are required of, none where they would change nothing."""
    rule = policy.rule_for(facts.upstream.reference.repository)
    if rule is None:
        return ()
    judged = tuple(_judge(policy, rule, facts, each) for each in facts.mirrors)
    compared = _compared(rule, facts, judged, purpose)
    if _enforced(rule, facts, compared, judged) is not Decision.ALLOW:
        return ()
    return _unvouched(policy, facts, judged, purpose)


_STANDINGS: Final = {
    Standing.HOLDS: Decision.ALLOW,
    Standing.FAILS: Decision.DENY,
    Standing.UNKNOWN: Decision.INCONCLUSIVE,
}


def _vouched_for(required: tuple[Requirement, ...], vouching: Vouching | None) -> Decision:
    """Decide by one side's requirements, of which there may be none."""
    if not required:
        return Decision.ALLOW
    return _STANDINGS[vouching.standing if vouching else Standing.UNKNOWN]


def _worse(one: Decision, other: Decision) -> Decision:
    order = (Decision.DENY, Decision.INCONCLUSIVE, Decision.ALLOW)
    return min(one, other, key=order.index)


def _compared(
    rule: PolicyRule, facts: Facts, judged: tuple[MirrorResult, ...], purpose: Purpose
) -> Decision:
    """Decide by all but signatures."""
    if not (judged or rule.needs_signatures):
        return Decision.INCONCLUSIVE
    if facts.upstream.digest is None:
        # A copy whose bytes are not what it says itself needs nobody else's word.
        wrong = any(map(_is_strange, judged))
        if facts.upstream.rung is ResolvedFrom.SIGNATURE:
            wrong = any(each.decision is Decision.DENY for each in judged)
        return Decision.DENY if wrong else Decision.INCONCLUSIVE
    if purpose is Purpose.PULL:
        stops = any(map(_is_strange, judged))
        decides = not any(map(_is_dependent, judged))
    else:
        decisions = {each.decision for each in judged}
        stops, decides = Decision.DENY in decisions, decisions <= {Decision.ALLOW}
    if stops or _has_error(facts.findings):
        return Decision.DENY
    return Decision.ALLOW if decides else Decision.INCONCLUSIVE


def _enforced(
    rule: PolicyRule, facts: Facts, compared: Decision, judged: tuple[MirrorResult, ...]
) -> Decision:
    """Let a rule that only warns allow what it would deny, but for what upstream never published.

    What the caller requires is no part of it, neither of signatures nor of the digest that was
    written: no rule's level overrules that.
    """
    warns = rule.enforcement is Enforcement.WARN and compared is Decision.DENY
    asked_for = not any(each.rule is Rule.TAG_DIGEST_MISMATCH for each in facts.findings)
    lenient = warns and asked_for and not any(map(_is_strange, judged))
    return Decision.ALLOW if lenient else compared


def _signable(
    policy: Policy, facts: Facts, judged: tuple[MirrorResult, ...], purpose: Purpose
) -> tuple[Digest, ...]:
    """Return the digests that the rule requires signatures of, exempted ones among them.

    An image that is stale, or allowed with a warning, is another one than upstream's signers
    spoke of: who uses that mirror needs signatures of its own. A pull delivers one digest.
    """
    rule = policy.rule_for(facts.upstream.reference.repository)
    if rule is None or not rule.needs_signatures:
        return ()
    different = (
        each.digest
        for each in judged
        if each.decision is not Decision.ALLOW or each.grade is Grade.STALE
    )
    others = different if purpose is Purpose.USE else ()
    digests = dict.fromkeys((_chosen(facts.upstream, judged), *others))
    return tuple(each for each in digests if each)


def _unvouched(
    policy: Policy, facts: Facts, judged: tuple[MirrorResult, ...], purpose: Purpose
) -> tuple[Digest, ...]:
    """Return the digests that have to be signed; an exempted one needs nobody.

    Where signatures alone say what upstream published, nothing stands in for them.
    """
    if facts.upstream.rung is ResolvedFrom.SIGNATURE:
        return _signable(policy, facts, judged, purpose)
    repository = facts.upstream.reference.repository
    return tuple(
        each
        for each in _signable(policy, facts, judged, purpose)
        if not policy.exemption_for(repository, each, facts.now)
    )


def _excused(
    policy: Policy, facts: Facts, judged: tuple[MirrorResult, ...], purpose: Purpose
) -> tuple[Finding, ...]:
    """Say of which digests signatures were required, but for an exemption."""
    if facts.upstream.rung is ResolvedFrom.SIGNATURE:
        return ()
    repository = facts.upstream.reference.repository
    excused = (
        (each, policy.exemption_for(repository, each, facts.now))
        for each in _signable(policy, facts, judged, purpose)
    )
    return tuple(_exempted(digest, exemption) for digest, exemption in excused if exemption)


def _exempted(digest: Digest, exemption: Exemption, side: Side = Side.LOCAL) -> Finding:
    message = (
        f"{digest} is exempted until the end of {exemption.expires:%Y-%m-%d}"
        f" by {exemption.owner}: {exemption.reason}"
    )
    return Finding(Rule.EXEMPTED, Level.WARNING, message, side)


def unmatched(
    requested: str, upstream: Reference, mirrors: tuple[MirrorResult, ...] = ()
) -> Verdict:
    """Deny an image that no rule is for; nothing has to be known about it."""
    message = f"no rule of the policy is for {upstream.repository}"
    hint = f"add a rule that matches it, such as {upstream.repository}"
    finding = Finding(Rule.NO_MATCHING_RULE, Level.ERROR, message, hint=hint)
    return Verdict(requested, UpstreamResult(upstream), mirrors, (finding,), Decision.DENY)


def _judge(policy: Policy, rule: PolicyRule, facts: Facts, mirror: MirrorResult) -> MirrorResult:
    """Decide one mirror by its grade, its findings and the policy."""
    if mirror.grade is Grade.INCONCLUSIVE:
        return replace(mirror, decision=Decision.INCONCLUSIVE)
    if _is_accepted(rule, mirror) and not _has_error(mirror.findings):
        return replace(mirror, decision=Decision.ALLOW)
    repository = facts.upstream.reference.repository
    digest = mirror.digest
    exemption = policy.exemption_for(repository, digest, facts.now) if digest else None
    if digest is None or exemption is None or _is_falsified(mirror):
        return replace(mirror, decision=Decision.DENY)
    milder = tuple(
        replace(each, level=Level.WARNING) if each.level is Level.ERROR else each
        for each in mirror.findings
    )
    finding = _exempted(digest, exemption, Side.MIRROR)
    return replace(mirror, decision=Decision.ALLOW, findings=(*milder, finding), exempted=True)


def _is_accepted(rule: PolicyRule, mirror: MirrorResult) -> bool:
    if mirror.digest is None:
        return False
    if mirror.grade is Grade.STALE:
        age, most = mirror.explanation.age, rule.stale_max_age
        return age is not None and most is not None and age <= most
    unproven = mirror.grade is Grade.REPACKAGED and not mirror.explanation.proven
    return mirror.grade in rule.accept and not unproven


def _is_falsified(mirror: MirrorResult) -> bool:
    """Tell whether the mirror's bytes are not what the digest stands for, or cannot be read."""
    wrong = {Rule.DIGEST_MISMATCH, Rule.MALFORMED, Rule.UNREACHABLE, Rule.NOT_INDEPENDENT}
    errors = {each.rule for each in mirror.findings if each.level is Level.ERROR}
    return bool(errors & wrong) or mirror.grade is Grade.MISSING


def _is_strange(mirror: MirrorResult) -> bool:
    return mirror.grade is Grade.DIVERGED and not mirror.exempted


def absent_platforms(mirror: MirrorResult, wanted: Wanted) -> tuple[Finding, ...]:
    """Say which of the wanted platforms the mirror lacks; none named means all of upstream's."""
    absent = [
        each.platform
        for each in mirror.explanation.platforms
        if each.state is PlatformState.ABSENT and _is_wanted(each.platform, wanted)
    ]
    return tuple(
        Finding(
            Rule.PLATFORM_ABSENT,
            Level.ERROR,
            f"the mirror lacks {each or 'an image without a platform'}",
            Side.MIRROR,
            "name the platforms you need with --platform, or take the image from another mirror",
        )
        for each in absent
    )


def _is_wanted(platform: Platform | None, wanted: Wanted) -> bool:
    if not wanted:
        return True
    return platform is not None and any(platform.satisfies(each) for each in wanted)


def _verdict(
    decision: Decision,
    rule: PolicyRule,
    facts: Facts,
    mirrors: tuple[MirrorResult, ...],
    *,
    warned: bool,
) -> Verdict:
    vouchings = [each for each in (facts.own, facts.vouching) if each]
    said = [*facts.findings, *(each for one in vouchings for each in one.findings)]
    findings = tuple(dict.fromkeys(said))
    if warned and decision is Decision.ALLOW:
        findings = _not_enforced(rule, findings)
    upstream, pinned = facts.upstream, None
    digest = _chosen(upstream, mirrors)
    if decision is Decision.ALLOW and digest is not None:
        pinned = upstream.reference.pinned(digest)
    if upstream.rung is ResolvedFrom.SIGNATURE and decision is not Decision.ALLOW:
        upstream = replace(upstream, digest=None)
        looked = bool(vouchings)
        mirrors = tuple(taken_back(each, decision, looked=looked) for each in mirrors)
    evidence = tuple(dict.fromkeys(each for one in vouchings for each in one.vouched))
    return Verdict(facts.requested, upstream, mirrors, findings, decision, pinned, evidence)


def _not_enforced(rule: PolicyRule, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    milder = tuple(
        replace(each, level=Level.WARNING) if each.level is Level.ERROR else each
        for each in findings
    )
    message = f"the rule for {rule.pattern} only warns: without that this image would be denied"
    return (*milder, Finding(Rule.NOT_ENFORCED, Level.WARNING, message))


def _chosen(upstream: UpstreamResult, mirrors: tuple[MirrorResult, ...]) -> Digest | None:
    """Return the digest that stands for what was allowed.

    Upstream's own, unless all that is allowed of the mirrors is an earlier or exempted image.
    """
    allowed = [each for each in mirrors if each.decision is Decision.ALLOW]
    others = [each for each in allowed if each.exempted or each.grade is Grade.STALE]
    return others[0].digest if others and len(others) == len(allowed) else upstream.digest


def _is_dependent(mirror: MirrorResult) -> bool:
    """Tell whether it was this mirror that spoke for upstream, whose word then is worth nothing."""
    return any(each.rule is Rule.NOT_INDEPENDENT for each in mirror.findings)


def _has_error(findings: tuple[Finding, ...]) -> bool:
    return any(each.level is Level.ERROR for each in findings)
