"""From facts and a policy to a verdict.  No I/O, no clock: everything is in the arguments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgverify.errors import Side
from imgverify.verdict import (
    Decision,
    Finding,
    Grade,
    Level,
    MirrorResult,
    PlatformState,
    Rule,
    UpstreamResult,
    Verdict,
)

if TYPE_CHECKING:
    from imgverify.oci.platform import Platform
    from imgverify.policy.model import Policy

Wanted = tuple["Platform", ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was gathered about one image, before anything is decided.

    `findings` are about the image as a whole; each mirror carries its own.
    """

    requested: str
    upstream: UpstreamResult
    mirrors: tuple[MirrorResult, ...]
    findings: tuple[Finding, ...] = ()


def decide(policy: Policy, facts: Facts) -> Verdict:
    """Decide whether what the mirrors give may be used.

    Every mirror has to be allowed.  Nothing to hold the image against is inconclusive.
    """
    judged = tuple(judge_mirror(policy, each) for each in facts.mirrors)
    decisions = {each.decision for each in judged}
    if facts.upstream.digest is None or not judged:
        decision = Decision.INCONCLUSIVE
    elif Decision.DENY in decisions or _has_error(facts.findings):
        decision = Decision.DENY
    elif decisions == {Decision.ALLOW}:
        decision = Decision.ALLOW
    else:
        decision = Decision.INCONCLUSIVE
    return _verdict(decision, facts, judged)


def decide_pull(policy: Policy, facts: Facts) -> Verdict:
    """Decide whether upstream's image may be fetched, by digest, with the mirrors as sources.

    What is delivered is upstream's image whatever a mirror's tag names, so a mirror that is
    behind, or down, stops nothing.  One that serves what upstream never published does.
    """
    judged = tuple(judge_mirror(policy, each) for each in facts.mirrors)
    decision = Decision.ALLOW
    if facts.upstream.digest is None or not judged:
        decision = Decision.INCONCLUSIVE
    elif _has_error(facts.findings) or any(each.grade is Grade.DIVERGED for each in judged):
        decision = Decision.DENY
    elif any(map(_is_dependent, judged)):
        decision = Decision.INCONCLUSIVE
    return _verdict(decision, facts, judged)


def judge_mirror(policy: Policy, mirror: MirrorResult) -> MirrorResult:
    """Decide one mirror by its grade, its findings and the policy."""
    if mirror.grade is Grade.INCONCLUSIVE:
        return replace(mirror, decision=Decision.INCONCLUSIVE)
    unproven = mirror.grade is Grade.REPACKAGED and not mirror.explanation.proven
    accepted = mirror.grade in policy.accept and mirror.digest is not None and not unproven
    if accepted and not _has_error(mirror.findings):
        return replace(mirror, decision=Decision.ALLOW)
    return replace(mirror, decision=Decision.DENY)


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


def _verdict(decision: Decision, facts: Facts, mirrors: tuple[MirrorResult, ...]) -> Verdict:
    upstream, pinned = facts.upstream, None
    if decision is Decision.ALLOW and upstream.digest is not None:
        pinned = upstream.reference.pinned(upstream.digest)
    return Verdict(facts.requested, upstream, mirrors, facts.findings, decision, pinned)


def _is_dependent(mirror: MirrorResult) -> bool:
    """Tell whether it was this mirror that spoke for upstream, whose word then is worth nothing."""
    return any(each.rule is Rule.NOT_INDEPENDENT for each in mirror.findings)


def _has_error(findings: tuple[Finding, ...]) -> bool:
    return any(each.level is Level.ERROR for each in findings)
