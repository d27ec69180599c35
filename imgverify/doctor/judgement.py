"""One line for each mirror: what it is good for, from all that was found out."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.doctor.check import Mark, Topic
from imgverify.doctor.checks import check_all
from imgverify.doctor.checks.server import rate_limit_of, redirects_of
from imgverify.doctor.images import judge_image
from imgverify.doctor.observation import Failure
from imgverify.report.explain import age_text, counted
from imgverify.verdict import Decision, Grade

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imgverify.doctor.check import Check
    from imgverify.doctor.images import ImageReport
    from imgverify.doctor.observation import Gathered, Observed, Scheme, Upstream
    from imgverify.registry.ratelimit import RateLimit


class Use(enum.StrEnum):
    """What a mirror is good for; `unasked` is one that was asked about no image."""

    TAGS_AND_DIGESTS = "tags-and-digests"
    DIGESTS_ONLY = "digests-only"
    IN_PART = "in-part"
    NOTHING = "nothing"
    DO_NOT_USE = "do-not-use"
    UNKNOWN = "unknown"
    UNASKED = "unasked"


@dataclass(frozen=True, slots=True)
class MirrorReport:
    """One mirror, judged; `sentence` may hold text that a server sent.

    `redirects` are the hosts that it sends its callers to, for manifests and for blobs.
    """

    name: str
    use: Use
    sentence: str
    checks: tuple[Check, ...]
    images: tuple[ImageReport, ...]
    sent: int
    scheme: Scheme
    redirects: Mapping[str, tuple[str, ...]]
    rate_limit: RateLimit | None

    @property
    def decision(self) -> Decision:
        """Deny what must not be used; inconclusive is what not all could be found out about."""
        if self.use is Use.DO_NOT_USE:
            return Decision.DENY
        marks = [each.mark for each in self.checks] + [each.mark for each in self.images]
        return Decision.INCONCLUSIVE if Mark.UNKNOWN in marks else Decision.ALLOW


_BAD: Final = {
    "lies": "its digest header lies",
    "falsified": "it gives other bytes than it is asked for",
}
_OTHERWISE: Final = {
    Grade.MISSING: "it does not know {tags}",
    Grade.SUBSET: "{its_tags} fewer platforms",
    Grade.REPACKAGED: "{its_tags} repackaged images",
}


def judge(gathered: Gathered, now: datetime) -> tuple[MirrorReport, ...]:
    """Judge every mirror."""
    return tuple(_judge(each, gathered.upstreams, now) for each in gathered.mirrors)


def _judge(seen: Observed, upstreams: tuple[Upstream, ...], now: datetime) -> MirrorReport:
    checks = check_all(seen, upstreams[0] if upstreams else None)
    pairs = zip(seen.sightings, upstreams, strict=False)
    images = tuple(judge_image(sighting, upstream, now) for sighting, upstream in pairs)
    use, sentence = _use(seen, checks, images)
    return MirrorReport(
        seen.name,
        use,
        sentence,
        checks,
        images,
        seen.sent,
        seen.scheme,
        redirects_of(seen),
        rate_limit_of(seen),
    )


def _use(
    seen: Observed, checks: tuple[Check, ...], images: tuple[ImageReport, ...]
) -> tuple[Use, str]:
    bad = _bad(checks, images)
    if bad:
        return Use.DO_NOT_USE, f"do not use: {bad}"
    if isinstance(seen.greeting, Failure):
        why = seen.greeting.message.removeprefix(f"{seen.registry}: ")
        return Use.UNKNOWN, f"could not be asked: {why}"
    by_topic = {each.topic: each for each in checks}
    if not images:
        return _without_image(by_topic[Topic.API])
    if all(each.is_current is None for each in images):
        return Use.UNKNOWN, f"could not be judged: {images[0].summary}"
    if all(each.grade is Grade.IDENTICAL for each in images):
        return _with_tags(by_topic[Topic.BY_DIGEST])
    return _without_tags(images)


def _bad(checks: tuple[Check, ...], images: tuple[ImageReport, ...]) -> str:
    """Name the first thing that forbids a mirror, empty where there is none."""
    said = [_BAD.get(each.answer, each.text) for each in checks if each.mark is Mark.BAD]
    said += [each.summary for each in images if each.mark is Mark.BAD]
    if said and checks[0].answer in ("not-v2", "web-page"):
        return "what answers there is no registry"
    return said[0] if said else ""


def _without_image(api: Check) -> tuple[Use, str]:
    if api.answer != "v2":
        return Use.UNASKED, "does not answer as a registry does"
    return Use.UNASKED, "answers as a registry does; to learn more, name an image with --image"


def _with_tags(by_digest: Check) -> tuple[Use, str]:
    if by_digest.mark is Mark.NOTE:
        return Use.IN_PART, f"tags only: it {by_digest.text}"
    return Use.TAGS_AND_DIGESTS, "good for tags and digests"


def _without_tags(images: tuple[ImageReport, ...]) -> tuple[Use, str]:
    current = [each for each in images if each.is_current]
    why = _otherwise([each for each in images if each.grade is not Grade.IDENTICAL])
    if len(current) == len(images):
        return Use.DIGESTS_ONLY, f"digests only: {why}"
    if current:
        part = f"{len(current)} of {counted(len(images), 'image')}"
        return Use.IN_PART, f"has {part}: {why}"
    return Use.NOTHING, f"does not have what upstream has now: {why}"


def _otherwise(images: list[ImageReport]) -> str:
    """Say what is the matter with names that do not give upstream's images, each thing once."""
    groups: dict[str, list[ImageReport]] = {}
    for each in images:
        graded = each.grade is Grade.STALE or each.grade in _OTHERWISE
        groups.setdefault(each.grade.value if graded else each.summary, []).append(each)
    return "; ".join(_group(said, each) for said, each in groups.items())


def _group(said: str, images: list[ImageReport]) -> str:
    """Put into words what is the matter with images of one grade, or of one summary."""
    grade, several = images[0].grade, len(images) > 1
    if grade is Grade.STALE:
        ages = [each.age for each in images if each.age is not None]
        since = f" by at least {age_text(max(ages))}" if ages else ""
        return f"{'its tags lag' if several else 'its tag lags'}{since}"
    template = _OTHERWISE.get(grade)
    if template is None:
        return said
    names = "its tags name" if several else "its tag names"
    return template.format(tags="the tags" if several else "the tag", its_tags=names)
