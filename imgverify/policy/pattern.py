"""Which images a rule is for: patterns over canonical names, matched per path component."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import InputError
from imgverify.oci import limits
from imgverify.oci.reference import Registry, Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD: Final = re.compile(r"[a-z0-9*](?:[a-z0-9._*-]*[a-z0-9*])?", re.ASCII)
_ANY: Final = "**"
_HINT: Final = "write registry.example/name, registry.example/team/* or registry.example/**"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A registry and the components of a repository's path; no registry matches every image.

    In a component `*` stands for any characters but `/`; `**` is the last component alone and
    stands for one or more components.
    """

    registry: Registry | None
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pattern; raises `InputError`."""
        if text == _ANY:
            return cls(None, (_ANY,))
        host, slash, path = text.partition("/")
        parts = tuple(path.split("/"))
        if len(text) > limits.REFERENCE_LENGTH or not slash or "*" in host:
            raise _refused(text)
        if not any(mark in host for mark in ".:[") and host != "localhost":
            msg = f"{text!r} has no registry before its first slash"
            raise InputError(msg, hint=f"write docker.io/{text if slash else f'library/{text}'}")
        if any(each == _ANY for each in parts[:-1]) or not all(map(_fits_grammar, parts)):
            raise _refused(text)
        registry = Registry.parse(host)
        if registry.is_docker_hub and len(parts) == 1 and parts != (_ANY,):
            parts = ("library", *parts)
        return cls(registry, parts)

    def matches(self, repository: Repository) -> bool:
        """Tell whether a repository is one of those meant."""
        if self.registry not in (None, repository.registry):
            return False
        names = repository.path.split("/")
        fixed = self.parts[:-1] if self.parts[-1] == _ANY else self.parts
        if len(names) < len(self.parts) or (fixed == self.parts and len(names) != len(fixed)):
            return False
        return all(
            _component(part).fullmatch(name) for part, name in zip(fixed, names, strict=False)
        )

    @property
    def rank(self) -> tuple[int, ...]:
        """Order patterns that match one image: the greater, the more specific.

        Component by component from the left, a name written out outranks one with `*`, which
        outranks `**`; of two with `*` the one with more other characters does.
        """
        weights = [0 if self.registry is None else 1]
        for part in self.parts:
            if part == _ANY:
                weights.append(0)
            elif "*" in part:
                weights.append(1 + len(part.replace("*", "")))
            else:
                weights.append(limits.REFERENCE_LENGTH)
        return tuple(weights)

    def __str__(self) -> str:
        """Return the canonical spelling."""
        path = "/".join(self.parts)
        return path if self.registry is None else f"{self.registry}/{path}"


def most_specific(patterns: Sequence[Pattern], repository: Repository) -> Pattern | None:
    """Return the pattern that decides about a repository, None where none matches."""
    matching = [each for each in patterns if each.matches(repository)]
    return max(matching, key=lambda each: each.rank, default=None)


def _fits_grammar(part: str) -> bool:
    return part == _ANY or ("**" not in part and _WORD.fullmatch(part) is not None)


def _component(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part) if part != "*" else ".+", re.ASCII)


def _refused(text: str) -> InputError:
    return InputError(f"{text!r} is not a pattern of image names", hint=_HINT)
