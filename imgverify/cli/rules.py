"""The policy that a command decides by: a file's, or the built-in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.errors import InputError, InvalidPolicy
from imgverify.oci import limits
from imgverify.policy.model import DEFAULT_POLICY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgverify.policy.document import Node
    from imgverify.policy.model import Policy
    from imgverify.policy.named import Files
    from imgverify.policy.requirement import Requirement
    from imgverify.signature.trusted import TrustedRoot


def policy_from(
    path: Path | None,
    requires: tuple[Requirement, ...],
    default: Callable[[], tuple[TrustedRoot, ...]],
) -> Policy:
    """Read a policy file, and add what the command line requires; raises `InputError`.

    `default` gives whom to believe where nothing is named.
    """
    policy = DEFAULT_POLICY if path is None else _read(path, default)
    return policy.also_requiring(requires)


def _read(path: Path, default: Callable[[], tuple[TrustedRoot, ...]]) -> Policy:
    from imgverify.policy.document import read_yaml  # noqa: PLC0415 - loads the reader of YAML
    from imgverify.policy.parse import policy_of  # noqa: PLC0415 - as above
    from imgverify.trust.shared import refuse_shared  # noqa: PLC0415 - not without a file

    try:
        with path.open("rb") as file:
            refuse_shared(file, f"the policy {path}")
            data = file.read(limits.POLICY_SIZE + 1)
    except OSError as error:
        msg = f"the policy {path} cannot be read: {error.strerror}"
        raise InputError(msg) from error
    try:
        document = read_yaml(data)
        return policy_of(document, _files(document, path.parent, default))
    except InvalidPolicy as error:
        raise error.named(str(path)) from None


def _files(document: Node, folder: Path, default: Callable[[], tuple[TrustedRoot, ...]]) -> Files:
    from imgverify.policy.named import Files, files_named  # noqa: PLC0415 - not without a file

    named = files_named(document)
    if not named.signers:
        return Files()
    # Here: it loads what verifies signatures.
    from imgverify.trust.named import read_named  # noqa: PLC0415 - as above

    return read_named(named, folder, default())
