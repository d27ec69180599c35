"""Images signed by the real cosign: it and imgverify agree on every one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from imgverify.demo.images import ImageIndex
from imgverify.errors import Reason
from tests.support.recipes import ATTESTED, RECIPES, WHO
from tests.support.signed import COMPONENTS, KINDS, Signed, filled, image_of, place_of, publish
from tests.system.cosigned import ask_cosign, ask_imgverify

if TYPE_CHECKING:
    from tests.support.signed import Stage

pytestmark = [pytest.mark.system(*COMPONENTS), pytest.mark.slow]

#: Recipes whose result cosign itself refuses, and so does imgverify: the reason.
REFUSED: Final = {
    # cosign signs with Ed25519ph, and reads the public key as one for Ed25519.
    "layer-ed25519": Reason.SIGNATURE_INVALID,
    "bundle-ed25519": Reason.SIGNATURE_INVALID,
}
HOLDING: Final = [name for name in RECIPES if name not in REFUSED]
KEYED: Final = [name for name in HOLDING if "--key" in RECIPES[name].trust]
KEYLESS: Final = [name for name in HOLDING if name not in KEYED]

in_both = pytest.mark.parametrize("kind", KINDS)


@in_both
@pytest.mark.parametrize("name", HOLDING)
def test_a_genuine_signature_is_accepted_by_both(signed_stage: Stage, kind: str, name: str) -> None:
    signed = signed_stage.find(kind, name)
    assert ask_cosign(signed_stage, signed, signed.reference)
    answer = ask_imgverify(signed.reference, *signed.trust)
    assert answer.accepted, answer.messages
    (evidence,) = answer.evidence
    assert evidence["subjectDigest"] == signed.digest
    if name in KEYED:
        assert str(evidence["key"]).startswith("sha256:")
    else:
        assert (evidence["identity"], evidence["issuer"]) == (WHO, signed_stage.files["issuer"])
    # Somebody else than the signer's key has a word on when it was.
    assert (evidence["time"] is not None) is (name in KEYLESS or "log" in name), evidence


@in_both
@pytest.mark.parametrize("name", REFUSED)
def test_what_cosign_signs_and_does_not_take_back_is_refused_by_both(
    signed_stage: Stage, kind: str, name: str
) -> None:
    signed = signed_stage.find(kind, name)
    assert not ask_cosign(signed_stage, signed, signed.reference)
    assert ask_imgverify(signed.reference, *signed.trust).reasons == (REFUSED[name],)


def replaced(signed: Signed, **others: str) -> Signed:
    """Return the image with other words to verify by, named as the options are."""
    trust = list(signed.trust)
    for option, value in others.items():
        trust[trust.index(f"--{option.replace('_', '-')}") + 1] = value
    return replace(signed, trust=tuple(trust))


def refuse(stage: Stage, signed: Signed, reason: Reason, *words: str) -> None:
    """Both have to refuse, and imgverify for this reason."""
    assert not ask_cosign(stage, signed, signed.reference)
    answer = ask_imgverify(signed.reference, *signed.trust, *words)
    assert answer.decision == "deny"
    assert {*answer.reasons} == {str(reason)}, answer.messages


@in_both
@pytest.mark.parametrize("name", KEYED)
def test_another_key_did_not_sign(signed_stage: Stage, kind: str, name: str) -> None:
    key = "p256" if name.endswith("other") else "other"
    signed = replaced(signed_stage.find(kind, name), key=signed_stage.files[key])
    refuse(signed_stage, signed, Reason.SIGNATURE_INVALID)


@pytest.mark.parametrize("name", KEYLESS)
def test_another_identity_or_issuer_did_not_sign(signed_stage: Stage, name: str) -> None:
    signed = signed_stage.find("olareg", name)
    other = replaced(signed, certificate_identity=f"not-{WHO}")
    refuse(signed_stage, other, Reason.IDENTITY_MISMATCH)
    other = replaced(signed, certificate_oidc_issuer="https://accounts.test")
    refuse(signed_stage, other, Reason.ISSUER_MISMATCH)


@in_both
def test_nothing_beside_an_image_is_no_signature(signed_stage: Stage, kind: str) -> None:
    like = signed_stage.find(kind, "bundle-p256")
    repository, item = f"team/unsigned-{kind}", image_of("unsigned")
    digest = publish(like.host, repository, item)
    signed = replace(like, repository=repository, digest=digest)
    assert not ask_cosign(signed_stage, signed, signed.reference)
    answer = ask_imgverify(signed.reference, *signed.trust)
    assert (answer.decision, answer.reasons) == ("deny", ())
    assert "unsigned" in answer.rules


@pytest.mark.parametrize("name", ATTESTED)
def test_attestation_type_an_attestation_of_any_type_is_no_signature(
    signed_stage: Stage, name: str
) -> None:
    signed = signed_stage.find(place_of(name), name)
    # cosign 3 counts any statement in a bundle; cosign 2 looks for signatures elsewhere.
    assert ask_cosign(signed_stage, signed, signed.reference) is (signed.form == "bundle")
    answer = ask_imgverify(signed.reference, *signed.trust)
    assert answer.decision == "deny"
    assert answer.reasons == (Reason.PREDICATE_MISMATCH,) * len(ATTESTED[name].kinds)


@in_both
@pytest.mark.parametrize("name", ["layer-index", "bundle-index"])
def test_an_index_and_each_of_its_platforms(signed_stage: Stage, kind: str, name: str) -> None:
    signed = signed_stage.find(kind, name)
    whole = image_of(name)
    assert isinstance(whole, ImageIndex)
    (evidence,) = ask_imgverify(signed.reference, *signed.trust).evidence
    assert evidence["subjectLevel"] == "index"
    for image in whole.images:
        reference = f"{signed.path}@{image.digest}"
        answer = ask_imgverify(reference, *signed.trust)
        # What attests something about a platform is listed, and not signed.
        assert answer.accepted is ask_cosign(signed_stage, signed, reference)
        assert answer.accepted
        assert answer.evidence[0]["subjectLevel"] == "platform"


@in_both
@pytest.mark.parametrize("name", ["layer-p256", "layer-keyless"])
def test_name_binding_copied_with_its_signature(signed_stage: Stage, kind: str, name: str) -> None:
    signed = signed_stage.find(kind, name)
    copied = _copy(signed_stage, signed)
    assert ask_cosign(signed_stage, signed, copied)
    # cosign does not look at the name that was signed: whoever may push to one repository could
    # put an image of another there, with its signature.
    assert ask_imgverify(copied, *signed.trust).reasons == (Reason.NAME_MISMATCH,)
    assert ask_imgverify(copied, *signed.trust, "--signed-as", signed.path).accepted


@in_both
@pytest.mark.parametrize("name", ["bundle-p256", "bundle-keyless"])
def test_what_cosign_copies_without_its_bundle_is_signed_only_where_it_came_from(
    signed_stage: Stage, kind: str, name: str
) -> None:
    signed = signed_stage.find(kind, name)
    copied = _copy(signed_stage, signed)
    assert not ask_cosign(signed_stage, signed, copied)
    answer = ask_imgverify(copied, *signed.trust)
    assert (answer.decision, answer.reasons) == ("deny", ()), answer.messages
    assert "unsigned" in answer.rules
    words = ("--mirror", copied.partition("@")[0])
    answer = ask_imgverify(signed.reference, *signed.trust, *words)
    assert answer.accepted, answer.messages
    assert "signature-not-carried" in answer.rules


def _copy(stage: Stage, signed: Signed) -> str:
    """Have cosign copy an image; gives the copy's reference."""
    target = f"{signed.host}/copied/{signed.name}"
    stage.cosign(signed.version).do("copy", "--force", signed.reference, f"{target}:1.0")
    return f"{target}@{signed.digest}"


@in_both
@pytest.mark.parametrize("form", ["layer", "bundle"])
def test_signed_by_several(signed_stage: Stage, kind: str, form: str) -> None:
    """One valid signature is enough, whatever lies beside it."""
    one = signed_stage.find(kind, f"{form}-p256")
    item = image_of(f"{form}-several")
    repository = f"team/{form}-several"
    signed = replace(one, repository=repository, digest=publish(one.host, repository, item))
    for key in ("other", "p256", "p256"):
        words = filled(RECIPES[f"{form}-{key}"].sign, signed_stage.files)
        signed_stage.cosign(signed.version).do("sign", "--yes", *words, signed.reference)
    for key in ("p256", "other"):
        by = replaced(signed, key=signed_stage.files[key])
        assert ask_cosign(signed_stage, by, signed.reference)
        assert ask_imgverify(signed.reference, *by.trust).accepted
    refuse(signed_stage, replaced(signed, key=signed_stage.files["rsa"]), Reason.SIGNATURE_INVALID)


@in_both
def test_signed_in_both_forms_by_different_keys(signed_stage: Stage, kind: str) -> None:
    one = signed_stage.find(kind, "bundle-other")
    repository = "team/both-forms"
    item = image_of("both-forms")
    signed = replace(one, repository=repository, digest=publish(one.host, repository, item))
    for version, name in ((2, "layer-p256"), (3, "bundle-other")):
        words = filled(RECIPES[name].sign, signed_stage.files)
        signed_stage.cosign(version).do("sign", "--yes", *words, signed.reference)
    layer = replaced(signed, key=signed_stage.files["p256"])
    for each in (signed, layer):
        assert ask_imgverify(each.reference, *each.trust).accepted
    assert ask_cosign(signed_stage, signed, signed.reference)
    # Where cosign finds a bundle, it looks at nothing else.
    for version in (2, 3):
        assert not ask_cosign(signed_stage, replace(layer, version=version), layer.reference)


@in_both
@pytest.mark.parametrize("form", ["layer", "bundle"])
def test_signatures_in_another_repository(signed_stage: Stage, kind: str, form: str) -> None:
    one = signed_stage.find(kind, f"{form}-p256")
    repository, item = f"team/{form}-kept-apart", image_of(f"{form}-kept-apart")
    signed = replace(one, repository=repository, digest=publish(one.host, repository, item))
    kept = f"{one.host}/signatures/{form}"
    cosign = signed_stage.cosign(signed.version)
    words = filled(RECIPES[one.name].sign, signed_stage.files)
    cosign.do("sign", "--yes", *words, signed.reference, COSIGN_REPOSITORY=kept)
    assert not ask_cosign(signed_stage, signed, signed.reference)
    answer = ask_imgverify(signed.reference, *signed.trust)
    assert (answer.decision, answer.reasons) == ("deny", ()), answer.messages
    words = ("verify", *signed.trust, *signed.only, signed.reference)
    assert cosign.run(*words, COSIGN_REPOSITORY=kept).status == 0
    there = ("--signature-repository", kept)
    answer = ask_imgverify(signed.reference, *signed.trust, *there)
    assert answer.accepted, answer.messages
