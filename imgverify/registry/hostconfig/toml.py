"""TOML with the types that are expected, and errors that say where."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from imgverify.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)\Z", re.ASCII)
_HEADER: Final = re.compile(r"\s*\[(.*)\]\s*(?:#.*)?", re.ASCII)
_HINT: Final = "mend the file; nothing of it is used as long as a part cannot be read"

Header: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a file; `place` is `file[:line]`, and begins its errors."""

    place: str
    values: Mapping[str, object] = field(repr=False)

    def refuse(self, what: str) -> NoReturn:
        """Raise an `InputError` about this table."""
        msg = f"{self.place}: {what}"
        raise InputError(msg, hint=_HINT)

    def refuse_case_variants(self, known: frozenset[str]) -> None:
        """Refuse keys in another case than the known ones: to the runtimes they are the same."""
        for key in self.values:
            if key not in known and key.lower() in known:
                self.refuse(f"the key {key!r} is written {key.lower()!r}")

    def text(self, key: str) -> str:
        """Return a string; empty where there is none."""
        return self._text(key, self.values.get(key, ""))

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Return a list of strings; None where there is none."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            self.refuse(f"{key!r} is not a list")
        return tuple(self._text(key, each) for each in value)

    def flag(self, key: str) -> bool | None:
        """Return true or false; None where neither is said."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            self.refuse(f"{key!r} is neither true nor false")
        return value

    def table(self, key: str) -> Mapping[str, object]:
        """Return a table's content; empty where there is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.refuse(f"{key!r} is not a table")
        return value

    def tables(self, key: str) -> tuple[Mapping[str, object], ...]:
        """Return the content of an array of tables."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.refuse(f"{key!r} is not an array of tables")
        return tuple(value)

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            self.refuse(f"{key!r} is not a string")
        if not value.isprintable():
            self.refuse(f"{key!r} has characters that cannot be printed")
        return value


def parse_toml(data: bytes, file: Path) -> Table:
    """Read a whole file; raises `InputError` with the line."""
    try:
        return Table(str(file), tomllib.loads(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        msg = f"{file}:{line}: not UTF-8"
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        place = f"{file}:{found[1]}:{found[2]}" if found else f"{file}:{_last_line(data)}"
        msg = f"{place}: not TOML: {_PLACE.sub('', str(error))}"
    except (ValueError, RecursionError):
        msg = f"{file}: not TOML: a number or a nesting that is too large"
    raise InputError(msg, hint=_HINT)


def headers(data: bytes) -> Iterator[tuple[int, Header]]:
    """Return the lines on which tables start, with the tables' names.

    What looks like one within a string is returned, too.
    """
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        if "[" in line and (found := _HEADER.fullmatch(line)):
            name = _name(found[1].removeprefix("[").removesuffix("]"))
            if name:
                yield number, name


def _name(text: str) -> Header:
    """Read `a."b.c"` as a table's name; empty where it is none."""
    try:
        value: object = tomllib.loads(f"{text}=0")
    except (ValueError, RecursionError):
        return ()
    name: list[str] = []
    while isinstance(value, dict) and len(value) == 1:
        ((key, value),) = value.items()
        name.append(key)
    return tuple(name)


def _last_line(data: bytes) -> int:
    return data.rstrip().count(b"\n") + 1
