"""Who vouches for an image: every place, every form, and what has to stay apart."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest

from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference
from imgverify.policy.model import DEFAULT_POLICY, Enforcement, Exemption, Policy
from imgverify.policy.model import Rule as PolicyRule
from imgverify.policy.pattern import Pattern
from imgverify.policy.requirement import Requirement
from imgverify.signature.demand import NameRule
from imgverify.verdict import Decision, Level, Rule, SubjectLevel, Verdict
from tests.support.attach import Place, attach
from tests.support.authorities import NOW
from tests.support.fault import When
from tests.support.faults import ServeOther, Status, no_referrers
from tests.support.image import put, release
from tests.support.signer import NAME, RECIPES, Deployment, Specimen
from tests.unit.verify.world import NEW, NEW_AMD64, OLD, PATH, TAG, World, world

SIGSTORE = Deployment()
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
NAMED = NameRule(Reference.parse(NAME))
BUNDLES = [name for name, each in RECIPES.items() if each.form == "bundle"]
TAGGED = [name for name, each in RECIPES.items() if each.form == "layer"]
ATTESTED = [name for name, each in RECIPES.items() if each.form == "attestation"]
KEYLESS, COSIGN = "keyless, Rekor v1", "cosign, keyless"


def specimen(name: str, item: object = NEW) -> Specimen:
    return SIGSTORE.make(name, item.manifest)  # type: ignore[attr-defined] # an image or index


def requiring(*specimens: Specimen, at_least: int = 1) -> Policy:
    demands = tuple(replace(each.demand, name=NAMED) for each in specimens)
    return DEFAULT_POLICY.also_requiring((Requirement(demands, at_least),))


def ask(world: World, policy: Policy, *platforms: Platform) -> Verdict:
    question = world.question(*platforms)
    return world.put_question(question, policy=policy, now=NOW)


def rules(verdict: Verdict) -> list[Rule]:
    return [each.rule for each in verdict.findings if each.rule is not Rule.INSECURE]


@pytest.fixture
def signed(pair: World) -> World:
    """Both sides have the image, and nobody has signed it yet."""
    pair.holds(NEW, NEW)
    return pair


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("place", [Place.REFERRER, Place.FALLBACK, Place.DOWNGRADED])
def test_every_bundle_is_found_wherever_registries_keep_it(
    signed: World, name: str, place: Place
) -> None:
    made = specimen(name)
    attach(signed.upstream.shelf, PATH, NEW, made, place=place)
    verdict = ask(signed, requiring(made))
    assert verdict.decision is Decision.ALLOW, verdict.findings
    (vouched,) = verdict.evidence
    assert vouched.level is SubjectLevel.INDEX
    assert vouched.evidence.subject == NEW.digest
    assert vouched.found_at == (signed.upstream.host,)
    assert Rule.SIGNATURE_NOT_CARRIED in rules(verdict)


@pytest.mark.parametrize("name", [*TAGGED, *ATTESTED])
@pytest.mark.parametrize("place", [Place.TAG, Place.REFERRER])
def test_every_form_of_cosigns_is_found(signed: World, name: str, place: Place) -> None:
    made = specimen(name)
    attach(signed.mirror.shelf, PATH, NEW, made, place=place)
    verdict = ask(signed, requiring(made))
    assert verdict.decision is Decision.ALLOW, verdict.findings
    assert verdict.evidence[0].found_at == (signed.mirror.host,)


def test_a_signature_at_both_sides_is_one(signed: World) -> None:
    made = specimen(KEYLESS)
    for each in signed.registries:
        attach(each.shelf, PATH, NEW, made, place=Place.REFERRER)
    verdict = ask(signed, requiring(made))
    (vouched,) = verdict.evidence
    assert vouched.found_at == (signed.upstream.host, signed.mirror.host)
    assert rules(verdict) == []


def test_a_registry_without_the_api_is_asked_for_tags(signed: World) -> None:
    made = specimen(COSIGN)
    attach(signed.upstream.shelf, PATH, NEW, made, place=Place.TAG)
    for side in ("upstream", "mirror"):
        signed.play(side, no_referrers())
    assert ask(signed, requiring(made)).decision is Decision.ALLOW


def test_nothing_found_exit_an_unsigned_image_is_denied(signed: World) -> None:
    verdict = ask(signed, requiring(specimen(KEYLESS)))
    assert verdict.decision is Decision.DENY
    assert rules(verdict) == [Rule.UNSIGNED]
    assert signed.upstream.host in verdict.findings[0].message
    assert verdict.evidence == ()


@pytest.mark.parametrize("side", ["upstream", "mirror"])
@pytest.mark.parametrize("path", ["/referrers/", ".sig", ".att"])
def test_a_lookup_that_failed_is_not_an_unsigned_image(signed: World, side: str, path: str) -> None:
    signed.play(side, Status(500, when=When(path=path)))
    verdict = ask(signed, requiring(specimen(KEYLESS)))
    assert verdict.decision is Decision.INCONCLUSIVE
    assert rules(verdict) == [Rule.SIGNATURE_LOOKUP_FAILED]


@pytest.mark.parametrize("side", ["upstream", "mirror"])
def test_a_signature_that_holds_outweighs_a_lookup_that_failed(signed: World, side: str) -> None:
    made = specimen(COSIGN)
    other = signed.mirror if side == "upstream" else signed.upstream
    attach(other.shelf, PATH, NEW, made, place=Place.TAG)
    signed.play(side, Status(503, when=When(path=".sig")))
    assert ask(signed, requiring(made)).decision is Decision.ALLOW


def test_a_signature_that_is_listed_and_gone_is_not_an_unsigned_image(signed: World) -> None:
    made = specimen(COSIGN)
    attach(signed.upstream.shelf, PATH, NEW, made, place=Place.TAG)
    blob = made.document["payload"].encode()
    signed.upstream.shelf.remove_blob(Digest.of(blob))
    assert ask(signed, requiring(made)).decision is Decision.INCONCLUSIVE


@pytest.mark.parametrize("text", [b"{", b'{"schemaVersion": 2, "layers": 7}'])
def test_what_is_listed_and_is_no_manifest_is_told_and_counts_for_nothing(
    signed: World, text: bytes
) -> None:
    listed = signed.upstream.shelf.put_manifest(PATH, text, mediatype.OCI_MANIFEST)
    list_beside(signed, listed, len(text))
    verdict = ask(signed, requiring(specimen(KEYLESS)))
    assert verdict.decision is Decision.DENY
    assert rules(verdict) == [Rule.SIGNATURE_REJECTED]


def test_what_is_listed_and_cannot_be_had_is_not_an_unsigned_image(signed: World) -> None:
    listed = signed.upstream.shelf.put_manifest(PATH, b"{}", mediatype.OCI_MANIFEST)
    list_beside(signed, listed, 2)
    signed.play("upstream", Status(500, when=When(path=str(listed))))
    verdict = ask(signed, requiring(specimen(KEYLESS)))
    assert verdict.decision is Decision.INCONCLUSIVE
    assert rules(verdict) == [Rule.SIGNATURE_LOOKUP_FAILED]


def test_an_index_that_is_listed_carries_no_signature(signed: World) -> None:
    list_beside(signed, OLD.digest, len(OLD.manifest))
    put(signed.upstream.shelf, PATH, OLD)
    assert rules(ask(signed, requiring(specimen(KEYLESS)))) == [Rule.UNSIGNED]


def list_beside(world: World, digest: Digest, size: int) -> None:
    """Let upstream's fallback tag list something, whatever that is."""
    kind = str(mediatype.OCI_MANIFEST)
    entry = {"mediaType": kind, "digest": str(digest), "size": size}
    listed = {"schemaVersion": 2, "mediaType": str(mediatype.OCI_INDEX), "manifests": [entry]}
    tag = f"sha256-{NEW.digest.encoded}"
    world.upstream.shelf.put_manifest(
        PATH, json.dumps(listed).encode(), mediatype.OCI_INDEX, tag=tag
    )


def test_presence_is_not_trust_a_strangers_signature_is_told_and_counts_for_nothing(
    signed: World,
) -> None:
    strange = Deployment().make(KEYLESS, NEW.manifest)
    attach(signed.upstream.shelf, PATH, NEW, strange, place=Place.REFERRER)
    verdict = ask(signed, requiring(specimen(KEYLESS)))
    assert verdict.decision is Decision.DENY
    (rejected,) = [each for each in verdict.findings if each.rule is Rule.SIGNATURE_REJECTED]
    assert rejected.level is Level.ERROR
    assert "certificate-untrusted" in rejected.message or "unknown" in rejected.message


@pytest.mark.parametrize("name", [KEYLESS, COSIGN, "key alone", "cosign, key alone"])
def test_a_genuine_signature_of_another_image_is_rejected(signed: World, name: str) -> None:
    made = specimen(name, OLD)
    place = Place.TAG if made.recipe.form == "layer" else Place.REFERRER
    attach(signed.upstream.shelf, PATH, NEW, made, place=place)
    verdict = ask(signed, requiring(made))
    assert verdict.decision is Decision.DENY
    assert any("artifact-mismatch" in each.message for each in verdict.findings)


def test_attestation_type_an_attestation_is_no_signature(signed: World) -> None:
    attested = specimen("keyless, intoto 0.0.1")
    attach(signed.upstream.shelf, PATH, NEW, attested, place=Place.REFERRER)
    verdict = ask(signed, requiring(attested.asking(predicate_type=None)))
    assert verdict.decision is Decision.DENY
    assert any("predicate-mismatch" in each.message for each in verdict.findings)


def test_index_vs_platform_all_that_is_wanted_may_be_signed_one_by_one(signed: World) -> None:
    made = [specimen(KEYLESS, each) for each in NEW.images[:3]]
    for image, each in zip(NEW.images, made, strict=False):
        attach(signed.upstream.shelf, PATH, image, each, place=Place.REFERRER)
    policy = requiring(made[0])
    verdict = ask(signed, policy)
    assert verdict.decision is Decision.ALLOW
    assert {each.level for each in verdict.evidence} == {SubjectLevel.PLATFORM}
    assert len(verdict.evidence) == 3


def test_index_vs_platform_one_of_them_is_not_enough_unless_it_is_all_that_is_wanted(
    signed: World,
) -> None:
    made = specimen(KEYLESS, NEW_AMD64)
    attach(signed.upstream.shelf, PATH, NEW_AMD64, made, place=Place.REFERRER)
    assert ask(signed, requiring(made)).decision is Decision.DENY
    assert ask(signed, requiring(made), AMD64).decision is Decision.ALLOW


def test_index_vs_platform_a_signed_index_does_not_vouch_for_a_bare_child(pair: World) -> None:
    for each in pair.registries:
        put(each.shelf, PATH, NEW)
        put(each.shelf, PATH, NEW_AMD64, TAG)
    made = specimen(KEYLESS, NEW)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    assert ask(pair, requiring(made)).decision is Decision.DENY


def test_threshold_distinct_one_signer_counts_once(signed: World) -> None:
    one, two = specimen(KEYLESS), specimen("keyless, Rekor v2")
    for made, place in ((one, Place.REFERRER), (two, Place.FALLBACK)):
        attach(signed.upstream.shelf, PATH, NEW, made, place=place)
    assert ask(signed, requiring(one, two, at_least=2)).decision is Decision.DENY
    assert ask(signed, requiring(one, two, at_least=1)).decision is Decision.ALLOW


def test_threshold_distinct_two_keys_are_two_signers(signed: World) -> None:
    one, two = specimen("key alone"), specimen("cosign, key alone")
    attach(signed.upstream.shelf, PATH, NEW, one, place=Place.REFERRER)
    assert ask(signed, requiring(one, two, at_least=2)).decision is Decision.DENY
    attach(signed.upstream.shelf, PATH, NEW, two, place=Place.TAG)
    assert ask(signed, requiring(one, two, at_least=2)).decision is Decision.ALLOW


def test_a_signed_name_has_to_be_the_images_unless_another_is_given(signed: World) -> None:
    made = specimen(COSIGN)
    attach(signed.upstream.shelf, PATH, NEW, made, place=Place.TAG)
    bound = DEFAULT_POLICY.also_requiring((Requirement((made.demand,)),))
    verdict = ask(signed, bound)
    assert verdict.decision is Decision.DENY
    assert any("name-mismatch" in each.message for each in verdict.findings)
    assert ask(signed, requiring(made)).decision is Decision.ALLOW


def test_an_image_without_a_mirror_is_held_against_its_signatures(signed: World) -> None:
    made = specimen(KEYLESS)
    question = replace(signed.question(), mirrors=())
    policy = requiring(made)
    verdict = signed.put_question(question, policy=policy, now=NOW)
    assert verdict.decision is Decision.DENY
    attach(signed.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    verdict = signed.put_question(question, policy=policy, now=NOW)
    assert verdict.decision is Decision.ALLOW
    assert verdict.mirrors == ()


def test_signatures_are_not_looked_up_where_none_are_required(signed: World) -> None:
    attach(signed.upstream.shelf, PATH, NEW, specimen(KEYLESS), place=Place.REFERRER)
    assert ask(signed, DEFAULT_POLICY).decision is Decision.ALLOW
    assert signed.upstream.count(path="/referrers/") == 0


def test_signatures_are_not_looked_up_for_what_is_denied_anyway(signed: World) -> None:
    put(signed.mirror.shelf, PATH, release("app", "1.4.2-x.9"), TAG)
    assert ask(signed, requiring(specimen(KEYLESS))).decision is Decision.DENY
    assert signed.upstream.count(path="/referrers/") == 0


def test_a_flood_of_signatures_decides_nothing(signed: World) -> None:
    made = specimen(KEYLESS)
    for _ in range(65):
        attach(signed.upstream.shelf, PATH, NEW, specimen(KEYLESS), place=Place.REFERRER)
    verdict = ask(signed, requiring(made))
    assert verdict.decision is Decision.INCONCLUSIVE
    (failed,) = [each for each in verdict.findings if each.level is Level.ERROR]
    assert "too many to be read" in failed.message


def test_a_registry_that_serves_another_signature_for_a_digest_is_told(signed: World) -> None:
    made = specimen(KEYLESS)
    carrier = attach(signed.mirror.shelf, PATH, NEW, made, place=Place.REFERRER)
    signed.play("mirror", ServeOther(NEW.digest, when=When(path=str(carrier))))
    verdict = ask(signed, requiring(made))
    assert verdict.decision is Decision.DENY
    assert rules(verdict) == [Rule.SIGNATURE_REJECTED]


def test_without_a_mirror_a_wanted_platform_that_is_not_published_is_missed(signed: World) -> None:
    made = specimen(KEYLESS)
    attach(signed.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    question = replace(signed.question(Platform("linux", "s390x"), AMD64), mirrors=())
    verdict = signed.put_question(question, policy=requiring(made), now=NOW)
    assert verdict.decision is Decision.DENY
    (absent,) = [each for each in verdict.findings if each.rule is Rule.PLATFORM_ABSENT]
    assert "s390x" in absent.message


def test_without_a_mirror_an_image_that_is_no_index_has_to_be_for_the_wanted_platform(
    signed: World,
) -> None:
    put(signed.upstream.shelf, PATH, NEW_AMD64, TAG)
    made = specimen(KEYLESS, NEW_AMD64)
    attach(signed.upstream.shelf, PATH, NEW_AMD64, made, place=Place.REFERRER)
    for platform, decision in ((AMD64, Decision.ALLOW), (ARM64, Decision.DENY)):
        question = replace(signed.question(platform), mirrors=())
        assert signed.put_question(question, policy=requiring(made), now=NOW).decision is decision


@pytest.mark.parametrize("old_is_signed", [False, True])
def test_upstreams_signers_do_not_vouch_for_the_older_image_of_another_mirror(
    *, old_is_signed: bool
) -> None:
    made, older = specimen(KEYLESS), specimen(KEYLESS, OLD)
    lenient = Policy((PolicyRule(stale_max_age=timedelta(days=9999)),))
    demand = replace(made.demand, name=NAMED)
    policy = lenient.also_requiring((Requirement((demand,)),))
    with world(mirrors=2) as three:
        three.holds(NEW, NEW, OLD)
        put(three.others[0].shelf, PATH, OLD, TAG)
        attach(three.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
        if old_is_signed:
            attach(three.upstream.shelf, PATH, OLD, older, place=Place.REFERRER)
        verdict = ask(three, policy)
        pulled = three.put_question(three.question(), policy=policy, now=NOW, pulling=True)
    assert [each.decision for each in verdict.mirrors] == [Decision.ALLOW] * 2
    assert verdict.decision is (Decision.ALLOW if old_is_signed else Decision.DENY)
    assert pulled.decision is Decision.ALLOW


def test_a_rule_that_only_warns_does_not_overrule_who_has_to_have_signed(signed: World) -> None:
    made, older = specimen(KEYLESS), specimen(KEYLESS, OLD)
    warning = Policy((PolicyRule(enforcement=Enforcement.WARN),))
    demand = replace(made.demand, name=NAMED)
    policy = warning.also_requiring((Requirement((demand,)),))
    assert ask(signed, policy).decision is Decision.DENY
    attach(signed.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    assert ask(signed, policy).decision is Decision.ALLOW
    put(signed.upstream.shelf, PATH, OLD)
    put(signed.mirror.shelf, PATH, OLD, TAG)
    verdict = ask(signed, policy)
    assert verdict.decision is Decision.DENY
    assert Rule.NOT_ENFORCED not in rules(verdict)
    attach(signed.upstream.shelf, PATH, OLD, older, place=Place.REFERRER)
    verdict = ask(signed, policy)
    assert verdict.decision is Decision.ALLOW
    assert Rule.NOT_ENFORCED in rules(verdict)


def test_an_exemption_in_place_of_a_signature_is_told(signed: World) -> None:
    exemption = Exemption(Pattern.parse("**"), NEW.digest, "in a hurry", "ops", date.max)
    policy = replace(requiring(specimen(KEYLESS)), exemptions=(exemption,))
    verdict = ask(signed, policy)
    assert verdict.decision is Decision.ALLOW
    assert verdict.evidence == ()
    (told,) = [each for each in verdict.findings if each.rule is Rule.EXEMPTED]
    assert (told.level, "ops: in a hurry" in told.message) == (Level.WARNING, True)
    assert signed.upstream.count(path="/referrers/") == 0
