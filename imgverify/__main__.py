"""The `imgverify` command, and `python -m imgverify`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; `--version` alone is answered without loading it."""
    try:
        if sys.argv[1:] == ["--version"] and _say_version():
            return
        from imgverify.cli.app import run  # noqa: PLC0415 - see docs/architecture.md, start-up
    except KeyboardInterrupt:
        # Loading takes a moment, in which nobody else listens.
        sys.stderr.write("imgverify: interrupted\n")
        sys.exit(130)
    run()


def _say_version() -> bool:
    """Tell whether it could be said; else the command line says why not."""
    from imgverify.version import __version__  # noqa: PLC0415 - as above

    try:
        sys.stdout.write(f"imgverify {__version__}\n")
        sys.stdout.flush()
    except (OSError, AttributeError):  # a standard output that is closed is None
        return False
    return True


if __name__ == "__main__":
    main()
