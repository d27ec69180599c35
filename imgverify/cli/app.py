"""The application object and the way out: the only reader of the environment and the clock."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from imgverify.cli.connection import settings_from
from imgverify.cli.output import (
    is_terminal,
    network_lines,
    served_lines,
    silence,
    tell,
    tell_error,
)
from imgverify.errors import ImgverifyError, InputError
from imgverify.exitcode import ExitCode, of_error
from imgverify.report.escape import escape
from imgverify.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from imgverify.cli.options import Asked, Manner
    from imgverify.policy.model import Policy
    from imgverify.policy.requirement import Requirement
    from imgverify.registry.client import Network
    from imgverify.registry.deadline import Deadline
    from imgverify.registry.hostconfig.choice import HostAccess, HostMirrors
    from imgverify.registry.hostconfig.read import HostPlaces
    from imgverify.signature.trusted import TrustedRoot
    from imgverify.verdict import Verdict
    from imgverify.verify.question import Question

_COMMANDS: Final = {
    "verify": "Say whether a mirror would give what upstream published.",
    "compare": "Compare two references, whatever they are called.",
    "doctor": "Say what a mirror really does, and where this host would look.",
    "gate": "Verify every image that files name: manifests, Dockerfiles, pipelines.",
    "pin": "Write the verified digest behind every image that files name.",
    "pull": "Verify an image, then fetch exactly what was verified.",
    "keys": "Say whom imgverify believes, and refresh it.",
    "verify-bundle": "Say whether a Sigstore bundle vouches for a file or digest.",
    "demo": "See a tampered mirror caught, on this machine, with nothing set up.",
    "completion": "Print the completion script for a shell.",
}
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_COMPLETE: Final = "_IMGVERIFY_COMPLETE"
_LONG: Final = 2000


@dataclass(frozen=True, slots=True)
class App:
    """What the user's surroundings and the global options say."""

    colour: bool
    quiet: bool
    verbose: bool
    config: Path | None
    policy_file: Path | None
    now: datetime

    @property
    def trust_home(self) -> Path | None:
        """Where fetched trust material is kept; None where there is no home."""
        named, home = os.environ.get("XDG_DATA_HOME", ""), _home()
        # The specification has it that relative ones are ignored.
        data = Path(named) if Path(named).is_absolute() else home and home / ".local" / "share"
        return data / "imgverify" / "trust" if data else None

    def trusted_roots(self) -> tuple[TrustedRoot, ...]:
        """Return whom to believe where nothing is named."""
        from imgverify.trust.stored import default_roots  # noqa: PLC0415 - loads cryptography

        return default_roots(self.trust_home)

    def policy(self, requires: tuple[Requirement, ...]) -> Policy:
        """Return what is decided by, with what is required of signatures beside."""
        from imgverify.cli.rules import policy_from  # noqa: PLC0415 - after usage errors

        return policy_from(self.policy_file, requires, self.trusted_roots)

    def questions(
        self, images: tuple[str, ...], asked: Asked
    ) -> tuple[tuple[Question, ...], HostAccess | None]:
        """Read what is asked, with this host's configuration where that was asked for."""
        from imgverify.cli.options import questions_from  # noqa: PLC0415 - it needs this module

        host = self._host(asked)
        questions = questions_from(images, asked, host)
        return questions, self._access(host, questions)

    def questions_each(
        self, images: tuple[str, ...], asked: Asked
    ) -> tuple[tuple[Question | InputError, ...], HostAccess | None]:
        """Do what `questions` does for images that files name, each on its own."""
        from imgverify.cli.options import questions_each  # noqa: PLC0415 - as above

        host = self._host(asked)
        read = questions_each(images, asked, host)
        return read, self._access(host, [each for each in read if not isinstance(each, InputError)])

    def _host(self, asked: Asked) -> HostMirrors | None:
        if asked.mirrors_from is None:
            return None
        from imgverify.registry.hostconfig.choice import HostMirrors  # noqa: PLC0415 - seldom
        from imgverify.registry.hostconfig.read import read_hosts  # noqa: PLC0415 - as above

        return HostMirrors(asked.mirrors_from, read_hosts(asked.mirrors_from, host_places(None)))

    def _access(self, host: HostMirrors | None, questions: Sequence[Question]) -> HostAccess | None:
        if host is None:
            return None
        upstreams = [each.upstream for each in questions]
        for each in (mirror for upstream in upstreams for mirror in host.mirrors(upstream)):
            for note in each.notes:
                self.detail(f"  {escape(f'{each.image.registry}: {note}')}")
        return host.access(upstreams)

    @contextmanager
    def network(self, manner: Manner, access: HostAccess | None = None) -> Iterator[Network]:
        """Open the way to registries, with this user's credentials and one deadline.

        `access` is what this host's configuration says of mirrors.
        """
        from imgverify.registry import authfile  # noqa: PLC0415 - as below
        from imgverify.registry.client import Network  # noqa: PLC0415 - loads httpx
        from imgverify.registry.deadline import Deadline  # noqa: PLC0415 - as above

        settings = settings_from(manner, os.environ)
        files = authfile.files_to_read(self.config, os.environ, _home(), os.getuid())
        credentials = authfile.read_credentials(files, os.environ)
        deadline = Deadline.after(manner.timeout)
        if access is not None:
            from imgverify.registry.hostconfig.settle import settle  # noqa: PLC0415 - seldom

            settings = settle(settings, access, deadline)
        network = Network(settings, credentials, deadline, now=self.now, tell=self.note)
        with network, _stoppable(deadline):
            yield network
            for line in network_lines(network):
                self.detail(line)

    def note(self, text: str) -> None:
        """Say something that is good to know, unless quiet is wanted."""
        if not self.quiet:
            tell(text)

    def detail(self, text: str) -> None:
        """Say something that only those want to know who asked for more."""
        if self.verbose:
            self.note(text)

    def detail_sources(self, verdicts: Sequence[Verdict]) -> None:
        """Say which hosts answered."""
        for line in (line for each in verdicts for line in served_lines(each)):
            self.detail(line)

    def step_summary(self, text: str) -> None:
        """Add to the page that GitHub shows of a step, where it names a file for that."""
        from imgverify.cli.output import append_file  # noqa: PLC0415 - seldom

        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if path:
            append_file(Path(path), text)

    @property
    def shows_progress(self) -> bool:
        """Whether somebody watches."""
        return is_terminal(sys.stderr) and not self.quiet


def host_places(root: Path | None) -> HostPlaces:
    """Return where this host is configured, or another one that lies below `root`."""
    from imgverify.registry.hostconfig.read import HostPlaces  # noqa: PLC0415 - seldom

    if root is not None:
        return HostPlaces(root)
    named = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    return HostPlaces(home=Path.home(), registries_conf=Path(named) if named else None)


@contextmanager
def _stoppable(deadline: Deadline) -> Iterator[None]:
    """Let Ctrl-C, and what else ends a process, be heard by threads that wait for the network."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        deadline.cancelled.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [each for each in _ENDING if signal.getsignal(each) not in (None, signal.SIG_IGN)]
    before = {each: signal.signal(each, stop) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class _Commands(click.Group):
    """Loads a command's module when the command is called, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        from importlib import import_module  # noqa: PLC0415 - not needed by --version

        command: click.Command = import_module(
            f"imgverify.cli.{cmd_name.replace('-', '_')}"
        ).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="imgverify %(version)s")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Credentials, as Docker's config.json or Podman's auth.json has them; no other file is"
    " read. Default: those of docker login, then those of podman login.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What to accept for which images. Default: identical and subset, for all.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but the verdict and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say more about what is done.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colour the verdict; auto means on a terminal.",
)
# execute() reads it, also where parsing fails.
@click.option("--debug", is_flag=True, expose_value=False, help="Show where an error came from.")
@click.pass_context
def cli(
    context: click.Context,
    *,
    config: Path | None,
    policy_file: Path | None,
    quiet: bool,
    verbose: bool,
    color: str,
) -> ExitCode | None:
    """Is the image a mirror gives you the one upstream published?

    Exit status: 0 allowed, 1 denied, 2 usage, 3 could not be decided, 4 could not be stored,
    130 interrupted.
    """
    automatic = is_terminal(sys.stdout) and not os.environ.get("NO_COLOR")
    context.obj = App(
        colour=color == "always" or (color == "auto" and automatic),
        quiet=quiet,
        verbose=verbose,
        config=config,
        policy_file=policy_file,
        now=datetime.now(UTC),
    )
    if context.invoked_subcommand is None:
        tell(context.get_help())
        return ExitCode.USAGE
    return None


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def execute(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status; nothing but a verdict gives 0."""
    # httpx imports its own command line with itself, a third of the time that it takes to load.
    # None stands for a module that is not installed, which httpx allows for.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    try:
        result: object = cli.main(list(arguments), prog_name="imgverify", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as stop:
        # click's shell completion ends so; 0 is its answer to the shell, which passes no words.
        completed = _COMPLETE in os.environ and not arguments and stop.code == 0
        return int(ExitCode.ALLOWED if completed else ExitCode.INCONCLUSIVE)
    except BaseException as error:  # noqa: BLE001 - the last place where one can be told
        try:
            return int(_report(error, debug="--debug" in arguments))
        except BaseException:  # noqa: BLE001 - Python itself would end with 1, which is a verdict
            return int(ExitCode.INCONCLUSIVE)
    # click gives an int for --help and --version; a command that gives no status decided nothing.
    return int(result) if isinstance(result, int) else int(ExitCode.INCONCLUSIVE)


def _report(error: BaseException, *, debug: bool) -> ExitCode:
    if debug:
        for line in "".join(traceback.format_exception(error)).splitlines():
            tell(escape(line, limit=_LONG))
    if isinstance(error, click.ClickException):
        _tell_usage(error)
        return ExitCode.USAGE
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        tell("imgverify: interrupted")
        return ExitCode.INTERRUPTED
    if isinstance(error, OSError):
        silence(sys.stdout)
        # Who closed the pipe knows it; anything else that the system refused is told.
        if not isinstance(error, BrokenPipeError):
            tell(f"imgverify: {escape(error.strerror or str(error), limit=_LONG)}")
            tell("  this machine refused something; --debug shows what")
    elif isinstance(error, ImgverifyError):
        tell_error(error)
    else:
        tell(f"imgverify: internal error: {type(error).__name__}")
        tell("  this is a defect of imgverify; --debug shows where")
    return of_error(error)


def _tell_usage(error: click.ClickException) -> None:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        tell(error.ctx.get_usage())
        tell(f"Try '{error.ctx.command_path} --help'.\n")
    tell(f"imgverify: {escape(error.format_message(), limit=_LONG)}")
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        _tell_place(error.option_name, error.ctx)


def _tell_place(option: str, context: click.Context) -> None:
    """Say where an option of the program goes: other programs take theirs anywhere."""
    root = context.find_root()
    if context is not root and any(option in each.opts for each in root.command.params):
        command = f"{root.command_path} {option} {context.info_name}"
        tell(f"  {option} goes before the command: {command} ...")


def run() -> NoReturn:
    """Run as a program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where the terminal's encoding lacks a character, the report still has to be seen.
        with suppress(OSError):  # what cannot be written may be flushed here already
            sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(execute(sys.argv[1:]))
