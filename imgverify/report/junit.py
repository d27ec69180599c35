"""A gate's outcome as JUnit XML: one test for each place that names an image."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape as escape_xml
from xml.sax.saxutils import quoteattr

from imgverify.report.escape import escape
from imgverify.report.gatewords import name_of, place_of, reasons, word_of
from imgverify.verdict import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.outcome import GateImage, Outcome


def render_junit(outcome: Outcome) -> str:
    """Write a suite; a denied image has failed, and what could not be decided is an error."""
    cases = [line for each in outcome.images for line in _cases(each)]
    for trouble in outcome.troubles:
        place = place_of(trouble.location)
        cases += _case("unreadable file", place, ("error", "unreadable", escape(trouble.message)))
    denied = sum(len(each.mentions) for each in outcome.images if each.decision is Decision.DENY)
    unknown = len(outcome.troubles) + sum(
        len(each.mentions) for each in outcome.images if each.decision is Decision.INCONCLUSIVE
    )
    tests = outcome.references + len(outcome.troubles)
    counts = f'tests="{tests}" failures="{denied}" errors="{unknown}" skipped="0"'
    start = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="imgverify" {counts}>']
    suite = [f'  <testsuite name="imgverify gate" {counts}>', *cases, "  </testsuite>"]
    return "\n".join([*start, *suite, "</testsuites>"]) + "\n"


def _cases(image: GateImage) -> Iterator[str]:
    problem = None
    if image.decision is not Decision.ALLOW:
        kind = "failure" if image.decision is Decision.DENY else "error"
        problem = (kind, word_of(image), "\n".join(reasons(image)) or "not accepted")
    for each in image.mentions:
        yield from _case(name_of(image), place_of(each.location), problem)


def _case(name: str, place: str, problem: tuple[str, str, str] | None) -> Iterator[str]:
    start = f"    <testcase classname={_attribute(place)} name={_attribute(name)}"
    if problem is None:
        yield f"{start}/>"
        return
    kind, word, text = problem
    yield f"{start}>"
    yield f"      <{kind} type={_attribute(word)} message={_attribute(word)}>{_text(text)}</{kind}>"
    yield "    </testcase>"


# Characters outside ASCII are written as numbers, so that no reader's encoding matters.
def _text(text: str) -> str:
    return escape_xml(text).encode("ascii", "xmlcharrefreplace").decode()


def _attribute(text: str) -> str:
    return quoteattr(text).encode("ascii", "xmlcharrefreplace").decode()
