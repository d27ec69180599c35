"""Reading the rest of an image: children of an index, and configs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from imgverify.compare.image import Image
from imgverify.errors import LimitExceeded, Malformed, NotFound
from imgverify.oci import limits
from imgverify.oci.manifest import Index, Manifest
from imgverify.oci.mediatype import Kind
from imgverify.oci.reference import Reference
from imgverify.verify.parallel import all_or_raise

if TYPE_CHECKING:
    from collections.abc import Collection

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.registry.client import RemoteRepository


@dataclass(frozen=True, slots=True)
class Reading:
    """An image as far as it was read, and the listed children that the registry lacks."""

    image: Image
    absent: frozenset[Digest] = frozenset()


def read_children(
    repository: RemoteRepository, top: Manifest | Index, wanted: Collection[Descriptor]
) -> Reading:
    """Read the wanted children of an index, and those of an index in it.

    Raises what `RemoteRepository.manifest` raises; an absent child is not an error.
    """
    if isinstance(top, Manifest):
        return Reading(Image(top))
    return _read_level(repository, Reading(Image(top)), tuple(wanted), 1)


def read_configs(repository: RemoteRepository, reading: Reading) -> Reading:
    """Read the config of every image whose manifest was read.

    Raises what `RemoteRepository.config` raises, `NotFound` for an absent one included.
    """
    image = reading.image
    manifests = [*image.manifests.values()]
    if isinstance(image.top, Manifest):
        manifests.append(image.top)
    tasks = [partial(repository.config, each) for each in manifests if each.is_image]
    configs = {each.digest: each for each in all_or_raise(tasks)}
    return replace(reading, image=replace(image, configs=configs))


def _read_level(
    repository: RemoteRepository, reading: Reading, wanted: tuple[Descriptor, ...], depth: int
) -> Reading:
    if depth > limits.INDEX_DEPTH:
        msg = f"an index nested deeper than {limits.INDEX_DEPTH} levels"
        raise LimitExceeded(msg, side=repository.side)
    if len(wanted) + len(reading.image.manifests) > limits.INDEX_CHILDREN:
        msg = f"an index of more than {limits.INDEX_CHILDREN} images"
        raise LimitExceeded(msg, side=repository.side)
    unique = {each.digest: each for each in wanted}
    found = all_or_raise([partial(_child, repository, each) for each in unique.values()])
    manifests, nested = dict(reading.image.manifests), dict(reading.image.nested)
    deeper: list[Descriptor] = []
    absent = set(reading.absent)
    for digest, child in zip(unique, found, strict=True):
        if child is None:
            absent.add(digest)
        elif isinstance(child, Manifest):
            manifests[digest] = child
        else:
            nested[digest] = child
            deeper += child.images
    image = replace(reading.image, manifests=manifests, nested=nested)
    result = Reading(image, frozenset(absent))
    return _read_level(repository, result, tuple(deeper), depth + 1) if deeper else result


def _child(repository: RemoteRepository, child: Descriptor) -> Manifest | Index | None:
    reference = Reference(repository.repository, digest=child.digest)
    kind = child.media_type.kind
    expected = child.media_type if kind in (Kind.MANIFEST, Kind.INDEX) else None
    try:
        found = repository.manifest(reference, expected).manifest
    except NotFound:
        return None
    if found.size != child.size:
        msg = f"{child.digest} has {found.size} bytes, and is listed with {child.size}"
        raise Malformed(msg, side=repository.side)
    return found
