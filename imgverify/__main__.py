"""The `imgverify` command, and `python -m imgverify`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; `--version` alone is answered without loading it."""
    if sys.argv[1:] == ["--version"]:
        from imgverify.version import __version__  # noqa: PLC0415 - see docs/architecture.md, start-up

        sys.stdout.write(f"imgverify {__version__}\n")
        return
    from imgverify.cli.app import run  # noqa: PLC0415 - as above

    run()


if __name__ == "__main__":
    main()
