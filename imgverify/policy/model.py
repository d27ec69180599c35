"""Policies as values (docs/policy.md)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from imgverify.policy.pattern import Pattern, most_specific
from imgverify.verdict import Grade

if TYPE_CHECKING:
    from datetime import date, datetime, timedelta

    from imgverify.oci.digest import Digest
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Repository
    from imgverify.policy.requirement import Requirement

#: What `accept` may list; `stale` has a bound of its own, the others are never acceptable.
ACCEPTABLE: Final = frozenset({Grade.IDENTICAL, Grade.SUBSET, Grade.REPACKAGED})
_EVERY: Final = Pattern.parse("**")


class Enforcement(enum.StrEnum):
    """What a rule that is not met leads to: a denial, or a warning."""

    ENFORCE = "enforce"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is required of the images that `pattern` matches.

    `accept` are the grades that a mirror may have; a `stale` image is taken if it is younger
    than `stale_max_age`, and never where that is None.  No `platforms` means all of upstream's.
    All that it `requires` of signatures and attestations has to hold, and all that is `asked` by
    the caller: that no level of the rule overrules.
    """

    pattern: Pattern = _EVERY
    accept: frozenset[Grade] = frozenset({Grade.IDENTICAL, Grade.SUBSET})
    stale_max_age: timedelta | None = None
    platforms: tuple[Platform, ...] = ()
    requires: tuple[Requirement, ...] = ()
    enforcement: Enforcement = Enforcement.ENFORCE
    asked: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        """Refuse to accept what no rule may accept, and to accept nothing."""
        if not self.accept or self.accept - ACCEPTABLE:
            wrong = ", ".join(sorted(self.accept - ACCEPTABLE)) or "nothing"
            msg = f"{wrong} cannot be accepted"
            raise ValueError(msg)

    @property
    def needs_signatures(self) -> bool:
        """Whether anything has to hold of signatures or attestations, whoever says so."""
        return bool(self.requires or self.asked)


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
class Policy:
    """Rules, of which the most specific one that matches an image decides; none denies."""

    rules: tuple[Rule, ...]
    exemptions: tuple[Exemption, ...] = ()

    def rule_for(self, repository: Repository) -> Rule | None:
        """Return the rule that decides about a repository, None where no rule matches."""
        decides = most_specific([each.pattern for each in self.rules], repository)
        return next((each for each in self.rules if each.pattern == decides), None)

    def also_requiring(self, requires: tuple[Requirement, ...]) -> Policy:
        """Return the policy with the caller's requirements, beside those of each rule."""
        rules = tuple(replace(each, asked=(*each.asked, *requires)) for each in self.rules)
        return replace(self, rules=rules)

    def exemption_for(
        self, repository: Repository, digest: Digest, now: datetime
    ) -> Exemption | None:
        """Return the exemption under which a digest is allowed."""
        holding = (each for each in self.exemptions if each.holds(repository, digest, now))
        return next(holding, None)


#: What holds where nothing else is said.
DEFAULT_POLICY: Final = Policy((Rule(),))
#: What `compare` asks: sameness and nothing less.
SAMENESS: Final = Policy((Rule(accept=frozenset({Grade.IDENTICAL})),))
