"""What each command prints, where to, and with which status it ends."""

import json
from pathlib import Path

import pytest

from imgverify.cli import app as application
from imgverify.cli import output
from imgverify.demo import scenario
from imgverify.oci.digest import Digest
from tests.support.faults import BLOBS, FlipByte, Status
from tests.support.image import put
from tests.unit.cli.conftest import FORGED, NEW, OLD, PATH, TAG, Pair, Run


def test_an_identical_mirror_is_allowed(run: Run, pair: Pair) -> None:
    done = run("verify", pair.name(), *pair.options)
    assert done.status == 0
    assert done.out.startswith("ALLOWED")
    assert "identical" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("image", "grade"), [(OLD, "stale"), (FORGED, "diverged")], ids=["stale", "diverged"]
)
def test_another_image_is_denied(run: Run, pair: Pair, image: object, grade: str) -> None:
    put(pair.mirror.shelf, PATH, image, TAG)  # type: ignore[arg-type] # one of two images
    done = run("verify", pair.name(), *pair.options)
    assert done.status == 1
    assert done.out.startswith("DENIED")
    assert grade in done.out


def test_an_upstream_that_is_down_decides_nothing(run: Run, pair: Pair) -> None:
    pair.upstream.play(Status(500))
    done = run("verify", pair.name(), *pair.options)
    assert done.status == 3
    assert done.out.startswith("INCONCLUSIVE")


def test_several_images_are_counted_and_the_worst_decides(run: Run, pair: Pair) -> None:
    for each in (pair.upstream, pair.mirror):
        put(each.shelf, "library/web", NEW, TAG)
    put(pair.mirror.shelf, "library/web", FORGED, TAG)
    done = run("verify", pair.name(), pair.name("library/web"), *pair.options)
    assert done.status == 1
    assert "2 images: 1 allowed, 1 denied" in done.out


def test_an_image_may_be_named_as_the_mirror_has_it(run: Run, pair: Pair) -> None:
    named = f"{pair.mirror.host}/{PATH}:{TAG}"
    hosts = pair.options[2:]
    done = run("verify", named, "--upstream", pair.upstream.host, *hosts)
    assert done.status == 0
    assert f"requested as {named}" in done.out


def test_a_report_for_programs(run: Run, pair: Pair) -> None:
    done = run("verify", pair.name(), *pair.options, "--format", "json")
    assert done.status == 0
    assert done.report["decision"] == "allow"
    assert done.report["images"][0]["pinned"].endswith(f"@{NEW.digest}")


def test_a_report_in_a_file(run: Run, pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("before", encoding="utf-8")
    done = run("--color", "always", "verify", pair.name(), *pair.options, "-o", file)
    assert (done.status, done.out) == (0, "")
    assert file.read_text(encoding="utf-8").startswith("ALLOWED")
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_a_file_that_cannot_be_written_is_no_success(run: Run, pair: Pair, tmp_path: Path) -> None:
    done = run("verify", pair.name(), *pair.options, "-o", tmp_path / "absent" / "report")
    assert done.status == 4
    assert "report cannot be written: No such file" in done.err


def test_a_report_that_breaks_off_leaves_no_file(
    run: Run, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path, _target: Path) -> None:
        message = "Input/output error"
        raise OSError(5, message)

    monkeypatch.setattr(Path, "replace", fail)
    done = run("verify", pair.name(), *pair.options, "-o", tmp_path / "report")
    assert done.status == 4
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_written_to(run: Run, pair: Pair) -> None:
    assert run("verify", pair.name(), *pair.options, "-o", "/dev/null").status == 0
    done = run("verify", pair.name(), *pair.options, "-o", "/dev/full")
    assert done.status == 4
    assert "/dev/full cannot be written: No space left" in done.err


def test_verbose_says_who_answered_and_quiet_says_nothing(run: Run, pair: Pair) -> None:
    loud = run("-v", "verify", pair.name(), *pair.options)
    assert f"{pair.name()}: answered by {pair.upstream.host}" in loud.err
    assert run("-q", "-v", "verify", pair.name(), *pair.options).err == ""


@pytest.mark.parametrize("choice", ["always", "auto", "never"])
def test_a_pipe_is_coloured_if_that_is_asked_for(run: Run, pair: Pair, choice: str) -> None:
    done = run("--color", choice, "verify", pair.name(), *pair.options)
    assert ("\x1b[" in done.out) is (choice == "always")


@pytest.mark.parametrize("objection", ["", "1"])
def test_a_terminal_is_coloured_unless_its_owner_objects(
    run: Run, pair: Pair, monkeypatch: pytest.MonkeyPatch, objection: str
) -> None:
    monkeypatch.setattr(application, "is_terminal", lambda _stream: True)
    monkeypatch.setattr(output, "is_terminal", lambda _stream: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", objection)
    done = run("verify", pair.name(), *pair.options)
    assert ("\x1b[" in done.out) is (not objection)


def test_two_references_are_compared_without_a_policy(run: Run, pair: Pair) -> None:
    here, there = pair.name(), f"{pair.mirror.host}/{PATH}:{TAG}"
    hosts = pair.options[2:]
    assert run("compare", here, there, *hosts).status == 0
    put(pair.mirror.shelf, PATH, OLD, TAG)
    assert run("compare", here, there, *hosts).status == 1


def test_a_pull_prints_the_pinned_name_alone(run: Run, pair: Pair, tmp_path: Path) -> None:
    done = run("pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    assert done.status == 0
    assert done.out == f"{pair.upstream.host}/{PATH}@{NEW.digest}\n"
    assert f"from {pair.mirror.host}" in done.err
    assert (tmp_path / "out" / "index.json").exists()


def test_a_pull_with_every_detail(run: Run, pair: Pair, tmp_path: Path) -> None:
    done = run("-v", "pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    assert all(str(Digest.of(each)) in done.err for each in NEW.blobs)


def test_a_pull_reports_for_programs(run: Run, pair: Pair, tmp_path: Path) -> None:
    words = ("pull", pair.name(), *pair.options, "--format", "json")
    done = run(*words, "--to", f"oci:{tmp_path}/one:1")
    assert done.report["decision"] == "allow"
    file = tmp_path / "report"
    done = run(*words, "-o", file, "--to", f"oci:{tmp_path}/two:1")
    assert done.out == f"{pair.upstream.host}/{PATH}@{NEW.digest}\n"
    assert json.loads(file.read_bytes())["decision"] == "allow"


def test_a_pull_that_is_denied_stores_nothing(run: Run, pair: Pair, tmp_path: Path) -> None:
    put(pair.mirror.shelf, PATH, FORGED, TAG)
    done = run("pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    assert done.status == 1
    assert done.out.startswith("DENIED")
    assert "nothing was pulled" in done.err
    assert not (tmp_path / "out").exists()


def test_a_pull_past_a_stale_mirror_says_that_it_is(run: Run, pair: Pair, tmp_path: Path) -> None:
    put(pair.mirror.shelf, PATH, OLD, TAG)
    done = run("pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    assert done.status == 0
    assert "stale" in done.err


def test_a_falsified_layer_comes_from_upstream_and_is_told(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    pair.mirror.play(FlipByte(0, when=BLOBS))
    done = run("pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    assert done.status == 0
    assert f"{pair.mirror.host} served other bytes" in done.err


def test_a_pull_of_a_platform_that_is_not_published_is_no_verdict(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    wanted = ("--platform", "linux/mips", "--to", f"oci:{tmp_path}/out:1")
    done = run("pull", pair.name(), *pair.options, *wanted)
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "imgverify: upstream publishes nothing for linux/mips\n  it has linux/amd64\n"
    )


def test_what_nobody_gives_is_not_stored(run: Run, pair: Pair, tmp_path: Path) -> None:
    for each in (pair.upstream, pair.mirror):
        each.play(FlipByte(0, when=BLOBS))
    done = run("pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    assert (done.status, done.out) == (4, "")
    assert not (tmp_path / "out" / "index.json").exists()


def test_who_watches_sees_the_transfer(
    run: Run, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "is_terminal", lambda _stream: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = run("pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    assert done.status == 0
    assert "\x1b[" in done.err


def test_the_demo_is_right(run: Run) -> None:
    done = run("demo")
    assert done.status == 0
    assert "9 of 9 outcomes are right." in done.out
    assert "Starting two registries" in done.err


def test_a_demo_that_goes_wrong_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> scenario.Played:
        return scenario.Played("", "", ())

    monkeypatch.setattr(scenario, "play", nothing)
    assert run("demo").status == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert done.status == 0
    assert "_IMGVERIFY_COMPLETE" in done.out


def test_an_unknown_shell_is_refused(run: Run) -> None:
    assert run("completion", "tcsh").status == 2
