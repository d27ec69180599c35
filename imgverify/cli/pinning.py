"""What `pin` does with the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.cli.answers import answers
from imgverify.cli.files import look_through
from imgverify.cli.output import terminal_width, write_report
from imgverify.errors import InputError
from imgverify.exitcode import ExitCode, of_decisions, of_outcome
from imgverify.gate.find import STDIN
from imgverify.gate.outcome import conclude, gather
from imgverify.gate.pinning import missing, pin
from imgverify.report.pintext import render_missing, render_pins
from imgverify.verdict import Decision
from imgverify.worktree import rewrite

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.cli.files import Files
    from imgverify.cli.options import Asked, Manner
    from imgverify.cli.signers import Signers
    from imgverify.gate.pinning import Pin


def check_pins(files: Files, manner: Manner) -> ExitCode:
    """Say which references have no digest; nothing is asked of anybody."""
    found = gather(reading for _, reading in look_through(files))
    write_report(render_missing(found), manner.output)
    decisions = [Decision.DENY] * bool(missing(found))
    decisions += [Decision.INCONCLUSIVE] * bool(found.unresolvable or found.troubles)
    decisions += [Decision.ALLOW] * bool(found.resolvable or files.allow_empty)
    return of_decisions(decisions)


def pin_all(app: App, files: Files, asking: tuple[Asked, Signers, Manner]) -> ExitCode:
    """Verify, and write the digests into the files; raises `InputError` and `StoreError`."""
    if STDIN in files.paths:
        msg = "standard input is no file, so nothing can be pinned in it"
        raise InputError(msg, hint="name the file, or use --check")
    read = [each for each in look_through(files) if each[1].mentions or each[1].troubles]
    found = gather(reading for _, reading in read)
    told = answers(app, found.resolvable, asking) if found.resolvable else {}
    pins: list[Pin] = []
    for file, reading in read:
        if file.data is not None:
            pinned = pin(file.data, reading, told, files.chosen, is_named=file.is_named)
            pins += pinned.pins
            if pinned.data != file.data:
                rewrite(file.path, file.data, pinned.data)
    outcome = conclude(found, told, allow_empty=files.allow_empty)
    width = terminal_width()
    text = render_pins(outcome, pins, colour=app.colour and width is not None, width=width)
    write_report(text, asking[2].output)
    return of_outcome(outcome)
