"""`imgverify completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from imgverify.exitcode import ExitCode


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, *, shell: str) -> ExitCode:
    """Print the completion script for a shell.

    \b
    imgverify completion bash > ~/.local/share/bash-completion/completions/imgverify
    """  # noqa: D301 - click's sign for lines that are kept
    kind = get_completion_class(shell)
    if kind is None:
        msg = f"there is no completion for {shell}"
        raise click.UsageError(msg)
    root = context.find_root().command
    click.echo(kind(root, {}, "imgverify", "_IMGVERIFY_COMPLETE").source())
    return ExitCode.ALLOWED
