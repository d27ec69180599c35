"""Where words go: verdicts and data to standard output, prose to standard error."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import click

from imgverify.errors import InvalidPolicy, StoreError
from imgverify.report.escape import escape
from imgverify.report.explain import Occasion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgverify.cli.options import Manner
    from imgverify.errors import ImgverifyError
    from imgverify.registry.client import Network
    from imgverify.verdict import Verdict


_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE: Final = 0o644


def print_verdicts(
    verdicts: Sequence[Verdict],
    manner: Manner,
    *,
    colour: bool,
    occasion: Occasion = Occasion.VERIFY,
) -> None:
    """Put verdicts where they were asked for; a file is never coloured."""
    if manner.form == "json":
        from imgverify.report.jsonreport import render_json  # noqa: PLC0415 - only one is needed

        text = render_json(verdicts)
    else:
        from imgverify.report.text import render_text  # noqa: PLC0415 - only one is needed

        colour, width = colour and manner.output is None, terminal_width()
        text = render_text(verdicts, colour=colour, width=width, occasion=occasion)
    write_report(text, manner.output)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether somebody watches; a stream that the caller closed is None."""
    return stream is not None and stream.isatty()


def terminal_width() -> int | None:
    """Return the columns of the terminal; elsewhere lines stay whole, so that grep finds them."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


def write_report(text: str, path: str | None) -> None:
    """Print a report, or put it whole into a file; raises `StoreError`."""
    line = text if text.endswith("\n") else text + "\n"
    if path is None:
        _print(line)
        return
    try:
        _write_file(Path(path), line.encode())
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise StoreError(msg, hint="name a file in a directory that can be written") from error


def _print(text: str) -> None:
    if sys.stdout is None:
        msg = "there is a report to print, and standard output is closed"
        raise StoreError(msg, hint="name a file with -o")
    try:
        # Whoever asked for colour gets it, into a pipe as well: click would take it out.
        click.echo(text, nl=False, color=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout)
        msg = f"standard output cannot be written: {error.strerror}"
        raise StoreError(msg) from error


def silence(stream: TextIO | None) -> None:
    """Drop what a stream could not write, which Python would try once more, and fail, at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr] # None has no fileno
        os.close(nowhere)


def _write_file(target: Path, data: bytes) -> None:
    """Replace a file at once; what is no file, such as /dev/stderr, is written to."""
    try:
        special = not stat.S_ISREG(target.stat().st_mode)
    except FileNotFoundError:
        special = False
    if special:
        with target.open("wb", buffering=0) as file:
            file.write(data)
        return
    # The file itself gives way, not a link to it.
    target = target.resolve()
    aside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}")
    try:
        # Not open(): under a umask of 0 others could write to it before it is in its place.
        with os.fdopen(os.open(aside, _NEW, _MODE), "wb") as file:
            file.write(data)
        aside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def append_file(target: Path, text: str) -> None:
    """Add to a file's end; raises `StoreError`."""
    try:
        with target.open("ab") as file:
            file.write(text.encode())
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror}"
        raise StoreError(msg) from error


def tell(text: str) -> None:
    """Say something in prose, which is never data: that nobody hears it changes nothing."""
    try:
        click.echo(text, err=True)
    except OSError:
        silence(sys.stderr)


def served_lines(verdict: Verdict) -> tuple[str, ...]:
    """Return which hosts answered for each side, redirects included."""
    sides = [(str(verdict.upstream.reference), verdict.upstream.served_by)]
    sides += [(str(each.reference), each.served_by) for each in verdict.mirrors]
    return tuple(
        f"  {escape(name)}: answered by {escape(' -> '.join(hosts))}"
        for name, hosts in sides
        if hosts
    )


def network_lines(network: Network) -> Iterator[str]:
    """Yield whom the user was for each registry, and what its rate limit still allows."""
    for place, source in network.credential_sources.items():
        yield f"  {place}: credentials from {escape(source)}"
    for registry, limit in network.rate_limits.items():
        yield f"  {registry.api}: {limit}"


def tell_error(error: ImgverifyError) -> None:
    """Say what happened, on which side, and what to do."""
    if isinstance(error, InvalidPolicy):
        # In the form that editors and CI runners know: FILE:LINE:COLUMN: message.
        for line in error.message.split("\n"):
            tell(escape(line, limit=2000))
        return
    side = "" if error.side == "local" else f"{error.side.value}: "
    tell(f"imgverify: {side}{escape(error.message, limit=2000)}")
    if error.hint:
        tell(f"  {escape(error.hint)}")
