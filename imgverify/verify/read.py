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
from imgverify.verify.parallel import all_or_raise

if TYPE_CHECKING:
    from collections.abc import Collection

    from imgverify.errors import Side
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.verify.way import Source


@dataclass(frozen=True, slots=True)
class Reading:
    """An image as far as it was read, and the listed children that the registry lacks."""

    image: Image
    absent: frozenset[Digest] = frozenset()


def read_children(
    repository: Source, top: Manifest | Index, wanted: Collection[Descriptor]
) -> Reading:
    """Read the wanted children of an index, and those of an index in it.

    Raises what `Source.by_digest` raises; an absent child is not an error.
    """
    if isinstance(top, Manifest):
        return Reading(Image(top))
    return _read_level(repository, Reading(Image(top)), tuple(wanted), 1)


def require_bounds(listed: Collection[Descriptor], known: Collection[int], side: Side) -> None:
    """Refuse to read more manifests, or larger ones, than are kept of one image.

    `known` are the sizes of those that were read before. Raises `LimitExceeded`.
    """
    if len(listed) + len(known) > limits.INDEX_CHILDREN:
        msg = f"an index of more than {limits.INDEX_CHILDREN} images"
        raise LimitExceeded(msg, side=side)
    if sum(each.size for each in listed) + sum(known) > limits.MANIFESTS_SIZE:
        msg = f"an index whose manifests have more than {limits.MANIFESTS_SIZE} bytes together"
        raise LimitExceeded(msg, side=side)


def read_configs(repository: Source, reading: Reading) -> Reading:
    """Read the config of every image whose manifest was read.

    Raises what `Source.config` raises, `NotFound` for an absent one included, and
    `LimitExceeded` for configs that are too large together.
    """
    image = reading.image
    manifests = [*image.manifests.values()]
    if isinstance(image.top, Manifest):
        manifests.append(image.top)
    wanted = {each.config.digest: each for each in manifests if each.is_image}
    if sum(each.config.size for each in wanted.values()) > limits.CONFIGS_SIZE:
        msg = f"an image whose configs have more than {limits.CONFIGS_SIZE} bytes together"
        raise LimitExceeded(msg, side=repository.side)
    tasks = [partial(repository.config, each) for each in manifests if each.is_image]
    configs = {each.digest: each for each in all_or_raise(tasks)}
    return replace(reading, image=replace(image, configs=configs))


def _read_level(
    repository: Source, reading: Reading, wanted: tuple[Descriptor, ...], depth: int
) -> Reading:
    if depth > limits.INDEX_DEPTH:
        msg = f"an index nested deeper than {limits.INDEX_DEPTH} levels"
        raise LimitExceeded(msg, side=repository.side)
    unique = {each.digest: each for each in wanted}
    known = [each.size for each in reading.image.manifests.values()]
    known += [each.size for each in reading.image.nested.values()]
    require_bounds(unique.values(), known, repository.side)
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


def _child(repository: Source, child: Descriptor) -> Manifest | Index | None:
    kind = child.media_type.kind
    expected = child.media_type if kind in (Kind.MANIFEST, Kind.INDEX) else None
    try:
        found = repository.by_digest(child.digest, expected, child.size).manifest
    except NotFound:
        return None
    if found.size != child.size:
        msg = f"{child.digest} has {found.size} bytes, and is listed with {child.size}"
        raise Malformed(msg, side=repository.side)
    return found
