"""A gate's outcome as commands of GitHub's runner: one annotation for each place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.oci import limits
from imgverify.report.escape import escape
from imgverify.report.gatewords import Issue, issues
from imgverify.verdict import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.outcome import Outcome

_COMMANDS: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def render_annotations(outcome: Outcome) -> Iterator[str]:
    """Yield lines that a runner obeys; nothing in them can begin another."""
    return map(_annotation, issues(outcome))


def _annotation(issue: Issue) -> str:
    place = issue.location
    path = _property(escape(place.path, limits.PATH_LENGTH))
    where = f"file={path},line={place.line},col={place.column}"
    title = _property(f"imgverify: {issue.rule.value}")
    return f"::{_COMMANDS[issue.level]} {where},title={title}::{_data(issue.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
