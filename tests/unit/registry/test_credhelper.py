"""Credential helpers are programs, and may do anything."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from imgverify.errors import Interrupted, Unauthorized
from imgverify.oci import limits
from imgverify.oci.reference import Registry, Repository
from imgverify.registry.auth import Authenticator, TokenAnswer
from imgverify.registry.authfile import AuthFile, parse_credentials
from imgverify.registry.credentials import ANONYMOUS, Credentials, CredentialStore
from imgverify.registry.deadline import Deadline
from tests.unit.registry.scene import everything_said

SECRET = "hunter2-secret"
BOB = Credentials("bob", SECRET)
BOBS = f'echo \'{{"Username": "bob", "Secret": "{SECRET}"}}\''
KNOWS_NOTHING = "echo credentials not found in native keychain; exit 1"


class Helpers:
    """A folder on a PATH of its own, in which helpers are shell scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
        self.asked = folder / "asked"

    def write(self, name: str, script: str, *, mode: int = 0o755) -> None:
        path = self.folder / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\ncat >> {self.asked}; echo >> {self.asked}\n{script}\n")
        path.chmod(mode)

    def says(self, name: str, answer: object) -> None:
        self.write(name, f"cat <<'END'\n{json.dumps(answer)}\nEND")

    def store(self, **document: object) -> CredentialStore:
        file = AuthFile(Path("config.json"), namespaces=True)
        return parse_credentials(json.dumps(document).encode(), self.environment, file)

    def questions(self) -> list[str]:
        return self.asked.read_text().split()


@pytest.fixture
def helpers(tmp_path: Path) -> Helpers:
    return Helpers(tmp_path)


def found(store: CredentialStore, host: str, *, seconds: float = 10) -> Credentials:
    return store.lookup(Registry.parse(host), Deadline.after(seconds))


def test_a_helper_is_asked_for_its_registry(helpers: Helpers) -> None:
    helpers.says("x", {"ServerURL": "reg.test", "Username": "bob", "Secret": SECRET})
    store = helpers.store(credHelpers={"reg.test:5000": "x"}, auths={"other.test": {}})
    assert found(store, "reg.test:5000") == BOB
    assert found(store, "reg.test:5000").source == "docker-credential-x"
    assert found(store, "other.test") == ANONYMOUS
    assert helpers.questions() == ["reg.test:5000", "reg.test:5000"]


def test_a_helper_is_asked_for_a_registry_whatever_the_repository(helpers: Helpers) -> None:
    helpers.write("x", BOBS)
    store = helpers.store(credsStore="x", auths={"reg.test/team": {"username": "eve"}})
    place = Repository(Registry("reg.test"), "team/app")
    assert store.lookup(place, Deadline.after(10)) == BOB
    assert helpers.questions() == ["reg.test"]


def test_docker_hub_has_its_old_name_for_a_helper(helpers: Helpers) -> None:
    helpers.write("x", BOBS)
    assert found(helpers.store(credsStore="x"), "docker.io") == BOB
    assert helpers.questions() == ["https://index.docker.io/v1/"]


def test_a_helpers_token_is_an_identity_token(helpers: Helpers) -> None:
    helpers.says("x", {"Username": "<token>", "Secret": SECRET})
    store = helpers.store(credsStore="x")
    assert found(store, "reg.test") == Credentials(identity_token=SECRET)


def test_a_default_helper_that_knows_nothing_leaves_the_file(helpers: Helpers) -> None:
    helpers.write("x", KNOWS_NOTHING)
    auths = {"reg.test": {"username": "bob", "password": SECRET}}
    assert found(helpers.store(credsStore="x", auths=auths), "reg.test") == BOB


def test_a_registrys_own_helper_has_the_last_word_on_its_file(helpers: Helpers) -> None:
    helpers.write("x", KNOWS_NOTHING)
    auths = {"reg.test": {"username": "bob", "password": SECRET}}
    store = helpers.store(credHelpers={"reg.test": "x"}, auths=auths)
    assert found(store, "reg.test") == ANONYMOUS


def test_a_helper_without_a_name_is_the_file(helpers: Helpers) -> None:
    auths = {"reg.test": {"username": "bob", "password": SECRET}}
    store = helpers.store(credHelpers={"reg.test": ""}, credsStore="none", auths=auths)
    assert found(store, "reg.test") == BOB


LONG = limits.HELPER_OUTPUT_SIZE


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"echo {SECRET}; echo {SECRET} >&2; exit 3", "failed for reg.test"),
        (f"echo {SECRET}", "cannot be read"),
        (f'echo \'{{"Username": "{SECRET}"}}\'', "cannot be read"),
        (f'echo \'{{"Username": null, "Secret": "{SECRET}"}}\'', "cannot be read"),
        (f'echo \'{{"Username": "b", "Secret": "{SECRET}", "Secret": "x"}}\'', "cannot be read"),
        (f"echo '[\"{SECRET}\"]'", "cannot be read"),
        (f"printf '\\377\\376{SECRET}'", "cannot be read"),
        (f'printf \'{{"Username": "b", "Secret": "{SECRET}\\377"}}\'', "cannot be read"),
        (f"{BOBS}; {BOBS}", "cannot be read"),
        (f"{BOBS}; head -c {LONG} /dev/zero | tr '\\0' ' '", "cannot be read"),
        ("exit 0", "cannot be read"),
        ("exec 0<&- 1<&-", "cannot be read"),
        ("kill -9 $$", "failed"),
    ],
)
def test_a_helper_that_fails_is_named_and_not_quoted(
    helpers: Helpers, script: str, words: str
) -> None:
    helpers.write("x", script)
    with pytest.raises(Unauthorized, match=words) as caught:
        found(helpers.store(credsStore="x"), "reg.test")
    assert "docker-credential-x" in caught.value.message
    assert caught.value.hint == "run it by hand: echo reg.test | docker-credential-x get"
    assert SECRET not in everything_said(caught.value)


def test_an_answer_of_the_greatest_length_is_read(helpers: Helpers) -> None:
    padding = LONG - len(f'{{"Username": "bob", "Secret": "{SECRET}"}}\n')
    helpers.write("x", f"{BOBS}; head -c {padding} /dev/zero | tr '\\0' ' '")
    assert found(helpers.store(credsStore="x"), "reg.test") == BOB


def test_a_helper_that_never_stops_talking_is_stopped(helpers: Helpers) -> None:
    helpers.write("x", "exec yes")
    start = time.monotonic()
    with pytest.raises(Unauthorized, match="cannot be read"):
        found(helpers.store(credsStore="x"), "reg.test")
    assert time.monotonic() - start < 10


def test_a_helper_that_is_missing_is_named(helpers: Helpers) -> None:
    with pytest.raises(Unauthorized, match="docker-credential-none cannot run"):
        found(helpers.store(credsStore="none"), "reg.test")


@pytest.mark.parametrize("mode", [0o644, 0o000])
def test_a_helper_that_is_no_program_is_named(helpers: Helpers, mode: int) -> None:
    helpers.write("x", BOBS, mode=mode)
    with pytest.raises(Unauthorized, match="docker-credential-x cannot run"):
        found(helpers.store(credsStore="x"), "reg.test")


def test_a_helper_of_another_machines_kind_is_named(helpers: Helpers) -> None:
    path = helpers.folder / "docker-credential-x"
    path.write_bytes(b"\x7fELF of nothing")
    path.chmod(0o755)
    with pytest.raises(Unauthorized, match="docker-credential-x cannot run"):
        found(helpers.store(credsStore="x"), "reg.test")


@pytest.mark.parametrize("entry", ["", ".", "bin"])
def test_no_helper_is_run_from_the_working_directory(
    helpers: Helpers, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    helpers.write("x", BOBS)
    (helpers.folder / "bin").symlink_to(helpers.folder)
    monkeypatch.chdir(helpers.folder)
    helpers.environment = {"PATH": f"{entry}:{os.environ['PATH']}"}
    with pytest.raises(Unauthorized, match="cannot run"):
        found(helpers.store(credsStore="x"), "reg.test")
    assert not helpers.asked.exists()


def test_a_helper_that_does_not_listen_may_answer(helpers: Helpers) -> None:
    path = helpers.folder / "docker-credential-x"
    path.write_text(f"#!/bin/sh\nexec 0<&-\n{BOBS}\n")
    path.chmod(0o755)
    assert found(helpers.store(credsStore="x"), "reg.test") == BOB


def test_a_child_that_keeps_the_output_open_is_not_waited_for(helpers: Helpers) -> None:
    helpers.write("x", f"sleep 20 &\n{BOBS}")
    start = time.monotonic()
    assert found(helpers.store(credsStore="x"), "reg.test") == BOB
    assert time.monotonic() - start < 10


def test_a_helper_that_closes_its_output_is_waited_for(helpers: Helpers) -> None:
    helpers.write("x", f"{BOBS}; exec 1>&-; sleep 0.3; exit 3")
    with pytest.raises(Unauthorized, match="failed"):
        found(helpers.store(credsStore="x"), "reg.test")


@pytest.mark.parametrize("script", ["sleep 20 & sleep 20", "exec 1>&-; sleep 20"])
def test_a_helper_has_a_time_limit(
    helpers: Helpers, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(limits, "HELPER_TIMEOUT", 0.3)
    helpers.write("x", script)
    start = time.monotonic()
    with pytest.raises(Unauthorized, match="did not answer"):
        found(helpers.store(credsStore="x"), "reg.test")
    assert time.monotonic() - start < 10


def test_a_helper_keeps_the_deadline(helpers: Helpers) -> None:
    helpers.write("x", "sleep 20")
    start = time.monotonic()
    with pytest.raises(Unauthorized, match="did not answer"):
        found(helpers.store(credsStore="x"), "reg.test", seconds=0.3)
    assert time.monotonic() - start < 10


def test_an_interrupt_ends_the_wait_for_a_helper(helpers: Helpers) -> None:
    helpers.write("x", "sleep 20")
    deadline = Deadline.after(30)
    threading.Timer(0.2, deadline.cancelled.set).start()
    start = time.monotonic()
    with pytest.raises(Interrupted):
        helpers.store(credsStore="x").lookup(Registry("reg.test"), deadline)
    assert time.monotonic() - start < 10


def test_a_slow_helper_is_waited_for_and_gets_nothing_else(helpers: Helpers) -> None:
    helpers.write("x", f"sleep 0.7; {BOBS}")
    assert found(helpers.store(credsStore="x"), "reg.test") == BOB
    assert helpers.questions() == ["reg.test"]


@pytest.mark.parametrize("works", [True, False])
def test_a_helper_is_asked_once_in_a_run(helpers: Helpers, *, works: bool) -> None:
    helpers.write("x", BOBS if works else "exit 1")
    store = helpers.store(credsStore="x")
    made = Authenticator(store, lambda _: TokenAnswer(500, b""), frozenset())
    registry = Registry("reg.test")
    errors: list[Unauthorized] = []
    for place in (registry, Repository(registry, "a"), Repository(registry, "b/c")):
        try:
            assert made._lookup(place, Deadline.after(5)) == BOB
        except Unauthorized as error:
            errors.append(error)
    assert helpers.questions() == ["reg.test"]
    assert len(set(map(id, errors))) == (0 if works else 3)
    assert made.sources == ({registry: "docker-credential-x"} if works else {})
