"""Text from elsewhere, made harmless for terminals, logs and CI runners."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

from imgverify.oci import limits

# Python calls these printable, yet nothing is seen: fillers, variation selectors, joiners.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
# CI runners obey `::name` at the start of a line, and `##[` or `##word[` anywhere in one.
# Lines are broken at spaces, so what follows a space may come to stand at a start.
_COMMAND: Final = re.compile(r"(?<![^ ]):(?=:)|#(?=#[^ \[#]*\[)")

_SCHEME: Final = r"(?P<scheme>(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)"
_HOST: Final = r"(?P<host>(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
_URL: Final = re.compile(
    rf"(?:{_SCHEME}?(?:[^/?#\\]*@)?{_HOST})?(?P<path>/[^?#@\\]*)?(?:[?#].*)?",
    re.ASCII | re.DOTALL,
)
_WITHHELD: Final = "(a URL that cannot be shown safely)"


def escape(text: str, limit: int = limits.DISPLAY_LENGTH) -> str:
    r"""Return `text` as one line that does nothing but be read, of at most `limit` characters.

    Whatever is invisible, moves the cursor or reorders its neighbours is written as `\x1b` or
    `\u202e`, and so is what would begin a command of a CI runner.
    Backslashes stay as they are, so that escaping twice changes nothing.
    """
    # Every character yields one or more, so the rest could not be shown anyway.
    start = text[: limit + 1]
    commands = {found.start() for found in _COMMAND.finditer(start)}
    pieces = [
        _code(each) if at in commands or _is_harmful(each) else each
        for at, each in enumerate(start)
    ]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    fitting = sum(length < limit for length in accumulate(map(len, pieces)))
    return "".join(pieces[:fitting]) + "…"


def redact_url(url: str) -> str:
    """Return a URL without user information, query and fragment, escaped.

    Where two parsers could disagree about what is the password, nothing of it is shown.
    """
    # Cut short, a URL could lose the @ that tells the password from the host.
    parts = _URL.fullmatch(url.strip()) if len(url) <= limits.URL_LENGTH else None
    if parts is None:
        return _WITHHELD
    return escape("".join(parts[each] or "" for each in ("scheme", "host", "path")))


def _is_harmful(character: str) -> bool:
    return not character.isprintable() or bool(_INVISIBLE.fullmatch(character))


def _code(character: str) -> str:
    number = ord(character)
    if character in "\n\r\t":
        return {"\n": r"\n", "\r": r"\r", "\t": r"\t"}[character]
    if number <= 0xFF:  # noqa: PLR2004 - the widest that \x can say
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004
