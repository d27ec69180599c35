"""What was found out, for programs: the JSON report that `doctor.schema.json` defines."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Final

from imgverify.doctor.host.jsonreport import host_object
from imgverify.oci import limits
from imgverify.report.escape import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgverify.doctor.check import Check
    from imgverify.doctor.host.model import HostReport
    from imgverify.doctor.images import ImageReport
    from imgverify.doctor.judgement import MirrorReport
    from imgverify.oci.digest import Digest
    from imgverify.registry.ratelimit import RateLimit

#: Grows when a reader of the previous version would misread the report.
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = "doctor.schema.json"

_Object = dict[str, object]


def render_json(mirrors: Sequence[MirrorReport], hosts: Sequence[HostReport] = ()) -> str:
    """Write the report: ASCII only, and free of control characters even once it is parsed."""
    report = {
        "schemaVersion": SCHEMA_VERSION,
        "mirrors": [_mirror(each) for each in mirrors],
        "host": [host_object(each) for each in hosts],
    }
    return json.dumps(report, indent=2, ensure_ascii=True) + "\n"


def schema_text() -> str:
    """Return the JSON Schema (2020-12) that every report satisfies."""
    return resources.files(__package__).joinpath(_SCHEMA).read_text(encoding="utf-8")


def _mirror(mirror: MirrorReport) -> _Object:
    return {
        "mirror": _name(mirror.name),
        "use": mirror.use.value,
        "sentence": escape(mirror.sentence),
        "decision": mirror.decision.value,
        "requests": mirror.sent,
        "scheme": mirror.scheme.value,
        "redirects": {
            kind: [escape(each) for each in hosts] for kind, hosts in mirror.redirects.items()
        },
        "rateLimit": _rate_limit(mirror.rate_limit) if mirror.rate_limit else None,
        "checks": [_check(each) for each in mirror.checks],
        "images": [_image(each) for each in mirror.images],
    }


def _rate_limit(told: RateLimit) -> _Object:
    return {
        "remaining": told.remaining,
        "limit": told.limit,
        "windowSeconds": told.window,
    }


def _check(check: Check) -> _Object:
    return {
        "topic": check.topic.value,
        "answer": check.answer,
        "mark": check.mark.value,
        "text": escape(check.text),
        "hint": escape(check.hint),
    }


def _image(image: ImageReport) -> _Object:
    return {
        "upstream": _name(str(image.upstream)),
        "mirror": _name(str(image.mirror)),
        "grade": image.grade.value,
        "mark": image.mark.value,
        "summary": escape(image.summary),
        "upstreamDigest": _digest(image.upstream_digest),
        "mirrorDigest": _digest(image.digest),
        "ageSeconds": None if image.age is None else max(0, int(image.age.total_seconds())),
        "isCurrent": image.is_current,
    }


def _digest(digest: Digest | None) -> str | None:
    return str(digest) if digest else None


def _name(text: str) -> str:
    # A name that is cut short would be another name.
    return escape(text, limits.REFERENCE_LENGTH)
