"""One image on two sides: which grade, and why (grades: docs/verdicts.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from imgverify.compare.layers import are_proven, compare_configs, compare_layers
from imgverify.oci.manifest import Index, Manifest, attested_image
from imgverify.oci.mediatype import Kind
from imgverify.verdict import (
    Comparison,
    ConfigState,
    Explanation,
    Grade,
    LayerState,
    PlatformChange,
    PlatformState,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imgverify.oci.config import ImageConfig
    from imgverify.oci.digest import Digest
    from imgverify.oci.mediatype import MediaType
    from imgverify.oci.platform import Platform

Attested = tuple["Digest", str | None]

_SAME_LAYERS = {LayerState.EQUAL, LayerState.RECOMPRESSED}
_SAME_CONFIG = {ConfigState.EQUAL, ConfigState.REWRITTEN}


@dataclass(frozen=True, slots=True)
class Entry:
    """An image in an index, or an image by itself: what a runtime on `platform` would take."""

    platform: Platform | None
    digest: Digest
    size: int
    media_type: MediaType


@dataclass(frozen=True, slots=True)
class Image:
    """What one side gave: its top document, and what was read of the rest.

    `manifests` and `configs` are keyed by their digests; `nested` are indexes in the index.
    """

    top: Manifest | Index
    manifests: Mapping[Digest, Manifest] = field(default_factory=dict)
    nested: Mapping[Digest, Index] = field(default_factory=dict)
    configs: Mapping[Digest, ImageConfig] = field(default_factory=dict)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every runnable image, in the index's order."""
        if isinstance(self.top, Manifest):
            config = self.configs.get(self.top.config.digest)
            platform = config.platform if config else None
            return (Entry(platform, self.top.digest, self.top.size, self.top.media_type),)
        return self._children(self.top)

    @property
    def attestations(self) -> frozenset[Attested]:
        """The attestation children, each with the image that it is listed for."""
        if isinstance(self.top, Manifest):
            return frozenset()
        return frozenset((each.digest, attested_image(each)) for each in self.top.attestations)

    def config_of(self, entry: Entry) -> ImageConfig | None:
        """Return an entry's config if it was read."""
        manifest = self.manifest_of(entry)
        return self.configs.get(manifest.config.digest) if manifest else None

    def manifest_of(self, entry: Entry) -> Manifest | None:
        """Return an entry's manifest if it was read."""
        if isinstance(self.top, Manifest):
            return self.top
        return self.manifests.get(entry.digest)

    def _children(self, index: Index) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for child in index.images:
            if child.digest in self.nested:
                entries += self._children(self.nested[child.digest])
            else:
                entries.append(Entry(child.platform, child.digest, child.size, child.media_type))
        return tuple(entries)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known beside the two documents.

    `authentic`: digests that upstream serves.
    `expanded`: the hash of the uncompressed content of mirror layers, by layer digest, computed.
    """

    authentic: frozenset[Digest] = frozenset()
    expanded: Mapping[Digest, Digest] = field(default_factory=dict)


def compare(upstream: Image, mirror: Image, known: Knowledge, now: datetime) -> Comparison:
    """Grade the mirror's image; `identical` only for equal digests of the top documents."""
    # By the bytes: the two sides may have been asked with different algorithms.
    if upstream.top.digest.matches(mirror.top.content.data):
        return Comparison(Grade.IDENTICAL, Explanation("the digests are equal"))
    changes = _pair(upstream, mirror, known)
    absent = len(upstream.attestations - mirror.attestations)
    grade, summary = _grade(upstream, mirror, known, changes)
    proven = grade is Grade.REPACKAGED and _is_proven(upstream, mirror, changes, known)
    age = None
    if grade is Grade.STALE:
        created = [config.created for config in upstream.configs.values() if config.created]
        age = now - max(created) if created and max(created) <= now else None
    return Comparison(grade, Explanation(summary, changes, proven, age, absent))


def _grade(
    upstream: Image, mirror: Image, known: Knowledge, changes: tuple[PlatformChange, ...]
) -> tuple[Grade, str]:
    present = {each.state for each in changes} - {PlatformState.ABSENT}
    added = mirror.attestations - upstream.attestations
    foreign = {digest for digest, _ in added} - known.authentic
    if present == {PlatformState.EQUAL} and not added:
        return _same_images(upstream, mirror, changes)
    if mirror.top.digest in known.authentic:
        return Grade.STALE, "an earlier image of upstream's, which upstream still serves by digest"
    if present <= {PlatformState.EQUAL, PlatformState.REPACKAGED} and present and not foreign:
        return Grade.REPACKAGED, "other bytes that claim the same configuration and layers"
    if present <= {PlatformState.EQUAL, PlatformState.EARLIER} and present and not foreign:
        return Grade.STALE, "put together from images that upstream published, not all current"
    return Grade.DIVERGED, "as far as can be known, upstream never published this"


def _same_images(
    upstream: Image, mirror: Image, changes: tuple[PlatformChange, ...]
) -> tuple[Grade, str]:
    missing = sum(each.state is PlatformState.ABSENT for each in changes)
    if not _keeps_order(upstream, mirror, changes):
        return Grade.REPACKAGED, "the same images, in an order that lets runtimes choose another"
    if missing:
        total = len(upstream.entries)
        return Grade.SUBSET, f"{total - missing} of upstream's {total} platforms, each unchanged"
    if upstream.attestations - mirror.attestations:
        return Grade.SUBSET, "every platform unchanged; attestations are left out"
    return Grade.REPACKAGED, "the same images, listed in an index of other bytes"


def _keeps_order(upstream: Image, mirror: Image, changes: tuple[PlatformChange, ...]) -> bool:
    """Tell whether images for the very same platform come in upstream's order.

    Of several that fit, runtimes take the first.
    """
    ours = [each.digest for each in upstream.entries]
    theirs = [each.digest for each in mirror.entries]
    places = sorted(
        (str(each.platform), ours.index(each.upstream), theirs.index(each.mirror))
        for each in changes
        if each.upstream is not None and each.mirror is not None
    )
    return all(one[2] <= two[2] for one, two in pairwise(places) if one[0] == two[0])


def _pair(upstream: Image, mirror: Image, known: Knowledge) -> tuple[PlatformChange, ...]:
    theirs = list(mirror.entries)
    changes: list[PlatformChange] = []
    unpaired: list[Entry] = []
    for here in upstream.entries:
        if twin := _take_same(upstream, here, mirror, theirs):
            platform = here.platform or twin.platform
            changes.append(PlatformChange(platform, PlatformState.EQUAL, here.digest, twin.digest))
        else:
            unpaired.append(here)
    for here in unpaired:
        there = _take_platform(upstream, here, mirror, theirs)
        if there is None:
            changes.append(PlatformChange(here.platform, PlatformState.ABSENT, here.digest, None))
        else:
            changes.append(_differing(upstream, mirror, (here, there), known))
    for there in theirs:
        earlier = there.digest in known.authentic and _label_is_true(mirror, there)
        state = PlatformState.EARLIER if earlier else PlatformState.ADDED
        changes.append(PlatformChange(there.platform, state, None, there.digest))
    return tuple(changes)


def _take_same(upstream: Image, here: Entry, mirror: Image, theirs: list[Entry]) -> Entry | None:
    """Take the mirror's entry of the same content, if it is offered to the same platform."""
    alone = isinstance(mirror.top, Manifest)
    for there in theirs:
        if (here.digest, here.size) != (there.digest, there.size):
            continue
        wrapped = isinstance(upstream.top, Manifest) and _fits(upstream.config_of(here), there)
        typed = here.media_type == there.media_type
        if alone or (typed and (wrapped or here.platform == there.platform)):
            theirs.remove(there)
            return there
    return None


def _take_platform(
    upstream: Image, here: Entry, mirror: Image, theirs: list[Entry]
) -> Entry | None:
    """Take the mirror's entry for the same platform; two lone images are a pair anyway."""
    alone = isinstance(upstream.top, Manifest) and isinstance(mirror.top, Manifest)
    for there in theirs:
        if alone or (here.platform is not None and here.platform == there.platform):
            theirs.remove(there)
            return there
    return None


def _label_is_true(image: Image, entry: Entry) -> bool:
    """Tell whether an entry is an image for the platform that its index offers it to."""
    if isinstance(image.top, Manifest):
        return True
    return _fits(image.config_of(entry), entry)


def _fits(config: ImageConfig | None, entry: Entry) -> bool:
    if config is None or entry.platform is None or entry.media_type.kind is not Kind.MANIFEST:
        return False
    return config.platform.satisfies(entry.platform)


def _differing(
    upstream: Image, mirror: Image, pair: tuple[Entry, Entry], known: Knowledge
) -> PlatformChange:
    here, there = pair
    manifests = upstream.manifest_of(here), mirror.manifest_of(there)
    configs = upstream.config_of(here), mirror.config_of(there)
    config = compare_configs(*configs)
    layers = (
        compare_layers(manifests[0], manifests[1], configs)
        if manifests[0] is not None and manifests[1] is not None
        else ()
    )
    same = config.state in _SAME_CONFIG and {each.state for each in layers} <= _SAME_LAYERS
    if there.digest in known.authentic and _label_is_true(mirror, there):
        state = PlatformState.EARLIER
    elif same and _label_is_true(mirror, there):
        state = PlatformState.REPACKAGED
    else:
        state = PlatformState.CHANGED
    platform = here.platform or there.platform
    return PlatformChange(platform, state, here.digest, there.digest, config, layers)


def _is_proven(
    upstream: Image, mirror: Image, changes: tuple[PlatformChange, ...], known: Knowledge
) -> bool:
    """Tell whether the mirror's image would run as upstream's does.

    Every recompressed layer has to hash, uncompressed, to upstream's diff_id, and no annotation
    may have been put in: some runtimes unpack by a table of contents that an annotation names,
    or take settings from one.
    """
    ours = {each.digest: upstream.manifest_of(each) for each in upstream.entries}
    theirs = {each.digest: mirror.manifest_of(each) for each in mirror.entries}
    for change in changes:
        if change.state is not PlatformState.REPACKAGED or not change.upstream or not change.mirror:
            continue
        here, there = ours[change.upstream], theirs[change.mirror]
        if here is None or there is None or set(there.annotations) - set(here.annotations):
            return False
        config = upstream.configs.get(here.config.digest)
        if config is None or not are_proven(change.layers, config.diff_ids, known.expanded):
            return False
    return _keeps_order(upstream, mirror, changes)
