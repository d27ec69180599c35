"""Output that cannot be written, and Ctrl-C before anybody listens: never a traceback, never 0."""

import contextlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from imgverify import __main__ as program
from imgverify.cli import app as application
from imgverify.cli.app import execute

FULL = Path("/dev/full")


class _Slow(ModuleType):
    """A module that somebody does not want to wait for."""

    def __getattr__(self, name: str) -> NoReturn:
        # Python and pytest look at every module, and are not to be stopped.
        raise KeyboardInterrupt if name == "run" else AttributeError


def test_an_interruption_while_the_program_loads_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "imgverify.cli.app", _Slow("imgverify.cli.app"))
    monkeypatch.setattr(sys, "argv", ["imgverify", "verify", "nginx"])
    with pytest.raises(SystemExit) as stop:
        program.main()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "imgverify: interrupted\n"


def test_what_was_left_unwritten_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(OSError), FULL.open("w", encoding="utf-8") as full:
        full.write("something that waits to be written")
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "argv", ["imgverify", "--help"])
        with pytest.raises(SystemExit) as stop:
            application.run()
        assert stop.value.code == 3
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["completion", "bash"], ["--version", "-q"]])
def test_help_that_cannot_be_written_is_no_defect(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FULL.open("w", encoding="utf-8", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert execute(words) == 3
    said = capsys.readouterr().err
    assert "imgverify: No space left on device" in said
    assert "defect" not in said


@pytest.mark.parametrize("words", [["--version"], ["--help"]], ids=" ".join)
@pytest.mark.parametrize("closed", [False, True], ids=["full", "closed"])
def test_the_program_ends_quietly_where_nobody_can_read_it(
    words: list[str], *, closed: bool
) -> None:
    redirection = ">&-" if closed else f">{FULL}"
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "imgverify"]
    done = subprocess.run(
        [*command, *words], stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    # Without a standard output there is nothing that could fail.
    expected = (0, "") if closed else (3, "imgverify: No space left on device")
    assert (done.returncode, done.stderr.partition("\n")[0]) == expected
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
