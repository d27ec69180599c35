"""What a tag names: headers that lie, tags that move, digests that were written, and the cost."""

from dataclasses import replace

import pytest

from imgverify.oci.digest import Algorithm, Digest
from imgverify.policy.model import DEFAULT_POLICY, Enforcement, Policy
from imgverify.policy.model import Rule as PolicyRule
from imgverify.serve.loopback import Response
from imgverify.verdict import Decision, Grade, Level, Rule, Verdict
from imgverify.verify import Question
from tests.support.fault import MANIFESTS, Call
from tests.support.faults import (
    Custom,
    Header,
    Status,
    When,
    moving_tag,
    no_head,
)
from tests.support.image import (
    ImageIndex,
    put,
)
from tests.unit.verify.world import (
    FORGED,
    NEW,
    OLD,
    PATH,
    TAG,
    World,
    grade,
    is_allowed,
    only,
    pinned,
    rules,
)

STRANGE = Digest.of(b"strange")
CLAIMS = {
    "true": None,
    "absent": Header("Docker-Content-Digest", None, when=MANIFESTS),
    "other": Header("Docker-Content-Digest", str(STRANGE), when=MANIFESTS),
    "the-mirrors": Header("Docker-Content-Digest", str(FORGED.digest), when=MANIFESTS),
    "algorithm": Header(
        "Docker-Content-Digest", str(Digest.of(b"strange", Algorithm.SHA512)), when=MANIFESTS
    ),
    "malformed": Header("Docker-Content-Digest", "sha256:xyz", when=MANIFESTS),
    "md5": Header("Docker-Content-Digest", "md5:" + "0" * 32, when=MANIFESTS),
}
READABLE_LIES = {"other", "the-mirrors", "algorithm"}


@pytest.mark.parametrize("mirror_says", CLAIMS)
@pytest.mark.parametrize("upstream_says", CLAIMS)
def test_header_digest_trust_no_header_changes_a_grade(
    pair: World, upstream_says: str, mirror_says: str
) -> None:
    for side, says in (("upstream", upstream_says), ("mirror", mirror_says)):
        fault = CLAIMS[says]
        if fault is not None:
            pair.play(side, fault)
    pair.holds(NEW, NEW)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.ALLOW, Grade.IDENTICAL)
    assert pinned(verdict) == NEW.digest
    lies = {upstream_says, mirror_says} & READABLE_LIES
    assert rules(verdict) == ({Rule.HEADER_MISMATCH} if lies else set())
    assert len(_mismatches(verdict)) == (upstream_says in READABLE_LIES) + (
        mirror_says in READABLE_LIES
    )


def _mismatches(verdict: Verdict) -> list[str]:
    findings = (*verdict.findings, *only(verdict).findings)
    found = [each for each in findings if each.rule is Rule.HEADER_MISMATCH]
    assert {each.level for each in found} <= {Level.WARNING}
    return [each.message for each in found]


@pytest.mark.parametrize("says", sorted(set(CLAIMS) - {"the-mirrors"}))
@pytest.mark.parametrize("method", ["HEAD", "GET", ""])
def test_header_digest_trust_a_forged_image_stays_forged(
    pair: World, says: str, method: str
) -> None:
    fault = CLAIMS[says]
    if fault is not None:
        pair.play("mirror", Header(fault.name, fault.value, when=When(method, "/manifests/")))
        pair.play("upstream", Header(fault.name, fault.value, when=When(method, "/manifests/")))
    # The mirror's lie that helps it most: upstream's own digest.
    pair.play("mirror", Header("Docker-Content-Digest", str(NEW.digest), when=MANIFESTS))
    pair.holds(NEW, FORGED)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    assert Rule.HEADER_MISMATCH in rules(verdict)


def test_header_digest_trust_upstreams_own_head_is_its_word(pair: World) -> None:
    # A registry that names the wrong digest for its own tag has published that one.
    pair.holds(NEW, OLD, OLD)
    pair.play("upstream", Header("Docker-Content-Digest", str(OLD.digest), when=When("HEAD")))
    verdict = pair.ask()
    assert (grade(verdict), pinned(verdict)) == (Grade.IDENTICAL, OLD.digest)


def test_algorithm_policy_a_header_of_another_algorithm_is_no_lie(pair: World) -> None:
    longer = str(Digest.of(NEW.manifest, Algorithm.SHA512))
    for side in ("upstream", "mirror"):
        pair.play(side, Header("Docker-Content-Digest", longer, when=MANIFESTS))
    pair.holds(NEW, NEW)
    verdict = pair.ask()
    assert is_allowed(verdict)
    assert rules(verdict) == set()


def test_algorithm_policy_the_same_bytes_by_two_algorithms(pair: World) -> None:
    pair.holds(NEW, NEW)
    kind = NEW.media_type
    longer = Algorithm.SHA512
    for each in (pair.upstream, pair.mirror):
        each.shelf.put_manifest(PATH, NEW.manifest, kind, algorithm=longer)
    written = Digest.of(NEW.manifest, longer)
    names = [pair.name(each, None, written) for each in (pair.upstream, pair.mirror)]
    tags = [pair.name(each) for each in (pair.upstream, pair.mirror)]
    for upstream, mirror in ((names[0], tags[1]), (tags[0], names[1]), (names[0], names[1])):
        verdict = pair.put_question(Question("app", upstream, (mirror,)))
        assert (verdict.decision, grade(verdict)) == (Decision.ALLOW, Grade.IDENTICAL)


@pytest.mark.parametrize("status", [400, 405, 501])
def test_upstream_without_head(pair: World, status: int) -> None:
    pair.upstream.play(Status(status, when=When("HEAD")))
    pair.holds(NEW, NEW)
    assert is_allowed(pair.ask())
    pair.holds(NEW, OLD, OLD)
    assert grade(pair.ask()) is Grade.STALE
    pair.holds(NEW, FORGED)
    assert grade(pair.ask()) is Grade.DIVERGED


@pytest.mark.parametrize("nth", range(1, 5))
@pytest.mark.parametrize("mirrored", [OLD, NEW], ids=["behind", "ahead"])
@pytest.mark.parametrize("without_head", [False, True])
def test_tag_moves_mid_compare(
    pair: World, nth: int, mirrored: ImageIndex, *, without_head: bool
) -> None:
    pair.holds(NEW, mirrored, OLD)
    put(pair.upstream.shelf, PATH, NEW)
    if without_head:
        pair.upstream.play(no_head())
    history = (*(OLD.digest for _ in range(nth - 1)), NEW.digest)
    pair.upstream.play(moving_tag(PATH, TAG, *history))
    verdict = pair.ask()
    assert grade(verdict) in (Grade.IDENTICAL, Grade.STALE)
    assert is_allowed(verdict) == (pinned(verdict) == mirrored.digest)
    assert verdict.upstream.digest in (OLD.digest, NEW.digest)
    # Whoever asks again is told how it is now.
    assert is_allowed(pair.ask()) == (mirrored is NEW)


@pytest.mark.parametrize("nth", range(1, 5))
def test_tag_moves_mid_compare_never_hides_a_forgery(pair: World, nth: int) -> None:
    pair.holds(NEW, FORGED, OLD)
    history = (*(OLD.digest for _ in range(nth - 1)), NEW.digest)
    pair.upstream.play(moving_tag(PATH, TAG, *history))
    assert grade(pair.ask()) is Grade.DIVERGED


@pytest.mark.parametrize("nth", range(1, 5))
def test_tag_moves_mid_compare_at_the_mirror(pair: World, nth: int) -> None:
    pair.holds(NEW, NEW, OLD)
    put(pair.mirror.shelf, PATH, OLD)
    history = (*(OLD.digest for _ in range(nth - 1)), NEW.digest)
    pair.mirror.play(moving_tag(PATH, TAG, *history))
    verdict = pair.ask()
    assert grade(verdict) is (Grade.IDENTICAL if nth == 1 else Grade.STALE)
    assert is_allowed(verdict) == (only(verdict).digest == NEW.digest)


@pytest.mark.parametrize("mirrored", [NEW, OLD, FORGED])
def test_tag_moves_mid_compare_without_end(pair: World, mirrored: ImageIndex) -> None:
    pair.holds(NEW, mirrored, OLD)
    pair.upstream.play(moving_tag(PATH, TAG, *((OLD.digest, NEW.digest) * 20)))
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert rules(verdict) == {Rule.UNREACHABLE}


def test_tag_moves_mid_compare_between_the_header_and_the_bytes(pair: World) -> None:
    pair.holds(NEW, FORGED, OLD)
    moves = (OLD, OLD, NEW, NEW, NEW, NEW, NEW)
    pair.upstream.play(moving_tag(PATH, TAG, *(each.digest for each in moves)))
    verdict = pair.ask()
    assert verdict.upstream.digest == NEW.digest
    assert rules(verdict) == set()


def test_a_digest_beside_a_tag_that_agrees(pair: World) -> None:
    pair.holds(NEW, NEW)
    verdict = pair.put_question(pair.question(digest=NEW.digest))
    assert is_allowed(verdict)
    assert verdict.pinned == pair.name(pair.upstream).pinned(NEW.digest)


@pytest.mark.parametrize("pulling", [False, True])
def test_pinned_digest_ignored_a_digest_beside_a_tag_that_disagrees(
    pair: World, *, pulling: bool
) -> None:
    pair.holds(NEW, NEW, OLD)
    put(pair.mirror.shelf, PATH, OLD)
    warning = Policy((PolicyRule(enforcement=Enforcement.WARN),))
    for policy in (DEFAULT_POLICY, warning):
        question = pair.question(digest=OLD.digest)
        verdict = pair.put_question(question, policy=policy, pulling=pulling)
        assert verdict.decision is Decision.DENY
        assert Rule.TAG_DIGEST_MISMATCH in rules(verdict)


def test_a_digest_alone(pair: World) -> None:
    pair.holds(NEW, NEW, OLD)
    put(pair.mirror.shelf, PATH, OLD)
    for each in (OLD, NEW):
        verdict = pair.put_question(pair.question(tag=None, digest=each.digest))
        assert (is_allowed(verdict), pinned(verdict)) == (True, each.digest)
    pair.upstream.forget()
    unknown = pair.put_question(pair.question(tag=None, digest=STRANGE))
    assert unknown.decision is Decision.INCONCLUSIVE
    assert pair.upstream.count() == 1


@pytest.mark.parametrize("side", ["upstream", "mirror"])
@pytest.mark.parametrize("tag", [None, TAG])
def test_pinned_digest_ignored_other_bytes_for_the_digest(
    pair: World, side: str, tag: str | None
) -> None:
    pair.holds(NEW, NEW)
    pair.play(side, Custom(_forged, when=MANIFESTS))
    verdict = pair.put_question(pair.question(tag=tag, digest=NEW.digest))
    if side == "mirror":
        assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    else:
        # Its header still says the truth about the digest; the mirror's bytes are the right ones.
        assert pinned(verdict) in (None, NEW.digest)


def _forged(call: Call) -> Response:
    return replace(call.response, body=FORGED.manifest)
