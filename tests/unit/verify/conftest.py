from collections.abc import Iterator

import pytest

from imgverify.registry import session
from tests.support.registry import Shelf
from tests.unit.verify.world import World, world


@pytest.fixture(scope="session")
def servers() -> Iterator[World]:
    with world() as built:
        yield built


@pytest.fixture
def pair(servers: World) -> World:
    """An upstream and a mirror without content and faults; starting servers takes the time."""
    for each in servers.registries:
        each.shelf = Shelf()
        each.heal()
        each.forget()
    return servers


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once: how long a client waits is the registry client's own test."""
    monkeypatch.setattr(session, "_BACKOFF", 0.001)
