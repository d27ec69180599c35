"""Images that a Compose file names: of services, of image volumes, and those it builds from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.gate.dockerfile import inline_dockerfile
from imgverify.gate.tree import Mapping, Scalar, items, maps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.mention import Mention
    from imgverify.gate.source import Source
    from imgverify.gate.tree import Node

_CONTEXT: Final = "docker-image://"


def is_compose(document: Mapping) -> bool:
    """Tell whether a document has services as Compose writes them."""
    services = document.map("services")
    if services is None or document.has("apiVersion") or document.has("jobs"):
        return False
    return any(each.has("image") or each.has("build") for each in _services(services))


def compose(source: Source, document: Mapping) -> Iterator[Mention]:
    """Yield what the services name; the image of one that is built is a result, not a source."""
    for node in document.values("services"):
        for service in _services(node):
            yield from _service(source, service)


def _services(node: Node) -> Iterator[Mapping]:
    entries = (*node.entries, *node.merged) if isinstance(node, Mapping) else ()
    return (value for _, value in entries if isinstance(value, Mapping))


def _service(source: Source, service: Mapping) -> Iterator[Mention]:
    images = [] if service.has("build") else [*service.values("image")]
    for volumes in service.values("volumes"):
        for each in maps(volumes):
            images += each.values("source") if each.text("type") == "image" else ()
    yield from source.mentions_at(images)
    build = service.map("build")
    if build is not None:
        yield from _build(source, build)


def _build(source: Source, build: Mapping) -> Iterator[Mention]:
    inline = build.get("dockerfile_inline")
    if inline is not None and inline.scalar is not None:
        yield from inline_dockerfile(source, inline.scalar)
    for scalar in _contexts(build):
        _, mark, _ = scalar.value.partition(_CONTEXT)
        if mark:
            start = scalar.value.index(_CONTEXT) + len(_CONTEXT)
            yield source.mention(scalar.after(scalar.value[:start]))


def _contexts(build: Mapping) -> Iterator[Scalar]:
    """Yield the other contexts of a build, written as a map or as a list of `name=place`."""
    for node in build.values("additional_contexts"):
        values = [each for _, each in node.entries] if isinstance(node, Mapping) else items(node)
        yield from (each for each in values if isinstance(each, Scalar))
