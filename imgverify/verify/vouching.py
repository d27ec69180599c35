"""Who vouches for an image: signatures gathered from every place, held against a requirement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from imgverify.errors import ContentError, Reason, Side, SourceError
from imgverify.oci import limits
from imgverify.oci.manifest import Index
from imgverify.policy.requirement import Held, hold
from imgverify.signature.message import Message
from imgverify.verdict import (
    Finding,
    Level,
    Rule,
    Standing,
    SubjectLevel,
    Vouched,
    Vouching,
)
from imgverify.verify.attachments import Attachments, find_attachments
from imgverify.verify.builtin import built_in
from imgverify.verify.parallel import attempt_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Content, Digest
    from imgverify.oci.local import Origin
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.platform import Platform
    from imgverify.policy.requirement import Requirement
    from imgverify.signature.attached import Attached
    from imgverify.verdict import Evidence
    from imgverify.verify.way import Source

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Places:
    """Where signatures may lie: beside the image at upstream and mirrors, and apart from it."""

    repositories: tuple[Source, ...]
    apart: tuple[Source, ...] = ()

    def read(self, digest: Digest) -> Manifest | Index:
        """Return a document from the first place that has it, by its digest.

        Raises what the last place raised.
        """
        return self._first(lambda place: place.by_digest(digest).manifest)

    def document(self, want: Descriptor, most: int) -> Content:
        """Return a blob of at most `most` bytes, as `read` does."""
        return self._first(lambda place: place.document(want, most))

    def _first(self, read: Callable[[Source], T]) -> T:
        for place in self.repositories[:-1]:
            try:
                return read(place)
            except (SourceError, ContentError):
                continue
        return read(self.repositories[-1])

    def attachments(self, digest: Digest) -> tuple[tuple[Source, Attachments], ...]:
        """Return what each place has beside a digest."""
        places = (*self.repositories, *self.apart)
        outcomes = attempt_all([partial(find_attachments, each, digest) for each in places])
        return tuple(
            (place, Attachments(failures=(outcome,)) if isinstance(outcome, Exception) else outcome)
            for place, outcome in zip(places, outcomes, strict=True)
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    """What came of all requirements for one document."""

    document: Manifest | Index
    held: tuple[Held, ...]
    lying: tuple[tuple[Source, Attachments], ...]

    @property
    def digest(self) -> Digest:
        return self.document.digest

    @property
    def level(self) -> SubjectLevel:
        is_index = isinstance(self.document, Index)
        return SubjectLevel.INDEX if is_index else SubjectLevel.PLATFORM

    @property
    def holds(self) -> bool:
        return all(each.holds for each in self.held)

    def of(self, requirement: Requirement) -> Held:
        return next(each for each in self.held if each.requirement == requirement)

    def vouched(self, requirement: Requirement) -> tuple[Vouched, ...]:
        return tuple(
            _vouched(evidence, self.level, self._places_of(attached))
            for attached, evidence in self.of(requirement).evidence
        )

    def _places_of(self, attached: Attached) -> tuple[Origin, ...]:
        return tuple(place.repository for place, there in self.lying if attached in there.found)

    def side_of(self, attached: Attached) -> Side:
        return next(place.side for place, there in self.lying if attached in there.found)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Lists of what has to hold, each of which gets an answer of its own.

    `platforms` are those for which it has to hold where it does not for the index itself; none
    means all that the index lists.
    """

    required: tuple[tuple[Requirement, ...], ...]
    platforms: tuple[Platform, ...]
    now: datetime

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys(each for some in self.required for each in some))

    @property
    def predicate_types(self) -> tuple[str, ...]:
        """The types of attestations that are asked for."""
        return tuple(
            dict.fromkeys(kind for one in self.requirements for kind in one.predicate_types)
        )

    def wants(self, child: Descriptor) -> bool:
        """Tell whether a child of an index is one of those that have to be vouched for."""
        if not self.platforms:
            return True
        return child.platform is not None and any(map(child.platform.satisfies, self.platforms))


def vouch_for_all(
    digests: tuple[Digest, ...], inquiry: Inquiry, places: Places
) -> tuple[Vouching, ...]:
    """Find out whether each list of requirements holds for each of these digests.

    Raises what `vouch_for` raises.
    """
    every = [vouch_for(each, inquiry, places) for each in digests]
    return tuple(map(_together, zip(*every, strict=True)))


def _together(vouchings: tuple[Vouching, ...]) -> Vouching:
    standings = {each.standing for each in vouchings}
    order = (Standing.FAILS, Standing.UNKNOWN, Standing.HOLDS)
    return Vouching(
        next(each for each in order if each in standings),
        tuple(dict.fromkeys(one for each in vouchings for one in each.vouched)),
        tuple(dict.fromkeys(one for each in vouchings for one in each.findings)),
    )


def vouch_for(digest: Digest, inquiry: Inquiry, places: Places) -> tuple[Vouching, ...]:
    """Find out whether each list of requirements holds for a digest.

    Each requirement has to hold for it, or for all that is wanted of an index. Raises a
    `SourceError` or `ContentError` where the image itself cannot be read.
    """
    top = places.read(digest)
    whole = _read(top, inquiry, places)
    parts: tuple[_Reading, ...] = ()
    if isinstance(top, Index) and not whole.holds:
        children = filter(inquiry.wants, top.images)
        parts = tuple(_read(places.read(each.digest), inquiry, places) for each in children)
    told = tuple(_told(whole, parts, required) for required in inquiry.required)
    if not isinstance(top, Index) or not inquiry.predicate_types:
        return told
    signed = any(each.is_signature for held in whole.held for _, each in held.evidence)
    notes = built_in(top, inquiry, places, covered=signed)
    return tuple(
        replace(each, findings=(*each.findings, *notes)) if _asks_for_attestations(of) else each
        for each, of in zip(told, inquiry.required, strict=True)
    )


def _asks_for_attestations(required: tuple[Requirement, ...]) -> bool:
    return any(each.predicate_types for each in required)


def _read(document: Manifest | Index, inquiry: Inquiry, places: Places) -> _Reading:
    lying = places.attachments(document.digest)
    found = tuple(dict.fromkeys(each for _, there in lying for each in there.found))
    subject = Message(document.digest, document.content.data)
    held = tuple(hold(each, subject, found, inquiry.now) for each in inquiry.requirements)
    return _Reading(document, held, lying)


def _told(
    whole: _Reading, parts: tuple[_Reading, ...], required: tuple[Requirement, ...]
) -> Vouching:
    """Say what came of one list of requirements, for a document and its wanted children."""
    where = {each: _holding(each, whole, parts) for each in required}
    unmet = tuple(each for each, readings in where.items() if not readings)
    asked = (whole, *parts)
    vouched = tuple(
        dict.fromkeys(
            vouched
            for each, readings in where.items()
            for reading in readings or asked
            for vouched in reading.vouched(each)
        )
    )
    if not unmet:
        carried = (_not_carried(one, each) for each, some in where.items() for one in some)
        notes = dict.fromkeys(each for some in carried for each in some)
        standing = Standing.HOLDS if required else Standing.UNKNOWN
        return Vouching(standing, vouched, (*_skipped(vouched), *notes))
    failures = tuple(dict.fromkeys(each for reading in asked for each in _failures(reading)))
    standing = Standing.UNKNOWN if failures else Standing.FAILS
    objections = tuple(dict.fromkeys(one for each in unmet for one in _objections(each, asked)))
    return Vouching(standing, vouched, (*failures, *objections))


def _holding(
    requirement: Requirement, whole: _Reading, parts: tuple[_Reading, ...]
) -> tuple[_Reading, ...]:
    """Return the readings in which a requirement holds as it has to, none where it does not."""
    if whole.of(requirement).holds:
        return (whole,)
    return parts if all(each.of(requirement).holds for each in parts) else ()


def _vouched(evidence: Evidence, level: SubjectLevel, lay: tuple[Origin, ...]) -> Vouched:
    return Vouched(evidence, level, tuple(dict.fromkeys(str(each.registry) for each in lay)), lay)


def _skipped(vouched: tuple[Vouched, ...]) -> tuple[Finding, ...]:
    """Say which checks the caller left out."""
    skipped = dict.fromkeys(each for one in vouched for each in one.evidence.skipped)
    names = (each.value.replace("-", " ") for each in skipped)
    return tuple(
        Finding(Rule.INSECURE, Level.NOTE, f"the check of a {each} was left out") for each in names
    )


def _not_carried(reading: _Reading, requirement: Requirement) -> tuple[Finding, ...]:
    """Say which mirrors lack what others have: whoever verifies there finds nothing."""
    needed = {attached for attached, _ in reading.of(requirement).evidence}
    lacking = [
        str(place.repository.registry)
        for place, there in reading.lying
        if place.side is Side.MIRROR and not needed & {*there.found} and not there.failures
    ]
    what = "attestations" if requirement.predicate_types else "signatures"
    return tuple(
        Finding(
            Rule.SIGNATURE_NOT_CARRIED,
            Level.NOTE,
            f"{each} does not carry the {what} of {reading.digest.short}",
            Side.MIRROR,
        )
        for each in lacking
    )


def _failures(reading: _Reading) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            Rule.SIGNATURE_LOOKUP_FAILED,
            Level.ERROR,
            f"signatures could not be looked up: {error.message}",
            error.side,
            error.hint,
        )
        for _, there in reading.lying
        for error in there.failures
    )


def _objections(requirement: Requirement, readings: tuple[_Reading, ...]) -> tuple[Finding, ...]:
    """Say why a requirement does not hold: what does not count, or that nothing is there."""
    refused = [
        (reading, attached, error)
        for reading in readings
        if not reading.of(requirement).holds
        for attached, error in reading.of(requirement).rejected
    ]
    # One that was not found, where a place could not be read, may be there.
    unknown = any(there.broken or there.failures for one in readings for _, there in one.lying)
    is_there = any(each.reason is not Reason.PREDICATE_MISMATCH for *_, each in refused)
    said = [
        (one, one.side_of(attached), f"{each.reason.value}: {each.message}", each.hint)
        for one, attached, each in refused
    ]
    broken = [
        (reading, place.side, each.message, each.hint)
        for reading in readings
        for place, there in reading.lying
        for each in there.broken
    ]
    rejections = tuple(
        Finding(
            Rule.SIGNATURE_REJECTED,
            Level.ERROR,
            f"{_A[bool(requirement.predicate_types)]} of {reading.digest.short} does not count:"
            f" {message}",
            side,
            hint,
        )
        for reading, side, message, hint in [*said, *broken][: limits.SIGNATURE_FINDINGS]
    )
    absent = () if is_there or unknown else _absent(requirement, readings[0])
    return (*absent, *rejections)


_A: Final = {False: "a signature", True: "an attestation"}


def _absent(requirement: Requirement, reading: _Reading) -> tuple[Finding, ...]:
    names = ", ".join(str(place.repository.registry) for place, _ in reading.lying)
    where = f"{reading.digest}; looked up at {names}"
    if requirement.predicate_types:
        message = f"there is no attestation ({', '.join(requirement.predicate_types)}) of {where}"
        hint = "ask the image's publisher what is attested, and by whom"
        return (Finding(Rule.UNATTESTED, Level.ERROR, message, Side.UPSTREAM, hint),)
    hint = "ask the image's publisher where and how it is signed"
    message = f"there is no signature of {where}"
    return (Finding(Rule.UNSIGNED, Level.ERROR, message, Side.UPSTREAM, hint),)
