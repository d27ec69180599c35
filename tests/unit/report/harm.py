"""What a report must not do to who reads it: written without a look at how it is prevented."""

from __future__ import annotations

import re
import unicodedata

_OLD_COMMAND = re.compile(r"##\w*\[")
_FORMATTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def commands(line: str) -> list[str]:
    """Return what GitHub's, Azure's or TeamCity's runner would obey in a line."""
    found = _OLD_COMMAND.findall(line)
    return [*found, "::"] if line.strip().startswith("::") else found


def unseen(text: str) -> set[str]:
    """Return the characters that are not shown, or that change how others are shown."""
    return {each for each in text if unicodedata.category(each) in _FORMATTING}
