"""Signatures that are kept apart from the image, in a repository of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import InputError, Side
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.policy.model import DEFAULT_POLICY, Policy
from imgverify.policy.requirement import Requirement
from imgverify.signature.demand import NameRule
from imgverify.verdict import Decision, Rule, SubjectLevel, Verdict
from tests.support.attach import Place, attach
from tests.support.authorities import NOW
from tests.support.fault import When
from tests.support.faults import Status
from tests.support.signer import NAME, Deployment, Specimen
from tests.unit.verify.world import NEW, OLD, PATH, World, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.verify import Question
    from tests.support.registry import FakeRegistry

SIGSTORE = Deployment()
KEPT = "signatures/app"
BUNDLE, COSIGN = "keyless, Rekor v1", "cosign, keyless"
ATTESTED = "cosign attestation, key"


@pytest.fixture(scope="module")
def servers() -> Iterator[World]:
    with world(mirrors=2) as made:
        yield made


@pytest.fixture
def trio(servers: World) -> World:
    """Upstream and mirror have the image; the third has nothing yet."""
    for each in servers.registries:
        each.shelf = type(each.shelf)()
        each.heal()
        each.forget()
    servers.holds(NEW, NEW)
    return servers


def keeper(trio: World) -> FakeRegistry:
    return trio.others[0]


def question(trio: World, kept: Repository | None = None) -> Question:
    asked = trio.question()
    kept = kept or Repository(Registry.parse(keeper(trio).host), KEPT)
    return replace(asked, mirrors=asked.mirrors[:1], signatures=kept)


def requiring(made: Specimen) -> Policy:
    named = NameRule(Reference.parse(NAME))
    return DEFAULT_POLICY.also_requiring((Requirement((replace(made.demand, name=named),)),))


def ask(trio: World, made: Specimen, asked: Question | None = None) -> Verdict:
    return trio.put_question(asked or question(trio), policy=requiring(made), now=NOW)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (BUNDLE, Place.REFERRER),
        (BUNDLE, Place.FALLBACK),
        (COSIGN, Place.TAG),
        (COSIGN, Place.REFERRER),
        (ATTESTED, Place.TAG),
    ],
)
def test_a_signature_counts_that_lies_there_alone(trio: World, name: str, place: Place) -> None:
    made = SIGSTORE.make(name, NEW.manifest)
    attach(keeper(trio).shelf, KEPT, NEW, made, place=place)
    verdict = ask(trio, made)
    assert verdict.decision is Decision.ALLOW, verdict.findings
    assert verdict.evidence[0].found_at == (keeper(trio).host,)


def test_signatures_of_each_platform_may_lie_there(trio: World) -> None:
    made = [SIGSTORE.make(BUNDLE, each.manifest) for each in NEW.images]
    for image, each in zip(NEW.images, made, strict=True):
        attach(keeper(trio).shelf, KEPT, image, each, place=Place.REFERRER)
    verdict = ask(trio, made[0])
    assert verdict.decision is Decision.ALLOW, verdict.findings
    assert {each.level for each in verdict.evidence} == {SubjectLevel.PLATFORM}


def test_the_image_itself_is_never_asked_for_there(trio: World) -> None:
    made = SIGSTORE.make(BUNDLE, NEW.manifest)
    attach(keeper(trio).shelf, KEPT, NEW, made, place=Place.REFERRER)
    ask(trio, made)
    asked = {each.path for each in keeper(trio).requests}
    assert asked
    assert not [each for each in asked if each.endswith((f"/manifests/{NEW.digest}", "/1.4"))]


@pytest.mark.parametrize("lies_at", ["upstream", "mirror"])
def test_upstream_and_mirrors_are_read_as_before(trio: World, lies_at: str) -> None:
    made = SIGSTORE.make(COSIGN, NEW.manifest)
    there = trio.upstream if lies_at == "upstream" else trio.mirror
    attach(there.shelf, PATH, NEW, made, place=Place.TAG)
    verdict = ask(trio, made)
    assert verdict.decision is Decision.ALLOW
    assert verdict.evidence[0].found_at == (there.host,)


def test_nothing_anywhere_is_an_unsigned_image(trio: World) -> None:
    verdict = ask(trio, SIGSTORE.make(BUNDLE, NEW.manifest))
    assert verdict.decision is Decision.DENY
    (finding,) = [each for each in verdict.findings if each.rule is Rule.UNSIGNED]
    assert keeper(trio).host in finding.message


@pytest.mark.parametrize("path", ["/referrers/", ".sig", ".att"])
@pytest.mark.parametrize("status", [401, 500])
def test_a_lookup_that_failed_there_is_not_an_unsigned_image(
    trio: World, path: str, status: int
) -> None:
    keeper(trio).play(Status(status, when=When(path=path)))
    verdict = ask(trio, SIGSTORE.make(BUNDLE, NEW.manifest))
    assert verdict.decision is Decision.INCONCLUSIVE
    (finding,) = [each for each in verdict.findings if each.rule is Rule.SIGNATURE_LOOKUP_FAILED]
    assert finding.side is Side.SIGNATURES


def test_a_valid_signature_elsewhere_outweighs_a_lookup_that_failed_there(trio: World) -> None:
    made = SIGSTORE.make(COSIGN, NEW.manifest)
    attach(trio.upstream.shelf, PATH, NEW, made, place=Place.TAG)
    keeper(trio).play(Status(503, when=When(path=".sig")))
    assert ask(trio, made).decision is Decision.ALLOW


def test_a_graft_there_is_told_of_that_place(trio: World) -> None:
    made = SIGSTORE.make(BUNDLE, OLD.manifest)
    attach(keeper(trio).shelf, KEPT, NEW, made, place=Place.REFERRER)
    verdict = ask(trio, made)
    assert verdict.decision is Decision.DENY
    (finding,) = [each for each in verdict.findings if each.rule is Rule.SIGNATURE_REJECTED]
    assert finding.side is Side.SIGNATURES
    assert "artifact-mismatch" in finding.message


@pytest.mark.parametrize("side", ["upstream", "mirror"])
def test_the_images_own_repository_is_not_read_twice(trio: World, side: str) -> None:
    there = trio.upstream if side == "upstream" else trio.mirror
    made = SIGSTORE.make(COSIGN, NEW.manifest)
    attach(there.shelf, PATH, NEW, made, place=Place.TAG)
    own = Repository(Registry.parse(there.host), PATH)
    verdict = ask(trio, made, question(trio, own))
    assert verdict.evidence[0].found_at == (there.host,)
    tags = [each.path for each in there.requests if each.path.endswith(".sig")]
    assert len(tags) == len(set(tags))


def test_looking_for_signatures_that_nobody_has_to_have_made_is_refused(trio: World) -> None:
    with pytest.raises(InputError, match="nobody has to have signed"):
        trio.put_question(question(trio), now=NOW)
    assert keeper(trio).requests == ()


def test_that_the_place_was_reached_over_plain_http_is_told_of_it(trio: World) -> None:
    verdict = ask(trio, SIGSTORE.make(BUNDLE, NEW.manifest))
    notes = {each.side for each in verdict.findings if each.rule is Rule.INSECURE}
    assert Side.SIGNATURES in notes
