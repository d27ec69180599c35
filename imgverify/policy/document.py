"""YAML as nobody can misread it: text, lists and maps, each with the place where it stands.

Of YAML 1.2 only plain data is taken. Anchors, aliases, tags, merge keys, several documents and
duplicate keys are refused, and no scalar is turned into anything but text: what `1.10`, `NO` and
`22:22` mean is for the reader of a field to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from imgverify.errors import InvalidPolicy, Problem
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ruamel.yaml.error import StreamMark
    from ruamel.yaml.events import Event


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as written, without its quotes; `quoted` tells `"1"` from `1`."""

    place: Place
    value: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class List:
    """Items in order."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """Keys in order, each once, and their values."""

    place: Place
    entries: tuple[tuple[Text, Node], ...]


Node: TypeAlias = Text | List | Map


def read_yaml(data: bytes) -> Node:
    """Read one document; raises `InvalidPolicy`.

    At most `limits.POLICY_SIZE` bytes and `limits.POLICY_DEPTH` levels are read.
    """
    # Here: it takes longer to load than all else that a command without a policy needs.
    from ruamel.yaml import YAML  # noqa: PLC0415 - as above
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415 - as above

    if len(data) > limits.POLICY_SIZE:
        raise _invalid(Place(1, 1), f"the file has more than {limits.POLICY_SIZE} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid(Place(line, 1), "the file is not UTF-8") from None
    try:
        events = YAML(typ="safe", pure=True).parse(text)
        return _Builder(events).document()
    except MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        raise _invalid(place, str(error.problem or error.context)) from None
    except YAMLError:
        line = next(
            (at for at, each in enumerate(text.split("\n"), 1) if not _is_printable(each)), 1
        )
        raise _invalid(Place(line, 1), "a character that YAML does not allow") from None


_UNWANTED: Final = {
    "AliasEvent": "an alias (*name); write the value out",
    "DocumentStartEvent": "a second document; one file is one policy",
}


class _Builder:
    """Makes a tree of a stream of events, as deep as is allowed."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events

    def document(self) -> Node:
        """Read the one document that there is."""
        first = self._next("StreamStartEvent", "DocumentStartEvent")
        if type(first).__name__ == "StreamEndEvent":
            raise _invalid(Place(1, 1), "the file is empty")
        if getattr(first, "version", None) or getattr(first, "tags", None):
            raise _invalid(_place(first.start_mark), "a %-directive; leave it out")
        node = self._node(next(self._events), 1)
        following = self._next("DocumentEndEvent")
        if type(following).__name__ != "StreamEndEvent":
            raise _unwanted(following)
        return node

    def _next(self, *passed_over: str) -> Event:
        """Return the next event that is none of those; the last one passed over if it is last."""
        event = next(self._events)
        while type(event).__name__ in passed_over:
            if type(event).__name__ == "DocumentStartEvent":
                return event
            event = next(self._events)
        return event

    def _node(self, event: Event, depth: int) -> Node:
        place, kind = _place(event.start_mark), type(event).__name__
        if depth > limits.POLICY_DEPTH:
            raise _invalid(place, f"nested deeper than {limits.POLICY_DEPTH} levels")
        if kind in _UNWANTED:
            raise _unwanted(event)
        if getattr(event, "anchor", None):
            raise _invalid(place, "an anchor (&name); write the value where it is needed")
        if getattr(event, "tag", None):
            raise _invalid(place, "a tag (!…); leave it out")
        if kind == "ScalarEvent":
            quoted = getattr(event, "style", None) in ("'", '"')
            return Text(place, str(getattr(event, "value", "")), quoted)
        if kind == "SequenceStartEvent":
            return List(place, tuple(self._children(depth)))
        return self._map(place, depth)

    def _children(self, depth: int) -> Iterator[Node]:
        while True:
            event = next(self._events)
            if type(event).__name__ in ("SequenceEndEvent", "MappingEndEvent"):
                return
            yield self._node(event, depth + 1)

    def _map(self, place: Place, depth: int) -> Map:
        children = iter(list(self._children(depth)))
        entries: list[tuple[Text, Node]] = []
        seen: dict[str, Place] = {}
        for key, value in zip(children, children, strict=True):
            if not isinstance(key, Text):
                raise _invalid(key.place, "a key that is not text")
            if not key.quoted and key.value == "<<":
                raise _invalid(key.place, "a merge key (<<); write the values out")
            folded = key.value.casefold()
            if folded in seen:
                message = f"the key {key.value!r} is there already, in line {seen[folded].line}"
                raise _invalid(key.place, message)
            seen[folded] = key.place
            entries.append((key, value))
        return Map(place, tuple(entries))


def _is_printable(line: str) -> bool:
    return all(each.isprintable() or each in "\t\r" for each in line)


def _place(mark: StreamMark | None) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)


def _unwanted(event: Event) -> InvalidPolicy:
    return _invalid(_place(event.start_mark), _UNWANTED[type(event).__name__])


def _invalid(place: Place, message: str) -> InvalidPolicy:
    return InvalidPolicy((Problem(place.line, place.column, message),))
