"""Where upstream is not asked: its signers have to say what it published, or nobody does.  Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imgverify.errors import Side
from imgverify.verdict import (
    Decision,
    Finding,
    Grade,
    Level,
    MirrorResult,
    ResolvedFrom,
    Rule,
    Standing,
)

if TYPE_CHECKING:
    from imgverify.verdict import UpstreamResult, Vouching

_UNKNOWN: Final = frozenset({Grade.DIVERGED, Grade.MISSING, Grade.INCONCLUSIVE})

#: Why nothing is allowed that `lacks_word`.
NOT_ITSELF: Final = Finding(
    Rule.UNSIGNED,
    Level.ERROR,
    "the digest that the mirrors have is not signed itself: without upstream neither signatures of"
    " the images that it lists nor attestations say that upstream published it",
    Side.MIRROR,
    "have the digest that the tag names signed, or ask upstream (without --offline)",
)


def lacks_word(upstream: UpstreamResult, told: tuple[Vouching | None, ...]) -> bool:
    """Tell whether nobody says what upstream published: it was not asked, and did not sign it.

    Who signed the images that an index lists did not say that they belong together, an attestation
    is no signature, and no level of a rule makes up for either.
    """
    if upstream.rung is not ResolvedFrom.SIGNATURE:
        return False
    signatures = (
        one.evidence
        for each in told
        if each is not None and each.standing is Standing.HOLDS
        for one in each.vouched
        if one.evidence.is_signature
    )
    return all(each.subject != upstream.digest for each in signatures)


def taken_back(mirror: MirrorResult, decision: Decision, *, looked: bool) -> MirrorResult:
    """Take back a grade that rested on signatures, which do not hold or were not looked at."""
    if mirror.grade in _UNKNOWN:
        return mirror
    summary = (
        "nobody who was named vouches for it"
        if looked
        else "signatures were not looked for: it is denied without them"
    )
    allowed = mirror.decision is Decision.ALLOW
    return replace(
        mirror,
        grade=Grade.INCONCLUSIVE,
        explanation=replace(mirror.explanation, summary=summary),
        decision=decision if allowed else mirror.decision,
    )
