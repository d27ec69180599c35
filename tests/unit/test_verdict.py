"""What was found, and what was decided."""

import pytest

from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference
from imgverify.verdict import (
    Coverage,
    Decision,
    Explanation,
    Finding,
    Grade,
    Level,
    MirrorResult,
    ResolvedFrom,
    Rule,
    Standing,
    UpstreamResult,
    Verdict,
    Vouching,
)

DIGEST = Digest.of(b"x")
UPSTREAM = UpstreamResult(Reference.parse("nginx"), DIGEST)
PINNED = Reference.parse("nginx").pinned(DIGEST)
ERROR = Finding(Rule.MALFORMED, Level.ERROR, "it is broken")
NOTE = Finding(Rule.INSECURE, Level.NOTE, "plain HTTP")
ACCEPTABLE = {Grade.IDENTICAL, Grade.SUBSET, Grade.REPACKAGED, Grade.STALE}


def mirror(
    grade: Grade,
    decision: Decision = Decision.ALLOW,
    digest: Digest | None = DIGEST,
    findings: tuple[Finding, ...] = (),
) -> MirrorResult:
    return MirrorResult(
        Reference.parse("m.example/nginx"),
        grade,
        Explanation("because"),
        digest,
        findings=findings,
        decision=decision,
    )


def verdict(decision: Decision, pinned: Reference | None, *findings: Finding) -> Verdict:
    return Verdict("nginx", UPSTREAM, (), findings, decision, pinned)


def test_nothing_is_allowed_by_default() -> None:
    assert Verdict("nginx", UPSTREAM).decision is Decision.INCONCLUSIVE
    result = MirrorResult(UPSTREAM.reference, Grade.IDENTICAL, Explanation(""), DIGEST)
    assert (result.decision, result.coverage) == (Decision.INCONCLUSIVE, Coverage.NOTHING)


@pytest.mark.parametrize("grade", Grade)
def test_only_a_graded_mirror_can_be_allowed(grade: Grade) -> None:
    if grade in ACCEPTABLE:
        assert mirror(grade, findings=(NOTE,)).grade is grade
    else:
        with pytest.raises(ValueError, match=f"graded {grade} cannot be allowed"):
            mirror(grade)
    assert mirror(grade, Decision.DENY).decision is Decision.DENY


def test_a_mirror_without_a_digest_or_with_an_error_cannot_be_allowed() -> None:
    with pytest.raises(ValueError, match="cannot be allowed"):
        mirror(Grade.IDENTICAL, digest=None)
    with pytest.raises(ValueError, match="cannot be allowed"):
        mirror(Grade.IDENTICAL, findings=(NOTE, ERROR))
    assert mirror(Grade.IDENTICAL, Decision.DENY, None, (ERROR,)).findings == (ERROR,)


def test_an_allowed_verdict_is_pinned() -> None:
    assert verdict(Decision.ALLOW, PINNED, NOTE).pinned == PINNED
    with pytest.raises(ValueError, match="does not go with"):
        verdict(Decision.ALLOW, None)


def test_an_allowed_verdict_is_pinned_by_digest_and_not_by_tag() -> None:
    with pytest.raises(ValueError, match="does not go with"):
        verdict(Decision.ALLOW, Reference.parse("nginx:latest"))


@pytest.mark.parametrize("decision", [Decision.DENY, Decision.INCONCLUSIVE])
def test_what_was_not_allowed_is_not_pinned(decision: Decision) -> None:
    assert verdict(decision, None, ERROR).pinned is None
    with pytest.raises(ValueError, match="does not go with"):
        verdict(decision, PINNED)


def test_a_verdict_with_an_error_cannot_be_allowed() -> None:
    with pytest.raises(ValueError, match="does not go with"):
        verdict(Decision.ALLOW, PINNED, NOTE, ERROR)


def test_who_told_the_digest_is_said_exactly_where_there_is_one() -> None:
    assert UPSTREAM.resolved_from is ResolvedFrom.UPSTREAM
    assert UpstreamResult(UPSTREAM.reference).resolved_from is None


def test_a_finding_points_to_the_section_of_its_rule() -> None:
    assert ERROR.help_uri.endswith("docs/rules.md#malformed")


@pytest.mark.parametrize("rule", Rule)
def test_a_rule_s_name_can_be_an_anchor(rule: Rule) -> None:
    assert rule.value == rule.name.lower().replace("_", "-")


def test_nothing_holds_without_anybody_who_vouches() -> None:
    with pytest.raises(ValueError, match="nobody vouches for it"):
        Vouching(Standing.HOLDS)
    for standing in (Standing.FAILS, Standing.UNKNOWN):
        assert Vouching(standing).vouched == ()
