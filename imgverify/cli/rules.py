"""The policy that a command decides by: a file's, or the built-in one."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from imgverify.errors import InputError, InvalidPolicy
from imgverify.oci import limits
from imgverify.policy.model import DEFAULT_POLICY

if TYPE_CHECKING:
    from pathlib import Path

    from imgverify.policy.model import Policy
    from imgverify.policy.requirement import Requirement


def policy_from(path: Path | None, requires: tuple[Requirement, ...]) -> Policy:
    """Read a policy file, and add what the command line requires; raises `InputError`."""
    policy = DEFAULT_POLICY if path is None else _read(path)
    return policy.also_requiring(requires)


def _read(path: Path) -> Policy:
    from imgverify.policy.parse import parse_policy  # noqa: PLC0415 - loads the reader of YAML

    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            data = file.read(limits.POLICY_SIZE + 1)
    except OSError as error:
        msg = f"the policy {path} cannot be read: {error.strerror}"
        raise InputError(msg) from error
    if mode & stat.S_IWOTH:
        msg = f"everybody may write to the policy {path}, so it is nobody's word"
        raise InputError(msg, hint=f"chmod o-w {path}")
    try:
        return parse_policy(data)
    except InvalidPolicy as error:
        raise error.named(str(path)) from None
