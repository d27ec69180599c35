"""What a source did wrong, as a finding that says what to do.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.errors import ContentError, NotFound, Side
from imgverify.verdict import Finding, Level, Rule

if TYPE_CHECKING:
    from imgverify.errors import SourceError


def finding_of(error: SourceError | ContentError) -> Finding:
    """Return the finding for a source that could not be read."""
    rule = Rule.MALFORMED if isinstance(error, ContentError) else Rule.UNREACHABLE
    hint = error.hint or _hint(error)
    return Finding(rule, Level.ERROR, error.message, error.side, hint)


def _hint(error: SourceError | ContentError) -> str:
    if isinstance(error, ContentError):
        return "see what answers there: a registry in order, or something before it?"
    absent = isinstance(error, NotFound) and error.side is Side.UPSTREAM
    return (
        "check the image's name and tag: upstream does not have it, or no longer" if absent else ""
    )
