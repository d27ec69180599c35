"""JSON, with comments and trailing commas as editors allow them, as a tree with places."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NoReturn

from imgverify.errors import Unparsable
from imgverify.gate.tree import Mapping, Node, Scalar, Sequence
from imgverify.oci import limits

if TYPE_CHECKING:
    from imgverify.gate.source import Source

_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL | re.ASCII)
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\.)*+"', re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z0-9+.-]+", re.ASCII)


def read_json(source: Source) -> Node:
    """Read a whole file; raises `Unparsable`."""
    reader = _Reader(source)
    node = reader.value(1)
    reader.end()
    return node


class _Reader:
    """Goes through the text once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text
        self._at = source.start
        self._nodes = 0

    def value(self, depth: int) -> Node:
        """Read one value."""
        self._nodes += 1
        if depth > limits.YAML_DEPTH or self._nodes > limits.YAML_NODES:
            self._fail("nested too deep, or too long")
        if self._takes("{"):
            return self._object(depth)
        if self._takes("["):
            return self._array(depth)
        return self._scalar()

    def end(self) -> None:
        """Refuse what follows the value."""
        self._skip()
        if self._at < len(self._text):
            self._fail("there is something after the end")

    def _object(self, depth: int) -> Mapping:
        index, entries = self._at - 1, []
        while not self._takes("}"):
            key = self._scalar()
            if key.plain or not self._takes(":"):
                self._fail("a name and a colon are missing")
            entries.append((key, self.value(depth + 1)))
            self._separate("}")
        return Mapping(tuple(entries), index)

    def _array(self, depth: int) -> Sequence:
        index, found = self._at - 1, []
        while not self._takes("]"):
            found.append(self.value(depth + 1))
            self._separate("]")
        return Sequence(tuple(found), index)

    def _separate(self, closing: str) -> None:
        if not self._takes(",") and not self._text.startswith(closing, self._at):
            self._fail("a comma is missing")

    def _scalar(self) -> Scalar:
        self._skip()
        index = self._at
        match = _STRING.match(self._text, index)
        if match:
            self._at = match.end()
            try:
                value = str(json.loads(match[0]))
            except ValueError:
                self._fail("a text with an escape that is none")
            literal = match[0][1:-1] == value
            return Scalar(value, index + 1, literal)
        match = _WORD.match(self._text, index)
        if not match:
            self._fail("a value is missing")
        self._at = match.end()
        return Scalar(match[0], index, plain=True)

    def _takes(self, mark: str) -> bool:
        self._skip()
        found = self._text.startswith(mark, self._at)
        self._at += found
        return found

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _fail(self, message: str) -> NoReturn:
        place = self._source.location(min(self._at, len(self._text)))
        text = f"the JSON does not parse: {message}"
        raise Unparsable(text, line=place.line, column=place.column)
