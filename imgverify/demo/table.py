"""The scenario in words.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.demo.images import Twin
from imgverify.report.text import render_text

if TYPE_CHECKING:
    from imgverify.demo.scenario import Outcome, Played


def render_played(played: Played, *, colour: bool, width: int | None) -> str:
    """Show the tampered image's verdict, then the table of all outcomes, and the count."""
    caught = [each for each in played.outcomes if each.step.twin is Twin.TAMPERED]
    lines = [f"Upstream runs at {played.upstream}, its mirror at {played.mirror}.", ""]
    if caught:
        lines += ["One byte of a layer on the mirror was changed; `imgverify verify --deep` says:"]
        lines += ["", render_text([caught[0].verdict], colour=colour, width=width)]
    lines += _table(played.outcomes)
    right = sum(not each.problem for each in played.outcomes)
    lines += ["", f"{right} of {len(played.outcomes)} outcomes are right."]
    return "\n".join(lines)


def _table(outcomes: tuple[Outcome, ...]) -> list[str]:
    rows = [("IMAGE", "ON THE MIRROR", "IMGVERIFY", "OUTCOME", "")]
    for each in outcomes:
        mark = f"WRONG: {each.problem}" if each.problem else "right"
        rows.append((each.repository, each.step.story, each.step.command, each.said, mark))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
