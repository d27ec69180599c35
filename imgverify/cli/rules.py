"""The policy that a command decides by: a file's, or the built-in one."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, TypeVar

from imgverify.errors import InputError, InvalidPolicy
from imgverify.oci import limits
from imgverify.policy.model import DEFAULT_POLICY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from imgverify.policy.document import Node
    from imgverify.policy.model import Policy
    from imgverify.policy.named import Files
    from imgverify.policy.requirement import Requirement

T = TypeVar("T")


def policy_from(path: Path | None, requires: tuple[Requirement, ...]) -> Policy:
    """Read a policy file, and add what the command line requires; raises `InputError`."""
    policy = DEFAULT_POLICY if path is None else _read(path)
    return policy.also_requiring(requires)


def _read(path: Path) -> Policy:
    from imgverify.policy.document import read_yaml  # noqa: PLC0415 - loads the reader of YAML
    from imgverify.policy.parse import policy_of  # noqa: PLC0415 - as above

    try:
        with path.open("rb") as file:
            _refuse_shared(path, "the policy")
            data = file.read(limits.POLICY_SIZE + 1)
    except OSError as error:
        msg = f"the policy {path} cannot be read: {error.strerror}"
        raise InputError(msg) from error
    try:
        document = read_yaml(data)
        return policy_of(document, _files(document, path.parent))
    except InvalidPolicy as error:
        raise error.named(str(path)) from None


def _refuse_shared(path: Path, what: str) -> None:
    if stat.S_IMODE(path.stat().st_mode) & stat.S_IWOTH:
        msg = f"everybody may write to {what} {path}, so it is nobody's word"
        raise InputError(msg, hint=f"chmod o-w {path}")


def _files(document: Node, folder: Path) -> Files:
    """Read the files that a policy names; those that cannot be read are mistakes of its lines."""
    from imgverify.policy.named import Files, files_named  # noqa: PLC0415 - seldom

    named = files_named(document)
    if not named.signers:
        return Files()
    from imgverify.trust.files import read_key, read_trusted_roots  # noqa: PLC0415 - seldom
    from imgverify.trust.shipped import public_good  # noqa: PLC0415 - seldom

    return Files(
        keys=_read_all(named.keys, folder, read_key),
        roots=_read_all(named.roots, folder, read_trusted_roots),
        shipped=public_good(),
    )


def _read_all(
    names: Iterable[str], folder: Path, read: Callable[[Path], T]
) -> dict[str, T | InputError]:
    def attempt(name: str) -> T | InputError:
        try:
            found = read(folder / name)
            _refuse_shared(folder / name, "the file")
        except InputError as error:
            return error
        return found

    return {name: attempt(name) for name in names}
