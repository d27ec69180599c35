"""Usage, errors, interruptions and streams: nothing but a verdict gives 0."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import click
import pytest

from imgverify import __main__ as program
from imgverify.cli import app as application
from imgverify.cli import completion, output
from imgverify.cli.app import execute
from imgverify.registry.deadline import Deadline
from imgverify.serve.loopback import Response
from imgverify.version import __version__
from tests.support.fault import BLOBS, Call
from tests.support.faults import Custom, Hang
from tests.unit.cli.conftest import Pair, Run

USAGE = [
    ("verify",),
    ("verify", "nginx"),
    ("verify", "nginx", "--mirror", "a b"),
    ("verify", "nginx", "--mirror", "999.1.1.1"),
    ("verify", "0127.0.0.1/nginx", "--mirror", "mirror.example"),
    ("verify", "NGINX:Ä", "--mirror", "mirror.example"),
    ("verify", "nginx", "web", "--mirror", "mirror.example/one"),
    ("verify", "nginx", "--mirror", "docker.io"),
    ("verify", "nginx", "--mirror", "mirror.example", "--timeout", "nan"),
    ("verify", "nginx", "--mirror", "mirror.example", "--timeout", "0"),
    ("verify", "nginx", "--mirror", "mirror.example", "--platform", "linux"),
    ("verify", "nginx", "--mirror", "mirror.example", "--format", "yaml"),
    ("pull", "nginx", "--mirror", "mirror.example"),
    ("pull", "nginx", "--mirror", "mirror.example", "--to", "tape:1"),
    ("compare", "nginx"),
    ("sign", "nginx"),
    ("--nonsense",),
    ("--config", "/nonexistent/config.json", "demo"),
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_words_are_2_and_say_which(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.status, done.out) == (2, "")
    assert "imgverify: " in done.err


def test_no_word_at_all_shows_the_help_and_is_no_success(run: Run) -> None:
    done = run()
    assert (done.status, done.out) == (2, "")
    assert "Commands:" in done.err


@pytest.mark.parametrize("words", [("--help",), ("verify", "-h"), ("pull", "--help")])
def test_help_is_data_and_a_success(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.status == 0
    assert done.out.startswith("Usage: imgverify")


def test_the_version_beside_another_word(run: Run) -> None:
    assert run("--version", "-q").out == f"imgverify {__version__}\n"


def test_the_program_answers_for_its_version_without_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["imgverify", "--version"])
    program.main()
    assert capsys.readouterr().out == f"imgverify {__version__}\n"


def test_the_program_ends_with_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["imgverify", "verify"])
    with pytest.raises(SystemExit) as stop:
        program.main()
    assert stop.value.code == 2


def test_what_a_terminal_cannot_show_is_still_said(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "argv", ["imgverify", "--help"])
    with pytest.raises(SystemExit):
        application.run()
    assert stream.errors == "backslashreplace"


class _Failing(ModuleType):
    """A command's module whose command ends as it is told to."""

    def __init__(self, ending: BaseException | object) -> None:
        super().__init__("imgverify.cli.verify")

        @click.command("verify")
        def command() -> object:
            if isinstance(ending, BaseException):
                raise ending
            return ending

        self.command = command


End = Callable[[object], None]


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> End:
    """Let `verify` end in some way."""

    def with_(ending: object) -> None:
        monkeypatch.setitem(sys.modules, "imgverify.cli.verify", _Failing(ending))

    return with_


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (RuntimeError("secret"), (3, "internal error: RuntimeError")),
        (MemoryError(), (3, "internal error: MemoryError")),
        (KeyboardInterrupt(), (130, "interrupted")),
        (click.Abort(), (130, "interrupted")),
        (SystemExit(0), (3, "")),
        (SystemExit(1), (3, "")),
        (BrokenPipeError(), (3, "")),
        (click.FileError("x\x1b[31m", "no"), (2, r"x\x1b[31m")),
        (None, (3, "")),
        ("fine", (3, "")),
    ],
    ids=repr,
)
def test_nothing_but_a_status_is_a_success(
    run: Run, end: End, how: object, expected: tuple[int, str]
) -> None:
    status, said = expected
    end(how)
    done = run("verify")
    assert done.status == status
    assert said in done.err
    assert "secret" not in done.err


def test_debug_shows_where(run: Run, end: End) -> None:
    end(RuntimeError("a \x1b[31m secret"))
    done = run("--debug", "verify")
    assert done.status == 3
    assert "Traceback" in done.err
    assert "\x1b" not in done.err


def test_an_error_while_an_error_is_told_is_no_verdict(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_text: str) -> None:
        raise RuntimeError

    end(RuntimeError("first"))
    monkeypatch.setattr(application, "tell", fail)
    assert execute(["verify"]) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_pull_and_says_so(
    run: Run, pair: Pair, tmp_path: Path, number: signal.Signals
) -> None:
    def interrupt(call: Call) -> Response:
        os.kill(os.getpid(), number)
        return call.response

    # Once: a second signal may find the program's own handler gone, and end the tests.
    pair.mirror.play(Custom(interrupt, when=replace(BLOBS, last=1)), Hang(when=BLOBS))
    before = signal.getsignal(number)
    done = run("pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    assert (done.status, done.out) == (130, "")
    assert "interrupted" in done.err
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with application._stoppable(Deadline.after(1)):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_closed_standard_output_is_no_success(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert execute(["verify", pair.name(), *pair.options]) == 4
    assert "standard output is closed" in capsys.readouterr().err


def test_a_full_standard_output_is_no_success(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert execute(["verify", pair.name(), *pair.options]) == 4
    assert "standard output cannot be written: No space left" in capsys.readouterr().err


def test_a_reader_that_went_away_is_no_success(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    pipe = os.fdopen(writing, "w", encoding="utf-8")
    with contextlib.suppress(BrokenPipeError), pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        # click puts wrappers around both; they are to go again with the test.
        monkeypatch.setattr(sys, "stderr", sys.stderr)
        assert execute(["verify", pair.name(), *pair.options]) == 3
    assert capsys.readouterr().err == ""


def test_prose_that_nobody_hears_changes_nothing(
    run: Run, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert run("-v", "verify", pair.name(), *pair.options).status == 0


def test_a_stream_that_is_none_can_be_silenced() -> None:
    output.silence(None)


def test_the_shell_is_given_completions(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_IMGVERIFY_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "imgverify ver")
    monkeypatch.setenv("COMP_CWORD", "1")
    done = run()
    assert done.status == 0
    assert "plain,verify" in done.out
    # A command line with words is never answered with a completion's success.
    assert run("verify", "nginx").status == 3


def test_a_shell_that_click_no_longer_knows_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "get_completion_class", lambda _name: None)
    done = run("completion", "zsh")
    assert done.status == 2
    assert "there is no completion for zsh" in done.err
