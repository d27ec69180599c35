"""YAML as files have it: several documents, anchors, aliases and merge keys, all bounded.

An alias is the node of its anchor, not a copy, and merges are counted, so nothing grows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imgverify.errors import Unparsable
from imgverify.gate.tree import Mapping, Node, Scalar, Sequence
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ruamel.yaml.events import Event

# At the start of a line these are a document's start whatever stands around them.
_START: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_BARE: Final = re.compile(r"(?:[ \t]*(?:[#%][^\n]*)?\r?\n)*[ \t]*(?:[#%][^\n]*)?", re.ASCII)
_CLOSING: Final = ("SequenceEndEvent", "MappingEndEvent")


def parts(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield where documents begin and end; one that cannot be read does not hide the others."""
    starts = [start, *(each.start() for each in _START.finditer(text, start))]
    for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
        if not _BARE.fullmatch(text, begin, end):
            yield begin, end


def read_documents(text: str, begin: int, end: int) -> tuple[Node, ...]:
    """Read what stands between two places; raises `Unparsable`."""
    # Here: it takes longer to load than all else.
    from ruamel.yaml import YAML  # noqa: PLC0415 - as above
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415 - as above

    before = text.count("\n", 0, begin)
    try:
        events = YAML(typ="safe", pure=True).parse(text[begin:end])
        return tuple(_Builder(events, text, begin).documents())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        message = f"the YAML does not parse: {error.problem or error.context}"
        raise Unparsable(message, line=before + line + 1, column=column + 1) from None
    except (YAMLError, ValueError):
        # Characters that YAML has not, and numbers of its own directives.
        message = "the YAML does not parse"
        raise Unparsable(message, line=before + 1) from None


class _Builder:
    """Makes trees of a stream of events."""

    def __init__(self, events: Iterator[Event], text: str, offset: int) -> None:
        self._events = events
        self._text = text
        self._offset = offset
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def documents(self) -> Iterator[Node]:
        """Read all documents; an empty one is none."""
        for event in self._events:
            if type(event).__name__ == "DocumentStartEvent":
                self._anchors = {}
                yield self._node(next(self._events), 1)

    def _node(self, event: Event, depth: int) -> Node:
        kind = type(event).__name__
        anchor = str(getattr(event, "anchor", None) or "")
        self._count(event, 1, depth)
        if kind == "AliasEvent":
            if anchor not in self._anchors:
                raise self._error(event, f"the alias *{anchor} has no anchor that is complete")
            return self._anchors[anchor]
        if kind == "ScalarEvent":
            node: Node = self._scalar(event)
        elif kind == "SequenceStartEvent":
            tag = str(getattr(event, "tag", None) or "")
            node = Sequence(tuple(self._children(depth)), self._index(event), tag)
        else:
            node = self._mapping(event, depth)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _children(self, depth: int) -> list[Node]:
        found: list[Node] = []
        while type(event := next(self._events)).__name__ not in _CLOSING:
            found.append(self._node(event, depth + 1))
        return found

    def _mapping(self, event: Event, depth: int) -> Mapping:
        children = iter(self._children(depth))
        entries: list[tuple[Scalar, Node]] = []
        merged: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(children, children, strict=True):
            if key.scalar is None:
                raise self._error(event, "the map has a key that is not text")
            if key.scalar.value == "<<" and key.scalar.plain:
                self._merge(event, value, merged)
            else:
                entries.append((key.scalar, value))
        own = {name.value for name, _ in entries}
        rest = tuple(each for name, each in merged.items() if name not in own)
        return Mapping(tuple(entries), self._index(event), rest)

    def _merge(self, event: Event, value: Node, merged: dict[str, tuple[Scalar, Node]]) -> None:
        sources = value.items if isinstance(value, Sequence) else (value,)
        for each in sources:
            if not isinstance(each, Mapping):
                raise self._error(event, "a merge key (<<) that does not name a map")
            self._count(event, len(each.entries) + len(each.merged), 1)
            # Of several maps the first counts, and of one map's keys the last.
            given = {name.value: (name, node) for name, node in (*each.merged, *each.entries)}
            for name, entry in given.items():
                merged.setdefault(name, entry)

    def _scalar(self, event: Event) -> Scalar:
        value, style = str(getattr(event, "value", "")), getattr(event, "style", None)
        start, end = self._index(event), event.end_mark.index + self._offset
        if style in ("|", ">"):
            return self._block(value, start, end, kept=style == "|")
        closing = 1 if style in ("'", '"') else 0
        index = end - closing - len(value)
        plain = not closing and not getattr(event, "tag", None)
        if index >= start and self._text[index : end - closing] == value:
            return Scalar(value, index, plain=plain)
        return Scalar(value, start, literal=False, plain=plain)

    def _block(self, value: str, start: int, end: int, *, kept: bool) -> Scalar:
        """Place a block at its first line of text; what stands after the mark is no text."""
        first = self._text.find("\n", start, end) + 1
        content = value.strip()
        index = self._text.find(content, first, end)
        if index >= 0 and "\n" not in content:
            return Scalar(content, index)
        blank = self._text[first:end]
        index = first + len(blank) - len(blank.lstrip())
        lines = tuple(self._lines(value, first, end)) if kept else ()
        return Scalar(value, index, literal=False, lines=lines)

    def _lines(self, value: str, at: int, end: int) -> Iterator[int]:
        """Yield where each line of a block begins; its indentation is not part of it."""
        for line in value.split("\n"):
            stop = self._text.find("\n", at, end)
            stop = end if stop < 0 else stop
            yield stop - len(line) - (self._text[stop - 1] == "\r")
            at = stop + 1

    def _count(self, event: Event, number: int, depth: int) -> None:
        self._nodes += number
        if depth > limits.YAML_DEPTH:
            raise self._error(event, f"nested deeper than {limits.YAML_DEPTH} levels")
        if self._nodes > limits.YAML_NODES:
            raise self._error(event, f"more than {limits.YAML_NODES} values")

    def _index(self, event: Event) -> int:
        return int(event.start_mark.index) + self._offset

    def _error(self, event: Event, message: str) -> Unparsable:
        line = self._text.count("\n", 0, self._index(event)) + 1
        return Unparsable(message, line=line, column=event.start_mark.column + 1)
