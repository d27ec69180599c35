"""The words of `imgverify doctor`, and the places that they become."""

from __future__ import annotations

from imgverify.doctor.observation import Place
from imgverify.errors import InputError
from imgverify.oci.reference import Reference
from imgverify.registry.mirrors import Namespace, read_mirror


def places_from(
    mirrors: tuple[str, ...], images: tuple[str, ...]
) -> tuple[tuple[Reference, ...], tuple[Place, ...]]:
    """Read the images to ask for, and the mirrors to ask; raises `InputError`."""
    references = tuple(dict.fromkeys(map(Reference.parse, images)))
    return references, tuple(_place(each, references) for each in dict.fromkeys(mirrors))


def _place(text: str, images: tuple[Reference, ...]) -> Place:
    if not images:
        return _nameless(text)
    named = tuple(read_mirror(text, each) for each in images)
    if len(set(named)) < len(named):
        msg = f"{text} is one image, and cannot stand for {len(named)}"
        raise InputError(msg, hint="name a host, or a path that ends in a slash")
    return Place(text, named[0].registry, named)


def _nameless(text: str) -> Place:
    namespace = Namespace.parse(text.removesuffix("/"))
    if namespace.path:
        msg = f"{text} is more than a host, and no image was named that is to be found there"
        raise InputError(msg, hint="name an image by its upstream name: --image REF")
    return Place(text, namespace.registry)
