"""What was pinned, and what was not and why, for people."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgverify.gate.pinning import COMPOSED, missing
from imgverify.oci import limits
from imgverify.report.escape import escape
from imgverify.report.explain import counted
from imgverify.report.gatetext import render_gate_text
from imgverify.report.gatewords import NOTHING_FOUND, place_of
from imgverify.verdict import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgverify.gate.mention import Mention
    from imgverify.gate.outcome import Found, Outcome
    from imgverify.gate.pinning import Pin


def render_pins(outcome: Outcome, pins: Sequence[Pin], *, colour: bool, width: int | None) -> str:
    """Write what was changed, what was allowed and yet not changed, and what is not allowed."""
    lines = [_line(each) for each in pins]
    done = sum(bool(each.after) for each in pins)
    lines.append(f"{counted(done, 'reference')} pinned, {len(pins) - done} not")
    if outcome.decision is not Decision.ALLOW or outcome.is_empty:
        lines.append(render_gate_text(_refused(outcome), colour=colour, width=width).rstrip("\n"))
    return "\n".join(lines) + "\n"


def render_missing(found: Found) -> str:
    """Write which references have no digest, and what could not be read."""
    without = [*_missing(found)]
    unresolvable = (each for named in found.unresolvable.values() for each in named)
    lines = [
        *without,
        *(f"{_start(each)} names no image: {escape(each.problem)}" for each in unresolvable),
        *(f"{place_of(each.location)}: {escape(each.message)}" for each in found.troubles),
    ]
    if not (found.resolvable or lines):
        return f"{NOTHING_FOUND}\n"
    lines.append(f"{counted(len(without), 'reference')} without a digest")
    return "\n".join(lines) + "\n"


def _missing(found: Found) -> Iterator[str]:
    for mention in missing(found):
        how = "" if mention.span else f"; {COMPOSED}"
        yield f"{_start(mention)} has no digest{how}"


def _line(pin: Pin) -> str:
    what = f"pinned as {_text(pin.after)}" if pin.after else f"not pinned: {escape(pin.problem)}"
    return f"{_start(pin.mention)} {what}"


def _start(mention: Mention) -> str:
    return f"{place_of(mention.location)}: {_text(mention.text)}"


def _text(text: str) -> str:
    return escape(text, 2 * limits.REFERENCE_LENGTH)


def _refused(outcome: Outcome) -> Outcome:
    images = tuple(each for each in outcome.images if each.decision is not Decision.ALLOW)
    return replace(outcome, images=images)
