"""What was found in a file: references, each at its place, and what could not be read."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgverify.oci.reference import Reference


class Kind(enum.StrEnum):
    """What a file is, as far as it may name images."""

    YAML = "yaml"
    JSON = "json"
    DEVCONTAINER = "devcontainer"
    DOCKERFILE = "dockerfile"
    LIST = "list"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file; line and column count from 1, and columns are characters."""

    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        """Return `path:line:column`, as editors have it."""
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes of a file from `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mention:
    """One reference in a file.

    `text` is what it says once defaults are put in.  `reference` is None where that names no
    image, and `problem` then says why.  `span` are the bytes that hold exactly `text`; it is None
    where the reference is put together from several places.
    """

    location: Location
    text: str
    reference: Reference | None = None
    problem: str = ""
    span: Span | None = None

    def __post_init__(self) -> None:
        """Refuse a mention that neither names an image nor says why not."""
        if (self.reference is None) != bool(self.problem):
            msg = f"{self.text!r} has to name an image, or to have a problem"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file, or a part of one, that could not be read: what it names is not known."""

    location: Location
    message: str


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was found in one file, in the order of their places."""

    path: str
    mentions: tuple[Mention, ...] = ()
    troubles: tuple[Trouble, ...] = ()
