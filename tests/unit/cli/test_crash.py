"""Whatever breaks, wherever it does: a command that broke never ends with 0."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import imgverify
from imgverify.cli.app import execute
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    from tests.unit.cli.conftest import Pair

HOME = str(Path(imgverify.__file__).parent)
# The registries of the tests are made of it, and run in the same process.
SERVERS = str(Path(HOME) / "serve")
POINTS = 60
KINDS = (RuntimeError("broken"), SystemExit(0), SystemExit(256), MemoryError())


def is_ours(frame: FrameType) -> bool:
    """Tell whether it is the command that calls, and not a registry that answers it."""
    if not frame.f_code.co_filename.startswith(HOME):
        return False
    above: FrameType | None = frame
    while above is not None and not above.f_code.co_filename.startswith(SERVERS):
        above = above.f_back
    return above is None


class Watch:
    """Sees every call in every thread that is begun meanwhile."""

    def __init__(self, see: Callable[[CodeType], None]) -> None:
        self._see = see

    def __enter__(self) -> None:
        threading.setprofile(self._called)
        sys.setprofile(self._called)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and is_ours(frame):
            self._see(frame.f_code)


def called_by(words: list[str]) -> list[CodeType]:
    seen: dict[CodeType, None] = {}
    with Watch(seen.setdefault):
        assert execute(words) == 0
    return list(seen)


def words_for(pair: Pair, command: str, folder: Path) -> list[str]:
    place = ["--to", f"oci:{folder}/out:1"] if command == "pull" else []
    return [command, pair.name(), *pair.options, *place]


# It gives a status itself, so what it raises is no longer ours to turn into one.
OUTSIDE = {"execute"}


def points(codes: list[CodeType]) -> Iterator[CodeType]:
    chosen = [each for each in codes if each.co_name not in OUTSIDE]
    chosen.sort(key=lambda each: (each.co_filename, each.co_firstlineno))
    yield from random.Random(2026).sample(chosen, min(POINTS, len(chosen)))  # noqa: S311 - repeatable


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("command", ["verify", "pull"])
def test_crash_exit_a_fault_at_any_point_never_ends_with_0(
    pair: Pair, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What broke may have left a lock behind, or somebody without an answer.
    monkeypatch.setattr(limits, "LOCK_TIMEOUT", 0.1)
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT", 5)
    codes = called_by(words_for(pair, command, tmp_path / "first"))
    assert len(codes) > POINTS
    hits, passed = 0, []
    for number, broken in enumerate(points(codes)):
        kind = KINDS[number % len(KINDS)]
        hit = threading.Event()

        def see(code: CodeType, wanted: CodeType = broken, kind: BaseException = kind) -> None:
            if code is wanted and not hit.is_set():  # noqa: B023 - called before the next turn
                hit.set()  # noqa: B023 - as above
                raise kind

        with Watch(see):
            status = execute(words_for(pair, command, tmp_path / str(number)))
        hits += hit.is_set()
        if hit.is_set() and status == 0:
            passed.append((broken.co_qualname, type(kind).__name__))
    assert passed == []
    # What was loaded the first time is not called again.
    assert hits > POINTS // 2
