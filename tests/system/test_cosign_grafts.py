"""Parts of one real signature in another: cosign and imgverify refuse every graft.

What imgverify alone refuses stands in `STRICTER`, with the reason; nothing else may.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from imgverify.errors import Reason
from tests.support.signed import COMPONENTS, KINDS
from tests.system.cosigned import Answer, ask_cosign, ask_imgverify
from tests.system.grafting import Document, Taken, are_alike, put_beside, take
from tests.unit.signature.grafting import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.signed import Stage

pytestmark = [pytest.mark.system(*COMPONENTS), pytest.mark.slow]

GRAFTED: Final = {
    "layer": (
        *("layer-p256", "layer-p256-again", "layer-key-logged"),
        *("layer-keyless", "layer-keyless-again", "layer-keyless-stamped"),
    ),
    "bundle": (
        *("bundle-p256", "bundle-key-logged", "bundle-keyless", "bundle-keyless-again"),
        *("bundle-keyless-old-log", "bundle-keyless-both"),
    ),
}
TARGETS: Final = [name for names in GRAFTED.values() for name in names]

#: What cosign accepts and imgverify refuses, by image and part.
_BODY = "cosign compares an entry that it makes itself with the log, and not the one that is there"
_TREE = "cosign takes it from the checkpoint, and what the proof says may be anything"
_STAMP = "cosign ignores timestamps of signatures by keys, and so one that proves nothing"
STRICTER: Final[dict[tuple[str, str], str]] = {
    ("bundle-key-logged", "timestamp"): _STAMP,
    **{
        (name, part): why
        for name in ("bundle-key-logged", "bundle-keyless", "bundle-keyless-again")
        for part, why in {
            "log entry's body": _BODY,
            "tree's root": _TREE,
            "tree's size": _TREE,
        }.items()
    },
}

#: Why a part is refused that is from another kind of log, beside the reasons for its like.
FOREIGN: Final = {"checkpoint": {Reason.CHECKPOINT_INVALID}}


_ENTRY = ("verificationMaterial", "tlogEntries")
_COSIGN = "dev.sigstore.cosign"
#: What can be taken away, by form, and why the rest is refused then.
REMOVABLE: Final = {
    "bundle": (
        Part("log entry", _ENTRY, (Reason.LOG_MISSING,)),
        Part("promise", (*_ENTRY, 0, "inclusionPromise"), (Reason.TIME_MISSING,)),
        Part("proof", (*_ENTRY, 0, "inclusionProof"), (Reason.PROOF_MISSING,)),
        Part(
            "checkpoint",
            (*_ENTRY, 0, "inclusionProof", "checkpoint"),
            (Reason.CHECKPOINT_INVALID,),
        ),
        Part("time", (*_ENTRY, 0, "integratedTime"), (Reason.PROMISE_INVALID,)),
        Part(
            "timestamp",
            ("verificationMaterial", "timestampVerificationData"),
            (Reason.TIME_MISSING,),
        ),
        Part("certificate", ("verificationMaterial", "certificate"), (Reason.MALFORMED,)),
    ),
    "layer": (
        Part("log entry", ("annotations", f"{_COSIGN}/bundle"), (Reason.LOG_MISSING,)),
        Part("timestamp", ("annotations", f"{_COSIGN}/rfc3161timestamp"), ()),
        Part("certificate", ("annotations", f"{_COSIGN}/certificate"), (Reason.SIGNER_KIND,)),
        Part("chain", ("annotations", f"{_COSIGN}/chain"), ()),
        Part(
            "signature",
            ("annotations", "dev.cosignproject.cosign/signature"),
            (Reason.SIGNATURE_INVALID,),
        ),
    ),
}
#: What nobody misses: something else vouches for the same.
SPARE: Final = {
    ("layer-keyless", "chain"),
    ("layer-keyless-again", "chain"),
    ("layer-keyless-stamped", "chain"),
    ("layer-keyless-stamped", "timestamp"),
    ("bundle-key-logged", "timestamp"),
    ("bundle-keyless-both", "promise"),
}
#: What imgverify accepts and cosign does not, which is told to insist on a timestamp: a promise of
#: the log tells the time, too.
INSISTED_ON: Final = {("bundle-keyless-both", "timestamp")}


@dataclass(frozen=True)
class Graft:
    """A genuine signature with a part of another, or with none in its place."""

    part: str
    donor: str
    document: Document


def kind_of(name: str) -> str:
    """Choose a registry; each form is tried in both."""
    return list(KINDS)[TARGETS.index(name) % len(KINDS)]


def judged(
    stage: Stage, target: Taken, grafts: Iterable[Graft]
) -> Iterator[tuple[Graft, bool, Answer]]:
    """Publish each graft beside its image; gives whether cosign accepts, and imgverify's answer."""
    signed = target.signed
    with ThreadPoolExecutor(2) as pool:
        asked = []
        for number, graft in enumerate(grafts):
            repository = f"graft/{signed.name}/{graft.part.replace(' ', '-')}-{number}"
            reference = put_beside(signed, graft.document, repository.replace("'", ""))
            asked.append((graft, reference, pool.submit(ask_cosign, stage, signed, reference)))
        for graft, reference, cosign in asked:
            answer = ask_imgverify(reference, *signed.trust, "--signed-as", signed.path)
            yield graft, cosign.result(), answer


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_put_back_as_it_was_is_accepted(signed_stage: Stage, name: str) -> None:
    """Else no refusal of a graft would mean anything."""
    target = take(signed_stage.find(kind_of(name), name))
    ((_, cosign, answer),) = judged(signed_stage, target, [Graft("nothing", "", target.document)])
    assert cosign
    assert answer.accepted, answer.messages


@pytest.mark.parametrize("name", TARGETS)
def test_rekor_entry_binding_no_part_of_another_signature_fits(
    signed_stage: Stage, name: str
) -> None:
    target = take(signed_stage.find(kind_of(name), name))
    reasons = {each.name: {*each.reasons, *FOREIGN.get(each.name, ())} for each in target.parts}
    tried, stricter, wrong = set(), set(), []
    for graft, cosign, answer in judged(signed_stage, target, _grafts(signed_stage, target)):
        why = {Reason(each) for each in answer.reasons}
        if answer.decision != "deny" or not why or not why <= reasons[graft.part]:
            wrong.append((graft.part, graft.donor, answer.messages))
        tried.add((name, graft.part))
        if cosign:
            stricter.add((name, graft.part))
    assert not wrong
    assert len(tried) >= (2 if "p256" in name else 4)
    assert stricter == tried & {*STRICTER}


def _grafts(stage: Stage, target: Taken) -> Iterator[Graft]:
    """Put each part of each other signature of the form in the target's place of it."""
    name = target.signed.name
    for donor in GRAFTED[target.signed.form]:
        if donor != name:
            other = take(stage.find(kind_of(name), donor))
            for part in target.parts:
                document = target.having(part, other)
                if document is not None and not are_alike(part, target, other):
                    yield Graft(part.name, donor, document)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_missed_when_it_is_gone(signed_stage: Stage, name: str) -> None:
    target = take(signed_stage.find(kind_of(name), name))
    parts = {each.name: each for each in REMOVABLE[target.signed.form] if each.get(target.document)}
    grafts = [Graft(each, "", target.without(part)) for each, part in parts.items()]
    for graft, cosign, answer in judged(signed_stage, target, grafts):
        which = name, graft.part
        assert cosign is (which in SPARE), which
        assert answer.accepted is (which in SPARE | INSISTED_ON), (which, answer.messages)
        if not answer.accepted:
            assert answer.reasons == parts[graft.part].reasons, which


@pytest.mark.parametrize("name", TARGETS)
def test_payload_binding_no_other_signature_is_about_the_image(
    signed_stage: Stage, name: str
) -> None:
    """A whole signature, with a referrer's subject or a tag that names the image."""
    target = take(signed_stage.find(kind_of(name), name))
    others = (each for each in GRAFTED[target.signed.form] if each != name)
    whole = [
        Graft("whole", each, take(signed_stage.find(kind_of(name), each)).document)
        for each in others
    ]
    for _, cosign, answer in judged(signed_stage, target, whole):
        assert not cosign
        assert answer.reasons == (Reason.ARTIFACT_MISMATCH,)
