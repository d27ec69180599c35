from collections.abc import Iterator

import pytest

from imgverify.registry import session
from tests.support.registry import Shelf
from tests.unit.doctor.scene import NEW, OLD, Clinic, clinic


@pytest.fixture(scope="session")
def servers() -> Iterator[Clinic]:
    with clinic() as built:
        yield built


@pytest.fixture
def pair(servers: Clinic) -> Clinic:
    """An upstream with an earlier image, and a mirror that has what upstream has."""
    for each in (servers.upstream, servers.mirror):
        each.shelf = Shelf()
        each.guard = None
        each.mounts = ()
        each.heal()
        each.forget()
    servers.publishes(NEW, OLD)
    servers.holds(NEW)
    return servers


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once: how long a client waits is the registry client's own test."""
    monkeypatch.setattr(session, "_BACKOFF", 0.001)
