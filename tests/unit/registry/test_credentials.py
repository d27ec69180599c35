import base64
import json
import os
import threading
import time
from pathlib import Path

import pytest

from imgverify.errors import InputError, Interrupted, Malformed, Unauthorized
from imgverify.oci import limits
from imgverify.oci.reference import Registry
from imgverify.registry.auth import Authenticator, TokenAnswer
from imgverify.registry.credentials import (
    ANONYMOUS,
    Credentials,
    CredentialStore,
    parse_config,
    read_config,
)
from imgverify.registry.deadline import Deadline
from tests.unit.registry.scene import everything_said

SECRET = "hunter2-secret"
PAIR = base64.b64encode(f"bob:{SECRET}".encode()).decode()
BOB = Credentials("bob", SECRET)


def parsed(**document: object) -> CredentialStore:
    return parse_config(json.dumps(document).encode(), {})


def found(store: CredentialStore, host: str) -> Credentials:
    return store.lookup(Registry.parse(host), Deadline.after(10))


@pytest.mark.parametrize(
    ("key", "host", "hit"),
    [
        ("azurecr.io", "azurecr.io", True),
        ("azurecr.io", "AZURECR.io", True),
        ("AzureCR.io", "azurecr.io", True),
        ("azurecr.io", "evil.azurecr.io", False),
        ("azurecr.io", "xazurecr.io", False),
        ("azurecr.io", "azurecr.io.evil.test", False),
        ("azurecr.io", "azurecr.io:443", False),
        ("azurecr.io", "azurecr.io:5000", False),
        ("azurecr.io:5000", "azurecr.io:5000", True),
        ("azurecr.io:5000", "azurecr.io", False),
        ("azurecr.io.", "azurecr.io", False),
        ("*.azurecr.io", "x.azurecr.io", False),
        ("https://azurecr.io", "azurecr.io", True),
        ("https://azurecr.io/v2/", "azurecr.io", True),
        ("azurecr.io/team", "azurecr.io", False),
        ("https://azurecr.io@evil.test", "azurecr.io", False),
        ("https://azurecr.io@evil.test", "evil.test", False),
        ("https://index.docker.io/v1/", "docker.io", True),
        ("docker.io", "registry-1.docker.io", True),
        ("[::1]:5000", "[::1]:5000", True),
    ],
)
def test_cred_host_match_is_equality_of_host_and_port(key: str, host: str, *, hit: bool) -> None:
    store = parsed(auths={key: {"auth": PAIR}})
    assert found(store, host) == (BOB if hit else ANONYMOUS)


@pytest.mark.parametrize(
    ("entry", "credentials"),
    [
        ({"auth": PAIR}, BOB),
        ({"username": "bob", "password": SECRET}, BOB),
        ({"auth": base64.b64encode(f"bob:{SECRET}\0\0".encode()).decode()}, BOB),
        ({"identitytoken": "i"}, Credentials(identity_token="i")),
        ({"registrytoken": "r"}, Credentials(registry_token="r")),
        ({}, ANONYMOUS),
        ({"auth": None, "username": None}, ANONYMOUS),
    ],
)
def test_an_entry_is_read_in_all_of_dockers_forms(
    entry: dict[str, object], credentials: Credentials
) -> None:
    assert found(parsed(auths={"reg.test": entry}), "reg.test") == credentials


@pytest.mark.parametrize(
    "text",
    [
        f"[{json.dumps(SECRET)}]",
        f"not json {SECRET}",
        json.dumps({"auths": SECRET}),
        json.dumps({"auths": {"reg.test": SECRET}}),
        json.dumps({"auths": {"reg.test": {"auth": SECRET + "!"}}}),
        json.dumps({"auths": {"reg.test": {"auth": base64.b64encode(b"no-colon").decode()}}}),
        json.dumps({"auths": {"reg.test": {"auth": base64.b64encode(b"\xff:\xff").decode()}}}),
        json.dumps({"auths": {"reg.test": {"password": [SECRET]}}}),
        json.dumps({"auths": {"reg.test": {"registrytoken": f"{SECRET}\r\nX: y"}}}),
        json.dumps({"credsStore": f"../{SECRET}"}),
        json.dumps({"credsStore": [SECRET]}),
        json.dumps({"credHelpers": {"reg.test": f"{SECRET}; rm -rf"}}),
    ],
)
def test_a_file_that_is_wrong_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.json") as caught:
        read_config(path, {})
    assert SECRET not in everything_said(caught.value)
    assert "--config" in caught.value.hint


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b" " * (limits.CREDENTIALS_FILE_SIZE + 1))
    with pytest.raises(InputError, match="larger"):
        read_config(path, {})


def test_a_file_that_is_absent_or_empty_is_an_empty_store(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert found(read_config(path, {}), "reg.test") == ANONYMOUS
    path.write_bytes(b"")
    assert found(read_config(path, {}), "reg.test") == ANONYMOUS


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="directory"):
        read_config(tmp_path, {})


def test_keys_that_are_no_hosts_are_passed_over() -> None:
    store = parsed(auths={"not a host": {}, "": {}}, credHelpers={"also not": "x"})
    assert not store.auths
    assert not store.helpers


# --- helpers ----------------------------------------------------------------------------------


class Helpers:
    """A folder on a PATH of its own, in which helpers are shell scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
        self.asked = folder / "asked"

    def write(self, name: str, script: str) -> None:
        path = self.folder / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\ncat >> {self.asked}; echo >> {self.asked}\n{script}\n")
        path.chmod(0o755)

    def says(self, name: str, answer: object) -> None:
        self.write(name, f"cat <<'END'\n{json.dumps(answer)}\nEND")

    def store(self, **document: object) -> CredentialStore:
        return parse_config(json.dumps(document).encode(), self.environment)

    def questions(self) -> list[str]:
        return self.asked.read_text().split()


@pytest.fixture
def helpers(tmp_path: Path) -> Helpers:
    return Helpers(tmp_path)


def test_a_helper_is_asked_for_its_registry(helpers: Helpers) -> None:
    helpers.says("x", {"ServerURL": "reg.test", "Username": "bob", "Secret": SECRET})
    store = helpers.store(credHelpers={"reg.test:5000": "x"}, auths={"other.test": {}})
    assert found(store, "reg.test:5000") == BOB
    assert found(store, "other.test") == ANONYMOUS
    assert helpers.questions() == ["reg.test:5000"]


def test_docker_hub_has_its_old_name_for_a_helper(helpers: Helpers) -> None:
    helpers.says("x", {"Username": "bob", "Secret": SECRET})
    assert found(helpers.store(credsStore="x"), "docker.io") == BOB
    assert helpers.questions() == ["https://index.docker.io/v1/"]


def test_a_helpers_token_is_an_identity_token(helpers: Helpers) -> None:
    helpers.says("x", {"Username": "<token>", "Secret": SECRET})
    store = helpers.store(credsStore="x")
    assert found(store, "reg.test") == Credentials(identity_token=SECRET)


def test_a_default_helper_that_knows_nothing_leaves_the_file(helpers: Helpers) -> None:
    helpers.write("x", "echo credentials not found in native keychain; exit 1")
    store = helpers.store(credsStore="x", auths={"reg.test": {"auth": PAIR}})
    assert found(store, "reg.test") == BOB


def test_a_registrys_own_helper_has_the_last_word(helpers: Helpers) -> None:
    helpers.write("x", "echo credentials not found in native keychain; exit 1")
    store = helpers.store(credHelpers={"reg.test": "x"}, auths={"reg.test": {"auth": PAIR}})
    assert found(store, "reg.test") == ANONYMOUS


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"echo {SECRET}; echo {SECRET} >&2; exit 3", "failed for reg.test"),
        (f"echo {SECRET}", "cannot be read"),
        (f'echo \'{{"Username": "{SECRET}"}}\'', "cannot be read"),
        (f'echo \'{{"Username": null, "Secret": "{SECRET}"}}\'', "cannot be read"),
        (f"echo '[\"{SECRET}\"]'", "cannot be read"),
        ("exit 0", "cannot be read"),
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


def test_a_helper_that_is_missing_is_named(helpers: Helpers) -> None:
    with pytest.raises(Unauthorized, match="docker-credential-none cannot run"):
        found(helpers.store(credsStore="none"), "reg.test")


def test_a_helper_has_a_time_limit(helpers: Helpers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELPER_TIMEOUT", 0.3)
    # The child of the child keeps the pipe open, which must not be waited for.
    helpers.write("x", "sleep 20 & sleep 20")
    start = time.monotonic()
    with pytest.raises(Unauthorized, match="did not answer"):
        found(helpers.store(credsStore="x"), "reg.test")
    assert time.monotonic() - start < 1.3


def test_a_helper_keeps_the_deadline(helpers: Helpers) -> None:
    helpers.write("x", "sleep 20")
    start = time.monotonic()
    with pytest.raises(Unauthorized, match="did not answer"):
        helpers.store(credsStore="x").lookup(Registry("reg.test"), Deadline.after(0.3))
    assert time.monotonic() - start < 1.3


def test_an_interrupt_ends_the_wait_for_a_helper(helpers: Helpers) -> None:
    helpers.write("x", "sleep 20")
    deadline = Deadline.after(30)
    threading.Timer(0.2, deadline.cancelled.set).start()
    start = time.monotonic()
    with pytest.raises(Interrupted):
        helpers.store(credsStore="x").lookup(Registry("reg.test"), deadline)
    assert time.monotonic() - start < 1.2


def test_a_slow_helper_is_waited_for_and_gets_nothing_else(helpers: Helpers) -> None:
    helpers.write("x", f'sleep 0.7; echo \'{{"Username": "bob", "Secret": "{SECRET}"}}\'')
    assert found(helpers.store(credsStore="x"), "reg.test") == BOB
    assert helpers.questions() == ["reg.test"]


@pytest.mark.parametrize("works", [True, False])
def test_a_helper_is_asked_once_in_a_run(helpers: Helpers, *, works: bool) -> None:
    if works:
        helpers.says("x", {"Username": "bob", "Secret": SECRET})
    else:
        helpers.write("x", "exit 1")
    made = Authenticator(helpers.store(credsStore="x"), lambda _: TokenAnswer(500, b""))
    errors: list[Unauthorized] = []
    for _ in range(3):
        try:
            assert made._lookup(Registry("reg.test"), Deadline.after(5)) == BOB
        except Unauthorized as error:
            errors.append(error)
    assert helpers.questions() == ["reg.test"]
    assert len(set(map(id, errors))) == (0 if works else 3)


def test_malformed_is_what_parsing_raises() -> None:
    with pytest.raises(Malformed):
        parse_config(b"[]", {})
