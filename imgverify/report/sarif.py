"""A gate's outcome as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from imgverify.oci import limits
from imgverify.report.escape import escape
from imgverify.report.gatewords import Issue, issues
from imgverify.verdict import Level, Rule
from imgverify.version import __version__

if TYPE_CHECKING:
    from imgverify.gate.outcome import Outcome
    from imgverify.report.jsonreport import Object

_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_HOME: Final = "https://github.com/imgverify/imgverify"


def render_sarif(outcome: Outcome) -> str:
    """Write one result for each place; what could not be decided is a notification as well."""
    found = list(issues(outcome))
    rules = sorted({each.rule for each in found})
    run: Object = {
        "tool": {
            "driver": {
                "name": "imgverify",
                "version": __version__,
                "informationUri": _HOME,
                "rules": [_rule(each) for each in rules],
            }
        },
        # Not false where images are bad: the run itself did what it is for.
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    _notification(each) for each in found if each.is_open
                ],
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, rules) for each in found],
    }
    report = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(report, indent=2, ensure_ascii=True) + "\n"


def _rule(rule: Rule) -> Object:
    words = rule.value.replace("-", " ")
    return {
        "id": rule.value,
        "shortDescription": {"text": words},
        "helpUri": rule.help_uri,
        "defaultConfiguration": {"level": "note" if rule is Rule.INSECURE else "error"},
    }


def _result(issue: Issue, rules: list[Rule]) -> Object:
    return {
        "ruleId": issue.rule.value,
        "ruleIndex": rules.index(issue.rule),
        "level": "note" if issue.level is Level.NOTE else "error",
        "message": {"text": _text(issue.message)},
        "locations": [_location(issue)],
        "partialFingerprints": {"imgverify/v1": _fingerprint(issue)},
    }


def _notification(issue: Issue) -> Object:
    return {
        "level": "error",
        "message": {"text": _text(issue.message)},
        "locations": [_location(issue)],
    }


def _text(message: str) -> str:
    # Brackets would make links of what stands in a file.
    return message.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _location(issue: Issue) -> Object:
    place = issue.location
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri_of(place.path)},
            "region": {"startLine": place.line, "startColumn": place.column},
        }
    }


def uri_of(path: str) -> str:
    """Return a path as a URI: relative where the path is, and with nothing to be misread."""
    try:
        # So the system's own names, which need not be text, come back as their bytes.
        data = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = escape(path, limits.PATH_LENGTH).encode()
    quoted = quote(data, safe="/")
    return f"file://{quoted}" if path.startswith("/") else quoted


def _fingerprint(issue: Issue) -> str:
    """Name an issue in a way that survives lines being added above it."""
    parts = "\n".join((issue.rule.value, uri_of(issue.location.path), issue.name))
    return hashlib.sha256(parts.encode()).hexdigest()
