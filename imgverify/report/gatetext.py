"""A gate's outcome for people: a line for each place, and why, where an image is not allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.report.escape import escape
from imgverify.report.gatewords import name_of, place_of, reasons, summary, word_of
from imgverify.report.layout import GREEN, RED, YELLOW, Style
from imgverify.verdict import Decision, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.outcome import GateImage, Outcome

_COLOURS: Final = {
    Decision.ALLOW: GREEN,
    Decision.DENY: RED,
    Decision.INCONCLUSIVE: YELLOW,
}


def render_gate_text(outcome: Outcome, *, colour: bool, width: int | None) -> str:
    """Write the outcome; the last line sums it up."""
    style = Style(colour=colour, width=width)
    lines = [line for each in outcome.images for line in _image(each, style)]
    for trouble in outcome.troubles:
        word = style.paint("UNREADABLE", f"1;{YELLOW}")
        lines.append(f"{place_of(trouble.location)}: {word}")
        lines += style.prose(escape(trouble.message), 2)
    lines += [line for each in _notes(outcome) for line in style.prose(each, 0)]
    lines.append(summary(outcome))
    return "\n".join(lines) + "\n"


def _image(image: GateImage, style: Style) -> Iterator[str]:
    plain = word_of(image).upper()
    word = style.paint(plain, f"1;{_COLOURS[image.decision]}")
    for each in image.mentions:
        yield f"{place_of(each.location)}: {word} {name_of(image)}"
    for reason in reasons(image):
        yield from style.prose(reason, 2)


def _notes(outcome: Outcome) -> Iterator[str]:
    """Yield what is to be known even where all is allowed, once for all images."""
    messages = {
        f"{each.level.value}: {each.rule.value} ({each.side.value}): {escape(each.message)}": None
        for image in outcome.images
        if image.verdict is not None
        for each in (
            *image.verdict.findings,
            *(finding for mirror in image.verdict.mirrors for finding in mirror.findings),
        )
        if each.level is not Level.ERROR
    }
    return iter(messages)
