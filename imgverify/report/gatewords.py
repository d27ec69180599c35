"""What every report of a gate says of an image, in sentences; all of it is escaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.oci import limits
from imgverify.report.escape import escape
from imgverify.report.explain import counted
from imgverify.verdict import Decision, Finding, Level, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.mention import Location, Trouble
    from imgverify.gate.outcome import GateImage, Outcome
    from imgverify.verdict import MirrorResult, Verdict

_WORDS: Final = {
    Decision.ALLOW: "allowed",
    Decision.DENY: "denied",
    Decision.INCONCLUSIVE: "inconclusive",
}
NOTHING_FOUND: Final = "no image is named in what was looked through"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing to tell at one place: what is wrong, or only worth a note.

    `is_open` says that it could not be decided.
    """

    location: Location
    rule: Rule
    level: Level
    name: str
    message: str
    is_open: bool = False


def name_of(image: GateImage) -> str:
    """Return the image's name: upstream's, with the digest that was verified."""
    verdict = image.verdict
    if verdict is None:
        return escape(image.requested, limits.REFERENCE_LENGTH)
    wanted, pinned = str(verdict.upstream.reference), verdict.pinned
    if pinned is not None and pinned.digest is not None and "@" not in wanted:
        wanted = f"{wanted}@{pinned.digest}"
    return escape(wanted, limits.REFERENCE_LENGTH)


def place_of(location: Location) -> str:
    """Return `file:line:column`."""
    return f"{escape(location.path, limits.PATH_LENGTH)}:{location.line}:{location.column}"


def word_of(image: GateImage) -> str:
    """Return what was decided, in one word."""
    return "unresolvable" if image.verdict is None else _WORDS[image.decision]


def reasons(image: GateImage) -> list[str]:
    """Say why an image is not allowed: errors, and what each mirror has instead."""
    lines = [
        f"{finding.rule.value} ({finding.side.value}): {escape(finding.message)}"
        + (f"; {escape(finding.hint)}" if finding.hint else "")
        for finding in _errors(image)
    ]
    for each in _unacceptable(image):
        name = escape(str(each.reference.repository), limits.REFERENCE_LENGTH)
        lines.append(f"mirror {name} is {each.grade.value}: {escape(each.explanation.summary)}")
    return lines


def issues(outcome: Outcome) -> Iterator[Issue]:
    """Yield one issue for each place that names an image which is not allowed.

    Unreadable files come before, and insecure settings after, each of them once.
    """
    for trouble in outcome.troubles:
        yield _unreadable(trouble)
    for image in outcome.images:
        if image.decision is not Decision.ALLOW:
            yield from _refused(image)
    yield from _insecure(outcome)


def summary(outcome: Outcome) -> str:
    """Say in one line what came out."""
    if outcome.is_empty:
        return f"{NOTHING_FOUND}, as is allowed" if outcome.allow_empty else NOTHING_FOUND
    words = [word_of(each) for each in outcome.images]
    counts = [
        f"{words.count(word)} {word}"
        for word in (*_WORDS.values(), "unresolvable")
        if words.count(word)
    ]
    unreadable = counted(len(outcome.troubles), "unreadable place") if outcome.troubles else ""
    start = (
        f"{counted(outcome.references, 'reference')} to {counted(len(outcome.images), 'image')}"
        f" in {counted(outcome.files, 'file')}"
    )
    return f"{start}: {', '.join(filter(None, (*counts, unreadable)))}"


def _refused(image: GateImage) -> Iterator[Issue]:
    first = next(_errors(image), None)
    rule = first.rule if first else Rule.NOT_ACCEPTED
    why = "; ".join(reasons(image)) or "the policy does not accept it"
    for each in image.mentions:
        name = name_of(image)
        message = f"{name} is {word_of(image)}: {why}"
        is_open = image.decision is Decision.INCONCLUSIVE
        yield Issue(each.location, rule, Level.ERROR, name, message, is_open)


def _unreadable(trouble: Trouble) -> Issue:
    message = f"what this names is not known: {escape(trouble.message)}"
    name = escape(trouble.location.path, limits.PATH_LENGTH)
    return Issue(trouble.location, Rule.UNREADABLE_FILE, Level.ERROR, name, message, is_open=True)


def _insecure(outcome: Outcome) -> Iterator[Issue]:
    seen: set[str] = set()
    for image in outcome.images:
        for finding in image.verdict.findings if image.verdict else ():
            if finding.rule is Rule.INSECURE and finding.message not in seen:
                seen.add(finding.message)
                location, message = image.mentions[0].location, escape(finding.message)
                yield Issue(location, finding.rule, Level.NOTE, name_of(image), message)


def _errors(image: GateImage) -> Iterator[Finding]:
    found = [*image.findings]
    verdict = image.verdict
    if verdict is not None:
        found += [
            *verdict.findings,
            *(each for mirror in verdict.mirrors for each in mirror.findings),
        ]
    return iter(dict.fromkeys(each for each in found if each.level is Level.ERROR))


def _unacceptable(image: GateImage) -> list[MirrorResult]:
    verdict: Verdict | None = image.verdict
    if verdict is None or image.decision is Decision.ALLOW:
        return []
    return [each for each in verdict.mirrors if each.decision is Decision.DENY]
