"""Where words go: verdicts and data to standard output, prose to standard error."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgverify.errors import StoreError
from imgverify.report.escape import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgverify.cli.options import Manner
    from imgverify.errors import ImgverifyError
    from imgverify.verdict import Verdict


def print_verdicts(verdicts: Sequence[Verdict], manner: Manner, *, colour: bool) -> None:
    """Put verdicts where they were asked for; a file is never coloured."""
    text = _render(verdicts, manner.form, colour=colour and manner.output is None)
    write_report(text, manner.output)


def _render(verdicts: Sequence[Verdict], form: str, *, colour: bool) -> str:
    if form == "json":
        from imgverify.report.jsonreport import render_json  # noqa: PLC0415 - only one is needed

        return render_json(verdicts)
    from imgverify.report.text import render_text  # noqa: PLC0415 - only one is needed

    return render_text(verdicts, colour=colour, width=terminal_width())


def terminal_width() -> int | None:
    """Return the columns of the terminal; elsewhere lines stay whole, so that grep finds them."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write_report(text: str, path: str | None) -> None:
    """Print a report, or put it whole into a file; raises `StoreError`."""
    line = text if text.endswith("\n") else text + "\n"
    if path is None:
        click.echo(line, nl=False)
        return
    target = Path(path)
    try:
        handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(line)
            Path(aside).chmod(0o644)
            Path(aside).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(aside).unlink()
            raise
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise StoreError(msg, hint="name a file in a directory that can be written") from error


def tell(text: str) -> None:
    """Say something in prose, which is never data."""
    click.echo(text, err=True)


def tell_error(error: ImgverifyError) -> None:
    """Say what happened, on which side, and what to do."""
    side = "" if error.side == "local" else f"{error.side.value}: "
    tell(f"imgverify: {side}{escape(error.message, limit=2000)}")
    if error.hint:
        tell(f"  {escape(error.hint)}")
