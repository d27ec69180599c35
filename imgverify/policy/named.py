"""The files that a policy names: which they are, and what came of reading them.

Nobody opens them here. Where a rule names signers, the caller reads what `files_named` returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imgverify.policy.document import List, Map, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgverify.errors import InputError
    from imgverify.policy.document import Node
    from imgverify.signature.trusted import TrustedKey, TrustedRoot

COSIGN: Final = "cosign"
KEY: Final = "key"
ROOT: Final = "trusted-root"


@dataclass(frozen=True, slots=True)
class Named:
    """Names of key files and of trusted roots; `signers` says whether any signer is named."""

    keys: frozenset[str]
    roots: frozenset[str]
    signers: bool


@dataclass(frozen=True, slots=True)
class Files:
    """What the files hold, or why they cannot be used.

    `shipped` is believed where no trusted root is named; without it one has to be.
    """

    keys: Mapping[str, TrustedKey | InputError] = field(default_factory=dict)
    roots: Mapping[str, tuple[TrustedRoot, ...] | InputError] = field(default_factory=dict)
    shipped: tuple[TrustedRoot, ...] = ()


def files_named(document: Node) -> Named:
    """Return what has to be read before a policy can be."""
    found = [*_signers(document)]
    return Named(_texts(found, KEY), _texts(found, ROOT), bool(found))


def _signers(node: Node) -> Iterator[Map]:
    if isinstance(node, List):
        for item in node.items:
            yield from _signers(item)
    elif isinstance(node, Map):
        for name, value in node.entries:
            if name.value == COSIGN and isinstance(value, Map):
                yield value
            yield from _signers(value)


def _texts(signers: list[Map], wanted: str) -> frozenset[str]:
    return frozenset(
        value.value
        for each in signers
        for name, value in each.entries
        if name.value == wanted and isinstance(value, Text) and value.value
    )
