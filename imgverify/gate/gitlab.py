"""Images that GitLab CI names; what a file includes is not looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.gate.mention import Mention
from imgverify.gate.tree import Mapping, Sequence, items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.source import Source
    from imgverify.gate.tree import Node

_NO_JOBS: Final = frozenset({"cache", "include", "spec", "stages", "variables", "workflow"})
_SIGNS: Final = ("script", "trigger", "stage")
_REFERENCE: Final = "!reference"


def is_pipeline(document: Mapping) -> bool:
    """Tell whether a document has jobs as GitLab writes them."""
    if any(document.has(each) for each in ("apiVersion", "jobs")):
        return False
    return any(job.has(sign) for job in _jobs(document) for sign in _SIGNS)


def pipeline(source: Source, document: Mapping) -> Iterator[Mention]:
    """Yield the images and services of a pipeline, of its defaults and of its jobs."""
    seen: set[int] = set()
    for holder in (document, *_jobs(document)):
        nodes = [*holder.values("image")]
        for services in holder.values("services"):
            nodes += _services(services)
        for node in (each for each in nodes if id(each) not in seen):
            seen.add(id(node))
            yield from _image(source, node, document)


def _jobs(document: Mapping) -> Iterator[Mapping]:
    for key, value in document.entries:
        if key.value not in _NO_JOBS and isinstance(value, Mapping):
            yield value


def _services(node: Node) -> Iterator[Node]:
    return iter((node,)) if _is_reference(node) else items(node)


def _image(source: Source, node: Node, document: Mapping) -> Iterator[Mention]:
    found: tuple[Node, ...] = (node,)
    if _is_reference(node):
        found = _referred(node, document)
        if not found:
            message = "a !reference to what is not in this file"
            yield Mention(source.location(node.index), _REFERENCE, None, message)
    for each in found:
        names = each.values("name") if isinstance(each, Mapping) else (each,)
        yield from source.mentions_at(names)


def _is_reference(node: Node) -> bool:
    return isinstance(node, Sequence) and node.tag == _REFERENCE


def _referred(node: Node, document: Mapping) -> tuple[Node, ...]:
    """Return what a `!reference` of this file names; the items, where that is a list."""
    found: Node | None = document
    for step in items(node):
        key = step.scalar.value if step.scalar is not None else ""
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, Sequence):
        # A reference to a reference would have to be followed without an end in sight.
        return () if found.tag else found.items
    return () if found is None else (found,)
