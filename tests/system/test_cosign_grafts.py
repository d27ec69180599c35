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
from tests.system.grafting import Document, Taken, put_beside, take

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
STRICTER: Final[dict[tuple[str, str], str]] = {}

#: Refusals of a part that comes from another kind of log, beside those of its like.
FOREIGN: Final[dict[str, set[Reason]]] = {}


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
    stricter, wrong = set(), []
    for graft, cosign, answer in judged(signed_stage, target, _grafts(signed_stage, target)):
        why = {Reason(each) for each in answer.reasons}
        if answer.decision != "deny" or not why or not why <= reasons[graft.part]:
            wrong.append((graft.part, graft.donor, answer.messages))
        if cosign:
            stricter.add((name, graft.part))
    print(name, *wrong, *stricter, sep="\n  ")
    assert not wrong
    assert stricter == {each for each in STRICTER if each[0] == name}


def _grafts(stage: Stage, target: Taken) -> Iterator[Graft]:
    """Put each part of each other signature of the form in the target's place of it."""
    name = target.signed.name
    for donor in GRAFTED[target.signed.form]:
        if donor != name:
            other = take(stage.find(kind_of(name), donor))
            for part in target.parts:
                document = target.having(part, other)
                if document is not None:
                    yield Graft(part.name, donor, document)


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
