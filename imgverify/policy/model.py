"""Policies as values (docs/policy.md)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.policy.pattern import Pattern, most_specific
from imgverify.verdict import Grade

if TYPE_CHECKING:
    from datetime import date, datetime, timedelta

    from imgverify.oci.digest import Digest
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Registry, Repository
    from imgverify.policy.requirement import Requirement

#: What `accept` may list; `stale` has a bound of its own, the others are never acceptable.
ACCEPTABLE: Final = frozenset({Grade.IDENTICAL, Grade.SUBSET, Grade.REPACKAGED})
_EVERY: Final = Pattern.parse("**")


class Enforcement(enum.StrEnum):
    """What a rule that is not met leads to: a denial, or a warning."""

    ENFORCE = "enforce"
    WARN = "warn"


class Rung(enum.StrEnum):
    """Who may say what upstream's digest is, where upstream itself does not answer."""

    UPSTREAM = "upstream"
    LOCK = "lock"
    WITNESSES = "witnesses"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is required of the images that `pattern` matches.

    `accept` are the grades that a mirror may have; a `stale` image is taken if it is younger
    than `stale_max_age`, and never where that is None.  No `platforms` means all of upstream's.
    All that it `requires` of signatures has to hold.
    """

    pattern: Pattern = _EVERY
    accept: frozenset[Grade] = frozenset({Grade.IDENTICAL, Grade.SUBSET})
    stale_max_age: timedelta | None = None
    platforms: tuple[Platform, ...] = ()
    requires: tuple[Requirement, ...] = ()
    enforcement: Enforcement = Enforcement.ENFORCE

    def __post_init__(self) -> None:
        """Refuse to accept what no rule may accept, and to accept nothing."""
        if not self.accept or self.accept - ACCEPTABLE:
            wrong = ", ".join(sorted(self.accept - ACCEPTABLE)) or "nothing"
            msg = f"{wrong} cannot be accepted"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Exemption:
    """One digest that is allowed whatever its grade, to the end of the day `expires` in UTC."""

    pattern: Pattern
    digest: Digest
    reason: str
    owner: str
    expires: date

    def holds(self, repository: Repository, digest: Digest, now: datetime) -> bool:
        """Tell whether it is for this image, and not over yet."""
        same = self.digest == digest and self.pattern.matches(repository)
        return same and now.date() <= self.expires


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Independent registries, of which so many have to agree on a digest."""

    registries: tuple[Registry, ...]
    at_least: int


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How one registry is to be reached; `timeout` is in seconds, for each request."""

    registry: Registry
    timeout: float | None = None
    max_connections: int | None = None
    insecure_http: bool = False
    insecure_tls: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules, of which the most specific one that matches an image decides; none denies.

    `lock` is the path of a lock file as the policy file has it, relative to that file.
    """

    rules: tuple[Rule, ...]
    exemptions: tuple[Exemption, ...] = ()
    evidence: tuple[Rung, ...] = (Rung.UPSTREAM, Rung.LOCK)
    witnesses: Witnesses | None = None
    registries: tuple[RegistrySettings, ...] = ()
    lock: str | None = None

    def rule_for(self, repository: Repository) -> Rule | None:
        """Return the rule that decides about a repository, None where no rule matches."""
        decides = most_specific([each.pattern for each in self.rules], repository)
        return next((each for each in self.rules if each.pattern == decides), None)

    def exemption_for(
        self, repository: Repository, digest: Digest, now: datetime
    ) -> Exemption | None:
        """Return the exemption under which a digest is allowed."""
        holding = (each for each in self.exemptions if each.holds(repository, digest, now))
        return next(holding, None)


def default_policy(requires: tuple[Requirement, ...] = ()) -> Policy:
    """Return what holds where nothing but signatures is required."""
    return Policy((Rule(requires=requires),))


#: What holds where nothing else is said.
DEFAULT_POLICY: Final = Policy((Rule(),))
#: What `compare` asks: sameness and nothing less.
SAMENESS: Final = Policy((Rule(accept=frozenset({Grade.IDENTICAL})),))
