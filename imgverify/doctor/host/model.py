"""What is said of this host's runtimes, as values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.verdict import Decision

if TYPE_CHECKING:
    from imgverify.oci.reference import Reference
    from imgverify.registry.hostconfig.model import Endpoint, Runtime


class Gap(enum.StrEnum):
    """How an image gets past a mirror that was meant to be the only way, or is changed on it.

    Each has a section in `docs/doctor.md`.
    """

    FALLS_THROUGH = "falls-through"
    NO_MIRROR = "no-mirror"
    MIRROR_RESOLVES = "mirror-resolves"
    UNPROTECTED = "unprotected"
    SHORT_NAME = "short-name"
    OTHER_NAME = "other-name"


@dataclass(frozen=True, slots=True)
class Closing:
    """What closes a gap: `text` is to be written to `file`, exactly; `how` says where in it.

    Without a `file` the text is a command, to be run in place of another.
    """

    how: str
    text: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Bypass:
    """One gap, in words, and what closes it; none where no setting of the runtime does."""

    gap: Gap
    text: str
    closings: tuple[Closing, ...] = ()


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where a runtime looks for one image, in order, and where that can be got around."""

    image: Reference
    endpoints: tuple[Endpoint, ...]
    notes: tuple[str, ...] = ()
    bypasses: tuple[Bypass, ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeReport:
    """One runtime; `failure` is why its configuration cannot be acted on, empty where it can.

    `registries` are those that the configuration says something of.
    A name without a registry may be looked up as several images.
    """

    runtime: Runtime
    files: tuple[str, ...] = ()
    registries: tuple[str, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    failure: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class HostReport:
    """This host's runtimes; `name` is the image as it was asked for, empty for none."""

    name: str
    runtimes: tuple[RuntimeReport, ...]

    @property
    def decision(self) -> Decision:
        """Inconclusive where a configuration could not be read; a gap forbids nothing."""
        failed = any(each.failure for each in self.runtimes)
        return Decision.INCONCLUSIVE if failed else Decision.ALLOW
