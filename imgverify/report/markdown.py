"""A gate's outcome as Markdown, for comments and job pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imgverify.report.escape import escape
from imgverify.report.gatewords import name_of, place_of, reasons, summary, word_of
from imgverify.verdict import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.outcome import GateImage, Outcome

# What begins something in Markdown, HTML, or mentions somebody, as a number.
_MARKS: Final = re.compile(r"[^A-Za-z0-9 .,:;/()+=%-]", re.ASCII)
# These make links by themselves, and mentions.
_LINKS: Final = re.compile(r"(?<=:)(?=//)|(?<=[wW])(?=\.)|(?<=&#64;)", re.ASCII)
_PLACES: Final = 20


def render_markdown(outcome: Outcome) -> str:
    """Write a table of what is not allowed, and a folded one of what is."""
    bad = [each for each in outcome.images if each.decision is not Decision.ALLOW]
    good = [each for each in outcome.images if each.decision is Decision.ALLOW]
    lines = ["## imgverify gate", "", _words(summary(outcome)), ""]
    if bad or outcome.troubles:
        lines += ["| | image | named at | why |", "|---|---|---|---|"]
        lines += [_row(each) for each in bad]
        for trouble in outcome.troubles:
            place, why = _code(place_of(trouble.location)), _words(escape(trouble.message))
            lines.append(f"| **unreadable** | | {place} | {why} |")
        lines.append("")
    if good:
        lines += ["<details><summary>Allowed</summary>", "", "| image | named at |", "|---|---|"]
        lines += [f"| {_code(name_of(each))} | {_places(each)} |" for each in good]
        lines += ["", "</details>", ""]
    return "\n".join(lines)


def _row(image: GateImage) -> str:
    why = "<br>".join(map(_words, reasons(image))) or "not accepted"
    return f"| **{word_of(image)}** | {_code(name_of(image))} | {_places(image)} | {why} |"


def _places(image: GateImage) -> str:
    return "<br>".join(_shown(image))


def _shown(image: GateImage) -> Iterator[str]:
    for each in image.mentions[:_PLACES]:
        yield _code(place_of(each.location))
    if len(image.mentions) > _PLACES:
        yield f"and {len(image.mentions) - _PLACES} more"


def _code(text: str) -> str:
    """Write text in HTML's own element: between backticks a bar would still end a cell."""
    return f"<code>{_words(text)}</code>"


def _words(text: str) -> str:
    marked = _MARKS.sub(lambda found: f"&#{ord(found[0])};", text)
    # A comment, which is never shown, parts what would be taken for one.
    return _LINKS.sub("<!-- -->", marked)
