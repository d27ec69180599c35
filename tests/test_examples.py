"""What lies in examples/ for CI systems does what it says, run as a CI would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from imgverify.demo.images import stage
from imgverify.gate.find import find, kind_of
from imgverify.serve.loopback import LoopbackRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
HOOKS = ROOT / ".pre-commit-hooks.yaml"


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[str, str]]:
    built = stage()
    with LoopbackRegistry(built.upstream) as upstream, LoopbackRegistry(built.mirror) as mirror:
        yield upstream.host, mirror.host


def load(path: Path) -> Any:  # noqa: ANN401 - whatever a file says
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def commands() -> dict[str, str]:
    """Return what the examples run, by the file that it writes."""
    workflow = load(ROOT / "examples" / "ci" / "github-workflow.yml")
    steps = workflow["jobs"]["gate"]["steps"]
    (github,) = (each["run"] for each in steps if each.get("name") == "gate")
    gitlab = load(ROOT / "examples" / "ci" / "gitlab-job.yml")["images"]
    (job,) = gitlab["script"]
    assert gitlab["artifacts"]["reports"]["codequality"] == "images.json"
    return {"images.sarif": github, "images.json": job}


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(folder / "page.md")}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("image", [("app", 0), ("agent", 1)], ids=["good", "bad"])
@pytest.mark.parametrize("report", ["images.sarif", "images.json"])
def test_a_ci_example_gates(
    report: str, image: tuple[str, int], hosts: tuple[str, str], tmp_path: Path
) -> None:
    (name, status), (upstream, mirror) = image, hosts
    (tmp_path / "Dockerfile").write_text(f"FROM {upstream}/library/{name}:1.4\n")
    command = commands()[report].replace("mirror.example", mirror)
    insecure = f" --insecure-http {upstream} --insecure-http {mirror}"
    done = run(["sh", "-c", command + insecure], tmp_path)
    assert done.returncode == status, done.stderr
    errors = [each for each in ('"critical"', '"error"') if each in (tmp_path / report).read_text()]
    assert bool(errors) is bool(status)
    if report == "images.sarif":
        assert ("::error file=Dockerfile,line=1," in done.stderr) is bool(status)
        assert (tmp_path / "page.md").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "ci").iterdir()), ids=lambda p: p.name)
def test_a_ci_example_is_itself_read(path: Path) -> None:
    reading = find(f"examples/ci/{path.name}", path.read_bytes())
    assert reading.troubles == ()
    assert [each.text for each in reading.mentions] == (
        ["python:3.12"] if "gitlab" in path.name else []
    )


@pytest.mark.parametrize("hook", load(HOOKS), ids=lambda each: each["id"])
def test_a_hook_is_given_the_files_that_are_looked_through(hook: dict[str, Any]) -> None:
    pattern = re.compile(hook["files"])
    for name in ("Dockerfile", "a/b/web.Dockerfile", "k8s/x.yaml", "images.txt", "Kustomization"):
        assert pattern.search(name)
        assert kind_of(name)
    for name in ("README.md", "main.py", "package.json"):
        assert not pattern.search(name)


def test_the_hooks_do_what_they_say(hosts: tuple[str, str], tmp_path: Path) -> None:
    check, gate = (each["entry"].split() for each in load(HOOKS))
    upstream, mirror = hosts
    insecure = ["--mirror", mirror, "--insecure-http", upstream, "--insecure-http", mirror]
    (tmp_path / "Dockerfile").write_text(f"FROM {upstream}/library/app:1.4\n")
    (tmp_path / "other.yaml").write_text("a: b\n")
    assert run([*check, "other.yaml"], tmp_path).returncode == 0
    assert run([*check, "Dockerfile", "other.yaml"], tmp_path).returncode == 1
    assert run([*gate, *insecure, "Dockerfile"], tmp_path).returncode == 0
    assert run(["imgverify", "pin", *insecure, "Dockerfile"], tmp_path).returncode == 0
    assert run([*check, "Dockerfile"], tmp_path).returncode == 0
