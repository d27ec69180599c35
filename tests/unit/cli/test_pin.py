"""`imgverify pin`: the digest that was verified, and no other byte."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.image import put
from tests.unit.cli.conftest import FORGED, NEW, PATH, TAG, Pair, Run
from tests.unit.cli.test_gate import WEB, compose, here, two

__all__ = ["here", "two"]


def test_a_pin_changes_nothing_but_references(run: Run, two: Pair, here: Path) -> None:
    name = two.name()
    text = (
        f"# keep me: {name}\r\nservices:\r\n"
        f"  a: {{image: '{name}'}}   # é\r\n  b:\r\n    image: \"{name}\"\r\n"
        f"  c: {{image: {name}, x: [{name}]}}\r\n  d: {{image: '{name}@sha256:{'0' * 64}'}}\r\n"
    )
    file = here / "compose.yaml"
    file.write_bytes(text.encode())
    file.chmod(0o640)
    done = run("pin", "compose.yaml", *two.options)
    assert done.status == 1  # the digest that was written is not the tag's
    after = file.read_bytes().decode()
    (digest,) = {part[:71] for part in after.split(f"{name}@")[1:] if not part[7] == part[8] == "0"}
    expected = text.replace(f"'{name}'", f"'{name}@{digest}'")
    expected = expected.replace(f'"{name}"', f'"{name}@{digest}"')
    expected = expected.replace(f"image: {name},", f"image: {name}@{digest},")
    assert after == expected
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(each.name for each in here.iterdir()) == ["compose.yaml"]
    assert "3 references pinned, 0 not" in done.out
    assert "DENIED" in done.out


def test_a_second_pin_changes_nothing_and_the_check_is_clean(
    run: Run, two: Pair, here: Path
) -> None:
    (here / "Dockerfile").write_text(f"FROM {two.name()}\n")
    assert run("pin", "--check", ".").status == 1
    assert run("pin", ".", *two.options).status == 0
    once = (here / "Dockerfile").read_bytes()
    checked = run("pin", "--check", ".")
    assert (checked.status, checked.out) == (0, "0 references without a digest\n")
    again = run("pin", ".", *two.options)
    assert (again.status, again.out) == (0, "0 references pinned, 0 not\n")
    assert (here / "Dockerfile").read_bytes() == once


def test_git_shows_only_references(run: Run, two: Pair, here: Path) -> None:
    (here / "compose.yaml").write_text(compose(two.name(), two.name(WEB), "${X:-a}"))
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        subprocess.run([*git, *words], cwd=here, check=True)
    run("pin", ".", *two.options)
    shown = subprocess.run(
        [*git, "diff", "-U0", "--word-diff=porcelain"],
        cwd=here,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    changed = [line for line in shown.splitlines()[4:] if line[0] in "+-"]
    assert [line[1:].split("@")[0] for line in changed] == [
        two.name(),
        two.name(),
        two.name(WEB),
        two.name(WEB),
    ]


def test_what_is_denied_is_not_pinned_and_its_neighbour_is(run: Run, two: Pair, here: Path) -> None:
    put(two.mirror.shelf, PATH, FORGED, TAG)
    file = here / "compose.yaml"
    file.write_text(compose(two.name(), two.name(WEB)))
    done = run("pin", "compose.yaml", *two.options)
    assert done.status == 1
    lines = file.read_text().splitlines()
    assert lines[2] == f"    image: {two.name()}"
    assert lines[4].startswith(f"    image: {two.name(WEB)}@sha256:")


def test_a_name_without_a_tag_gets_the_one_that_is_meant(run: Run, pair: Pair, here: Path) -> None:
    for each in (pair.upstream, pair.mirror):
        put(each.shelf, PATH, NEW, "latest")
    bare = f"{pair.upstream.host}/{PATH}"
    (here / "images.txt").write_text(f"  {bare}  # first\n")
    assert run("pin", "images.txt", *pair.options).status == 0
    after = (here / "images.txt").read_text()
    assert after.startswith(f"  {bare}:latest@sha256:")
    assert after.endswith("  # first\n")


def test_what_is_put_together_is_left_and_told(run: Run, two: Pair, here: Path) -> None:
    text = f"ARG TAG={TAG}\nFROM {two.upstream.host}/{PATH}:${{TAG}}\n"
    (here / "Dockerfile").write_text(text)
    done = run("pin", ".", *two.options)
    assert done.status == 0
    assert "0 references pinned, 1 not" in done.out
    assert "several places" in done.out
    assert (here / "Dockerfile").read_text() == text
    checked = run("pin", "--check", ".")
    assert checked.status == 1
    assert "several places" in checked.out


def test_a_mirror_s_name_gets_no_digest_that_the_mirror_lacks(
    run: Run, two: Pair, here: Path
) -> None:
    named = f"{two.mirror.host}/{PATH}:{TAG}"
    (here / "images.txt").write_text(named)
    hosts = two.options[2:]
    done = run("pin", "images.txt", "--upstream", two.upstream.host, *hosts)
    assert done.status == 0
    assert (here / "images.txt").read_text().startswith(f"{named}@sha256:")


def test_the_check_does_not_call_unknown_clean(run: Run, here: Path) -> None:
    (here / "compose.yaml").write_text(compose("${X}"))
    done = run("pin", "--check", ".")
    assert done.status == 3
    assert "names no image" in done.out
    (here / "compose.yaml").write_text("services: [")
    assert run("pin", "--check", ".").status == 3
    (here / "compose.yaml").unlink()
    empty = run("pin", "--check", ".")
    assert empty.status == 2
    assert "no image is named" in empty.out


def test_nothing_found_pins_nothing(run: Run, pair: Pair, here: Path) -> None:
    assert here.is_dir()
    done = run("pin", ".", *pair.options)
    assert done.status == 2
    assert "no image is named" in done.out


def test_standard_input_cannot_be_pinned(run: Run, pair: Pair) -> None:
    assert run("pin", "-", *pair.options).status == 2


def test_a_file_that_cannot_be_read_is_told_and_left(run: Run, two: Pair, here: Path) -> None:
    (here / "compose.yaml").write_text("services: [")
    (here / "images.txt").write_text(two.name())
    os.mkfifo(here / "pipe")
    done = run("pin", ".", "pipe", *two.options)
    assert done.status == 3
    assert done.out.count("UNREADABLE") == 2
    assert "@sha256:" in (here / "images.txt").read_text()


@pytest.mark.parametrize("spelling", ["\\x2fimage", "image"])
def test_what_is_written_with_escapes_is_left(
    run: Run, two: Pair, here: Path, spelling: str
) -> None:
    escaped = two.name().replace("/", "\\x2f", 1) if spelling.startswith("\\") else two.name()
    (here / "compose.yaml").write_text(f'services: {{a: {{image: "{escaped}"}}}}\n')
    done = run("pin", ".", *two.options)
    assert done.status == 0
    assert ("1 references" in done.out or "1 reference pinned" in done.out) == (spelling == "image")
