"""The command line as a user has it: an upstream, a mirror, a clean home, and captured output."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from imgverify.cli.app import execute
from imgverify.report.jsonreport import schema_text
from tests.support.image import put, release
from tests.support.registry import FakeRegistry, Shelf

PATH, TAG = "library/app", "1.4"
OLD, NEW = release("app", "1.4.1"), release("app", "1.4.2")
FORGED = release("app", "1.4.2-x.9")
VALIDATOR = Draft202012Validator(json.loads(schema_text()))


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report, which has to be of the published shape."""
        found: dict[str, Any] = json.loads(self.out)
        VALIDATOR.validate(found)
        return found


Run = Callable[..., Done]


@dataclass(frozen=True, slots=True)
class Pair:
    upstream: FakeRegistry
    mirror: FakeRegistry

    def name(self, path: str = PATH) -> str:
        return f"{self.upstream.host}/{path}:{TAG}"

    @property
    def options(self) -> list[str]:
        hosts = ["--insecure-http", self.upstream.host, "--insecure-http", self.mirror.host]
        return ["--mirror", self.mirror.host, *hosts]


@pytest.fixture(scope="session")
def servers() -> Iterator[Pair]:
    with FakeRegistry() as upstream, FakeRegistry() as mirror:
        yield Pair(upstream, mirror)


@pytest.fixture
def pair(servers: Pair) -> Pair:
    """Both have the image; an earlier one is at upstream, without a tag."""
    for each in (servers.upstream, servers.mirror):
        each.shelf = Shelf()
        each.heal()
        each.forget()
        put(each.shelf, PATH, NEW, TAG)
    put(servers.upstream.shelf, PATH, OLD)
    return servers


@pytest.fixture(autouse=True)
def clean_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's credentials, and no wish about colours."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    credentials = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME")
    for name in (*credentials, "NO_COLOR", "_IMGVERIFY_COMPLETE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: object) -> Done:
        capsys.readouterr()
        status = execute([*map(str, words)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err or "--debug" in words
        return Done(status, said.out, said.err)

    return command
