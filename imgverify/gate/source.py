"""A file's text, with the way back from a character to its line and its bytes."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import InvalidReference, Unparsable
from imgverify.gate.mention import Location, Mention, Span
from imgverify.gate.variables import expand
from imgverify.oci import limits
from imgverify.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from imgverify.gate.tree import Node, Scalar

_BOM: Final = "\ufeff"
_NOT_TEXT: Final = "there is a list or a map where an image's name belongs"


@dataclass(frozen=True, slots=True)
class Source:
    """A file by its name, and its text; a byte order mark stays where it is."""

    path: str
    text: str
    _starts: Sequence[int]
    _offsets: Sequence[int]

    @classmethod
    def of(cls, path: str, data: bytes) -> Self:
        """Decode a file; raises `Unparsable`."""
        if len(data) > limits.GATE_FILE_SIZE:
            msg = f"the file has more than {limits.GATE_FILE_SIZE} bytes"
            raise Unparsable(msg)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            msg = "the file is not UTF-8"
            raise Unparsable(msg, line=data.count(b"\n", 0, error.start) + 1) from None
        starts = (0, *accumulate(len(each) + 1 for each in text.split("\n")))
        offsets = (0, *accumulate(len(each) + 1 for each in data.split(b"\n")))
        return cls(path, text, starts, offsets)

    @property
    def start(self) -> int:
        """Where the text begins, after a byte order mark."""
        return int(self.text.startswith(_BOM))

    def location(self, index: int) -> Location:
        """Return the place of a character; a byte order mark takes no column."""
        line = bisect_right(self._starts, index)
        before = self._starts[line - 1] or self.start
        return Location(self.path, line, max(index - before, 0) + 1)

    def _offset(self, index: int) -> int:
        """Return how many bytes stand before a character."""
        line = bisect_right(self._starts, index) - 1
        return self._offsets[line] + len(self.text[self._starts[line] : index].encode())

    def mention(self, scalar: Scalar, variables: Mapping[str, str | None] | None = None) -> Mention:
        """Read a scalar as a reference, once defaults are put in."""
        stripped = scalar.stripped
        value = stripped.value
        expanded = expand(value, variables or {})
        span = None
        if stripped.literal and expanded.text == value:
            start = self._offset(stripped.index)
            span = Span(start, start + len(value.encode()))
        location = self.location(stripped.index)
        if expanded.problem:
            return Mention(location, expanded.text, None, expanded.problem, span)
        return self.composed(location, expanded.text, span)

    def composed(self, location: Location, text: str, span: Span | None = None) -> Mention:
        """Read a text, which may have been put together, as the reference at a place."""
        try:
            return Mention(location, text, Reference.parse(text), "", span)
        except InvalidReference as error:
            return Mention(location, text, None, error.message, span)

    def mentions_at(self, nodes: Iterable[Node]) -> Iterator[Mention]:
        """Read what stands where images' names belong; nothing where nothing stands there."""
        for node in nodes:
            if node.scalar is None:
                yield Mention(self.location(node.index), "", None, _NOT_TEXT)
            elif not node.is_empty:
                yield self.mention(node.scalar)
