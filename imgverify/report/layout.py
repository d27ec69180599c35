"""How text for people is laid out: width and colour, the same in every report."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Final

RED, GREEN, YELLOW = "31", "32", "33"

_NARROWEST: Final = 40


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are laid out."""

    colour: bool
    width: int | None

    def paint(self, text: str, code: str) -> str:
        """Colour a word; padding stays outside, so columns do not depend on colour."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def fits(self, length: int) -> bool:
        """Tell whether a line of `length` characters need not be broken."""
        return self.width is None or length <= self.width

    def prose(self, text: str, indent: int, hang: int = 2) -> list[str]:
        """Break a sentence between words; what follows the first line hangs by `hang` more."""
        if self.width is None:
            return [" " * indent + text]
        return textwrap.wrap(
            text,
            max(self.width, _NARROWEST),
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hang),
            break_long_words=False,  # digests and names are copied whole
            break_on_hyphens=False,
        )
