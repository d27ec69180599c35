"""A second opinion: what sigstore-python says about the same bundles, where it can say anything.

It reads one log entry, with its proof, of the newer kinds, and needs certificate logs.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest
from sigstore.errors import Error as OracleError
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy

from imgverify.errors import SignatureRejected
from imgverify.signature.demand import Kind
from tests.support.signer import ISSUER, WHO, Deployment, Specimen
from tests.support.translog import compact
from tests.unit.signature.grafting import parts_of
from tests.unit.signature.test_flips import flips, leaves, put
from tests.unit.signature.test_grafts import grafted

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = [b'{"schemaVersion":2}', b'{"schemaVersion":2,"b":1}', b'{"schemaVersion":2,"c":1}']
KNOWN = [
    "keyless, Rekor v1",
    "keyless, Rekor v1, timestamp",
    "keyless, Rekor v2",
    "keyless, artifact, Rekor v1",
    "keyless, artifact, Rekor v2",
    "keyless, v0.1",
]


class Oracle:
    """sigstore-python's verifier, with this deployment's trusted root."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        file = folder / "trusted_root.json"
        file.write_bytes(compact(deployment.trusted_root()))
        self._verifier = Verifier(trusted_root=TrustedRoot.from_file(str(file)))
        self._policy = policy.Identity(identity=WHO, issuer=ISSUER)

    def accepts(self, specimen: Specimen) -> bool:
        """Tell what it says; whatever it ends with, an error is no acceptance."""
        try:
            bundle = Bundle.from_json(compact(specimen.document))
            if specimen.recipe.content == "statement":
                self._verifier.verify_dsse(bundle, self._policy)
            else:
                self._verifier.verify_artifact(specimen.artifact, bundle, self._policy)
        except (OracleError, ValueError, KeyError, TypeError):
            return False
        return True


def accepts(specimen: Specimen) -> bool:
    try:
        specimen.check()
    except SignatureRejected:
        return False
    return True


@pytest.fixture
def oracle(deployment: Deployment, tmp_path: Path) -> Oracle:
    return Oracle(deployment, tmp_path)


@pytest.mark.parametrize("name", KNOWN)
def test_both_accept_what_is_genuine(deployment: Deployment, oracle: Oracle, name: str) -> None:
    for image in IMAGES:
        specimen = deployment.make(name, image)
        assert (accepts(specimen), oracle.accepts(specimen)) == (True, True)


@pytest.mark.parametrize("name", KNOWN)
def test_both_refuse_grafts(deployment: Deployment, oracle: Oracle, name: str) -> None:
    images, missed = [deployment.make(name, each) for each in IMAGES], set()
    for one, other in itertools.permutations(images, 2):
        for part in parts_of(one):
            graft = grafted(one, other, part)
            if graft is not None:
                assert not accepts(graft), part.name
                if oracle.accepts(graft):
                    missed.add(part.name)
    # It does not hold the proof's size against the checkpoint's, and passes over a timestamp of
    # another signature where the log tells a time, too.
    assert missed <= {"tree's size", "timestamp"}


@pytest.mark.parametrize("name", KNOWN)
def test_we_accept_nothing_that_the_other_refuses(
    deployment: Deployment, oracle: Oracle, name: str
) -> None:
    """Changed bits: whatever holds here in spite of one holds there, too."""
    specimen = deployment.make(name, IMAGES[0]).asking(kind=Kind.ANYTHING)
    rng, tried, held = random.Random(1), 0, 0  # noqa: S311 - repeatable
    for path, value in list(leaves(specimen.document)):
        for changed in flips(value, rng, 6):
            document = specimen.copy()
            put(document, path, changed)
            graft = specimen.having(document)
            tried += 1
            if accepts(graft):
                held += 1
                assert oracle.accepts(graft), path
    assert tried > 60
    assert held < tried / 10


def test_we_are_stricter_about_what_a_statement_is_about(
    deployment: Deployment, oracle: Oracle
) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGES[0])
    moved = Specimen(specimen.name, b"other", specimen.document, specimen.demand, specimen.signer)
    assert oracle.accepts(moved)
    assert not accepts(moved)
