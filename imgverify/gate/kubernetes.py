"""Images that Kubernetes objects name: whatever holds containers, in whatever kind.

Containers are known by the key that holds them, so templates in custom resources (Argo, Tekton,
Knative and the like) are found as well; other fields of custom resources by paths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import InputError
from imgverify.gate.tree import Mapping, Node, Sequence, items, maps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgverify.gate.mention import Mention
    from imgverify.gate.source import Source

_LISTS: Final = frozenset(
    {"containers", "initContainers", "ephemeralContainers", "steps", "sidecars"}
)
_SINGLE: Final = frozenset({"container", "script", "stepTemplate"})
_PATH: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9]*)=([A-Za-z0-9_-]+(?:\[\*\])?(?:\.[A-Za-z0-9_-]+(?:\[\*\])?)*)", re.ASCII
)
_ITEMS: Final = "[*]"


@dataclass(frozen=True, slots=True)
class ImagePath:
    """Where a kind of custom resource names an image; `[*]` among the keys is every item."""

    kind: str
    keys: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `Kind=spec.path.to[*].image`; raises `InputError`."""
        match = _PATH.fullmatch(text)
        if not match:
            msg = f"{text!r} does not say where a kind of object names an image"
            raise InputError(msg, hint="write KIND=PATH, such as Prometheus=spec.image")
        return cls(match[1], tuple(match[2].replace(_ITEMS, f".{_ITEMS}").split(".")))


def is_kubernetes(document: Mapping) -> bool:
    """Tell whether a document is an object of a Kubernetes API."""
    return bool(document.text("apiVersion")) and bool(document.text("kind"))


def kubernetes(
    source: Source, document: Mapping, paths: Iterable[ImagePath] = ()
) -> Iterator[Mention]:
    """Yield every image that an object names."""
    return source.mentions_at(_images(document, tuple(paths)))


def _images(document: Mapping, paths: tuple[ImagePath, ...]) -> Iterator[Node]:
    left: list[Node] = [document]
    seen: set[int] = set()
    while left:
        node = left.pop()
        # An alias is its anchor's node: what was seen once is not looked at again.
        if id(node) in seen:
            continue
        seen.add(id(node))
        left += items(node)
        if isinstance(node, Mapping):
            yield from _configured(node, paths)
            for key, value in (*node.entries, *node.merged):
                yield from _held(key.value, value)
                if not (node is document and key.value == "status"):
                    left.append(value)


def _held(key: str, value: Node) -> Iterator[Node]:
    """Yield the images of the containers or volumes that a key holds."""
    if key in _LISTS:
        for each in maps(value):
            yield from each.values("image")
    elif key in _SINGLE and isinstance(value, Mapping):
        yield from value.values("image")
    elif key == "volumes":
        for volume in maps(value):
            for image in volume.values("image"):
                yield from image.values("reference") if isinstance(image, Mapping) else ()


def _configured(node: Mapping, paths: tuple[ImagePath, ...]) -> Iterator[Node]:
    kind = node.text("kind")
    for path in (each for each in paths if each.kind == kind and is_kubernetes(node)):
        found: list[Node] = [node]
        for key in path.keys:
            found = [below for each in found for below in _below(each, key)]
        yield from found


def _below(node: Node, key: str) -> Iterator[Node]:
    if key == _ITEMS and isinstance(node, Sequence):
        yield from node.items
    elif isinstance(node, Mapping):
        yield from node.values(key)
