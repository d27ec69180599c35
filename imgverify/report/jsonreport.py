"""Verdicts for programs: the JSON report, of the shape that `verdict.schema.json` defines."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Final

from imgverify.oci import limits
from imgverify.report.escape import escape
from imgverify.verdict import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.local import MirrorName
    from imgverify.verdict import (
        ConfigChange,
        Equivalent,
        Explanation,
        Finding,
        LayerChange,
        MirrorResult,
        PlatformChange,
        Verdict,
        Vouched,
    )

#: Grows when a reader of the previous version would misread the report.
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = "verdict.schema.json"

#: A JSON object before it is written.
Object = dict[str, object]


def render_json(verdicts: Sequence[Verdict]) -> str:
    """Write the report: ASCII only, and free of control characters even once it is parsed."""
    report = {
        "schemaVersion": SCHEMA_VERSION,
        "decision": _overall(verdicts).value,
        "images": [image_object(each) for each in verdicts],
    }
    return json.dumps(report, indent=2, ensure_ascii=True) + "\n"


def schema_text() -> str:
    """Return the JSON Schema (2020-12) that every report satisfies."""
    return resources.files(__package__).joinpath(_SCHEMA).read_text(encoding="utf-8")


def _overall(verdicts: Sequence[Verdict]) -> Decision:
    """Decide as the exit status does; no image at all never passes."""
    decisions = {each.decision for each in verdicts}
    if Decision.DENY in decisions:
        return Decision.DENY
    return Decision.ALLOW if decisions == {Decision.ALLOW} else Decision.INCONCLUSIVE


def image_object(verdict: Verdict) -> Object:
    """Return what the report says of one image."""
    rung = verdict.upstream.resolved_from
    asked = {"cosign": _cosign(verdict.cosign)} if verdict.cosign else {}
    return {
        "requested": _name(verdict.requested),
        "upstream": {
            "reference": _reference(verdict.upstream.reference),
            "digest": _digest(verdict.upstream.digest),
            "resolvedFrom": rung.value if rung else None,
            "servedBy": [escape(each) for each in verdict.upstream.served_by],
        },
        "mirrors": [_mirror(each) for each in verdict.mirrors],
        "pinned": _reference(verdict.pinned) if verdict.pinned else None,
        "evidence": [_vouched(each) for each in verdict.evidence],
        **asked,
        "findings": [finding_object(each) for each in verdict.findings],
        "decision": verdict.decision.value,
    }


def _mirror(mirror: MirrorResult) -> Object:
    return {
        "reference": _reference(mirror.reference),
        "digest": _digest(mirror.digest),
        "servedBy": [escape(each) for each in mirror.served_by],
        "grade": mirror.grade.value,
        "decision": mirror.decision.value,
        "coverage": mirror.coverage.value,
        "exempted": mirror.exempted,
        "explanation": _explanation(mirror.explanation),
        "findings": [finding_object(each) for each in mirror.findings],
    }


def _explanation(explanation: Explanation) -> Object:
    age = explanation.age
    return {
        "summary": escape(explanation.summary),
        "proven": explanation.proven,
        "ageSeconds": None if age is None else max(0, int(age.total_seconds())),
        "attestationsAbsent": explanation.attestations_absent,
        "platforms": [_platform(each) for each in explanation.platforms],
    }


def _platform(change: PlatformChange) -> Object:
    return {
        "platform": escape(str(change.platform)) if change.platform else None,
        "state": change.state.value,
        "upstream": _digest(change.upstream),
        "mirror": _digest(change.mirror),
        "config": _config(change.config) if change.config else None,
        "layers": [_layer(each) for each in change.layers],
    }


def _config(change: ConfigChange) -> Object:
    return {"state": change.state.value, "fields": [escape(each) for each in change.fields]}


def _layer(change: LayerChange) -> Object:
    return {
        "position": change.position,
        "state": change.state.value,
        "upstream": _descriptor(change.upstream),
        "mirror": _descriptor(change.mirror),
    }


def _descriptor(descriptor: Descriptor | None) -> Object | None:
    if descriptor is None:
        return None
    return {
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "mediaType": escape(str(descriptor.media_type)),
    }


def _vouched(vouched: Vouched) -> Object:
    evidence = vouched.evidence
    signer = evidence.identity
    return {
        "format": evidence.format.value,
        "identity": escape(signer.name) if signer else None,
        "issuer": escape(signer.issuer) if signer and signer.issuer else None,
        "key": _digest(evidence.key),
        "time": f"{evidence.time:%Y-%m-%dT%H:%M:%SZ}" if evidence.time else None,
        "clock": evidence.clock.value if evidence.clock else None,
        "subjectDigest": str(evidence.subject),
        "subjectLevel": vouched.level.value,
        "predicateType": escape(evidence.predicate_type) if evidence.predicate_type else None,
        "isSignature": evidence.is_signature,
        "verifiedWith": [escape(each) for each in evidence.verified_with],
        "skipped": [each.value for each in evidence.skipped],
        "foundAt": [escape(each) for each in vouched.found_at],
    }


def _cosign(equivalent: Equivalent) -> Object:
    return {
        "commands": [escape(each, limits.COSIGN_COMMAND) for each in equivalent.commands],
        "beyond": [escape(each) for each in equivalent.beyond],
    }


def finding_object(finding: Finding) -> Object:
    """Return what the report says of one finding."""
    return {
        "rule": finding.rule.value,
        "level": finding.level.value,
        "message": escape(finding.message),
        "side": finding.side.value,
        "hint": escape(finding.hint),
        "helpUri": finding.help_uri,
    }


def _digest(digest: Digest | None) -> str | None:
    return str(digest) if digest else None


def _reference(reference: MirrorName) -> str:
    return _name(str(reference))


def _name(text: str) -> str:
    # A name that is cut short would be another name.
    return escape(text, limits.REFERENCE_LENGTH)
