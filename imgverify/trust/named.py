"""Reading the files that a policy names."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from imgverify.errors import InputError
from imgverify.policy.named import Files
from imgverify.trust.files import read_key, read_trusted_roots
from imgverify.trust.shared import refuse_shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from imgverify.policy.named import Named
    from imgverify.signature.trusted import TrustedRoot

T = TypeVar("T")


def read_named(named: Named, folder: Path, shipped: tuple[TrustedRoot, ...]) -> Files:
    """Read files by their names, which are relative to `folder`; `shipped` needs no name.

    One that cannot be used is an error in its place: the policy's reader knows the line.
    """
    return Files(
        keys=_read_all(named.keys, folder, read_key),
        roots=_read_all(named.roots, folder, read_trusted_roots),
        shipped=shipped,
    )


def _read_all(
    names: Iterable[str], folder: Path, read: Callable[[Path], T]
) -> dict[str, T | InputError]:
    return {name: _attempt(folder / name, read) for name in names}


def _attempt(path: Path, read: Callable[[Path], T]) -> T | InputError:
    try:
        with path.open("rb") as file:
            refuse_shared(file, f"the file {path}")
        return read(path)
    except InputError as error:
        return error
    except (OSError, ValueError) as error:
        # A name with a zero byte is a value error, whatever else it may be.
        reason = error.strerror if isinstance(error, OSError) else "that is no name of a file"
        return InputError(f"the file {path} cannot be read: {reason}")
