"""What a gate decided: every image once, with all the places that name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError
from imgverify.verdict import Decision, Finding, Level, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imgverify.gate.mention import Location, Mention, Reading, Trouble
    from imgverify.verdict import Verdict

_WRITE_OUT: Final = "write the image's name out, or give the variable a default in the file"


@dataclass(frozen=True, slots=True)
class GateImage:
    """One image: where it is named, and what was found out.

    Without a verdict nothing was asked, and `findings` say why.
    """

    requested: str
    mentions: tuple[Mention, ...]
    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an image that nobody names, and one without an answer."""
        if not self.mentions or (self.verdict is None) != bool(self.findings):
            msg = f"{self.requested!r} has no place, or not exactly one answer"
            raise ValueError(msg)

    @property
    def decision(self) -> Decision:
        """What follows for the image; without a verdict nobody knows."""
        return self.verdict.decision if self.verdict else Decision.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of the gate says."""

    images: tuple[GateImage, ...]
    troubles: tuple[Trouble, ...] = ()
    files: int = 0
    allow_empty: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found at all."""
        return not self.images and not self.troubles

    @property
    def decision(self) -> Decision:
        """Decide as the exit status does."""
        found = {each.decision for each in self.images}
        if Decision.DENY in found:
            return Decision.DENY
        if self.is_empty:
            return Decision.ALLOW if self.allow_empty else Decision.INCONCLUSIVE
        clean = found == {Decision.ALLOW} and not self.troubles
        return Decision.ALLOW if clean else Decision.INCONCLUSIVE

    @property
    def references(self) -> int:
        """How many places name an image."""
        return sum(len(each.mentions) for each in self.images)


@dataclass(frozen=True, slots=True)
class Found:
    """What files name: the mentions of each image, by its canonical name, in order."""

    resolvable: Mapping[str, tuple[Mention, ...]]
    unresolvable: Mapping[str, tuple[Mention, ...]]
    troubles: tuple[Trouble, ...]
    files: int


def gather(readings: Iterable[Reading]) -> Found:
    """Put together what was found in all files."""
    known = [each for each in readings if each.mentions or each.troubles]
    named: tuple[dict[str, list[Mention]], dict[str, list[Mention]]] = ({}, {})
    for mention in (each for reading in known for each in reading.mentions):
        reference = mention.reference
        name = mention.text if reference is None else str(reference)
        named[reference is None].setdefault(name, []).append(mention)
    resolvable, unresolvable = (
        {name: tuple(each) for name, each in kind.items()} for kind in named
    )
    troubles = tuple(each for reading in known for each in reading.troubles)
    return Found(resolvable, unresolvable, troubles, len(known))


def conclude(
    found: Found, answers: Mapping[str, Verdict | InputError], *, allow_empty: bool = False
) -> Outcome:
    """Say what follows; `answers` has one for each name that could be resolved."""
    images = [_answered(name, found.resolvable[name], answers[name]) for name in found.resolvable]
    for name, mentions in found.unresolvable.items():
        problems = dict.fromkeys(each.problem for each in mentions)
        findings = tuple(_finding(each, _WRITE_OUT) for each in problems)
        images.append(GateImage(name, mentions, None, findings))
    images.sort(key=_first)
    return Outcome(tuple(images), found.troubles, found.files, allow_empty)


def _answered(name: str, mentions: tuple[Mention, ...], answer: Verdict | InputError) -> GateImage:
    if isinstance(answer, InputError):
        return GateImage(name, mentions, None, (_finding(answer.message, answer.hint),))
    return GateImage(mentions[0].text, mentions, answer)


def _finding(problem: str, hint: str) -> Finding:
    return Finding(Rule.UNRESOLVABLE_REFERENCE, Level.ERROR, problem, hint=hint)


def _first(image: GateImage) -> Location:
    return min(each.location for each in image.mentions)
