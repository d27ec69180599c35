"""From facts to a decision: what holds for any facts at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import Side
from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference
from imgverify.policy.decide import Facts, absent_platforms, decide, decide_pull, judge_mirror
from imgverify.policy.model import DEFAULT_POLICY, SAMENESS, Policy
from imgverify.verdict import (
    Decision,
    Explanation,
    Finding,
    Grade,
    Level,
    MirrorResult,
    PlatformChange,
    PlatformState,
    Rule,
    UpstreamResult,
    Verdict,
)

UPSTREAM = Reference.parse("registry.example/app:1.4")
MIRROR = Reference.parse("mirror.example/app:1.4")
DIGEST = Digest.of(b"upstream's")
NEVER = (Grade.DIVERGED, Grade.INCONCLUSIVE, Grade.MISSING)
ACCEPTABLE = tuple(each for each in Grade if each not in NEVER)
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")

findings = st.lists(
    st.builds(
        Finding,
        rule=st.sampled_from(Rule),
        level=st.sampled_from(Level),
        message=st.just("said"),
        side=st.sampled_from(Side),
    ),
    max_size=2,
).map(tuple)
mirrors = st.lists(
    st.builds(
        MirrorResult,
        reference=st.just(MIRROR),
        grade=st.sampled_from(Grade),
        explanation=st.builds(Explanation, summary=st.just("why"), proven=st.booleans()),
        digest=st.sampled_from([DIGEST, None]),
        findings=findings,
    ),
    max_size=3,
).map(tuple)
facts = st.builds(
    Facts,
    requested=st.just("app"),
    upstream=st.builds(
        UpstreamResult, reference=st.just(UPSTREAM), digest=st.sampled_from([DIGEST, None])
    ),
    mirrors=mirrors,
    findings=findings,
)
policies = st.sets(st.sampled_from(ACCEPTABLE)).map(lambda each: Policy(frozenset(each)))


def has_error(said: tuple[Finding, ...]) -> bool:
    return any(each.level is Level.ERROR for each in said)


@given(policies, facts)
def test_what_is_allowed_was_accepted_in_every_respect(policy: Policy, known: Facts) -> None:
    verdict = decide(policy, known)
    allowed = verdict.decision is Decision.ALLOW
    good = (
        bool(known.mirrors)
        and known.upstream.digest is not None
        and not has_error(known.findings)
        and all(
            each.grade in policy.accept
            and each.digest is not None
            and not has_error(each.findings)
            and (each.grade is not Grade.REPACKAGED or each.explanation.proven)
            for each in known.mirrors
        )
    )
    assert allowed == good
    assert verdict.pinned == (UPSTREAM.pinned(DIGEST) if allowed else None)
    assert [each.grade for each in verdict.mirrors] == [each.grade for each in known.mirrors]


@given(policies, facts)
def test_stale_tag_freeze_upstream_down_fail_open_a_denial_has_a_reason(
    policy: Policy, known: Facts
) -> None:
    verdict = decide(policy, known)
    if verdict.decision is Decision.DENY:
        denied = any(each.decision is Decision.DENY for each in verdict.mirrors)
        assert denied or has_error(known.findings)
    if known.upstream.digest is None or not known.mirrors:
        assert verdict.decision is Decision.INCONCLUSIVE


@given(policies, facts)
def test_a_mirror_that_was_not_graded_is_never_more_than_inconclusive(
    policy: Policy, known: Facts
) -> None:
    for each in decide(policy, known).mirrors:
        undecided = each.decision is Decision.INCONCLUSIVE
        assert undecided == (each.grade is Grade.INCONCLUSIVE)
        assert each.decision is not Decision.ALLOW or each.grade not in NEVER


@given(policies, facts)
def test_a_pull_is_stopped_by_what_upstream_never_published(policy: Policy, known: Facts) -> None:
    verdict = decide_pull(policy, known)
    spoken_for = any(
        each.rule is Rule.NOT_INDEPENDENT for m in known.mirrors for each in m.findings
    )
    if known.upstream.digest is None or not known.mirrors:
        expected = Decision.INCONCLUSIVE
    elif has_error(known.findings) or Grade.DIVERGED in {each.grade for each in known.mirrors}:
        expected = Decision.DENY
    else:
        expected = Decision.INCONCLUSIVE if spoken_for else Decision.ALLOW
    assert verdict.decision is expected
    assert verdict.pinned == (UPSTREAM.pinned(DIGEST) if expected is Decision.ALLOW else None)


@pytest.mark.parametrize("grade", Grade)
@pytest.mark.parametrize("policy", [DEFAULT_POLICY, SAMENESS])
def test_what_the_built_in_policies_accept(grade: Grade, policy: Policy) -> None:
    mirror = MirrorResult(MIRROR, grade, Explanation("why"), DIGEST)
    accepted = {Grade.IDENTICAL} | ({Grade.SUBSET} if policy is DEFAULT_POLICY else set())
    allowed = judge_mirror(policy, mirror).decision is Decision.ALLOW
    assert allowed == (grade in accepted)


@pytest.mark.parametrize("grade", NEVER)
def test_no_policy_accepts_what_was_not_published(grade: Grade) -> None:
    with pytest.raises(ValueError, match=f"{grade} cannot be accepted"):
        Policy(frozenset({Grade.IDENTICAL, grade}))


def test_an_empty_policy_accepts_nothing() -> None:
    for grade in Grade:
        mirror = MirrorResult(MIRROR, grade, Explanation("why"), DIGEST)
        assert judge_mirror(Policy(frozenset()), mirror).decision is not Decision.ALLOW


def _lacking(*platforms: Platform | None) -> MirrorResult:
    changes = [PlatformChange(each, PlatformState.ABSENT, DIGEST, None) for each in platforms]
    there = PlatformChange(ARM64, PlatformState.EQUAL, DIGEST, DIGEST)
    return MirrorResult(MIRROR, Grade.SUBSET, Explanation("why", (*changes, there)), DIGEST)


def test_absent_platforms_matter_where_they_are_wanted() -> None:
    assert len(absent_platforms(_lacking(AMD64, None), ())) == 2
    assert len(absent_platforms(_lacking(AMD64, None), (AMD64,))) == 1
    assert absent_platforms(_lacking(AMD64, None), (ARM64,)) == ()
    (finding,) = absent_platforms(_lacking(AMD64), (AMD64, ARM64))
    assert (finding.level, finding.side) == (Level.ERROR, Side.MIRROR)
    assert "linux/amd64" in finding.message


@given(
    st.sampled_from(Grade),
    findings,
    st.sampled_from([DIGEST, None]),
    st.sampled_from(Decision),
)
def test_a_mirror_cannot_be_built_as_allowed_against_its_findings(
    grade: Grade, said: tuple[Finding, ...], digest: Digest | None, decision: Decision
) -> None:
    bad = grade in NEVER or has_error(said) or digest is None
    if decision is Decision.ALLOW and bad:
        with pytest.raises(ValueError, match="cannot be allowed"):
            MirrorResult(
                MIRROR, grade, Explanation("why"), digest, findings=said, decision=decision
            )
    else:
        MirrorResult(MIRROR, grade, Explanation("why"), digest, findings=said, decision=decision)


@given(
    findings, st.sampled_from(Decision), st.sampled_from([UPSTREAM.pinned(DIGEST), UPSTREAM, None])
)
def test_a_verdict_is_pinned_exactly_if_it_is_allowed(
    said: tuple[Finding, ...], decision: Decision, pinned: Reference | None
) -> None:
    allowed = decision is Decision.ALLOW
    fits = (
        (pinned == UPSTREAM.pinned(DIGEST) and not has_error(said)) if allowed else pinned is None
    )
    result = UpstreamResult(UPSTREAM, DIGEST)
    if fits:
        Verdict("app", result, (), said, decision, pinned)
        return
    with pytest.raises(ValueError, match="does not go with"):
        Verdict("app", result, (), said, decision, pinned)
