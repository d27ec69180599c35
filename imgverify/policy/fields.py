"""Reading values out of a document: each mistake is noted at its place, and the reading goes on."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from imgverify.errors import ContentError, InputError, InvalidPolicy, Problem
from imgverify.policy.document import List, Map, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from imgverify.policy.document import Node

T = TypeVar("T")

_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NOTHING: Final = frozenset({"", "~", "null", "Null", "NULL"})
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class Problems:
    """The mistakes found so far."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def note(self, node: Node, message: str) -> None:
        """Take note of a mistake at a value."""
        self._found.append(Problem(node.place.line, node.place.column, message))

    def raise_if_any(self) -> None:
        """Raise `InvalidPolicy` with all mistakes, in the order of the file."""
        if self._found:
            ordered = sorted(self._found, key=lambda each: (each.line, each.column))
            raise InvalidPolicy(tuple(ordered))


def fields_of(
    node: Node, known: Collection[str], problems: Problems, *, required: Collection[str] = ()
) -> dict[str, Node]:
    """Return the values of a map by their keys; an unknown or missing key is a mistake."""
    if not isinstance(node, Map):
        problems.note(node, f"a map is wanted here, with the keys {', '.join(known)}")
        return {}
    for key, _ in node.entries:
        if key.value not in known:
            problems.note(key, f"unknown key {key.value!r}; there are {', '.join(known)}")
    found = {key.value: value for key, value in node.entries if key.value in known}
    for name in required:
        if name not in found:
            problems.note(node, f"the key {name!r} is missing")
    return found


def items_of(node: Node, problems: Problems) -> tuple[Node, ...]:
    """Return a list's items; an empty list is a mistake, since nothing never means everything."""
    if not isinstance(node, List):
        problems.note(node, "a list is wanted here")
        return ()
    if not node.items:
        problems.note(node, "an empty list; leave the key out, or say what is meant")
    return node.items


def text_of(node: Node, problems: Problems) -> str:
    """Return text that is not empty, or empty text after a mistake.

    What YAML takes for no value at all is none here either, unless it is between quotes.
    """
    if isinstance(node, Text) and (node.quoted or node.value not in _NOTHING) and node.value:
        return node.value
    problems.note(node, "text is wanted here")
    return ""


def read(node: Node, parse: Callable[[str], T], problems: Problems) -> T | None:
    """Return what `parse` makes of a text; what it raises is a mistake, and gives None."""
    text = text_of(node, problems)
    if not text:
        return None
    try:
        return parse(text)
    except (InputError, ContentError) as error:
        hint = f"; {error.hint}" if error.hint else ""
        problems.note(node, f"{error.message}{hint}")
        return None


def read_if(node: Node | None, parse: Callable[[str], T], problems: Problems) -> T | None:
    """Return what `read` does, None for a value that is not there."""
    return None if node is None else read(node, parse, problems)


def read_all(node: Node | None, parse: Callable[[str], T], problems: Problems) -> tuple[T, ...]:
    """Return what `parse` makes of a list's items; the same item twice is a mistake.

    A list that is not there is empty; one that is there and has no items is a mistake.
    """
    if node is None:
        return ()
    found: list[T] = []
    for each in items_of(node, problems):
        value = read(each, parse, problems)
        if value is None:
            continue
        if value in found:
            problems.note(each, f"{value} is in the list already")
        found.append(value)
    return tuple(found)


def choice(*words: str) -> Callable[[str], str]:
    """Return a parser of one of these words."""

    def parse(text: str) -> str:
        if text not in words:
            msg = f"{text!r} is none of {', '.join(words)}"
            raise InputError(msg)
        return text

    return parse


def parse_duration(text: str) -> timedelta:
    """Read `36h`, `7d`, `20s` or `5m`; raises `InputError`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        msg = f"{text!r} is not a length of time"
        raise InputError(msg, hint="write a whole number and s, m, h or d, such as 36h")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def parse_date(text: str) -> date:
    """Read `2027-01-31`; raises `InputError`."""
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    msg = f"{text!r} is not a day"
    raise InputError(msg, hint="write YYYY-MM-DD, such as 2027-01-31")
