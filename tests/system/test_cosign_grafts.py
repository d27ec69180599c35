"""Parts of one real signature in another: cosign and imgverify refuse every graft.

Where imgverify alone does, `STRICTER` says so, with the reason.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from imgverify.errors import Reason
from tests.support.signed import COMPONENTS, KINDS, Stage
from tests.system.cosigned import ask_cosign, ask_imgverify
from tests.system.grafting import Document, Taken, put_beside, take

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.signed import Signed

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

#: What cosign accepts and imgverify refuses: image, part, and why it is refused.
STRICTER: Final[dict[tuple[str, str], str]] = {}


def kind_of(name: str) -> str:
    """Choose a registry: each form in both."""
    return list(KINDS)[TARGETS.index(name) % 2]


def grafts_of(stage: Stage, target: Taken) -> Iterator[tuple[str, str, Document]]:
    """Give each part of each other signature of the form, in the target's place of it."""
    kind = kind_of(target.signed.name)
    for name in GRAFTED[target.signed.form]:
        if name != target.signed.name:
            donor = take(stage.find(kind, name))
            for part in target.parts:
                document = target.having(part, donor)
                if document is not None:
                    yield part.name, name, document


@pytest.mark.parametrize("name", TARGETS)
def test_no_part_of_another_signature_fits(signed_stage: Stage, name: str) -> None:
    target = take(signed_stage.find(kind_of(name), name))
    reasons = {each.name: {*each.reasons} for each in target.parts}
    accepted, wrong = set(), []
    for part, donor, cosign, answer in _judged(signed_stage, target):
        if answer.accepted or not {*answer.reasons} <= {*map(str, reasons[part])}:
            wrong.append((part, donor, answer.decision, answer.messages))
        if cosign:
            accepted.add((name, part, donor))
    print(name, 'COSIGN ACCEPTS', accepted); print(*wrong, sep='\n')
    assert not wrong
    assert accepted == {each for each in STRICTER if each[0] == name}


def _judged(stage, target):
    jobs = []
    with ThreadPoolExecutor(2) as pool:
        for number, (part, donor, document) in enumerate(grafts_of(stage, target)):
            repository = f"graft/{target.signed.name}-{number}"
            reference = put_beside(target.signed, document, repository)
            jobs.append((part, donor, reference, pool.submit(ask_cosign, stage, target.signed, reference)))
        for part, donor, reference, cosign in jobs:
            words = ("--signed-as", target.signed.path)
            yield part, donor, cosign.result(), ask_imgverify(reference, *target.signed.trust, *words)
