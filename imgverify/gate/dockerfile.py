"""Images that a Dockerfile names: FROM, COPY --from, RUN --mount=from, and its syntax."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imgverify.errors import Unparsable
from imgverify.gate.dockerlines import (
    Instruction,
    Marked,
    Misread,
    directives,
    instructions,
    unquote,
)
from imgverify.gate.variables import Expansion, expand
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgverify.gate.mention import Mention
    from imgverify.gate.source import Source
    from imgverify.gate.tree import Scalar

_SCRATCH: Final = "scratch"
_FROM: Final = "from"
_LATER: Final = frozenset({"COPY", "RUN", "ONBUILD"})


def dockerfile(source: Source) -> Iterator[Mention]:
    """Yield what a Dockerfile names; raises `Unparsable`."""
    text = source.text[source.start :]
    return _mentions(source, Marked(text, range(source.start, len(source.text))))


def inline_dockerfile(source: Source, scalar: Scalar) -> Iterator[Mention]:
    """Yield what a Dockerfile names that is a text of another file; raises `Unparsable`."""
    length = len(scalar.value)
    if scalar.lines:
        pairs = zip(scalar.value.split("\n"), scalar.lines, strict=True)
        indexes = [at + each for line, at in pairs for each in range(len(line) + 1)][:length]
    elif scalar.literal:
        indexes = [*range(scalar.index, scalar.index + length)]
    else:
        indexes = [scalar.index] * length
    return _mentions(source, Marked(scalar.value, indexes))


@dataclass(frozen=True, slots=True)
class _Image:
    """A word that names an image, unless it names a stage; `until` is how many there were then.

    What `COPY --from` takes may be built further down, what `FROM` takes may not.
    """

    word: Marked
    until: int = limits.STAGES
    takes_variables: bool = False


@dataclass(frozen=True, slots=True)
class _Read:
    """What has been read so far: where stages began, which one has a name first, and the rest."""

    stages: list[int] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    images: list[_Image] = field(default_factory=list)

    def take(self, instruction: Instruction) -> None:
        """Note what one instruction says."""
        match instruction.name:
            case "FROM":
                self._take_from(instruction.words, instruction.index)
            case "ARG" if not self.stages:
                self._take_arguments(instruction.words)
            case "COPY":
                self._take_sources(_copied(instruction.words))
            case "RUN":
                self._take_sources(_mounted(instruction.words))
            case "ONBUILD" if (inner := instruction.inner) and inner.name in _LATER:
                self.take(inner)

    def _take_from(self, words: tuple[Marked, ...], at: int) -> None:
        rest = [each for each in words if not each.text.startswith("--")]
        if not rest or len(self.stages) >= limits.STAGES:
            msg = "FROM without an image" if not rest else f"more than {limits.STAGES} stages"
            raise Misread(msg, at)
        self.images.append(_Image(_bare(rest[0]), len(self.stages), takes_variables=True))
        named = len(rest) > 2 and rest[1].text.lower() == "as"  # noqa: PLR2004 - image AS name
        if named:
            self.named.setdefault(rest[2].text.lower(), len(self.stages))
        self.stages.append(at)

    def _take_sources(self, words: Iterator[Marked]) -> None:
        self.images.extend(_Image(each) for each in words)

    def _take_arguments(self, words: tuple[Marked, ...]) -> None:
        for word in words:
            name, equals, value = word.text.partition("=")
            # Between single quotes a dollar sign is one.
            is_text = value.startswith("'")
            bare = unquote(value)
            expanded = Expansion(bare) if is_text else expand(bare, self.variables)
            known = equals and not expanded.problem
            self.variables[name] = expanded.text if known else None


def _mentions(source: Source, text: Marked) -> Iterator[Mention]:
    told = {each.name: each.value for each in reversed(directives(text))}
    if "syntax" in told:
        yield source.mention(told["syntax"].scalar(source.text))
    escape = told["escape"].text if "escape" in told else "\\"
    if escape not in ("\\", "`"):
        raise Unparsable("the escape directive names a character that is none")
    read = _Read()
    try:
        for each in instructions(text, escape):
            read.take(each)
    except Misread as error:
        place = source.location(error.index)
        raise Unparsable(error.message, line=place.line, column=place.column) from None
    for image in read.images:
        if not _is_stage(image, read):
            yield _mention(source, image, read.variables)


def _mention(source: Source, image: _Image, variables: Mapping[str, str | None]) -> Mention:
    scalar = image.word.scalar(source.text)
    return source.mention(scalar, variables if image.takes_variables else {})


def _is_stage(image: _Image, read: _Read) -> bool:
    name = image.word.text
    if image.takes_variables:
        expanded = expand(name, read.variables)
        name = name if expanded.problem else expanded.text
    elif name.isascii() and name.isdigit():
        return True
    first = read.named.get(name.lower())
    return name == _SCRATCH or (first is not None and first < image.until)


def _bare(word: Marked) -> Marked:
    return word.part(1, len(word.text) - 1) if unquote(word.text) != word.text else word


def _flags(words: tuple[Marked, ...], name: str) -> Iterator[Marked]:
    """Yield the values of a flag; flags end at the first word that is none."""
    for word in words:
        if not word.text.startswith("--"):
            return
        if word.text.startswith(f"--{name}="):
            yield word.part(len(name) + 3, len(word.text))


def _copied(words: tuple[Marked, ...]) -> Iterator[Marked]:
    return (_bare(each) for each in _flags(words, _FROM) if each.text)


def _fields(flag: Marked) -> list[str]:
    try:
        return next(csv.reader([flag.text], strict=True), [])
    except csv.Error:
        msg = "a --mount that cannot be read"
        raise Misread(msg, flag.indexes[0]) from None


def _mounted(words: tuple[Marked, ...]) -> Iterator[Marked]:
    for flag in _flags(words, "mount"):
        for each in _fields(flag):
            key, _, value = each.partition("=")
            if key.strip().lower() == _FROM and value:
                start = flag.text.find(value, flag.text.lower().find(f"{_FROM}="))
                yield flag.part(start, start + len(value))
