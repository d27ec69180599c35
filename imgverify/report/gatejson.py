"""A gate's outcome for programs: the JSON report, with the places that name each image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imgverify.oci import limits
from imgverify.report.escape import escape
from imgverify.report.jsonreport import SCHEMA_VERSION, Object, finding_object, image_object

if TYPE_CHECKING:
    from imgverify.gate.mention import Location, Trouble
    from imgverify.gate.outcome import GateImage, Outcome


def render_gate_json(outcome: Outcome) -> str:
    """Write the report: ASCII only, and free of control characters even once it is parsed."""
    report = {
        "schemaVersion": SCHEMA_VERSION,
        "decision": outcome.decision.value,
        "images": [_image(each) for each in outcome.images],
        "unreadable": [_trouble(each) for each in outcome.troubles],
        "emptyAllowed": outcome.allow_empty,
    }
    return json.dumps(report, indent=2, ensure_ascii=True) + "\n"


def _image(image: GateImage) -> Object:
    locations = [_location(each.location) for each in image.mentions]
    if image.verdict is not None:
        return {**image_object(image.verdict), "locations": locations}
    return {
        "requested": escape(image.requested, limits.REFERENCE_LENGTH),
        "upstream": None,
        "mirrors": [],
        "pinned": None,
        "evidence": [],
        "findings": [finding_object(each) for each in image.findings],
        "decision": image.decision.value,
        "locations": locations,
    }


def _trouble(trouble: Trouble) -> Object:
    return {**_location(trouble.location), "message": escape(trouble.message)}


def _location(location: Location) -> Object:
    return {
        "file": escape(location.path, limits.PATH_LENGTH),
        "line": location.line,
        "column": location.column,
    }
