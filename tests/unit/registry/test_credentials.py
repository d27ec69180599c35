"""Whom to be for which place."""

import pytest

from imgverify.oci.reference import Registry, Repository, Route
from imgverify.registry.credentials import ANONYMOUS, Credentials, CredentialStore
from imgverify.registry.deadline import Deadline

REG = Registry("reg.test")
TEAM = Repository(REG, "team")
APP = Repository(REG, "team/app")
WHOLE, PART = Credentials("whole"), Credentials("part")


def found(store: CredentialStore, place: Registry | Repository) -> Credentials:
    return store.lookup(place, Deadline.after(1))


def test_a_registry_is_not_asked_for_as_a_part_of_it() -> None:
    store = CredentialStore({TEAM: PART})
    assert found(store, REG) == ANONYMOUS
    assert found(store, TEAM) == found(store, APP) == PART
    assert found(store, Repository(Registry("reg.test", 443), "team")) == ANONYMOUS


def test_by_another_route_a_repository_has_the_same_credentials() -> None:
    store = CredentialStore({REG: WHOLE, TEAM: PART})
    routed = Repository(REG, "team/app", Route("/proxy/v2", "docker.io"))
    assert found(store, routed) == PART
    assert store.key(routed) == TEAM


@pytest.mark.parametrize(
    ("place", "key"),
    [(APP, TEAM), (TEAM, TEAM), (Repository(REG, "x/team"), REG), (REG, REG)],
)
def test_what_has_the_same_key_has_the_same_credentials(
    place: Registry | Repository, key: Registry | Repository
) -> None:
    store = CredentialStore({REG: WHOLE}, fallback=CredentialStore({TEAM: PART}))
    assert store.key(place) == key
    assert CredentialStore().key(place) == REG
    assert found(store, place) == found(store, key) == WHOLE


def test_where_a_file_knows_nothing_the_next_one_is_asked() -> None:
    nothing = CredentialStore({REG: ANONYMOUS})
    store = CredentialStore(fallback=CredentialStore({REG: ANONYMOUS}, fallback=nothing))
    assert found(store, APP) == ANONYMOUS
    third = CredentialStore({REG: WHOLE})
    store = CredentialStore(fallback=CredentialStore({REG: ANONYMOUS}, fallback=third))
    assert found(store, APP) == WHOLE


def test_where_they_are_from_does_not_make_credentials_others() -> None:
    assert Credentials("bob", source="a") == Credentials("bob", source="b")
    assert hash(Credentials("bob", source="a")) == hash(Credentials("bob", source="b"))
