"""Content: what refers to an image, and parts of a blob."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.doctor.check import NAME_AN_IMAGE, NOT_GIVEN, Check, Mark, Topic, unasked, unknown
from imgverify.doctor.observation import Failure, Reply, is_rest_of, read_referrers, was_given
from imgverify.report.explain import counted

if TYPE_CHECKING:
    from imgverify.doctor.observation import Observed, Ranged, Seen, Traits, Upstream
    from imgverify.oci.digest import Digest

_OK: Final = 200
_PARTIAL: Final = 206
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_HINT: Final = "signatures have to be looked up at upstream"
_UNPROVEN: Final = "name an image that upstream has signatures for"


def check_referrers(seen: Observed, upstream: Upstream | None) -> Check:
    """Tell whether the referrers API finds signatures; an empty list by itself proves nothing."""
    topic = Topic.REFERRERS
    answer = seen.traits.referrers if seen.traits is not None else seen.absent
    if answer is None:
        return unasked(topic, NOT_GIVEN)
    without = _without_api(answer, seen)
    if without is not None:
        return without
    listed = read_referrers(answer)
    if listed is None:
        return Check(
            topic, "wrong-type", Mark.NOTE, "answered, but not with a list of manifests", _HINT
        )
    if seen.traits is None:
        text = "the API answers; whether it lists anything cannot be told without an image"
        return Check(topic, "unproven", Mark.GOOD, text, _UNPROVEN)
    wanted = upstream.referrers if upstream is not None else None
    if listed:
        return _listing({each.digest for each in listed}, wanted or ())
    return _empty(seen.traits, wanted)


def _without_api(answer: Seen, seen: Observed) -> Check | None:
    topic = Topic.REFERRERS
    if isinstance(answer, Failure):
        return unknown(topic, answer)
    if answer.is_success:
        return None
    if answer.status == _NOT_FOUND and answer.error_codes and not was_given(seen):
        # The repository is not there, which says nothing of the API.
        return unasked(topic, NOT_GIVEN if seen.traits else NAME_AN_IMAGE)
    if answer.status == _NOT_FOUND or answer.is_unsupported:
        text = f"the mirror does not have the API ({answer.status})"
        return Check(topic, "absent", Mark.NOTE, text, _HINT)
    return unknown(topic, answer)


def _listing(listed: set[Digest], wanted: tuple[Digest, ...]) -> Check:
    topic, lacking = Topic.REFERRERS, set(wanted) - listed
    if lacking:
        text = f"lists {len(wanted) - len(lacking)} of the {len(wanted)} that upstream lists"
        return Check(topic, "incomplete", Mark.NOTE, text, _HINT)
    also = ", as upstream does" if wanted else ""
    return Check(topic, "real", Mark.GOOD, f"lists {counted(len(listed), 'manifest')}{also}")


def _empty(traits: Traits, wanted: tuple[Digest, ...] | None) -> Check:
    topic = Topic.REFERRERS
    if wanted:
        has = isinstance(traits.carried, Reply) and traits.carried.is_success
        if has:
            text = f"hard-coded empty: it has what upstream lists ({len(wanted)}) and lists nothing"
            return Check(topic, "hard-coded", Mark.NOTE, text, _HINT)
        text = f"empty, where upstream lists {len(wanted)}: hard-coded, or not mirrored"
        return Check(topic, "empty", Mark.NOTE, text, _HINT)
    if isinstance(traits.odd, Reply) and traits.odd.status == _BAD_REQUEST:
        text = "empty, and refuses what is no digest: it is looked up"
        return Check(topic, "plausible", Mark.GOOD, text)
    why = "upstream lists none either" if wanted is not None else "upstream could not be asked"
    text = f"empty, as for what is no digest ({why}): may be hard-coded"
    return Check(topic, "unproven", Mark.GOOD, text, _UNPROVEN)


def check_range(seen: Observed) -> Check:
    """Tell whether a broken transfer can be continued, and whether a blob is what it should be."""
    topic = Topic.RANGE
    if seen.traits is None:
        return unasked(topic)
    if seen.traits.ranged is None:
        return unasked(topic, "no small blob was found" if was_given(seen) else NOT_GIVEN)
    ranged, part = seen.traits.ranged, seen.traits.ranged.part
    if _is_wrong(ranged, part if ranged.gave_all else ranged.whole):
        text = f"asked for blob {ranged.blob.digest.short}, it gave other bytes"
        return Check(topic, "falsified", Mark.BAD, text)
    if isinstance(part, Failure):
        return unknown(topic, part)
    if part.status == _NOT_FOUND:
        text = f"does not have blob {ranged.blob.digest.short}, which its manifest lists"
        return Check(topic, "no-blob", Mark.NOTE, text)
    return _honoured(ranged, part)


def _is_wrong(ranged: Ranged, answer: Seen | None) -> bool:
    if not isinstance(answer, Reply) or not answer.is_success:
        return False
    return not ranged.blob.digest.matches(answer.body)


def _honoured(ranged: Ranged, part: Reply) -> Check:
    topic = Topic.RANGE
    hint = "a transfer that breaks off starts again from the beginning"
    if part.status == _OK:
        text = "ignored: gives the whole blob, as pull-through mirrors may the first time"
        return Check(topic, "ignored", Mark.NOTE, text, hint)
    last = ranged.blob.size - 1
    said = part.headers.get("content-range", "")
    right = said in (f"bytes 1-{last}/{last + 1}", f"bytes 1-{last}/*")
    if part.status == _PARTIAL and right and is_rest_of(ranged.blob, part.body):
        return Check(topic, "honoured", Mark.GOOD, "honoured, and the bytes are right")
    if isinstance(ranged.whole, Failure):
        return unknown(topic, ranged.whole)
    if part.status == _PARTIAL:
        text = "answered with another range than the one asked for"
        return Check(topic, "wrong", Mark.NOTE, text, hint)
    if isinstance(ranged.whole, Reply) and ranged.whole.is_success:
        return Check(topic, "refused", Mark.NOTE, f"refused ({part.status})", hint)
    return unknown(topic, part)
