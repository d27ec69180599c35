"""Images that a kustomization puts in the place of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.gate.mention import Mention
from imgverify.gate.tree import Mapping, maps
from imgverify.gate.variables import expand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.source import Source

_NO_TAG: Final = "the tag is what the resources say; write a newTag or a digest"
_KINDS: Final = frozenset({"Kustomization", "Component"})
_GROUP: Final = "kustomize"


def is_kustomization(document: Mapping) -> bool:
    """Tell whether a document is one, of Kustomize itself or of Flux."""
    group = document.text("apiVersion").partition(".")[0]
    return document.text("kind") in _KINDS and group == _GROUP


def kustomization(source: Source, document: Mapping) -> Iterator[Mention]:
    """Yield each entry of `images`, at its new name or, without one, at its name."""
    holders = (document, document.map("spec"))
    for holder in (each for each in holders if each is not None):
        for node in holder.values("images"):
            for entry in maps(node):
                yield from _entry(source, entry)


def _entry(source: Source, entry: Mapping) -> Iterator[Mention]:
    key = "newName" if entry.has("newName") else "name"
    node = entry.get(key)
    if node is None or node.scalar is None:
        return
    location = source.location(node.index)
    tag = f"{entry.text('newTag')}{entry.text('tagSuffix')}" if entry.has("newTag") else ""
    digest = entry.text("digest")
    text = node.scalar.value + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    expanded = expand(text, {})
    problem = expanded.problem or ("" if tag or digest else _NO_TAG)
    if problem:
        yield Mention(location, expanded.text, None, problem)
    else:
        yield source.composed(location, expanded.text)
