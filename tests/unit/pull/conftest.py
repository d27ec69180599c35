import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgverify.registry import session
from tests.unit.pull.scene import Scene, playing


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once; that they wait is for the session's own tests."""
    monkeypatch.setattr(session, "_BACKOFF", 0.001)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """One upstream and one mirror."""
    with playing(tmp_path / "out", mirrors=1) as made:
        yield made


@pytest.fixture
def wide_scene(tmp_path: Path) -> Iterator[Scene]:
    """One upstream and three mirrors."""
    with playing(tmp_path / "out", mirrors=3) as made:
        yield made
