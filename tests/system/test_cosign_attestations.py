"""What the real cosign attests: every type holds where it is asked for, and no other does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from imgverify.errors import Reason
from tests.support.recipes import ATTESTED
from tests.support.signed import COMPONENTS, KINDS, place_of
from tests.system.cosigned import ask_imgverify

if TYPE_CHECKING:
    from tests.support.signed import Signed, Stage

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


def ask_cosign(stage: Stage, signed: Signed, kind: str, trust: tuple[str, ...]) -> bool:
    """Run `cosign verify-attestation`; tells whether it accepts."""
    if signed.version == 2 and "--trusted-root" in trust:
        root = trust.index("--trusted-root")
        trust = (*trust[:root], *trust[root + 2 :])
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
