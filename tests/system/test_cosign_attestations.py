"""What the real cosign attests: every type holds where it is asked for, and no other does."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from itertools import count, permutations
from typing import TYPE_CHECKING, Final

import pytest

from imgverify.errors import Reason
from tests.support.recipes import ATTESTED
from tests.support.signed import COMPONENTS, KINDS, place_of
from tests.system.cosigned import ask_imgverify
from tests.system.grafting import are_alike, put_beside, take_all

if TYPE_CHECKING:
    from tests.support.signed import Signed, Stage
    from tests.system.grafting import Taken

pytestmark = [pytest.mark.system(*COMPONENTS), pytest.mark.slow]

TYPES: Final = {
    "slsaprovenance": "https://slsa.dev/provenance/v0.2",
    "slsaprovenance1": "https://slsa.dev/provenance/v1",
    "spdxjson": "https://spdx.dev/Document",
    "cyclonedx": "https://cyclonedx.org/bom",
    "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    "openvex": "https://openvex.dev/ns",
    "custom": "https://cosign.sigstore.dev/attestation/v1",
}


#: What cosign leaves unread in an entry of Rekor v2; see test_cosign_grafts.py.
UNREAD: Final = {"log entry's body", "tree's root", "tree's size"}


def ask_cosign(stage: Stage, signed: Signed, kind: str, trust: tuple[str, ...]) -> bool:
    """Run `cosign verify-attestation`; tells whether it accepts."""
    if signed.version == 2 and "--trusted-root" in trust:
        root = trust.index("--trusted-root")
        stamps = ("--timestamp-certificate-chain", stage.files["stamps"])
        trust = (*trust[:root], *trust[root + 2 :], *stamps)
    words = (*trust, *signed.only, "--type", kind, signed.reference)
    return stage.cosign(signed.version).run("verify-attestation", *words).status == 0


@pytest.mark.parametrize("name", ATTESTED)
def test_attestation_type_each_holds_for_its_own(signed_stage: Stage, name: str) -> None:
    signed, kinds = signed_stage.find(place_of(name), name), ATTESTED[name].kinds
    for kind, uri in TYPES.items():
        assert ask_cosign(signed_stage, signed, kind, signed.trust) is (kind in kinds)
        answer = ask_imgverify(signed.reference, *signed.trust, "--attestation", kind)
        assert answer.accepted is (kind in kinds), answer.messages
        if answer.accepted:
            assert [each["predicateType"] for each in answer.evidence] == [uri]
        else:
            assert {*answer.reasons} <= {Reason.PREDICATE_MISMATCH}, answer.messages
    every = [word for kind in kinds for word in ("--attestation", TYPES[kind])]
    assert ask_imgverify(signed.reference, *signed.trust, *every).accepted


@pytest.mark.parametrize(
    "name", ["attestation-keyless", "attested-keyless", "attested-keyless-old-log"]
)
def test_rekor_entry_binding_no_part_of_the_same_signer_s_other_attestation_fits(
    signed_stage: Stage, name: str
) -> None:
    """Both are of one image, so that types and statements are all that tells them apart."""
    signed = signed_stage.find(place_of(name), name)
    numbers = count()
    tried: set[str] = set()
    stricter: set[str] = set()
    for one, other in permutations(take_all(signed), 2):
        for part in one.parts:
            document = one.having(part, other)
            if document is None or are_alike(part, one, other):
                continue
            graft = replace(signed, repository=f"graft/{name}-{next(numbers)}")
            put_beside(signed, document, graft.repository)
            answer = ask_imgverify(graft.reference, *signed.trust, "--attestation", type_of(one))
            assert answer.decision == "deny", part.name
            allowed = {*part.reasons, Reason.PREDICATE_MISMATCH}
            assert answer.reasons, part.name
            assert {*answer.reasons} <= {*map(str, allowed)}, (part.name, answer.messages)
            tried.add(part.name)
            if ask_cosign(signed_stage, graft, type_of(one), signed.trust):
                stricter.add(part.name)
    assert len(tried) >= 4
    assert stricter == (tried & UNREAD if name == "attested-keyless" else set())


def type_of(taken: Taken) -> str:
    """Read the type that an attestation states."""
    bundle = taken.signed.form == "bundle"
    envelope = taken.document["dsseEnvelope"] if bundle else json.loads(taken.document["payload"])
    kind: str = json.loads(b64decode(envelope["payload"]))["predicateType"]
    return kind


@pytest.mark.parametrize("name", ["attestation-p256", "attested-p256"])
def test_another_key_attested_nothing(signed_stage: Stage, name: str) -> None:
    signed = signed_stage.find(place_of(name), name)
    trust = ("--key", signed_stage.files["other"], *signed.trust[2:])
    assert not ask_cosign(signed_stage, signed, "custom", trust)
    answer = ask_imgverify(signed.reference, *trust, "--attestation", "custom")
    assert answer.decision == "deny"
    assert Reason.SIGNATURE_INVALID in answer.reasons


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["layer-p256", "bundle-p256"])
def test_attestation_type_a_signature_attests_nothing(
    signed_stage: Stage, kind: str, name: str
) -> None:
    signed = signed_stage.find(kind, name)
    assert not ask_cosign(signed_stage, signed, "custom", signed.trust)
    assert (
        ask_imgverify(signed.reference, *signed.trust, "--attestation", "custom").decision == "deny"
    )
