"""Whatever is done to a signature, it is refused as one or says what it said before."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import SignatureRejected
from imgverify.signature.message import Message
from imgverify.signature.verify import verify_bundle
from tests.fuzz.fuzz_parsers import mutate
from tests.support.authorities import NOW
from tests.support.signer import RECIPES
from tests.support.translog import compact

if TYPE_CHECKING:
    from tests.support.signer import Deployment

IMAGE = b'{"schemaVersion":2}'


@pytest.mark.parametrize("name", [name for name, each in RECIPES.items() if each.form == "bundle"])
def test_a_mutated_bundle_ends_as_a_rejection(deployment: Deployment, name: str) -> None:
    specimen = deployment.make(name, IMAGE)
    genuine = specimen.check().evidence
    data, rng = compact(specimen.document), random.Random(3)  # noqa: S311 - repeatable
    refused = 0
    for _ in range(150):
        refused += 1
        with contextlib.suppress(SignatureRejected):
            changed = mutate(data, rng)
            found = verify_bundle(changed, Message.of(IMAGE), specimen.demand, now=NOW).evidence
            assert (found.key, found.identity) == (genuine.key, genuine.identity)
            assert found.subject == genuine.subject
            refused -= 1
    assert refused > 20
