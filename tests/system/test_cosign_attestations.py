"""What the real cosign attests: every type holds where it is asked for, and no other does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from imgverify.errors import Reason, SignatureRejected
from imgverify.oci.digest import Digest
from imgverify.policy.requirement import judge
from imgverify.signature.attached import Attached, Form
from imgverify.signature.demand import Demand
from imgverify.signature.identity import Identity
from imgverify.signature.message import Message
from imgverify.trust.files import read_key, read_trusted_roots
from imgverify.trust.shipped import public_good
from imgverify.verdict import Skipped
from tests.support.recipes import ATTESTED
from tests.support.signed import COMPONENTS, image_of, place_of
from tests.system.grafting import layers_beside

if TYPE_CHECKING:
    from imgverify.signature.verify import Verified
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
FORMS: Final = {"attestation": Form.ATTESTATION, "bundle": Form.BUNDLE}


def attached(signed: Signed) -> list[Attached]:
    """What lies beside an image, as it is found there."""
    return [
        Attached(FORMS[signed.form], data, Digest.of(b"carrier"), tuple(sorted(said.items())))
        for layer, data in layers_beside(signed)
        for said in [layer.get("annotations", {})]
    ]


def demand(signed: Signed, predicate_type: str) -> Demand:
    """Ask what the image's recipe says, for this type."""
    words = dict(zip(signed.trust[::2], signed.trust[1::2], strict=False))
    root = words.get("--trusted-root")
    identity = words.get("--certificate-identity")
    issuer = words.get("--certificate-oidc-issuer")
    return Demand(
        Identity.exactly(identity, issuer)
        if identity and issuer
        else read_key(Path(words["--key"])),
        read_trusted_roots(Path(root)) if root else public_good(),
        predicate_type=predicate_type,
        insecure_skip=None if root else Skipped.LOG,
    )


def _trust_of(signed: Signed) -> tuple[str, ...]:
    """Return the words for cosign, whose version 2 knows a trusted root for bundles alone."""
    if signed.form == "bundle" or "--trusted-root" not in signed.trust:
        return signed.trust
    root = signed.trust.index("--trusted-root")
    return (*signed.trust[:root], *signed.trust[root + 2 :])


def held(signed: Signed, predicate_type: str) -> tuple[list[Verified], list[Reason]]:
    """Return what holds for a type, and why the others do not."""
    manifest, asked = Message.of(image_of(signed.name).manifest), demand(signed, predicate_type)
    found, refused = [], []
    for each in attached(signed):
        try:
            found.append(judge(each, manifest, asked, datetime.now(UTC)))
        except SignatureRejected as error:
            refused.append(error.reason)
    return found, refused


@pytest.mark.parametrize("name", ATTESTED)
def test_attestation_type_each_holds_for_its_own(signed_stage: Stage, name: str) -> None:
    signed, kinds = signed_stage.find(place_of(name), name), ATTESTED[name].kinds
    cosign = signed_stage.cosign(signed.version)
    for wanted, predicate_type in TYPES.items():
        words = (*_trust_of(signed), *signed.only, "--type", wanted, signed.reference)
        said = cosign.run("verify-attestation", *words)
        assert (said.status == 0) is (wanted in kinds), said.err
        found, refused = held(signed, predicate_type)
        assert len(found) == kinds.count(wanted), (wanted, refused)
        assert refused == [Reason.PREDICATE_MISMATCH] * (len(kinds) - len(found))
        for each in found:
            assert each.evidence.predicate_type == predicate_type
            assert each.statement is not None
            assert each.statement.predicate
