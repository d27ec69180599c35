"""What is slow to set up, set up by one of several test processes and used by all of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pytest


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of one test run have in common."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextlib.contextmanager
def shared(folder: Path, start: Callable[[Path], AbstractContextManager[str]]) -> Iterator[str]:
    """Give what `start` gives; the first process to come calls it, and the others wait for that.

    The process that started it ends it, after all that came meanwhile have left. One that comes
    later still starts it anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready"
    with contextlib.ExitStack() as stack, (folder / "users").open("w") as users:
        with _locked(folder / "door"):
            fcntl.flock(users, fcntl.LOCK_SH)
            mine = not ready.exists()
            if mine:
                number = len(list(folder.glob("stage-*")))
                given = stack.enter_context(start(folder / f"stage-{number}"))
                ready.write_text(given, encoding="utf-8")
        try:
            yield ready.read_text(encoding="utf-8")
        finally:
            if mine:
                # Nobody comes in any more, and those inside are waited for: a lock ends with its
                # process, so this ends however they do.
                with _locked(folder / "door"):
                    ready.unlink()
                fcntl.flock(users, fcntl.LOCK_EX)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
