"""What is set up once for several users; threads stand for processes, whose locks are alike."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Stages:
    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []

    @contextmanager
    def start(self, folder: Path) -> Iterator[str]:
        folder.mkdir()
        self.started.append(folder.name)
        yield folder.name
        self.ended.append(folder.name)


def test_the_second_user_gets_what_the_first_started(tmp_path: Path) -> None:
    stages = Stages()
    with shared(tmp_path / "x", stages.start) as one, shared(tmp_path / "x", stages.start) as other:
        assert one == other == "stage-0"
    assert (stages.started, stages.ended) == (["stage-0"], ["stage-0"])


def test_it_ends_when_the_last_user_leaves(tmp_path: Path) -> None:
    stages = Stages()
    inside, leave = threading.Event(), threading.Event()

    def use() -> None:
        with shared(tmp_path / "x", stages.start):
            inside.set()
            leave.wait()
            seen.append(list(stages.ended))

    seen: list[list[str]] = []
    user = threading.Thread(target=use)
    with shared(tmp_path / "x", stages.start):
        user.start()
        inside.wait()
        threading.Timer(0.05, leave.set).start()
    user.join()
    assert (seen, stages.ended) == ([[]], ["stage-0"])


def test_who_comes_after_the_end_starts_anew(tmp_path: Path) -> None:
    stages = Stages()
    for number in range(2):
        with shared(tmp_path / "x", stages.start) as text:
            assert text == f"stage-{number}"
    assert stages.ended == ["stage-0", "stage-1"]
