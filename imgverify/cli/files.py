"""The options that say which files to look through, and what is found in them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from imgverify.cli.options import collect
from imgverify.gate.find import STDIN, find, kind_of, unread
from imgverify.gate.kubernetes import ImagePath
from imgverify.oci import limits
from imgverify.worktree import WorkFile, WorkTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgverify.gate.mention import Reading

F = TypeVar("F", bound="Callable[..., Any]")

_PATHS: Final = click.argument("paths", nargs=-1, required=True, metavar="PATH...")
_IMAGE_PATHS: Final = click.option(
    "--image-path",
    "image_paths",
    multiple=True,
    metavar="KIND=PATH",
    help="Where a kind of custom resource names an image, such as Prometheus=spec.image or"
    " Farm=spec.pools[*].image. Repeatable.",
)
_EMPTY: Final = click.option(
    "--allow-empty", is_flag=True, help="Pass where no image is named at all."
)


@dataclass(frozen=True, slots=True)
class Files:
    """What to look through, as typed."""

    paths: tuple[str, ...]
    image_paths: tuple[str, ...]
    allow_empty: bool

    @property
    def chosen(self) -> tuple[ImagePath, ...]:
        """Where custom resources name images; raises `InputError`."""
        return tuple(map(ImagePath.parse, self.image_paths))


def names_files(command: F) -> F:
    """Give a command the files to look through, as `files`."""
    return _PATHS(_IMAGE_PATHS(_EMPTY(collect(Files, "files", command))))


def look_through(files: Files) -> Iterator[tuple[WorkFile, Reading]]:
    """Yield each file with what it names; raises `InputError`."""
    chosen, left = files.chosen, limits.GATE_REFERENCES_ALL
    tree = WorkTree(Path.cwd(), lambda name: kind_of(name) is not None)
    for path in dict.fromkeys(files.paths):
        for file in (_stdin(),) if path == STDIN else tree.read((Path(path),)):
            reading = unread(file.name, file.problem)
            if file.data is not None:
                reading = find(file.name, file.data, paths=chosen, is_named=file.is_named)
            left -= len(reading.mentions)
            if left < 0:
                yield file, unread(file.name, "more references than are ever looked at")
                return
            yield file, reading


def _stdin() -> WorkFile:
    data = sys.stdin.buffer.read(limits.GATE_FILE_SIZE + 1)
    return WorkFile(Path(STDIN), STDIN, data, is_named=True)
