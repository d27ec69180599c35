"""Genuine parts in the wrong place: each is refused, and for the right reason."""

from __future__ import annotations

import itertools

import pytest

from imgverify.errors import Reason, SignatureRejected
from tests.support.authorities import SIGNED, email, new_key
from tests.support.signer import RECIPES, WHO, Deployment, Signer, Specimen
from tests.unit.signature.grafting import TWIN, Part, parts_of

pytestmark = pytest.mark.slow

IMAGES = [f'{{"schemaVersion":2,"image":{number}}}'.encode() for number in range(6)]
TWINNED = {"signature", "message signature", "envelope", "log entry", "log entry's body"}


def rejection(specimen: Specimen) -> Reason:
    with pytest.raises(SignatureRejected) as caught:
        specimen.check()
    assert caught.value.message
    return caught.value.reason


@pytest.mark.parametrize("name", RECIPES)
def test_a_genuine_signature_holds(deployment: Deployment, name: str) -> None:
    specimen = deployment.make(name, IMAGES[0])
    evidence = specimen.check().evidence
    assert evidence.subject == specimen.digest
    assert (evidence.key is not None) is specimen.recipe.keyed
    if evidence.identity is not None:
        assert evidence.identity.name == WHO
    alone = not specimen.recipe.entry and not specimen.recipe.stamped
    untimed = alone or (specimen.recipe.entry == "hashedrekord_2" and not specimen.recipe.stamped)
    assert evidence.time == (None if untimed else SIGNED)


def grafted(one: Specimen, other: Specimen, part: Part) -> Specimen | None:
    """Return the one signature with a part of the other; None where both have the same."""
    document = one.copy()
    if part.get(document) == part.get(other.document):
        return None
    part.put(document, part.get(other.document))
    return one.having(document)


@pytest.mark.parametrize("name", RECIPES)
def test_no_part_of_another_image_s_signature_fits(deployment: Deployment, name: str) -> None:
    """Six images, signed by six signers; every part of each is put into every other."""
    images = [deployment.make(name, each) for each in IMAGES]
    tried = 0
    for one, other in itertools.permutations(images, 2):
        for part in parts_of(one):
            graft = grafted(one, other, part)
            if graft is not None:
                assert rejection(graft) in part.reasons, part.name
                tried += 1
    assert tried >= 30 * (2 if RECIPES[name].keyed else 3)


@pytest.mark.parametrize("name", RECIPES)
def test_no_part_of_the_same_signer_s_other_signature_fits(
    deployment: Deployment, name: str
) -> None:
    """The same certificate or key signed three images."""
    recipe = RECIPES[name]
    signer = Signer(new_key()) if recipe.keyed else deployment.log_in(sct=recipe.sct)
    images = [deployment.make(name, each, signer) for each in IMAGES[:3]]
    for one, other in itertools.permutations(images, 2):
        for part in parts_of(one):
            graft = grafted(one, other, part)
            if graft is not None:
                assert rejection(graft) in part.reasons, part.name


@pytest.mark.parametrize(
    "name", [name for name, each in RECIPES.items() if each.entry or each.stamped]
)
def test_rekor_entry_binding_no_part_of_a_second_signature_over_the_same_image_fits(
    deployment: Deployment, name: str
) -> None:
    """ECDSA gives another signature each time; logs and timestamps are about one of them."""
    recipe = RECIPES[name]
    signer = Signer(new_key()) if recipe.keyed else deployment.log_in(sct=recipe.sct)
    one, other = (deployment.make(name, IMAGES[0], signer) for _ in range(2))
    for part in parts_of(one):
        graft = grafted(one, other, part)
        if graft is not None and part.name in TWINNED:
            assert rejection(graft) in TWIN, part.name
        elif graft is not None and part.name != "payload":
            assert rejection(graft) in {*part.reasons, *TWIN}, part.name


@pytest.mark.parametrize("name", RECIPES)
def test_payload_binding_a_signature_is_about_no_other_image(
    deployment: Deployment, name: str
) -> None:
    specimen = deployment.make(name, IMAGES[0])
    moved = Specimen(name, IMAGES[1], specimen.document, specimen.demand, specimen.signer)
    assert rejection(moved) is Reason.ARTIFACT_MISMATCH


@pytest.mark.parametrize("name", [name for name, each in RECIPES.items() if not each.keyed])
def test_a_signature_is_by_nobody_else(deployment: Deployment, name: str) -> None:
    sct = RECIPES[name].sct
    other = deployment.log_in(email("other@example.com"), sct=sct)
    specimen = deployment.make(name, IMAGES[0], other)
    assert rejection(specimen) is Reason.IDENTITY_MISMATCH


@pytest.mark.parametrize("name", [name for name, each in RECIPES.items() if each.keyed])
def test_a_signature_is_by_no_other_key(deployment: Deployment, name: str) -> None:
    one, other = (deployment.make(name, IMAGES[0]) for _ in range(2))
    assert rejection(one.asking(signer=other.demand.signer)) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("name", RECIPES)
def test_another_deployment_s_word_counts_for_nothing(deployment: Deployment, name: str) -> None:
    specimen = deployment.make(name, IMAGES[0])
    if name.endswith("key alone") or name == "cosign attestation, key":
        return
    elsewhere = Deployment().roots(specimen.recipe)
    expected = Reason.LOG_UNKNOWN if specimen.recipe.keyed else Reason.CERTIFICATE_UNTRUSTED
    assert rejection(specimen.asking(roots=elsewhere)) is expected


@pytest.mark.parametrize("name", RECIPES)
def test_two_deployments_are_not_mixed(deployment: Deployment, name: str) -> None:
    """One root has the authority, another the logs and clocks: together they prove nothing."""
    specimen = deployment.make(name, IMAGES[0])
    recipe = specimen.recipe
    if recipe.keyed:
        return
    elsewhere = Deployment()
    split = Deployment(authority=deployment.authority, ct_log=deployment.ct_log)
    rest = Deployment(rekor=deployment.rekor, tiles=deployment.tiles, tsa=deployment.tsa)
    roots = (*split.roots(recipe), *rest.roots(recipe), *elsewhere.roots(recipe))
    assert rejection(specimen.asking(roots=roots)) in {
        Reason.LOG_UNKNOWN,
        Reason.TIMESTAMP_UNTRUSTED,
        Reason.CERTIFICATE_UNTRUSTED,
    }
    found = specimen.asking(roots=(*elsewhere.roots(recipe), *deployment.roots(recipe)))
    assert found.check().evidence.identity is not None
