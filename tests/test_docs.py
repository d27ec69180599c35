"""What the documentation says is so: its commands run, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgverify.demo.images import stage
from imgverify.doctor.check import ANSWERS
from imgverify.doctor.host.model import Gap
from imgverify.doctor.judgement import Use
from imgverify.errors import Reason
from imgverify.exitcode import ExitCode
from imgverify.policy.document import read_yaml
from imgverify.policy.named import Files, files_named
from imgverify.policy.parse import policy_of
from imgverify.serve.loopback import LoopbackRegistry
from imgverify.signature.keys import PublicKey
from imgverify.signature.trusted import TrustedKey
from imgverify.trust.shipped import public_good
from imgverify.verdict import Grade, Rule
from tests.support.authorities import new_key, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("keys/*.md")])
READMES = ["README.md", "README.zh-CN.md"]
COMMANDS = [
    found
    for name in READMES
    for found in re.findall(
        r"^\$ (imgverify .*?)(?:\s+# exit status (\d+))?$",
        (ROOT / name).read_text(encoding="utf-8"),
        re.MULTILINE,
    )
]


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[str, str]]:
    built = stage()
    with LoopbackRegistry(built.upstream) as upstream, LoopbackRegistry(built.mirror) as mirror:
        yield upstream.host, mirror.host


def _on_loopback(text: str, hosts: tuple[str, str]) -> list[str]:
    words = text.replace("docker.io", hosts[0]).replace("mirror.example", hosts[1]).split()
    return [*words, "--insecure-http", hosts[0], "--insecure-http", hosts[1]]


def test_the_readme_shows_every_command_that_needs_an_image() -> None:
    assert {text.split()[1] for text, _ in COMMANDS} == {"verify", "compare", "pull", "doctor"}


@pytest.mark.parametrize(("text", "status"), COMMANDS)
def test_a_command_of_the_readme_does_what_it_says(
    text: str, status: str, hosts: tuple[str, str], tmp_path: Path
) -> None:
    command = _on_loopback(text.removeprefix("imgverify "), hosts)
    done = subprocess.run(
        [sys.executable, "-m", "imgverify", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == int(status or 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_runs(hosts: tuple[str, str]) -> None:
    upstream, mirror = hosts
    for name, status in (("app", 0), ("agent", 1)):
        references = [f"{host}/library/{name}:1.4" for host in hosts]
        done = subprocess.run(
            [sys.executable, ROOT / "examples" / "verify_image.py", *references, upstream, mirror],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("https://", "mailto:")):
            assert (page.parent / target).exists(), target


def test_every_rule_is_explained() -> None:
    headings = re.findall(
        r"^## (\S+)$", (ROOT / "docs" / "rules.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(headings) == sorted(each.value for each in Rule)


def _sections(page: str) -> dict[str, str]:
    """Return the text below each heading of the third level, by the heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_answer_of_the_doctor_is_explained() -> None:
    sections = _sections("docs/doctor.md")
    for topic, answers in ANSWERS.items():
        rows = re.findall(r"^\| `([\w-]+)` \|", sections[topic.value], re.MULTILINE)
        assert sorted(rows) == sorted(answers), topic
    uses = re.findall(r"^\| `([\w-]+)` \|", sections["One line"], re.MULTILINE)
    assert uses == [each.value for each in Use]


def test_every_gap_of_a_host_is_explained() -> None:
    assert {each.value for each in Gap} <= _sections("docs/doctor.md").keys()


@pytest.mark.parametrize("page", [*READMES, "docs/exit-codes.md"])
def test_every_exit_status_is_listed(page: str) -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(ExitCode)


@pytest.mark.parametrize("page", [*READMES, "docs/verdicts.md"])
def test_every_grade_is_explained(page: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(each.value for each in Grade)


def test_every_reason_is_explained() -> None:
    text = (ROOT / "docs" / "signatures.md").read_text(encoding="utf-8").split("## Reasons")[1]
    rows = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)
    assert rows == [each.value for each in Reason]


@pytest.mark.parametrize("page", READMES)
def test_the_first_code_of_the_readme_is_the_two_set_up_commands(page: str) -> None:
    block = (ROOT / page).read_text(encoding="utf-8").split("```")[1].split("\n")
    assert [line.split("#")[0].strip() for line in block[1:3]] == ["make demo", "make test"]


def _policies() -> Iterator[str]:
    """Return the policies of the documentation and of the examples; parts become whole ones."""
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    rule = "version: 1\nrules:\n  - match: '**'\n"
    for block in (*blocks, *(each.read_text() for each in ROOT.glob("examples/*.yaml"))):
        is_whole = "version: 1" in block
        yield block if is_whole else rule + re.sub(r"^", "    ", block, flags=re.MULTILINE)


@pytest.mark.parametrize("text", [*_policies()])
def test_every_policy_that_is_shown_is_one(text: str) -> None:
    document = read_yaml(text.encode())
    named = files_named(document)
    keys = {
        each: TrustedKey(PublicKey.from_pem(public_pem(new_key()))) for each in sorted(named.keys)
    }
    policy = policy_of(document, Files(keys, {}, public_good()))
    assert policy.rules


def test_policies_are_shown() -> None:
    assert len([*_policies()]) == 4
