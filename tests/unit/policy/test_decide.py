"""From facts to a decision: what holds for any facts at all."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import Side
from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference
from imgverify.policy.decide import (
    Facts,
    Purpose,
    absent_platforms,
    decide,
    to_be_vouched_for,
)
from imgverify.policy.model import (
    ACCEPTABLE,
    DEFAULT_POLICY,
    SAMENESS,
    Enforcement,
    Exemption,
    Policy,
)
from imgverify.policy.model import Rule as PolicyRule
from imgverify.policy.pattern import Pattern
from imgverify.policy.requirement import Requirement
from imgverify.verdict import (
    Decision,
    Evidence,
    Explanation,
    Finding,
    Grade,
    Level,
    MirrorResult,
    PlatformChange,
    PlatformState,
    ResolvedFrom,
    Rule,
    SignatureFormat,
    Standing,
    SubjectLevel,
    UpstreamResult,
    Verdict,
    Vouched,
    Vouching,
)
from tests.support.signer import Deployment

UPSTREAM = Reference.parse("registry.example/app:1.4")
MIRROR = Reference.parse("mirror.example/app:1.4")
DIGEST = Digest.of(b"upstream's")
OTHER = Digest.of(b"another")
NEVER = (Grade.DIVERGED, Grade.INCONCLUSIVE, Grade.MISSING)
NOW = datetime(2026, 3, 20, 23, 59, tzinfo=UTC)
HOUR = timedelta(hours=1)
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
        explanation=st.builds(
            Explanation,
            summary=st.just("why"),
            proven=st.booleans(),
            age=st.sampled_from([None, HOUR, 48 * HOUR]),
        ),
        digest=st.sampled_from([DIGEST, None]),
        findings=findings,
    ),
    max_size=3,
).map(tuple)
facts = st.builds(
    Facts,
    requested=st.just("app"),
    now=st.just(NOW),
    upstream=st.builds(
        UpstreamResult, reference=st.just(UPSTREAM), digest=st.sampled_from([DIGEST, None])
    ),
    mirrors=mirrors,
    findings=findings,
)
policies = st.builds(
    lambda accept, most: Policy((PolicyRule(accept=frozenset(accept), stale_max_age=most),)),
    st.sets(st.sampled_from(sorted(ACCEPTABLE)), min_size=1),
    st.sampled_from([None, 36 * HOUR]),
)


def has_error(said: tuple[Finding, ...]) -> bool:
    return any(each.level is Level.ERROR for each in said)


def is_acceptable(rule: PolicyRule, mirror: MirrorResult) -> bool:
    if mirror.grade is Grade.STALE:
        age = mirror.explanation.age
        return rule.stale_max_age is not None and age is not None and age <= rule.stale_max_age
    proven = mirror.grade is not Grade.REPACKAGED or mirror.explanation.proven
    return mirror.grade in rule.accept and proven


@given(policies, facts)
def test_what_is_allowed_was_accepted_in_every_respect(policy: Policy, seen: Facts) -> None:
    verdict = decide(policy, seen)
    allowed = verdict.decision is Decision.ALLOW
    good = (
        bool(seen.mirrors)
        and seen.upstream.digest is not None
        and not has_error(seen.findings)
        and all(
            is_acceptable(policy.rules[0], each)
            and each.digest is not None
            and not has_error(each.findings)
            for each in seen.mirrors
        )
    )
    assert allowed == good
    assert verdict.pinned == (UPSTREAM.pinned(DIGEST) if allowed else None)
    assert [each.grade for each in verdict.mirrors] == [each.grade for each in seen.mirrors]


@given(policies, facts)
def test_stale_tag_freeze_upstream_down_fail_open_a_denial_has_a_reason(
    policy: Policy, seen: Facts
) -> None:
    verdict = decide(policy, seen)
    if verdict.decision is Decision.DENY:
        denied = any(each.decision is Decision.DENY for each in verdict.mirrors)
        assert denied or has_error(seen.findings)
    if seen.upstream.digest is None or not seen.mirrors:
        wrong = any(each.grade is Grade.DIVERGED for each in seen.mirrors)
        assert verdict.decision is (Decision.DENY if wrong else Decision.INCONCLUSIVE)


@given(policies, facts)
def test_offline_nothing_is_allowed_or_said_to_be_upstreams_without_a_signature(
    policy: Policy, seen: Facts
) -> None:
    upstream = replace(seen.upstream, rung=ResolvedFrom.SIGNATURE)
    signed = policy.also_requiring((REQUIREMENT,))
    for standing in (None, Standing.FAILS, Standing.UNKNOWN):
        vouching = None if standing is None else Vouching(standing)
        verdict = decide(signed, replace(seen, upstream=upstream, vouching=vouching))
        assert verdict.decision is not Decision.ALLOW
        assert verdict.upstream.resolved_from is None
        assert all(each.decision is not Decision.ALLOW for each in verdict.mirrors)


@given(policies, facts)
def test_a_mirror_that_was_not_graded_is_never_more_than_inconclusive(
    policy: Policy, seen: Facts
) -> None:
    for each in decide(policy, seen).mirrors:
        undecided = each.decision is Decision.INCONCLUSIVE
        assert undecided == (each.grade is Grade.INCONCLUSIVE)
        assert each.decision is not Decision.ALLOW or each.grade not in NEVER


@given(policies, facts)
def test_a_pull_is_stopped_by_what_upstream_never_published(policy: Policy, seen: Facts) -> None:
    verdict = decide(policy, seen, Purpose.PULL)
    spoken_for = any(each.rule is Rule.NOT_INDEPENDENT for m in seen.mirrors for each in m.findings)
    strange = Grade.DIVERGED in {each.grade for each in seen.mirrors}
    if not seen.mirrors or (seen.upstream.digest is None and not strange):
        expected = Decision.INCONCLUSIVE
    elif has_error(seen.findings) or strange:
        expected = Decision.DENY
    else:
        expected = Decision.INCONCLUSIVE if spoken_for else Decision.ALLOW
    assert verdict.decision is expected
    assert verdict.pinned == (UPSTREAM.pinned(DIGEST) if expected is Decision.ALLOW else None)


def known(*judged: MirrorResult, said: tuple[Finding, ...] = ()) -> Facts:
    return Facts("app", NOW, UpstreamResult(UPSTREAM, DIGEST), judged, said)


def mirror(
    grade: Grade,
    *said: Finding,
    digest: Digest | None = OTHER,
    age: timedelta | None = None,
    proven: bool = False,
) -> MirrorResult:
    explanation = Explanation("why", age=age, proven=proven)
    return MirrorResult(MIRROR, grade, explanation, digest, findings=said)


@pytest.mark.parametrize("grade", Grade)
@pytest.mark.parametrize("policy", [DEFAULT_POLICY, SAMENESS])
def test_what_the_built_in_policies_accept(grade: Grade, policy: Policy) -> None:
    accepted = {Grade.IDENTICAL} | ({Grade.SUBSET} if policy is DEFAULT_POLICY else set())
    verdict = decide(policy, known(mirror(grade, age=HOUR)))
    assert (verdict.decision is Decision.ALLOW) == (grade in accepted)


@pytest.mark.parametrize("grade", [*NEVER, Grade.STALE])
def test_no_rule_accepts_what_was_not_published(grade: Grade) -> None:
    with pytest.raises(ValueError, match=f"{grade} cannot be accepted"):
        PolicyRule(accept=frozenset({Grade.IDENTICAL, grade}))


def test_a_rule_that_accepts_nothing_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="nothing cannot be accepted"):
        PolicyRule(accept=frozenset())


def test_default_deny_an_image_that_no_rule_is_for_is_denied() -> None:
    policy = Policy((PolicyRule(Pattern.parse("registry.example/other/**")),))
    for purpose in Purpose:
        verdict = decide(policy, known(mirror(Grade.IDENTICAL)), purpose)
        assert verdict.decision is Decision.DENY
        assert [each.rule for each in verdict.findings] == [Rule.NO_MATCHING_RULE]
    assert decide(Policy(()), known(mirror(Grade.IDENTICAL))).decision is Decision.DENY


AGED = Policy((PolicyRule(stale_max_age=36 * HOUR),))


@pytest.mark.parametrize(
    ("age", "allowed"), [(HOUR, True), (36 * HOUR, True), (37 * HOUR, False), (None, False)]
)
def test_stale_tag_freeze_an_earlier_image_is_taken_up_to_its_age(
    age: timedelta | None, *, allowed: bool
) -> None:
    verdict = decide(AGED, known(mirror(Grade.STALE, age=age)))
    assert (verdict.decision is Decision.ALLOW) == allowed
    assert verdict.pinned == (UPSTREAM.pinned(OTHER) if allowed else None)


def test_what_is_pinned_is_upstreams_own_where_a_mirror_has_it() -> None:
    both = known(mirror(Grade.STALE, age=HOUR), mirror(Grade.IDENTICAL, digest=DIGEST))
    assert decide(AGED, both).pinned == UPSTREAM.pinned(DIGEST)


@pytest.mark.parametrize(("policy", "digest"), [(AGED, OTHER), (DEFAULT_POLICY, DIGEST)])
def test_a_pull_takes_the_earlier_image_only_where_that_is_accepted(
    policy: Policy, digest: Digest
) -> None:
    verdict = decide(policy, known(mirror(Grade.STALE, age=HOUR)), Purpose.PULL)
    assert verdict.pinned == UPSTREAM.pinned(digest)


WARNING = Policy((PolicyRule(enforcement=Enforcement.WARN),))


@pytest.mark.parametrize("grade", Grade)
def test_a_rule_that_only_warns_never_lets_through_what_upstream_did_not_publish(
    grade: Grade,
) -> None:
    verdict = decide(WARNING, known(mirror(grade)))
    expected = {Grade.DIVERGED: Decision.DENY, Grade.INCONCLUSIVE: Decision.INCONCLUSIVE}
    assert verdict.decision is expected.get(grade, Decision.ALLOW)
    milder = {Grade.STALE, Grade.REPACKAGED, Grade.MISSING}
    said = {each.rule for each in verdict.findings}
    assert (Rule.NOT_ENFORCED in said) == (grade in milder)


def test_a_rule_that_only_warns_makes_errors_warnings() -> None:
    wrong = Finding(Rule.PLATFORM_ABSENT, Level.ERROR, "said")
    verdict = decide(WARNING, known(mirror(Grade.IDENTICAL), said=(wrong,)))
    assert verdict.decision is Decision.ALLOW
    assert {each.level for each in verdict.findings} == {Level.WARNING}


@pytest.mark.parametrize("purpose", Purpose)
def test_pinned_digest_ignored_no_level_overrules_the_digest_that_was_written(
    purpose: Purpose,
) -> None:
    wrong = Finding(Rule.TAG_DIGEST_MISMATCH, Level.ERROR, "said")
    verdict = decide(WARNING, known(mirror(Grade.IDENTICAL), said=(wrong,)), purpose)
    assert (verdict.decision, verdict.pinned) == (Decision.DENY, None)
    assert [each.level for each in verdict.findings] == [Level.ERROR]


ONE_DAY = Exemption(
    Pattern.parse("registry.example/app"), OTHER, "patched by hand", "ops", date(2026, 3, 20)
)


def exempting(exemption: Exemption) -> Policy:
    return Policy((PolicyRule(),), (exemption,))


def test_an_exempted_digest_is_allowed_whatever_its_grade() -> None:
    for grade in set(Grade) - {Grade.INCONCLUSIVE, Grade.MISSING}:
        absent = Finding(Rule.PLATFORM_ABSENT, Level.ERROR, "said")
        verdict = decide(exempting(ONE_DAY), known(mirror(grade, absent)))
        assert verdict.decision is Decision.ALLOW, grade
        assert verdict.pinned == UPSTREAM.pinned(OTHER)
        exempted = verdict.mirrors[0].findings[-1]
        assert exempted.rule is Rule.EXEMPTED
        assert "ops: patched by hand" in exempted.message
        assert decide(exempting(ONE_DAY), known(mirror(grade)), Purpose.PULL).pinned is not None


@pytest.mark.parametrize(
    "exemption",
    [
        replace(ONE_DAY, digest=DIGEST),
        replace(ONE_DAY, expires=date(2026, 3, 19)),
        replace(ONE_DAY, pattern=Pattern.parse("registry.example/app2")),
    ],
    ids=["other digest", "over", "other image"],
)
def test_exceptions_scope_an_exemption_is_for_one_digest_of_one_image_until_a_day(
    exemption: Exemption,
) -> None:
    verdict = decide(exempting(exemption), known(mirror(Grade.DIVERGED)))
    assert verdict.decision is Decision.DENY


@pytest.mark.parametrize("rule", [Rule.DIGEST_MISMATCH, Rule.MALFORMED, Rule.NOT_INDEPENDENT])
def test_no_exemption_is_for_bytes_that_are_not_the_digests(rule: Rule) -> None:
    wrong = Finding(rule, Level.ERROR, "said")
    verdict = decide(exempting(ONE_DAY), known(mirror(Grade.DIVERGED, wrong)))
    assert verdict.decision is Decision.DENY


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


# --- signatures, of the rule and of the caller ----------------------------------------------------

REQUIREMENT = Requirement((Deployment().make("key alone", b"{}").demand,))
SAME = MirrorResult(MIRROR, Grade.IDENTICAL, Explanation("why"), DIGEST)
STANDINGS = st.sampled_from([*Standing, None])
OUTCOMES = {
    Standing.HOLDS: Decision.ALLOW,
    Standing.FAILS: Decision.DENY,
    Standing.UNKNOWN: Decision.INCONCLUSIVE,
    None: Decision.INCONCLUSIVE,
}


def vouching(standing: Standing | None) -> Vouching | None:
    if standing is None:
        return None
    if standing is Standing.HOLDS:
        evidence = Evidence(SignatureFormat.BUNDLE, None, DIGEST, DIGEST)
        return Vouching(standing, (Vouched(evidence, SubjectLevel.PLATFORM, ("a.example",)),))
    rule = Rule.UNSIGNED if standing is Standing.FAILS else Rule.SIGNATURE_LOOKUP_FAILED
    return Vouching(standing, (), (Finding(rule, Level.ERROR, "said"),))


@dataclass(frozen=True)
class Case:
    """A rule's level, and what came of its own requirement and of the caller's, if there are."""

    level: Enforcement
    required: bool
    is_asked: bool
    own: Standing | None
    asked: Standing | None

    @property
    def policy(self) -> Policy:
        requires = (REQUIREMENT,) if self.required else ()
        asked = (REQUIREMENT,) if self.is_asked else ()
        return Policy((PolicyRule(enforcement=self.level, requires=requires, asked=asked),))

    @property
    def facts(self) -> Facts:
        return Facts(
            *("app", NOW, UpstreamResult(UPSTREAM, DIGEST), (SAME,)),
            vouching=vouching(self.asked) if self.is_asked else None,
            own=vouching(self.own) if self.required else None,
        )

    @property
    def warns(self) -> bool:
        return self.required and self.level is Enforcement.WARN and self.own is Standing.FAILS

    @property
    def expected(self) -> Decision:
        outcomes = [OUTCOMES[self.asked]] if self.is_asked else []
        if self.required and not self.warns:
            outcomes.append(OUTCOMES[self.own])
        worst = (Decision.DENY, Decision.INCONCLUSIVE, Decision.ALLOW)
        return min(outcomes, key=worst.index, default=Decision.ALLOW)


@given(
    st.builds(
        Case,
        level=st.sampled_from(Enforcement),
        required=st.booleans(),
        is_asked=st.booleans(),
        own=STANDINGS,
        asked=STANDINGS,
    ),
    st.sampled_from(Purpose),
)
def test_both_the_rule_and_the_caller_have_to_be_content(case: Case, purpose: Purpose) -> None:
    verdict = decide(case.policy, case.facts, purpose)
    assert verdict.decision is case.expected
    told = any(each.rule is Rule.NOT_ENFORCED for each in verdict.findings)
    assert told == (case.warns and case.expected is Decision.ALLOW)
    digests = to_be_vouched_for(case.policy, case.facts, purpose)
    assert digests == ((DIGEST,) if case.required or case.is_asked else ())


def test_nothing_has_to_be_vouched_for_where_no_rule_is() -> None:
    policy = Policy((PolicyRule(Pattern.parse("quay.io/**"), requires=(REQUIREMENT,)),))
    seen = Facts("app", NOW, UpstreamResult(UPSTREAM, DIGEST), (SAME,))
    assert to_be_vouched_for(policy, seen, Purpose.USE) == ()
    assert decide(policy, seen).decision is Decision.DENY
