"""A gate's outcome as GitLab's code quality report."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from imgverify.oci import limits
from imgverify.report.escape import escape
from imgverify.report.gatewords import Issue, issues
from imgverify.verdict import Level

if TYPE_CHECKING:
    from imgverify.gate.outcome import Outcome
    from imgverify.report.jsonreport import Object

_SEVERITIES: Final = {Level.ERROR: "critical", Level.WARNING: "minor", Level.NOTE: "info"}


def render_gitlab(outcome: Outcome) -> str:
    """Write one entry for each place."""
    report = [_entry(each) for each in issues(outcome)]
    return json.dumps(report, indent=2, ensure_ascii=True) + "\n"


def _entry(issue: Issue) -> Object:
    place = issue.location
    path = escape(place.path, limits.PATH_LENGTH)
    # GitLab shows one entry of those that have the same, so the place is part of it.
    parts = (issue.rule.value, path, str(place.line), str(place.column), issue.name)
    return {
        "description": issue.message,
        "check_name": issue.rule.value,
        "fingerprint": hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        "severity": _SEVERITIES[issue.level],
        "location": {"path": path, "lines": {"begin": place.line}},
    }
