"""What a check of a mirror comes to, as a value."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.doctor.observation import Failure, Fault

if TYPE_CHECKING:
    from imgverify.doctor.observation import Seen


class Topic(enum.StrEnum):
    """What a check is about; each has a section in `docs/doctor.md`."""

    API = "api"
    LOGIN = "login"
    HEAD = "head"
    BY_DIGEST = "by-digest"
    ACCEPT = "accept"
    REFERRERS = "referrers"
    RANGE = "range"
    NAMESPACE = "namespace"
    REDIRECTS = "redirects"
    RATE_LIMIT = "rate-limit"


class Mark(enum.StrEnum):
    """How good an answer is; `unasked` is what needs an image that was not named."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"
    UNKNOWN = "unknown"
    UNASKED = "unasked"


#: What may be answered beside what `ANYWHERE` lists; `docs/doctor.md` explains each.
ANSWERS: Final = {
    Topic.API: ("v2", "not-v2", "web-page"),
    Topic.LOGIN: ("none", "basic", "bearer", "unreadable"),
    Topic.HEAD: ("honest", "moved", "silent", "refused", "alone", "lies"),
    Topic.BY_DIGEST: (
        *("served", "current", "not-current"),
        *("not-served", "incomplete", "falsified"),
    ),
    Topic.ACCEPT: ("ignored", "followed", "picks", "converts", "schema1"),
    Topic.REFERRERS: (
        *("real", "incomplete", "plausible", "unproven"),
        *("hard-coded", "empty", "absent", "wrong-type"),
    ),
    Topic.RANGE: ("honoured", "ignored", "refused", "wrong", "no-blob", "falsified"),
    Topic.NAMESPACE: ("understood", "another", "ignored", "needed", "refused"),
    Topic.REDIRECTS: ("none", "elsewhere"),
    Topic.RATE_LIMIT: ("told", "untold", "used-up"),
}
#: No answer, an answer that breaks the protocol, and no question.
ANYWHERE: Final = ("unknown", "broken", "unasked")


@dataclass(frozen=True, slots=True)
class Check:
    """One topic's answer: a word for programs, a sentence for people, and what follows from it.

    `text` and `hint` may hold text that a server sent.
    """

    topic: Topic
    answer: str
    mark: Mark
    text: str
    hint: str = ""

    def __post_init__(self) -> None:
        """Refuse a word that is not documented."""
        if self.answer not in (*ANSWERS[self.topic], *ANYWHERE):
            msg = f"{self.answer!r} is no answer to {self.topic}"
            raise ValueError(msg)


#: The same words everywhere: what was not asked for one reason is told in one line.
NAME_AN_IMAGE: Final = "name an image with --image"
NOT_GIVEN: Final = "the image was not given"


def unasked(topic: Topic, text: str = NAME_AN_IMAGE) -> Check:
    """Return the check of what could not be asked for, and why."""
    return Check(topic, "unasked", Mark.UNASKED, text)


def unknown(topic: Topic, seen: Seen) -> Check:
    """Return the check of what was asked for, and not answered; what breaks the protocol is bad."""
    if isinstance(seen, Failure):
        broken = seen.fault is Fault.BROKEN
        mark, answer = (Mark.BAD, "broken") if broken else (Mark.UNKNOWN, "unknown")
        return Check(topic, answer, mark, seen.message, seen.hint)
    return Check(topic, "unknown", Mark.UNKNOWN, f"answered {seen.status}")
