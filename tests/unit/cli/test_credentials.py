"""Which files the commands read credentials from, and what is said about them."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault import MANIFESTS
from tests.support.faults import Header, Status
from tests.support.registry import FakeRegistry
from tests.support.tokens import BasicGuard, BearerGuard, TokenService
from tests.unit.cli.conftest import PATH, Pair, Run

USER, PASSWORD = "alice", "hunter2-secret"


@pytest.fixture(autouse=True)
def open_again(servers: Pair) -> Iterator[None]:
    """The registries are those of all tests, and let everybody in for them."""
    yield
    servers.upstream.guard = servers.mirror.guard = None


@pytest.fixture
def private(pair: Pair) -> Pair:
    pair.mirror.guard = BasicGuard({USER: PASSWORD})
    return pair


def write(path: Path, key: str, password: str = PASSWORD) -> Path:
    """Write a file with one entry, as a login would."""
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": {key: {"auth": auth}}}), encoding="ascii")
    return path


@pytest.mark.parametrize(
    "name", [".docker/config.json", "run/containers/auth.json", ".config/containers/auth.json"]
)
def test_what_a_login_wrote_is_found_and_said(
    run: Run, private: Pair, tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / name, private.mirror.host)
    done = run("-v", "verify", private.name(), *private.options)
    assert done.status == 0, done.out
    assert f"  {private.mirror.host}: credentials from {path}\n" in done.err
    assert PASSWORD not in done.out + done.err
    assert run("verify", private.name(), *private.options).err == ""


def test_dockers_file_is_asked_before_podmans(run: Run, private: Pair, tmp_path: Path) -> None:
    host = private.mirror.host
    podman = write(tmp_path / ".config/containers/auth.json", host)
    assert run("verify", private.name(), *private.options).status == 0
    docker = write(tmp_path / ".docker/config.json", host, "an old one")
    done = run("verify", private.name(), *private.options)
    assert done.status == 3
    whose = f"refuses access with the credentials from {docker}, not from {podman} (401)"
    assert f"{host} {whose}" in done.out
    assert f"log in again (docker login {host})" in done.out


def test_a_file_that_is_named_is_read_alone(run: Run, private: Pair, tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", private.mirror.host)
    empty = tmp_path / "empty.json"
    empty.touch()
    done = run("--config", empty, "verify", private.name(), *private.options)
    assert done.status == 3
    assert "unreachable (mirror" in done.out
    assert f"{private.mirror.host} wants credentials (401)" in done.out
    assert f"docker login {private.mirror.host}" in done.out
    path = write(tmp_path / "auth.json", f"{private.mirror.host}/{PATH}")
    done = run("-v", "--config", path, "verify", private.name(), *private.options)
    assert done.status == 0
    assert f"  {private.mirror.host}/{PATH}: credentials from {path}\n" in done.err


def test_registry_auth_file_is_read_alone_and_has_to_be_there(
    run: Run, private: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / ".docker/config.json", private.mirror.host)
    chosen = tmp_path / "chosen.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(chosen))
    done = run("verify", private.name(), *private.options)
    assert done.status == 2
    assert done.err.startswith(f"imgverify: {chosen}, which is to hold credentials, is not there")
    write(chosen, "other.test")
    assert run("verify", private.name(), *private.options).status == 3


def test_a_file_that_is_wrong_is_named_and_not_quoted(
    run: Run, private: Pair, tmp_path: Path
) -> None:
    path = write(tmp_path / ".docker/config.json", private.mirror.host)
    path.write_text(path.read_text().replace('"auths"', '"auths" "'), encoding="ascii")
    done = run("--debug", "verify", private.name(), *private.options)
    assert done.status == 2
    assert str(path) in done.err
    assert base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode() not in done.err


def test_who_has_no_home_has_no_credentials_there(
    run: Run, private: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    assert run("verify", private.name(), *private.options).status == 3


def test_a_token_server_elsewhere_has_to_be_named(run: Run, pair: Pair, tmp_path: Path) -> None:
    tokens = TokenService(users={USER: PASSWORD}, anonymous=False)
    with FakeRegistry(mounts=[tokens]) as issuer:
        pair.upstream.guard = BearerGuard(tokens, realm=f"{issuer.url}/token")
        write(tmp_path / ".docker/config.json", pair.upstream.host)
        command = ("verify", pair.name(), *pair.options, "--insecure-http", issuer.host)
        done = run(*command)
        assert done.status == 3
        option = f"--token-server {pair.upstream.host}={issuer.host}"
        assert option in done.out
        assert issuer.requests == ()
        assert run(*command, *option.split()).status == 0


@pytest.mark.parametrize("value", ["reg.test", "=auth.test", "reg.test=", "reg.test=a b"])
def test_a_token_server_that_is_none_is_a_usage_error(run: Run, pair: Pair, value: str) -> None:
    done = run("verify", pair.name(), *pair.options, "--token-server", value)
    assert done.status == 2
    assert pair.upstream.requests == ()


# --- rate limits ------------------------------------------------------------------------------


def limit(pair: Pair, remaining: int) -> None:
    said = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{remaining};w=21600"}
    pair.upstream.play(*(Header(name, value, when=MANIFESTS) for name, value in said.items()))


def test_what_is_left_of_a_rate_limit_is_said_to_who_wants_to_know_more(
    run: Run, pair: Pair
) -> None:
    limit(pair, 98)
    done = run("-v", "verify", pair.name(), *pair.options)
    assert f"  {pair.upstream.host}: 98 of 100 pulls left in 6 h\n" in done.err
    assert done.err.count("pulls left") == 1
    assert run("verify", pair.name(), *pair.options).err == ""
    assert run("-q", "-v", "verify", pair.name(), *pair.options).err == ""


def test_a_used_up_limit_decides_nothing_and_says_until_when(run: Run, pair: Pair) -> None:
    headers = (
        ("ratelimit-limit", "100;w=21600"),
        ("ratelimit-remaining", "0;w=21600"),
        ("Retry-After", "7200"),
    )
    pair.upstream.play(Status(429, headers))
    done = run("verify", pair.name(), *pair.options)
    assert done.status == 3
    assert f"{pair.upstream.host} answered 429" in done.out
    said = r"the rate limit \(100 pulls in 6 h\) is used up: try again after [-0-9]+ [:0-9]+ UTC"
    assert re.search(said, done.out)
