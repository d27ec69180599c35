"""Who vouches for an image: signatures gathered from every place, held against a requirement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgverify.errors import ContentError, Side, SourceError
from imgverify.oci import limits
from imgverify.oci.manifest import Index
from imgverify.oci.reference import Reference
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
from imgverify.verify.parallel import attempt_all

if TYPE_CHECKING:
    from datetime import datetime

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Repository
    from imgverify.policy.requirement import Requirement
    from imgverify.registry.client import RemoteRepository
    from imgverify.signature.attached import Attached
    from imgverify.verdict import Evidence


@dataclass(frozen=True, slots=True)
class Places:
    """Where signatures may lie: beside the image at upstream and mirrors, and apart from it."""

    repositories: tuple[RemoteRepository, ...]
    apart: tuple[RemoteRepository, ...] = ()

    def read(self, digest: Digest) -> Manifest | Index:
        """Return a document from the first place that has it, by its digest.

        Raises what the last place raised.
        """
        for place in self.repositories[:-1]:
            try:
                return place.manifest(_by(place, digest)).manifest
            except (SourceError, ContentError):
                continue
        place = self.repositories[-1]
        return place.manifest(_by(place, digest)).manifest

    def attachments(self, digest: Digest) -> tuple[tuple[RemoteRepository, Attachments], ...]:
        """Return what each place has beside a digest."""
        places = (*self.repositories, *self.apart)
        outcomes = attempt_all([partial(find_attachments, each, digest) for each in places])
        return tuple(
            (place, Attachments(failures=(outcome,)) if isinstance(outcome, Exception) else outcome)
            for place, outcome in zip(places, outcomes, strict=True)
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    """What came of all requirements for one digest."""

    digest: Digest
    level: SubjectLevel
    held: tuple[Held, ...]
    lying: tuple[tuple[RemoteRepository, Attachments], ...]

    @property
    def holds(self) -> bool:
        return all(each.holds for each in self.held)

    def places_of(self, attached: Attached) -> tuple[Repository, ...]:
        return tuple(place.repository for place, there in self.lying if attached in there.found)

    def side_of(self, attached: Attached) -> Side:
        return next(place.side for place, there in self.lying if attached in there.found)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What has to hold, and for which platforms if the index itself is not vouched for.

    No `platforms` means all that the index lists.
    """

    requirements: tuple[Requirement, ...]
    platforms: tuple[Platform, ...]
    now: datetime

    def wants(self, child: Descriptor) -> bool:
        """Tell whether a child of an index is one of those that have to be vouched for."""
        if not self.platforms:
            return True
        return child.platform is not None and any(map(child.platform.satisfies, self.platforms))


def vouch_for_all(digests: tuple[Digest, ...], inquiry: Inquiry, places: Places) -> Vouching:
    """Find out whether the requirements hold for each of these digests, as `vouch_for` does."""
    every = [vouch_for(each, inquiry, places) for each in digests]
    standings = {each.standing for each in every}
    order = (Standing.FAILS, Standing.UNKNOWN, Standing.HOLDS)
    return Vouching(
        next(each for each in order if each in standings),
        tuple(dict.fromkeys(one for each in every for one in each.vouched)),
        tuple(dict.fromkeys(one for each in every for one in each.findings)),
    )


def vouch_for(digest: Digest, inquiry: Inquiry, places: Places) -> Vouching:
    """Find out whether the requirements hold for a digest, or for all that is wanted of an index.

    Raises a `SourceError` or `ContentError` where the image itself cannot be read.
    """
    top = places.read(digest)
    whole = _read(top, inquiry, places)
    if whole.holds or not isinstance(top, Index):
        return _told((whole,), holds=whole.holds)
    children = filter(inquiry.wants, top.images)
    parts = tuple(_read(places.read(each.digest), inquiry, places) for each in children)
    if parts and all(each.holds for each in parts):
        return _told(parts, holds=True)
    return _told((whole, *parts), holds=False)


def _by(place: RemoteRepository, digest: Digest) -> Reference:
    return Reference(place.repository, digest=digest)


def _read(document: Manifest | Index, inquiry: Inquiry, places: Places) -> _Reading:
    lying = places.attachments(document.digest)
    found = tuple(dict.fromkeys(each for _, there in lying for each in there.found))
    subject = Message(document.digest, document.content.data)
    held = tuple(hold(each, subject, found, inquiry.now) for each in inquiry.requirements)
    level = SubjectLevel.INDEX if isinstance(document, Index) else SubjectLevel.PLATFORM
    return _Reading(document.digest, level, held, lying)


def _told(readings: tuple[_Reading, ...], *, holds: bool) -> Vouching:
    vouched = tuple(
        dict.fromkeys(
            _vouched(evidence, reading.level, reading.places_of(attached))
            for reading in readings
            for held in reading.held
            for attached, evidence in held.evidence
        )
    )
    if holds:
        notes = (each for reading in readings for each in _not_carried(reading))
        return Vouching(Standing.HOLDS, vouched, (*_skipped(vouched), *notes))
    failures = tuple(dict.fromkeys(each for reading in readings for each in _failures(reading)))
    standing = Standing.UNKNOWN if failures else Standing.FAILS
    rejections = tuple(dict.fromkeys(each for one in readings for each in _rejections(one)))
    findings = (*failures, *rejections) or _unsigned(readings[0])
    return Vouching(standing, vouched, findings)


def _vouched(evidence: Evidence, level: SubjectLevel, lay: tuple[Repository, ...]) -> Vouched:
    return Vouched(evidence, level, tuple(dict.fromkeys(str(each.registry) for each in lay)), lay)


def _skipped(vouched: tuple[Vouched, ...]) -> tuple[Finding, ...]:
    """Say which checks the caller left out."""
    skipped = dict.fromkeys(each for one in vouched for each in one.evidence.skipped)
    return tuple(
        Finding(Rule.INSECURE, Level.NOTE, f"no word of a {each.value} was asked for")
        for each in skipped
    )


def _not_carried(reading: _Reading) -> tuple[Finding, ...]:
    """Say which mirrors lack what others have: whoever verifies there finds nothing."""
    lacking = [
        str(place.repository.registry)
        for place, there in reading.lying
        if place.side is Side.MIRROR and not there.found and not there.failures
    ]
    return tuple(
        Finding(
            Rule.SIGNATURE_NOT_CARRIED,
            Level.NOTE,
            f"{each} does not carry the signatures of {reading.digest.short}",
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


def _rejections(reading: _Reading) -> tuple[Finding, ...]:
    refused = [
        (f"{error.reason.value}: {error.message}", reading.side_of(attached))
        for held in reading.held
        if not held.holds
        for attached, error in held.rejected
    ]
    refused += [(one.message, place.side) for place, each in reading.lying for one in each.broken]
    return tuple(
        Finding(
            Rule.SIGNATURE_REJECTED,
            Level.ERROR,
            f"a signature of {reading.digest.short} does not count: {message}",
            side,
        )
        for message, side in refused[: limits.SIGNATURE_FINDINGS]
    )


def _unsigned(reading: _Reading) -> tuple[Finding, ...]:
    names = ", ".join(str(place.repository.registry) for place, _ in reading.lying)
    message = f"there is no signature of {reading.digest}; looked up at {names}"
    hint = "ask the image's publisher where and how it is signed"
    return (Finding(Rule.UNSIGNED, Level.ERROR, message, Side.UPSTREAM, hint),)
