"""Which blobs make up what is wanted of an image.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.errors import InputError
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.manifest import Index, Manifest
from imgverify.oci.mediatype import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgverify.oci.digest import Digest
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to lie at the destination, each blob once.

    `root` is what the destination's name will point to; `documents` are manifests and indexes,
    whose bytes are already here; `blobs` are configs and layers, the largest first.
    `images` are the manifests that run somewhere.
    """

    name: Reference
    root: Descriptor
    documents: tuple[Manifest | Index, ...]
    blobs: tuple[Descriptor, ...]
    images: tuple[Manifest, ...]

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """Every blob of the destination, documents included."""
        return (*map(describe, self.documents), *self.blobs)

    @property
    def size(self) -> int:
        """How many bytes the configs and layers have together."""
        return sum(each.size for each in self.blobs)


def describe(document: Manifest | Index, platform: Platform | None = None) -> Descriptor:
    """Return the descriptor of a document that is here."""
    return Descriptor(document.media_type, document.digest, document.size, platform)


def wanted_children(top: Manifest | Index, wanted: tuple[Platform, ...]) -> tuple[Descriptor, ...]:
    """Return the children of an index that have to be fetched, each once.

    All of them, attestations too, where no platform is named.
    Raises `InputError` for a platform that the index lacks, or lists more than once.
    """
    if isinstance(top, Manifest):
        return ()
    children = tuple(_only(top, each) for each in wanted) if wanted else top.manifests
    return tuple({each.digest: each for each in children}.values())


def require_platforms(offered: Platform | None, wanted: tuple[Platform, ...]) -> None:
    """Raise `InputError` unless an image that is no index is for each of these platforms."""
    for each in wanted:
        if offered is None or not offered.satisfies(each):
            msg = f"upstream publishes nothing for {each}"
            raise InputError(msg, hint=f"it has {offered or 'no platform'}")


def plan(
    name: Reference,
    top: Manifest | Index,
    children: Mapping[Digest, Manifest | Index],
    wanted: tuple[Platform, ...],
) -> Plan:
    """Lay out the image; one wanted platform of an index stands by itself at the destination."""
    documents: tuple[Manifest | Index, ...] = (top, *children.values())
    root = describe(top)
    chosen = wanted_children(top, wanted)
    if wanted and len(chosen) == 1:
        (entry,) = chosen
        documents = tuple(children.values())
        root = describe(children[entry.digest], entry.platform)
    manifests = [each for each in documents if isinstance(each, Manifest)]
    indexes = [each for each in (top, *documents) if isinstance(each, Index)]
    blobs = {blob.digest: blob for each in manifests for blob in (each.config, *each.layers)}
    attestations = {child.digest for each in indexes for child in each.attestations}
    return Plan(
        name=name,
        root=root,
        documents=tuple({each.digest: each for each in documents}.values()),
        blobs=tuple(sorted(blobs.values(), key=lambda each: -each.size)),
        images=tuple(each for each in manifests if each.digest not in attestations),
    )


def _only(top: Index, wanted: Platform) -> Descriptor:
    fitting = [each for each in top.images if each.platform and each.platform.satisfies(wanted)]
    found = tuple({each.digest: each for each in reversed(fitting)}.values())[::-1]
    if len(found) == 1:
        return found[0]
    if not found:
        msg = f"upstream's index has nothing for {wanted}"
        raise InputError(msg, hint=f"it has {_offered(top)}")
    names = sorted({str(each.platform) for each in found})
    hint = f"name one of {', '.join(names)}"
    if len(names) < len(found):
        hint = f"ask for one by its digest: {', '.join(str(each.digest) for each in found)}"
    msg = f"upstream's index has {len(found)} images for {wanted}"
    raise InputError(msg, hint=hint)


def _offered(top: Index) -> str:
    names = ", ".join(str(each.platform) for each in top.images if each.platform)
    within = any(each.media_type.kind is Kind.INDEX and not each.platform for each in top.images)
    more = ", and an index within, which comes with the whole: without --platform" if within else ""
    return (names or "no platforms") + more
