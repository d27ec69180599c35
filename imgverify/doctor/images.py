"""How far a mirror's image is from upstream's, as far as few requests tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.compare.image import Image, Knowledge, compare
from imgverify.doctor.check import Mark
from imgverify.doctor.observation import Failure, Fault, Reply, read_manifest
from imgverify.verdict import Grade

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from imgverify.doctor.observation import Seen, Sighting, Upstream
    from imgverify.oci.digest import Digest
    from imgverify.oci.reference import Reference

_NOT_FOUND: Final = 404
_MARKS: Final = {Grade.IDENTICAL: Mark.GOOD, Grade.INCONCLUSIVE: Mark.UNKNOWN}


@dataclass(frozen=True, slots=True)
class ImageReport:
    """One image at one mirror; `digest` is of the bytes that its name gave.

    The grades are those of a verdict, told with fewer requests: what would take more is
    inconclusive.  `is_current` says whether the mirror gives upstream's image by name or by
    digest; None where that is not known.
    """

    upstream: Reference
    mirror: Reference
    grade: Grade
    summary: str
    mark: Mark
    upstream_digest: Digest | None = None
    digest: Digest | None = None
    age: timedelta | None = None
    is_current: bool | None = None


def judge_image(sighting: Sighting, upstream: Upstream, now: datetime) -> ImageReport:
    """Grade what a mirror served for a name."""
    grade, summary, age = _grade(sighting, upstream, now)
    served = sighting.served
    digest = served.digest if isinstance(served, Reply) and served.is_success else None
    mark = _MARKS.get(grade, Mark.NOTE)
    if grade is Grade.DIVERGED or _is_broken(served):
        mark = Mark.BAD
    return ImageReport(
        upstream.reference,
        sighting.reference,
        grade,
        summary,
        mark,
        upstream.digest,
        digest,
        age,
        _is_current(grade, sighting),
    )


def _is_current(grade: Grade, sighting: Sighting) -> bool | None:
    if grade is Grade.IDENTICAL:
        return True
    if sighting.current is None:
        return False if grade is Grade.MISSING else None
    digest, answer = sighting.current
    if isinstance(answer, Reply) and answer.is_success:
        return digest.matches(answer.body)
    return False if isinstance(answer, Reply) and answer.status == _NOT_FOUND else None


def _is_broken(served: Seen) -> bool:
    """Tell whether something came that cannot be right, whatever upstream has."""
    if isinstance(served, Failure):
        return served.fault is Fault.BROKEN
    return served.is_success and read_manifest(served) is None


def _grade(
    sighting: Sighting, upstream: Upstream, now: datetime
) -> tuple[Grade, str, timedelta | None]:
    served = sighting.served
    if isinstance(served, Reply) and served.status == _NOT_FOUND and upstream.digest is not None:
        return Grade.MISSING, "the mirror does not have it under this name", None
    problem = _problem(sighting, upstream)
    if problem or isinstance(served, Failure) or upstream.digest is None:
        return Grade.INCONCLUSIVE, problem, None
    if upstream.digest.matches(served.body):
        return Grade.IDENTICAL, "the digests are equal", None
    if sighting.reference.tag is None:
        return Grade.DIVERGED, "the mirror serves other bytes than the digest stands for", None
    return _differing(served, upstream, now)


def _problem(sighting: Sighting, upstream: Upstream) -> str:
    """Say what keeps the two from being compared; empty where nothing does."""
    served = sighting.served
    if isinstance(served, Failure):
        return served.message
    if served.is_success and read_manifest(served) is None:
        return "what the mirror serves is no manifest that can be read"
    if upstream.digest is None:
        return f"upstream did not say what it has{_because(upstream)}"
    if not served.is_success:
        return f"the mirror answered {served.status}"
    other = sighting.reference.registry != upstream.reference.registry
    if other and served.served_by[0] in upstream.served_by:
        return "upstream is answered for by this mirror, which is compared with itself"
    return ""


def _because(upstream: Upstream) -> str:
    return f": {upstream.failure.message}" if upstream.failure else ""


def _differing(
    served: Reply, upstream: Upstream, now: datetime
) -> tuple[Grade, str, timedelta | None]:
    top = read_manifest(served)
    if upstream.image is None or top is None:
        return Grade.INCONCLUSIVE, f"upstream's could not be read{_because(upstream)}", None
    known = Knowledge(upstream.earlier & {served.digest})
    found = compare(upstream.image, Image(top), known, now)
    if found.grade in (Grade.STALE, Grade.SUBSET, Grade.REPACKAGED):
        return found.grade, found.explanation.summary, found.explanation.age
    # What it is would take its children and configs to say.
    return Grade.INCONCLUSIVE, "another image, which upstream does not serve by digest", None
