"""WWW-Authenticate challenges (RFC 9110 §11.6.1), read in one pass."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from imgverify.errors import LimitExceeded
from imgverify.oci import limits

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# A parameter name is followed by "=" and a value, a scheme is not; no nested repetition.
_PARAMETER: Final = re.compile(
    rf'[\s,]*(?P<name>{_WORD})\s?=\s?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]*))',
    re.ASCII,
)
_SCHEME: Final = re.compile(rf"[\s,]*(?P<scheme>{_WORD})(?=\s|,|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One authentication scheme in lower case, and its parameters with lower-case names."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        """Return a parameter's value, empty where it is absent."""
        return dict(self.parameters).get(name, "")


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read a header's challenges; what cannot be read ends the list.

    Raises `LimitExceeded` for a header of more than `limits.CHALLENGE_LENGTH` characters.
    """
    if len(header) > limits.CHALLENGE_LENGTH:
        msg = f"the registry sent an authentication challenge of {len(header)} characters"
        raise LimitExceeded(msg)
    challenges: list[Challenge] = []
    position = 0
    while scheme := _SCHEME.match(header, position):
        position = scheme.end()
        parameters: list[tuple[str, str]] = []
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            quoted = parameter["quoted"]
            value = parameter["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.append((parameter["name"].lower(), value or ""))
        challenges.append(Challenge(scheme["scheme"].lower(), tuple(parameters)))
    return tuple(challenges)
