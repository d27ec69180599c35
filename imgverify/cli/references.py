"""What `gate` and `pin` share: the references that files name, and an answer for each image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from imgverify.cli.signers import requirements_of
from imgverify.errors import InputError
from imgverify.gate.find import STDIN, find, kind_of, unread
from imgverify.gate.kubernetes import ImagePath
from imgverify.oci import limits
from imgverify.worktree import WorkFile, WorkTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from imgverify.cli.app import App
    from imgverify.cli.options import Asked, Manner
    from imgverify.cli.signers import Signers
    from imgverify.gate.mention import Mention, Reading
    from imgverify.verdict import Verdict

F = TypeVar("F", bound="Callable[..., Any]")

_IMAGE_PATHS = click.option(
    "--image-path",
    "image_paths",
    multiple=True,
    metavar="KIND=PATH",
    help="Where a kind of custom resource names an image, such as Prometheus=spec.image or"
    " Farm=spec.pools[*].image. Repeatable.",
)
_PATHS = click.argument("paths", nargs=-1, required=True, metavar="PATH...")


def names_files(command: F) -> F:
    """Give a command the files to look through, as `paths` and `image_paths`."""
    return _PATHS(_IMAGE_PATHS(command))


def look_through(
    paths: Iterable[str], image_paths: Iterable[str]
) -> Iterator[tuple[WorkFile, Reading]]:
    """Yield each file with what it names; raises `InputError`."""
    chosen = tuple(map(ImagePath.parse, image_paths))
    tree = WorkTree(Path.cwd(), lambda name: kind_of(name) is not None)
    for path in dict.fromkeys(paths):
        for file in (_stdin(),) if path == STDIN else tree.read((Path(path),)):
            if file.data is None:
                yield file, unread(file.name, file.problem)
            else:
                yield file, find(file.name, file.data, paths=chosen, is_named=file.is_named)


def _stdin() -> WorkFile:
    data = sys.stdin.buffer.read(limits.GATE_FILE_SIZE + 1)
    return WorkFile(Path(STDIN), STDIN, data, is_named=True)


def answers(
    app: App,
    named: Mapping[str, tuple[Mention, ...]],
    options: tuple[Asked, Signers, Manner],
) -> dict[str, Verdict | InputError]:
    """Return what is found out about each image, asked once; raises `InputError`."""
    asked, signers, manner = options
    read, access = app.questions_each(tuple(each[0].text for each in named.values()), asked)
    policy = app.policy(requirements_of(signers))
    questions = [each for each in read if not isinstance(each, InputError)]

    from imgverify.verify import verify_all  # noqa: PLC0415 - after usage errors

    with app.network(manner, access) as network:
        verdicts = iter(verify_all(questions, network, policy, app.now, at_once=limits.GATE_AT_ONCE))
    found = (each if isinstance(each, InputError) else next(verdicts) for each in read)
    return dict(zip(named, found, strict=True))
