"""What is attested of an image: required beside signatures, and never taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.policy.model import DEFAULT_POLICY, Enforcement, Policy
from imgverify.policy.model import Rule as PolicyRule
from imgverify.policy.requirement import Requirement
from imgverify.signature.predicate import Condition, OneOf, Pointer
from imgverify.verdict import Decision, Level, Rule, SubjectLevel, Verdict
from tests.support.attach import Place, attach
from tests.support.authorities import NOW
from tests.support.fault import When
from tests.support.faults import Status
from tests.support.image import Image, ImageIndex, put
from tests.support.signer import SLSA, Deployment, Specimen
from tests.unit.verify.world import NEW, NEW_AMD64, OLD, PATH, TAG, World

if TYPE_CHECKING:
    from collections.abc import Callable

SIGSTORE = Deployment()
KEYLESS, KEYED, LEGACY = "keyless, Rekor v1", "key alone", "cosign attestation, dsse"
VULN = "https://cosign.sigstore.dev/attestation/vuln/v1"
AMD64 = Platform("linux", "amd64")


def attested(
    item: Image | ImageIndex = NEW, name: str = KEYLESS, kind: str = SLSA, **predicate: object
) -> Specimen:
    return SIGSTORE.make(name, item.manifest, predicateType=kind, predicate=predicate)


def signed(item: Image | ImageIndex = NEW, name: str = KEYLESS) -> Specimen:
    return SIGSTORE.make(name, item.manifest)


def requiring(*specimens: Specimen, level: Enforcement = Enforcement.ENFORCE) -> Policy:
    """Return a policy whose rule requires each of them, as a file would have it."""
    requires = tuple(Requirement((each.demand,)) for each in specimens)
    return Policy((PolicyRule(requires=requires, enforcement=level),))


def ask(world: World, policy: Policy, *platforms: Platform) -> Verdict:
    return world.put_question(world.question(*platforms), policy=policy, now=NOW)


def rules(verdict: Verdict) -> list[Rule]:
    quiet = (Rule.INSECURE, Rule.UNSIGNED_ATTESTATION, Rule.SIGNATURE_NOT_CARRIED)
    return [each.rule for each in verdict.findings if each.rule not in quiet]


def messages(verdict: Verdict, rule: Rule) -> list[str]:
    return [each.message for each in verdict.findings if each.rule is rule]


@pytest.fixture
def upstream(pair: World) -> Callable[..., None]:
    """Both sides have the image; returned is what puts attestations beside it at upstream."""
    pair.holds(NEW, NEW)

    def beside(*specimens: Specimen, item: Image | ImageIndex = NEW) -> None:
        for each in specimens:
            attach(pair.upstream.shelf, PATH, item, each, place=Place.REFERRER)

    return beside


@pytest.mark.parametrize("name", [KEYLESS, KEYED, "keyless, Rekor v2", "keyless, v0.2"])
@pytest.mark.parametrize("place", [Place.REFERRER, Place.FALLBACK, Place.DOWNGRADED])
@pytest.mark.parametrize("side", ["upstream", "mirror"])
def test_an_attestation_is_found_wherever_it_lies(
    pair: World, name: str, place: Place, side: str
) -> None:
    pair.holds(NEW, NEW)
    made = attested(name=name)
    host = getattr(pair, side)
    attach(host.shelf, PATH, NEW, made, place=place)
    verdict = ask(pair, requiring(made))
    assert verdict.decision is Decision.ALLOW, verdict.findings
    (vouched,) = verdict.evidence
    assert (vouched.level, vouched.found_at) == (SubjectLevel.INDEX, (host.host,))
    assert vouched.evidence.predicate_type == SLSA
    assert vouched.evidence.subject == NEW.digest
    assert not vouched.evidence.is_signature


def test_cosigns_tag_for_attestations_is_read(pair: World) -> None:
    pair.holds(NEW, NEW)
    made = attested(name=LEGACY)
    attach(pair.mirror.shelf, PATH, NEW, made, place=Place.TAG)
    assert ask(pair, requiring(made)).decision is Decision.ALLOW


def test_nothing_found_exit_an_image_of_which_nothing_is_attested_is_denied(
    pair: World, upstream: Callable[..., None]
) -> None:
    upstream()
    verdict = ask(pair, requiring(attested()))
    assert verdict.decision is Decision.DENY
    assert rules(verdict) == [Rule.UNATTESTED]
    (said,) = messages(verdict, Rule.UNATTESTED)
    assert SLSA in said
    assert pair.upstream.host in said
    assert pair.mirror.host in said


@pytest.mark.parametrize("side", ["upstream", "mirror"])
@pytest.mark.parametrize("path", ["/referrers/", ".sig", ".att"])
def test_a_lookup_that_failed_is_not_an_attestation_that_is_missing(
    pair: World, upstream: Callable[..., None], side: str, path: str
) -> None:
    upstream(signed())
    pair.play(side, Status(500, when=When(path=path)))
    verdict = ask(pair, requiring(attested()))
    assert verdict.decision is Decision.INCONCLUSIVE
    assert Rule.UNATTESTED not in rules(verdict)


def test_attestation_type_a_signature_is_no_attestation(
    pair: World, upstream: Callable[..., None]
) -> None:
    signature = signed(name=KEYED)
    wanted = SIGSTORE.make(KEYED, NEW.manifest, signature.signer, predicateType=SLSA)
    upstream(signature)
    for place in (Place.REFERRER, Place.TAG):
        layer = SIGSTORE.make("cosign, key alone", NEW.manifest, signature.signer)
        attach(pair.upstream.shelf, PATH, NEW, layer, place=place)
    verdict = ask(pair, requiring(wanted))
    assert verdict.decision is Decision.DENY
    assert {*rules(verdict)} == {Rule.UNATTESTED, Rule.SIGNATURE_REJECTED}
    assert all("predicate-mismatch" in each for each in messages(verdict, Rule.SIGNATURE_REJECTED))


def test_attestation_type_an_attestation_is_no_signature(
    pair: World, upstream: Callable[..., None]
) -> None:
    signature = signed(name=KEYED)
    upstream(SIGSTORE.make(KEYED, NEW.manifest, signature.signer, predicateType=SLSA))
    verdict = ask(pair, requiring(signature))
    assert verdict.decision is Decision.DENY
    assert rules(verdict)[0] is Rule.UNSIGNED


def right_signer_wrong_type(wanted: Specimen) -> Specimen:
    return SIGSTORE.make(KEYED, NEW.manifest, wanted.signer, predicateType=VULN)


def right_type_wrong_signer(_wanted: Specimen) -> Specimen:
    return attested(name=KEYED)


def about_another_image(wanted: Specimen) -> Specimen:
    return SIGSTORE.make(KEYED, OLD.manifest, wanted.signer, predicateType=SLSA)


def about_nothing_of_this_digest(wanted: Specimen) -> Specimen:
    other = {"sha1": NEW.digest.encoded[:40], "sha256": OLD.digest.encoded}
    subject = [{"name": str(NEW.digest), "digest": other}]
    return SIGSTORE.make(KEYED, NEW.manifest, wanted.signer, predicateType=SLSA, subject=subject)


def about_a_platform_of_it(wanted: Specimen) -> Specimen:
    return SIGSTORE.make(KEYED, NEW.images[0].manifest, wanted.signer, predicateType=SLSA)


def type_in_another_place(wanted: Specimen) -> Specimen:
    stating: dict[str, Any] = {"predicateType": VULN, "predicate": {"predicateType": SLSA}}
    return SIGSTORE.make(KEYED, NEW.manifest, wanted.signer, **stating)


@pytest.mark.parametrize(
    ("graft", "reason"),
    [
        (right_signer_wrong_type, "predicate-mismatch"),
        (right_type_wrong_signer, "signature-invalid"),
        (about_another_image, "artifact-mismatch"),
        (about_nothing_of_this_digest, "artifact-mismatch"),
        (about_a_platform_of_it, "artifact-mismatch"),
        (type_in_another_place, "predicate-mismatch"),
    ],
)
def test_attestation_type_a_graft_does_not_count(
    pair: World,
    upstream: Callable[..., None],
    graft: Callable[[Specimen], Specimen],
    reason: str,
) -> None:
    wanted = attested(name=KEYED)
    upstream(graft(wanted))
    verdict = ask(pair, requiring(wanted))
    assert verdict.decision is Decision.DENY
    assert verdict.evidence == ()
    (said,) = messages(verdict, Rule.SIGNATURE_REJECTED)
    assert f"an attestation of {NEW.digest.short} does not count: {reason}" in said
    upstream(wanted)
    assert ask(pair, requiring(wanted)).decision is Decision.ALLOW


def test_two_attestations_do_not_make_up_one(pair: World, upstream: Callable[..., None]) -> None:
    one, two = attested(name=KEYED, a=1, b=0), attested(name=KEYED, a=0, b=2)
    where = tuple(
        Condition(Pointer.parse(place), OneOf((value,))) for place, value in (("/a", 1), ("/b", 2))
    )
    second = SIGSTORE.make(
        KEYED, NEW.manifest, one.signer, predicateType=SLSA, predicate={"a": 0, "b": 2}
    )
    upstream(one, two, second)
    verdict = ask(pair, requiring(one.asking(where=where)))
    assert verdict.decision is Decision.DENY
    assert any("condition-unmet" in each for each in messages(verdict, Rule.SIGNATURE_REJECTED))
    whole = SIGSTORE.make(
        KEYED, NEW.manifest, one.signer, predicateType=SLSA, predicate={"a": 1, "b": 2}
    )
    upstream(whole)
    assert ask(pair, requiring(one.asking(where=where))).decision is Decision.ALLOW


def test_threshold_distinct_one_signer_does_not_meet_two_entries(
    pair: World, upstream: Callable[..., None]
) -> None:
    one, other = signed(name=KEYED), signed(name=KEYED)
    again = SIGSTORE.make("cosign, key alone", NEW.manifest, one.signer)
    both = Requirement((one.demand, again.asking(name=None).demand), 2)
    policy = Policy((PolicyRule(requires=(both,)),))
    upstream(one, again)
    assert ask(pair, policy).decision is Decision.DENY
    two = Requirement((one.demand, other.demand), 2)
    upstream(other)
    assert ask(pair, Policy((PolicyRule(requires=(two,)),))).decision is Decision.ALLOW


def test_each_requirement_holds_for_the_index_or_for_its_platforms(
    pair: World, upstream: Callable[..., None]
) -> None:
    signature, boms = signed(), [attested(each, KEYED) for each in NEW.images[:3]]
    boms[1:] = [
        SIGSTORE.make(KEYED, each.manifest, boms[0].signer, predicateType=SLSA)
        for each in NEW.images[1:3]
    ]
    upstream(signature)
    policy = requiring(signature, boms[0])
    for image, each in zip(NEW.images, boms, strict=False):
        assert ask(pair, policy).decision is Decision.DENY
        upstream(each, item=image)
    verdict = ask(pair, policy)
    assert verdict.decision is Decision.ALLOW, verdict.findings
    levels = [(each.evidence.is_signature, each.level) for each in verdict.evidence]
    assert levels == [(True, SubjectLevel.INDEX)] + [(False, SubjectLevel.PLATFORM)] * 3


def test_a_mirror_that_carries_the_signature_alone_is_told(
    pair: World, upstream: Callable[..., None]
) -> None:
    signature, attestation = signed(), attested()
    upstream(signature, attestation)
    attach(pair.mirror.shelf, PATH, NEW, signature, place=Place.REFERRER)
    verdict = ask(pair, requiring(signature, attestation))
    assert verdict.decision is Decision.ALLOW
    (said,) = messages(verdict, Rule.SIGNATURE_NOT_CARRIED)
    assert "does not carry the attestations" in said


# --- the rule's level -----------------------------------------------------------------------------


def test_a_rule_that_only_warns_allows_what_is_not_signed(
    pair: World, upstream: Callable[..., None]
) -> None:
    upstream()
    policy = requiring(signed(), attested(), level=Enforcement.WARN)
    verdict = ask(pair, policy)
    assert verdict.decision is Decision.ALLOW
    assert {*rules(verdict)} == {Rule.UNSIGNED, Rule.UNATTESTED, Rule.NOT_ENFORCED}
    assert not any(each.level is Level.ERROR for each in verdict.findings)
    pulled = pair.put_question(pair.question(), policy=policy, now=NOW, pulling=True)
    assert pulled.decision is Decision.ALLOW


def test_what_cannot_be_looked_up_is_never_warned_away(
    pair: World, upstream: Callable[..., None]
) -> None:
    upstream()
    pair.play("upstream", Status(500, when=When(path="/referrers/")))
    verdict = ask(pair, requiring(signed(), level=Enforcement.WARN))
    assert verdict.decision is Decision.INCONCLUSIVE
    assert Rule.NOT_ENFORCED not in rules(verdict)


@pytest.mark.parametrize("level", Enforcement)
def test_what_the_caller_asks_holds_whatever_the_level(
    pair: World, upstream: Callable[..., None], level: Enforcement
) -> None:
    own, asked = attested(), signed(name=KEYED)
    policy = requiring(own, level=level).also_requiring((Requirement((asked.demand,)),))
    warns = level is Enforcement.WARN
    upstream()
    verdict = ask(pair, policy)
    assert verdict.decision is Decision.DENY
    assert {*rules(verdict)} == {Rule.UNSIGNED, Rule.UNATTESTED}
    upstream(asked)
    verdict = ask(pair, policy)
    assert verdict.decision is (Decision.ALLOW if warns else Decision.DENY)
    assert (Rule.NOT_ENFORCED in rules(verdict)) == warns
    upstream(own)
    verdict = ask(pair, policy)
    assert verdict.decision is Decision.ALLOW
    assert rules(verdict) == []
    assert len(verdict.evidence) == 2


def test_what_both_require_is_told_once(pair: World, upstream: Callable[..., None]) -> None:
    made = signed()
    policy = requiring(made).also_requiring((Requirement((made.demand,)),))
    upstream()
    assert rules(ask(pair, policy)) == [Rule.UNSIGNED]
    upstream(made)
    verdict = ask(pair, policy)
    assert verdict.decision is Decision.ALLOW
    assert len(verdict.evidence) == 1
    # The index and three platforms the first time, and the index alone the second.
    assert pair.upstream.count(path="/referrers/") == 4 + 1


def test_a_rule_of_the_files_needs_no_mirror(pair: World, upstream: Callable[..., None]) -> None:
    made = attested()
    question = replace(pair.question(), mirrors=())
    upstream()
    for level, decision in (
        (Enforcement.ENFORCE, Decision.DENY),
        (Enforcement.WARN, Decision.ALLOW),
    ):
        policy = requiring(made, level=level)
        assert pair.put_question(question, policy=policy, now=NOW).decision is decision


@pytest.mark.parametrize("asked", [True, False])
def test_an_image_that_cannot_be_read_again_is_inconclusive(
    pair: World, upstream: Callable[..., None], *, asked: bool
) -> None:
    made = attested()
    upstream(made)
    pair.play("upstream", Status(503, when=When("GET", f"/manifests/{NEW.digest}")))
    question = replace(pair.question(), mirrors=())
    requirement = (Requirement((made.demand,)),)
    policy = DEFAULT_POLICY.also_requiring(requirement) if asked else requiring(made)
    verdict = pair.put_question(question, policy=policy, now=NOW)
    assert verdict.decision is Decision.INCONCLUSIVE
    (failed,) = [each for each in verdict.findings if each.level is Level.ERROR]
    assert failed.rule is Rule.SIGNATURE_LOOKUP_FAILED


# --- what a builder puts into the index -----------------------------------------------------------


def test_presence_is_not_trust_what_a_builder_puts_into_the_index_is_told_and_does_not_count(
    pair: World, upstream: Callable[..., None]
) -> None:
    upstream()
    verdict = ask(pair, requiring(attested()))
    assert verdict.decision is Decision.DENY
    told = messages(verdict, Rule.UNSIGNED_ATTESTATION)
    assert told == [
        f"the index has an attestation ({SLSA}) of {each.digest.short} ({each.platform}),"
        " and nobody signed it"
        for each in NEW.images[:3]
    ]
    notes = [each for each in verdict.findings if each.rule is Rule.UNSIGNED_ATTESTATION]
    assert all(each.level is Level.NOTE for each in notes)


def test_it_is_covered_by_a_signature_of_the_index_and_still_does_not_count(
    pair: World, upstream: Callable[..., None]
) -> None:
    signature = signed()
    upstream(signature)
    verdict = ask(pair, requiring(signature, attested()), AMD64)
    assert verdict.decision is Decision.DENY
    (told,) = messages(verdict, Rule.UNSIGNED_ATTESTATION)
    assert told.endswith("(linux/amd64), and only the signature of the index covers it")


def test_it_is_told_beside_one_that_counts_and_not_unless_it_is_asked_for(
    pair: World, upstream: Callable[..., None]
) -> None:
    signature, provenance, other = signed(), attested(), attested(kind=VULN)
    upstream(signature, provenance, other)
    verdict = ask(pair, requiring(provenance))
    assert verdict.decision is Decision.ALLOW
    assert len(messages(verdict, Rule.UNSIGNED_ATTESTATION)) == 3
    for policy in (requiring(signature), requiring(other)):
        assert messages(ask(pair, policy), Rule.UNSIGNED_ATTESTATION) == []


def replaced(kind: str, data: bytes) -> ImageIndex:
    """Return the index with another statement in the attestation of its first image."""
    old = NEW.images[3]
    layer = replace(old.layers[0], plain=data, blob=data)
    document = json.loads(old.manifest)
    document["layers"][0] |= {"digest": str(Digest.of(data)), "size": len(data)}
    document["layers"][0]["annotations"] = {"in-toto.io/predicate-type": kind}
    new = replace(old, manifest=json.dumps(document).encode(), layers=(layer,))
    listed = json.loads(NEW.manifest)
    listed["manifests"][3] |= {"digest": str(new.digest), "size": len(new.manifest)}
    images = (*NEW.images[:3], new, *NEW.images[4:])
    return replace(NEW, manifest=json.dumps(listed).encode(), images=images)


def test_one_that_is_about_another_image_is_not_told(pair: World) -> None:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": SLSA,
        "subject": [{"name": "_", "digest": {"sha256": OLD.digest.encoded}}],
    }
    whole = replaced(SLSA, json.dumps(statement).encode())
    pair.holds(whole, whole)
    verdict = ask(pair, requiring(attested(whole)), AMD64)
    assert verdict.decision is Decision.DENY
    assert messages(verdict, Rule.UNSIGNED_ATTESTATION) == []


def test_one_that_cannot_be_read_is_told_and_decides_nothing(pair: World) -> None:
    whole = replaced(SLSA, b"no statement")
    pair.holds(whole, whole)
    made = attested(whole)
    verdict = ask(pair, requiring(made), AMD64)
    assert verdict.decision is Decision.DENY
    (told,) = messages(verdict, Rule.UNSIGNED_ATTESTATION)
    assert "in the index cannot be read" in told
    attach(pair.upstream.shelf, PATH, whole, made, place=Place.REFERRER)
    assert ask(pair, requiring(made), AMD64).decision is Decision.ALLOW


def test_one_that_is_too_large_to_be_read_is_not_read(pair: World) -> None:
    whole = replaced(SLSA, b"{}" * 9 * 1024 * 1024)
    pair.holds(whole, whole)
    verdict = ask(pair, requiring(attested(whole)), AMD64)
    (told,) = messages(verdict, Rule.UNSIGNED_ATTESTATION)
    assert "too many to be read" in told


def test_one_whose_manifest_is_gone_is_told(pair: World) -> None:
    pair.holds(NEW, NEW)
    for side in ("upstream", "mirror"):
        pair.play(side, Status(404, when=When("GET", str(NEW.images[3].digest))))
    verdict = ask(pair, requiring(attested()), AMD64)
    assert verdict.decision is Decision.DENY
    (told,) = messages(verdict, Rule.UNSIGNED_ATTESTATION)
    assert "cannot be read" in told


def test_an_image_without_an_index_has_none(pair: World) -> None:
    for each in pair.registries:
        put(each.shelf, PATH, NEW_AMD64, TAG)
    verdict = ask(pair, requiring(attested(NEW_AMD64)))
    assert verdict.decision is Decision.DENY
    assert messages(verdict, Rule.UNSIGNED_ATTESTATION) == []
