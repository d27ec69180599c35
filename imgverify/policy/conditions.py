"""Reading what a predicate has to state: fields by JSON pointer, and values of JSON's types."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from imgverify.policy.document import Map, Text
from imgverify.policy.fields import fields_of, items_of, read_if
from imgverify.signature.identity import Matching
from imgverify.signature.predicate import Condition, OneOf, Pointer, Scalar

if TYPE_CHECKING:
    from imgverify.policy.document import Node
    from imgverify.policy.fields import Problems

TESTS: Final = ("equals", "one-of", "matches")
CONDITION_FIELDS: Final = ("field", *TESTS)

# What some readers of YAML take for something else than text.
_NO_TEXT: Final = frozenset({"yes", "no", "on", "off", "y", "n", "null", "~", "true", "false"})
_LIKE_A_NUMBER: Final = re.compile(r"[-+.]*[0-9].*|[-+]?\.(inf|nan)", re.ASCII | re.IGNORECASE)


def read_conditions(node: Node, problems: Problems) -> tuple[Condition, ...]:
    """Read `where`, of which every condition has to hold."""
    found: list[Condition] = []
    for item in items_of(node, problems):
        given = fields_of(item, CONDITION_FIELDS, problems, required=("field",))
        place = read_if(given.get("field"), Pointer.parse, problems)
        names = [each for each in TESTS if each in given]
        if len(names) != 1:
            if isinstance(item, Map):
                problems.note(item, f"one of {', '.join(TESTS)} is wanted here")
            continue
        wanted = _wanted(names[0], given[names[0]], problems)
        if place and wanted:
            found.append(Condition(place, wanted))
    return tuple(found)


def _wanted(name: str, node: Node, problems: Problems) -> OneOf | Matching | None:
    if name == "matches":
        return read_if(node, Matching, problems)
    nodes = items_of(node, problems) if name == "one-of" else (node,)
    values = [_scalar(each, problems) for each in nodes]
    known = tuple(each for each in values if each is not None)
    return OneOf(known) if known else None


def _scalar(node: Node, problems: Problems) -> Scalar | None:
    """Read a text, number or truth value as JSON has it, and nothing that could be two of these."""
    if not isinstance(node, Text) or not node.value:
        problems.note(node, "a text, a number, true or false is wanted here")
        return None
    text = node.value
    if node.quoted:
        return text
    if text in {"true", "false"}:
        return text == "true"
    if _LIKE_A_NUMBER.fullmatch(text):
        number = _number(text)
        if number is not None:
            return number
    elif text.casefold() not in _NO_TEXT:
        return text
    problems.note(node, f"{text!r} could be text or not; put text between quotes")
    return None


def _number(text: str) -> int | float | None:
    """Return a number that is written as JSON writes it, None for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if json.dumps(value) == text else None
