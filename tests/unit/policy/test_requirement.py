"""How many have to have signed, and who counts for whom."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference
from imgverify.policy.requirement import Held, Requirement, hold
from imgverify.signature.attached import Attached, Form
from imgverify.signature.demand import NameRule
from imgverify.signature.message import Message
from tests.support.authorities import NOW
from tests.support.signer import SLSA, Deployment, Specimen
from tests.support.translog import compact

if TYPE_CHECKING:
    from imgverify.signature.demand import Demand

IMAGE = b'{"schemaVersion":2}'
SIGSTORE = Deployment()
ONE, TWO, THREE = (SIGSTORE.make("key alone", IMAGE) for _ in range(3))
ATTESTED = SIGSTORE.make("key alone", IMAGE, ONE.signer, predicateType=SLSA)
CARRIER = Digest.of(b"carrier")


def beside(*specimens: Specimen) -> tuple[Attached, ...]:
    return tuple(Attached(Form.BUNDLE, compact(each.document), CARRIER) for each in specimens)


def held(requirement: Requirement, *specimens: Specimen) -> Held:
    return hold(requirement, Message.of(IMAGE), beside(*specimens), NOW)


def demands(*specimens: Specimen) -> tuple[Demand, ...]:
    return tuple(each.demand for each in specimens)


@pytest.mark.parametrize("least", [-1, 0, 3])
def test_nothing_and_more_than_can_be_had_cannot_be_required(least: int) -> None:
    with pytest.raises(ValueError, match=f"{least} of 2 signers cannot be required"):
        Requirement(demands(ONE, TWO), least)
    with pytest.raises(ValueError, match="1 of 0 signers"):
        Requirement(())


def test_threshold_distinct_signers_in_other_lists_are_not_counted() -> None:
    inner = Requirement(demands(ONE))
    Requirement(demands(ONE, TWO), 1, (inner,))
    Requirement(demands(ONE, TWO), 3, (inner,))
    with pytest.raises(ValueError, match="one entry or all"):
        Requirement(demands(ONE, TWO), 2, (inner,))


@pytest.mark.parametrize("least", [1, 2, 3])
def test_threshold_distinct_as_many_as_asked_for(least: int) -> None:
    requirement = Requirement(demands(ONE, TWO, THREE), least)
    every = (ONE, TWO, THREE)
    for count in range(4):
        for some in itertools.combinations(every, count):
            assert held(requirement, *some, *some).holds == (count >= least)


def test_one_of_two_lists_or_both() -> None:
    both, single = Requirement(demands(ONE, TWO), 2), Requirement(demands(THREE))
    either = Requirement((), 1, (both, single))
    assert held(either, THREE).holds
    assert held(either, ONE, TWO).holds
    assert not held(either, ONE).holds
    each = Requirement(demands(ONE), 2, (Requirement(demands(TWO, THREE)),))
    assert held(each, ONE, THREE).holds
    assert not held(each, TWO, THREE).holds
    assert not held(each, ONE).holds


def test_what_holds_in_a_list_is_evidence_and_the_rest_has_a_reason() -> None:
    requirement = Requirement((), 1, (Requirement(demands(ONE)), Requirement(demands(TWO))))
    said = held(requirement, ONE, THREE)
    assert [evidence.key for _, evidence in said.evidence] == [ONE.check().evidence.key]
    ((attached, error),) = said.rejected
    assert attached == beside(THREE)[0]
    assert error.reason == "signature-invalid"


def test_attestation_type_right_signer_and_wrong_kind_do_not_hold() -> None:
    signature, attestation = Requirement((ONE.demand,)), Requirement((ATTESTED.demand,))
    assert held(signature, ONE).holds
    assert not held(signature, ATTESTED).holds
    assert held(attestation, ATTESTED).holds
    assert not held(attestation, ONE).holds
    assert (signature.predicate_types, attestation.predicate_types) == ((), (SLSA,))


def test_name_binding_goes_into_every_list() -> None:
    name = Reference.parse("registry.example/team/app:1")
    given = NameRule(Reference.parse("other.example/app:1"))
    inner = Requirement((ONE.demand, replace(TWO.demand, name=given)))
    bound = Requirement(demands(THREE), 1, (inner,)).of_image(name)
    assert bound.demands[0].name == NameRule(name)
    assert [each.name for each in bound.nested[0].demands] == [NameRule(name), given]
