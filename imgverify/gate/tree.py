"""YAML and JSON as a tree in which every text knows where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


# Nodes are compared by identity: an alias is the very node that its anchor names.
@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A text.

    `index` is where its first character stands.  `literal` says that the file has it character
    for character from there on; not so with escapes and folded lines.
    `plain` tells `null` from `"null"`.  `lines` are, of a block (`|`), where its lines begin.
    """

    value: str
    index: int
    literal: bool = True
    plain: bool = False
    lines: tuple[int, ...] = ()

    @property
    def scalar(self) -> Scalar:
        """The node, as text."""
        return self

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said here."""
        return not self.value.strip() or (self.plain and self.value in _NULLS)

    @property
    def stripped(self) -> Scalar:
        """The same without the space around it."""
        start = len(self.value) - len(self.value.lstrip())
        return replace(self.after(self.value[:start]), value=self.value.strip())

    def after(self, prefix: str) -> Scalar:
        """Return what follows a prefix that the value has."""
        index = self.index + len(prefix) if self.literal else self.index
        return replace(self, value=self.value[len(prefix) :], index=index)


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A list; `tag` is the application's own, such as GitLab's `!reference`."""

    items: tuple[Node, ...]
    index: int
    tag: str = ""

    scalar = None
    is_empty = False


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """A map; a key may be there twice, and then both count.

    `merged` are entries that other maps give it (`<<: *base`), where it has none of that key.
    """

    entries: tuple[tuple[Scalar, Node], ...]
    index: int
    merged: tuple[tuple[Scalar, Node], ...] = ()

    scalar = None
    is_empty = False

    def values(self, key: str) -> Iterator[Node]:
        """Yield all values of a key."""
        return (node for name, node in (*self.entries, *self.merged) if name.value == key)

    def get(self, key: str) -> Node | None:
        """Return the value that counts for readers that take the last."""
        own = [node for name, node in self.entries if name.value == key]
        return own[-1] if own else next(self.values(key), None)

    def text(self, key: str) -> str:
        """Return the text of a key; empty where there is none."""
        node = self.get(key)
        return node.scalar.value if node is not None and node.scalar is not None else ""

    def map(self, key: str) -> Mapping | None:
        """Return the map of a key; None where there is none."""
        node = self.get(key)
        return node if isinstance(node, Mapping) else None

    def has(self, key: str) -> bool:
        """Tell whether a key is there and says something."""
        return any(not each.is_empty for each in self.values(key))


Node: TypeAlias = Scalar | Sequence | Mapping


def items(node: Node | None) -> Iterator[Node]:
    """Yield the items of a list; nothing for anything else."""
    return iter(node.items if isinstance(node, Sequence) else ())


def maps(node: Node | None) -> Iterator[Mapping]:
    """Yield those items of a list that are maps."""
    return (each for each in items(node) if isinstance(each, Mapping))
