"""`imgverify keys`: whom this imgverify believes, and how that is refreshed."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "list": "Say what trust material there is.",
    "show": "Say what a trusted root or key consists of.",
    "check": "Say whether files would load, and whether they are about to end.",
    "update": "Fetch a newer trusted root by TUF.",
}


class _Keys(click.Group):
    """Loads a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        # Not list(): the module of that name takes its place here once it is loaded.
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items()])


@click.group("keys", cls=_Keys)
def command() -> None:
    """Say whom this imgverify believes, and refresh it.

    Trust comes from what is shipped, what `keys update` fetched, and files that are named; no
    other command fetches any.
    """
