"""Verdicts for people: a headline, a table, and only what has to be known beyond them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import Side
from imgverify.oci import limits
from imgverify.oci.local import LocalCopy
from imgverify.oci.reference import Reference
from imgverify.report.escape import escape
from imgverify.report.evidence import evidence_line
from imgverify.report.explain import Occasion, counted, coverage_text, explain
from imgverify.report.layout import GREEN, RED, YELLOW, Style
from imgverify.verdict import Decision, Grade, Level, ResolvedFrom, SubjectLevel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgverify.oci.local import MirrorName
    from imgverify.verdict import Equivalent, Finding, MirrorResult, Verdict

_WORDS: Final = {
    Decision.ALLOW: "ALLOWED",
    Decision.DENY: "DENIED",
    Decision.INCONCLUSIVE: "INCONCLUSIVE",
}
#: A comparison forbids nothing.
_COMPARED: Final = _WORDS | {Decision.ALLOW: "IDENTICAL", Decision.DENY: "DIFFERENT"}
_RUNGS: Final = {
    ResolvedFrom.UPSTREAM: "asked directly",
    ResolvedFrom.SIGNATURE: "not asked: signatures vouch for this digest, and cannot say whether"
    " there is a newer one",
}
_UNKNOWN: Final = {
    ResolvedFrom.UPSTREAM: "its digest could not be learned",
    ResolvedFrom.SIGNATURE: "not asked, and no signatures say what it published",
}
_LEVELS: Final = {Level.ERROR: "errors", Level.WARNING: "warnings", Level.NOTE: "notes"}

_DECISION_COLOURS: Final = {
    Decision.ALLOW: GREEN,
    Decision.DENY: RED,
    Decision.INCONCLUSIVE: YELLOW,
}
_GRADE_COLOURS: Final = {
    Grade.IDENTICAL: GREEN,
    Grade.SUBSET: GREEN,
    Grade.REPACKAGED: YELLOW,
    Grade.STALE: YELLOW,
    Grade.MISSING: YELLOW,
    Grade.DIVERGED: RED,
    Grade.INCONCLUSIVE: YELLOW,
}

# A note with less room than this beside the table goes below its row.
_NOTE_WIDTH: Final = 28


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table; `role` and `label` are the source."""

    role: str
    label: str
    digest: str
    grade: Grade | None
    note: str


@dataclass(frozen=True, slots=True)
class _Style(Style):
    """How lines are laid out, and what for."""

    occasion: Occasion


def render_text(
    verdicts: Sequence[Verdict],
    *,
    colour: bool,
    width: int | None,
    occasion: Occasion = Occasion.VERIFY,
) -> str:
    """Write all there is to know about each image; lines are broken at `width`, if it is given.

    The exit status, the JSON report and this text say the same, as all come from the verdicts.
    """
    if not verdicts:
        return "No image was checked.\n"
    style = _Style(colour=colour, width=width, occasion=occasion)
    blocks = ["\n".join(_image(each, style)) for each in verdicts]
    if len(verdicts) > 1:
        blocks.append(_summary(verdicts))
    return "\n\n".join(blocks) + "\n"


def _summary(verdicts: Sequence[Verdict]) -> str:
    counts = Counter(each.decision for each in verdicts)
    parts = [f"{counts[each]} {word.lower()}" for each, word in _WORDS.items() if counts[each]]
    return f"{counted(len(verdicts), 'image')}: {', '.join(parts)}"


def _image(verdict: Verdict, style: _Style) -> list[str]:
    lines = [*_headline(verdict, style), *_table(verdict, style)]
    details = [block for each in verdict.mirrors if (block := _details(each, verdict, style))]
    if evidence := _evidence(verdict, style):
        details.append(evidence)
    if verdict.cosign is not None:
        details.append(_cosign(verdict.cosign))
    if findings := _findings(verdict, style):
        details.append(findings)
    for block in details:
        lines += ["", *block]
    if details:
        lines.append("")
    for sentence in _coverage(verdict, style.occasion):
        lines += style.prose(sentence, 2)
    return lines


def _headline(verdict: Verdict, style: _Style) -> Iterator[str]:
    words = _COMPARED if style.occasion is Occasion.COMPARE else _WORDS
    plain = words[verdict.decision]
    word = style.paint(plain, f"1;{_DECISION_COLOURS[verdict.decision]}")
    wanted = verdict.upstream.reference
    digest = wanted.digest or verdict.upstream.digest
    whole = _reference(Reference(wanted.repository, wanted.tag, digest)) if digest else ""
    if digest and not style.fits(len(plain) + 2 + len(whole)):
        tag = f":{wanted.tag}" if wanted.tag else ""
        yield f"{word}  {_reference_text(f'{wanted.repository}{tag}')}"
        yield f"  {digest}"
    else:
        yield f"{word}  {whole or _reference(wanted)}"
    if verdict.requested != str(wanted):
        yield f"  requested as {_reference_text(verdict.requested)}"


def _reference(reference: Reference) -> str:
    return _reference_text(str(reference))


def _reference_text(text: str) -> str:
    # A name that is cut short would be another name.
    return escape(text, limits.REFERENCE_LENGTH)


def _label(mirror: MirrorResult, verdict: Verdict) -> str:
    """Name a mirror as it was configured: a host or a prefix, if upstream's name follows."""
    here, there = verdict.upstream.reference, mirror.reference
    if isinstance(there, LocalCopy):
        return _reference_text(str(there))
    name = str(there.repository)
    if (here.tag, here.digest) == (there.tag, there.digest):
        return _reference_text(name.removesuffix(f"/{here.repository.path}"))
    return _reference_text(f"{name}:{there.tag}" if there.tag else name)


def _served_by(hosts: tuple[str, ...], reference: MirrorName) -> str:
    if isinstance(reference, LocalCopy):
        return ""
    expected = {str(reference.registry), str(reference.registry.api)}
    others = [escape(each) for each in hosts if each not in expected]
    return f"served by {', '.join(others)}" if others else ""


def _rows(verdict: Verdict, occasion: Occasion) -> Iterator[_Row]:
    upstream = verdict.upstream
    rung = upstream.resolved_from
    said = _RUNGS[rung] if rung else _UNKNOWN[upstream.rung]
    note = "; ".join(filter(None, (said, _served_by(upstream.served_by, upstream.reference))))
    digest = upstream.digest.short if upstream.digest else "-"
    yield _Row("upstream", escape(str(upstream.reference.registry)), digest, None, note)
    for each in verdict.mirrors:
        # Several mirrors need not share the image's decision; to a pull they are sources.
        differs = each.decision is not verdict.decision and occasion is not Occasion.PULL
        word = _WORDS[each.decision].lower() if differs else ""
        parts = (
            word,
            escape(each.explanation.summary),
            _served_by(each.served_by, each.reference),
        )
        digest = each.digest.short if each.digest else "-"
        note = "; ".join(filter(None, parts))
        yield _Row("mirror", _label(each, verdict), digest, each.grade, note)


def _table(verdict: Verdict, style: _Style) -> Iterator[str]:
    rows = list(_rows(verdict, style.occasion))
    label = max(len(each.label) for each in rows)
    digest = max(len("DIGEST"), *(len(each.digest) for each in rows))
    grade = max(len("GRADE"), *(len(each.grade or "-") for each in rows))
    before = 2 + len("upstream") + 2 + label + 2 + digest + 2 + grade + 2
    beside = style.fits(before + _NOTE_WIDTH)
    source = f"{'SOURCE':<{len('upstream') + 2 + label}}"
    header = f"  {source}  {'DIGEST':<{digest}}  {'GRADE':<{grade}}  {'NOTE' if beside else ''}"
    yield header.rstrip()
    for each in rows:
        word = each.grade.value if each.grade else "-"
        painted = style.paint(word, _GRADE_COLOURS[each.grade]) if each.grade else word
        gap = " " * (grade - len(word))
        start = f"  {each.role:<8}  {each.label:<{label}}  {each.digest:<{digest}}  {painted}{gap}"
        if beside:
            first, *rest = style.prose(each.note, before, 0) or [""]
            yield f"{start}  {first[before:]}".rstrip()
            yield from rest
        else:
            yield start.rstrip()
            yield from style.prose(each.note, 4)


def _details(mirror: MirrorResult, verdict: Verdict, style: _Style) -> list[str]:
    lines = [
        line
        for depth, sentence in explain(mirror, style.occasion)
        for line in style.prose(sentence, 4 + 2 * depth)
    ]
    heading = f"  upstream → {_label(mirror, verdict)}:"
    return [heading, *lines] if lines else []


def _evidence(verdict: Verdict, style: _Style) -> list[str]:
    lines: list[str] = []
    for heading, signs in (("signatures", True), ("attestations", False)):
        found = [each for each in verdict.evidence if each.evidence.is_signature is signs]
        lines += [f"  {heading}:"] if found else []
        for each in found:
            what = "index" if each.level is SubjectLevel.INDEX else "manifest"
            over = f"the {what} {each.evidence.subject.short}"
            where = ", ".join(map(escape, each.found_at))
            lines += style.prose(f"{evidence_line(each.evidence)}; over {over}; at {where}", 4)
    return lines


def _cosign(equivalent: Equivalent) -> list[str]:
    # Not broken into lines: what is copied has to be whole.
    commands = [f"    {escape(each, limits.COSIGN_COMMAND)}" for each in equivalent.commands]
    return [
        "  the same of cosign:",
        *commands,
        *(f"    # {escape(each)}" for each in equivalent.beyond),
    ]


def _findings(verdict: Verdict, style: _Style) -> list[str]:
    # A mirror's finding may have been lifted to the image as well; it is said once.
    sources: dict[Finding, str] = {}
    for mirror in verdict.mirrors:
        label = _label(mirror, verdict)
        for each in mirror.findings:
            own = each.side is Side.MIRROR
            name = f"mirror {label}" if own else f"{each.side.value}, for {label}"
            sources[each] = f"{sources[each]}, {name}" if each in sources else name
    for each in verdict.findings:
        sources.setdefault(each, each.side.value)
    lines: list[str] = []
    for level, heading in _LEVELS.items():
        found = [(each, source) for each, source in sources.items() if each.level is level]
        if found:
            lines.append(f"  {heading}:")
        for each, source in found:
            lines += style.prose(f"{each.rule.value} ({source}): {escape(each.message)}", 4)
            lines += style.prose(f"hint: {escape(each.hint)}", 6) if each.hint else []
    return lines


def _coverage(verdict: Verdict, occasion: Occasion) -> Iterator[str]:
    if not verdict.mirrors:
        yield "coverage: no mirror was compared"
        return
    groups: dict[str, list[str]] = {}
    for each in verdict.mirrors:
        groups.setdefault(coverage_text(each, occasion), []).append(_label(each, verdict))
    for words, labels in groups.items():
        names = f" of {', '.join(labels)}" if len(groups) > 1 else ""
        yield f"coverage{names}: {words}"
