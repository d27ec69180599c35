"""Every field of a demand has an effect: an impossible value turns acceptance into a refusal."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from imgverify.errors import InputError, Reason
from imgverify.oci.reference import Reference
from imgverify.signature.demand import Demand, Kind, NameRule
from imgverify.signature.identity import Exactly, Extension, Identity
from imgverify.signature.trusted import Thresholds, TrustedRoot
from tests.support.signer import ISSUER, NAME, SLSA, WHO, Deployment, Specimen
from tests.unit.signature.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = b'{"schemaVersion":2}'
CLAIM = (Extension.BUILD_TRIGGER, Exactly("push"))

IMPOSSIBLE: dict[str, tuple[Callable[[], object], Reason]] = {
    "signer": (lambda: Identity.exactly("nobody@example.com", ISSUER), Reason.IDENTITY_MISMATCH),
    "roots": (lambda: Deployment().roots(), Reason.CERTIFICATE_UNTRUSTED),
    "predicate_type": (lambda: SLSA, Reason.PREDICATE_MISMATCH),
    "name": (lambda: NameRule(Reference.parse("other.example/app:1")), Reason.NAME_MISMATCH),
    "at_least": (lambda: Thresholds(logs=2), Reason.LOG_MISSING),
}
# `kind` widens what counts and `insecure_skip` what is needed; both have tests of their own.
WIDENING = {"kind", "insecure_skip"}
# Only an attestation can be asked for it: see test_predicate.py.
OF_ATTESTATIONS = {"where"}


def test_every_field_is_listed() -> None:
    assert IMPOSSIBLE.keys() | WIDENING | OF_ATTESTATIONS == {each.name for each in fields(Demand)}


@pytest.mark.parametrize("field", IMPOSSIBLE)
def test_policy_field_ignored_an_impossible_value_is_refused(
    deployment: Deployment, field: str
) -> None:
    value, reason = IMPOSSIBLE[field]
    specimen = deployment.make("cosign, keyless", IMAGE)
    specimen = specimen.asking(name=NameRule(Reference.parse(f"{NAME}:1")))
    specimen.check()
    with refused(reason):
        specimen.asking(**{field: value()}).check()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": Exactly("nobody@example.com")}, Reason.IDENTITY_MISMATCH),
        ({"issuer": Exactly("https://evil.example")}, Reason.ISSUER_MISMATCH),
        ({"claims": (CLAIM,)}, Reason.CLAIM_MISMATCH),
    ],
)
def test_every_field_of_an_identity_counts(
    deployment: Deployment, change: dict[str, Any], reason: Reason
) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    right = Identity.exactly(WHO, ISSUER)
    assert {each.name for each in fields(Identity)} == {"name", "issuer", "claims"}
    specimen.asking(signer=right).check()
    with refused(reason):
        specimen.asking(signer=replace(right, **change)).check()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Thresholds(logs=2), Reason.LOG_MISSING),
        (Thresholds(scts=2), Reason.SCT_MISSING),
        (Thresholds(timestamps=1), Reason.TIME_MISSING),
    ],
)
def test_every_threshold_counts(deployment: Deployment, asked: Thresholds, reason: Reason) -> None:
    for name in ("keyless, Rekor v1", "cosign, keyless"):
        specimen: Specimen = deployment.make(name, IMAGE)
        with refused(reason):
            specimen.asking(at_least=asked).check()


def test_only_what_is_asked_for_counts_unless_anything_is(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, v0.2", IMAGE).asking(predicate_type=None)
    with refused(Reason.PREDICATE_MISMATCH):
        specimen.check()
    specimen.asking(kind=Kind.ANYTHING).check()


def test_a_demand_that_checks_nothing_cannot_be_made(deployment: Deployment) -> None:
    keyed = deployment.make("key alone", IMAGE).demand
    with pytest.raises(InputError, match="nobody would be believed"):
        replace(keyed, roots=())
    with pytest.raises(InputError, match="has an authority for certificates"):
        Demand(Identity.exactly(WHO, ISSUER), (TrustedRoot("empty"),))
