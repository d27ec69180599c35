"""Evidence in words: who signed, when, and what says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.report.escape import escape

if TYPE_CHECKING:
    from imgverify.errors import SignatureRejected
    from imgverify.verdict import Evidence


def evidence_line(evidence: Evidence) -> str:
    """Return one line about one signature."""
    what = "signed" if evidence.is_signature else f"attested ({escape(_type(evidence))})"
    parts = [f"{what} by {_signer(evidence)}"]
    if evidence.time is not None and evidence.clock is not None:
        clock = evidence.clock.value.replace("-", " ")
        parts.append(f"{evidence.time:%Y-%m-%d %H:%M:%S} UTC by a {clock}")
    parts += [f"without the check of a {each.value.replace('-', ' ')}" for each in evidence.skipped]
    return ", ".join(parts)


def evidence_lines(evidence: Evidence) -> tuple[str, ...]:
    """Return what is known about one signature: first the line, then what it was verified with."""
    return (
        evidence_line(evidence),
        f"  subject: {evidence.subject}",
        f"  format: {evidence.format}",
        *(f"  verified with: {escape(each)}" for each in evidence.verified_with),
    )


def rejection_line(error: SignatureRejected) -> str:
    """Return one line about a signature that does not hold."""
    return f"rejected ({error.reason}): {escape(error.message, limit=2000)}"


def _type(evidence: Evidence) -> str:
    return evidence.predicate_type or "no type"


def _signer(evidence: Evidence) -> str:
    if evidence.identity is None:
        return f"key {evidence.key}"
    issuer = evidence.identity.issuer
    login = f" (login by {escape(issuer)})" if issuer else ""
    return f"{escape(evidence.identity.name)}{login}"
