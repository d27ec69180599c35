"""A Dockerfile's lines: parser directives, continuations, comments and heredocs, put together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import Unparsable
from imgverify.gate.tree import Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DIRECTIVE: Final = re.compile(r"#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(.+?)[ \t\r]*", re.ASCII)
_HEREDOC: Final = re.compile(r"[0-9]*<<(-?)([^<]+)", re.ASCII)
_INSTRUCTION: Final = re.compile(r"[ \t]*([A-Za-z]+)(?:[ \t]+|\Z)", re.ASCII)
# Possessive: what has been taken is never given back, so that no text takes long.
_WORD: Final = re.compile(
    r"""(?:[^\s"'\\]++|\\.|"(?:[^"\\]++|\\.)*+"?|'[^']*+'?|\\\Z)++""", re.ASCII | re.DOTALL
)
_WITH_HEREDOCS: Final = frozenset({"RUN", "COPY", "ADD"})
_SPACE: Final = " \t\r\v\f"


class Misread(Unparsable):
    """Says where in the text; the reader of the file turns it into a line."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class Marked:
    """A text put together from a file; `indexes` say where each of its characters stands."""

    text: str
    indexes: Sequence[int]

    def part(self, start: int, end: int) -> Marked:
        """Return the characters from `start` up to `end`."""
        return Marked(self.text[start:end], self.indexes[start:end])

    def lines(self) -> Iterator[Marked]:
        """Yield the lines, without their ends."""
        at = 0
        for line in self.text.split("\n"):
            yield self.part(at, at + len(line))
            at += len(line) + 1

    def scalar(self, whole: str) -> Scalar:
        """Return this as a text of the file `whole`."""
        first = self.indexes[0] if self.text else 0
        return Scalar(self.text, first, whole.startswith(self.text, first))


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in upper case, its words as they are written, and its place."""

    name: str
    words: tuple[Marked, ...]
    index: int

    @property
    def inner(self) -> Instruction | None:
        """What an ONBUILD holds."""
        if self.name != "ONBUILD" or not self.words:
            return None
        return Instruction(self.words[0].text.upper(), self.words[1:], self.index)


@dataclass(frozen=True, slots=True)
class Directive:
    """A line such as `# syntax=docker/dockerfile:1` at a file's top; names are in lower case."""

    name: str
    value: Marked


def directives(text: Marked) -> tuple[Directive, ...]:
    """Read the parser directives; the first line that is none ends them."""
    found: list[Directive] = []
    for number, line in enumerate(text.lines()):
        if not number and line.text.startswith("#!"):
            continue
        match = _DIRECTIVE.fullmatch(line.text.strip(_SPACE))
        if not match:
            break
        lead = len(line.text) - len(line.text.lstrip(_SPACE))
        value = line.part(lead + match.start(2), lead + match.end(2))
        found.append(Directive(match[1].lower(), value))
    return tuple(found)


def instructions(text: Marked, escape: str) -> Iterator[Instruction]:
    """Yield the instructions; raises `Unparsable` for a heredoc without an end."""
    lines = text.lines()
    for line in lines:
        if _is_skipped(line.text):
            continue
        joined = _joined(line, lines, escape)
        instruction = parse_instruction(joined)
        if instruction is None:
            msg = "the Dockerfile has a line that is no instruction"
            raise Misread(msg, line.indexes[0])
        _pass_heredocs(instruction, lines, joined)
        yield instruction


def parse_instruction(joined: Marked) -> Instruction | None:
    """Split a line into an instruction's name and its words."""
    match = _INSTRUCTION.match(joined.text)
    if not match:
        return None
    found = _WORD.finditer(joined.text, match.end())
    words = tuple(joined.part(each.start(), each.end()) for each in found)
    return Instruction(match[1].upper(), words, joined.indexes[0])


def _is_skipped(line: str) -> bool:
    stripped = line.strip(_SPACE)
    return not stripped or stripped.startswith("#")


def _joined(line: Marked, following: Iterator[Marked], escape: str) -> Marked:
    """Put a line together with those that continue it; comments between them are left out."""
    text, indexes = "", list[int]()
    while True:
        stripped = line.text.rstrip(_SPACE)
        continues = stripped.endswith(escape) and not stripped.endswith(2 * escape)
        end = len(stripped) - 1 if continues else len(stripped)
        text += line.text[:end]
        indexes += line.indexes[:end]
        if not continues:
            return Marked(text, indexes)
        following_line = next((each for each in following if not _is_skipped(each.text)), None)
        if following_line is None:
            return Marked(text, indexes)
        line = following_line


def _pass_heredocs(instruction: Instruction, lines: Iterator[Marked], joined: Marked) -> None:
    """Pass over the texts that an instruction takes from the lines below it."""
    while inner := instruction.inner:
        instruction = inner
    if instruction.name not in _WITH_HEREDOCS:
        return
    for word in instruction.words:
        match = _HEREDOC.fullmatch(word.text)
        if not match:
            continue
        name = unquote(match[2])
        ends = (each.text.lstrip("\t") if match[1] else each.text for each in lines)
        if not any(each.removesuffix("\r") == name for each in ends):
            msg = f"the heredoc {name!r} has no end"
            raise Misread(msg, joined.indexes[0])


def unquote(text: str) -> str:
    """Take the quotes off a word, where it has some."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
