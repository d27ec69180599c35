"""What an attestation states: types, places in a document, values of JSON's types."""

from __future__ import annotations

import pytest

from imgverify.errors import InputError, Reason
from imgverify.signature.demand import Demand
from imgverify.signature.identity import Matching
from imgverify.signature.predicate import (
    SHORT_NAMES,
    Condition,
    OneOf,
    Pointer,
    Scalar,
    predicate_type,
)
from imgverify.signature.statement import COSIGN_SIGN
from tests.support.signer import SLSA, Deployment, statement
from tests.support.translog import Document, text
from tests.unit.signature.refusal import refused
from tests.unit.signature.test_statements import signing

IMAGE = b'{"schemaVersion":2}'
PREDICATE: Document = {
    "buildType": "make",
    "a/b": {"m~n": "slash and tilde"},
    "steps": [{"name": "first"}, {"name": "second"}],
    "count": 1,
    "share": 1.5,
    "flag": True,
    "none": None,
    "text": "1",
    "": {"": "empty"},
}


def says(pointer: str, *values: Scalar) -> bool:
    return Condition(Pointer.parse(pointer), OneOf(values)).objection(PREDICATE) is None


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/buildType", "make"),
        ("/a~1b/m~0n", "slash and tilde"),
        ("/steps/0/name", "first"),
        ("/steps/1/name", "second"),
        ("/count", 1),
        ("/count", 1.0),
        ("/share", 1.5),
        ("/flag", True),
        ("/text", "1"),
        ("//", "empty"),
    ],
)
def test_a_pointer_leads_to_a_value(pointer: str, value: Scalar) -> None:
    assert says(pointer, value)
    assert says(pointer, "another", value)
    assert not says(pointer, "another")


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/count", "1"),
        ("/count", True),
        ("/flag", 1),
        ("/flag", "true"),
        ("/text", 1),
        ("/none", "None"),
        ("/none", False),
        ("/steps", "first"),
    ],
)
def test_a_value_of_another_type_is_another_value(pointer: str, value: Scalar) -> None:
    assert not says(pointer, value)


@pytest.mark.parametrize(
    "pointer",
    [
        *("/absent", "/buildtype", "/buildType/", "/buildType/0", "/steps/2/name", "/steps/-/name"),
        *("/steps/-1/name", "/steps/01/name", "/steps/x", "/steps/²/name", "/steps//name"),
        f"/steps/{'9' * 5000}/name",
    ],
)
def test_what_is_not_there_is_nothing(pointer: str) -> None:
    for wanted in (OneOf(("first", "make", "second")), Matching(".+")):
        said = Condition(Pointer.parse(pointer), wanted).objection(PREDICATE)
        assert said is not None
        assert said.startswith("the predicate has no ")


@pytest.mark.parametrize("text", ["", "buildType", "a/b", "/a~b", "/a~2b", "/a~"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a place in a JSON document"):
        Pointer.parse(text)


def test_a_pattern_matches_all_of_a_text_and_nothing_else() -> None:
    def matches(pointer: str, pattern: str) -> bool:
        return Condition(Pointer.parse(pointer), Matching(pattern)).objection(PREDICATE) is None

    assert matches("/buildType", "m.+e")
    assert not matches("/buildType", "m")
    assert not matches("/count", "1")
    assert not matches("/flag", ".+")
    assert not matches("/steps", ".+")


def test_an_objection_is_short_whatever_the_value_is() -> None:
    said = Condition(Pointer.parse("/x"), OneOf(("y",))).objection({"x": "z" * 100_000})
    assert said is not None
    assert len(said) < 300


def test_no_value_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="no value would be accepted"):
        OneOf(())


def test_attestation_type_words_of_cosigns_are_types() -> None:
    assert predicate_type("slsaprovenance1") == SLSA
    assert predicate_type(SLSA) == SLSA
    assert all(predicate_type(each) == uri for each, uri in SHORT_NAMES.items())
    for word in ("", "slsa", "slsaprovenance3"):
        with pytest.raises(InputError, match="is no type of attestations"):
            predicate_type(word)


def test_attestation_type_a_signature_is_no_attestation(deployment: Deployment) -> None:
    with pytest.raises(InputError, match="no attestations"):
        predicate_type(COSIGN_SIGN)
    demand = deployment.make("key alone", IMAGE).demand
    with pytest.raises(InputError, match="no attestations"):
        Demand(demand.signer, demand.roots, predicate_type=COSIGN_SIGN)


def test_a_signature_has_no_conditions(deployment: Deployment) -> None:
    demand = deployment.make("key alone", IMAGE).demand
    condition = Condition(Pointer.parse("/a"), OneOf(("b",)))
    with pytest.raises(InputError, match="no predicate"):
        Demand(demand.signer, demand.roots, where=(condition,))


def test_every_condition_has_to_hold(deployment: Deployment) -> None:
    specimen = signing(deployment, statement(IMAGE, SLSA, predicate={"a": "1", "b": 2}))
    right = Condition(Pointer.parse("/a"), OneOf(("1",)))
    other = Condition(Pointer.parse("/b"), OneOf((2,)))
    wrong = Condition(Pointer.parse("/b"), OneOf(("2",)))
    asking = specimen.asking(predicate_type=SLSA, where=(right, other))
    asking.check()
    with refused(Reason.CONDITION_UNMET, "/b of the predicate is 2"):
        asking.asking(where=(right, wrong)).check()


@pytest.mark.parametrize("predicate", [None, "a", [], {}])
def test_a_predicate_that_states_nothing_meets_no_condition(
    deployment: Deployment, predicate: object
) -> None:
    specimen = signing(deployment, statement(IMAGE, SLSA, predicate=predicate))
    condition = Condition(Pointer.parse("/a"), OneOf(("1",)))
    with refused(Reason.CONDITION_UNMET):
        specimen.asking(predicate_type=SLSA, where=(condition,)).check()


def test_a_predicate_is_judged_once_it_is_known_whose_it_is(deployment: Deployment) -> None:
    specimen = signing(deployment, statement(IMAGE, SLSA, predicate={"a": "wrong"}))
    document = specimen.copy()
    forged = statement(IMAGE, SLSA, predicate={"a": "right"})
    document["dsseEnvelope"]["payload"] = text(forged)
    condition = Condition(Pointer.parse("/a"), OneOf(("right",)))
    asking = specimen.asking(predicate_type=SLSA, where=(condition,))
    with refused(Reason.CONDITION_UNMET):
        asking.check()
    with refused(Reason.SIGNATURE_INVALID):
        asking.having(document).check()
