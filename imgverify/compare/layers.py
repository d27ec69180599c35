"""Two images of one platform, config by config and layer by layer."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from imgverify.oci.config import is_oci_field
from imgverify.verdict import ConfigChange, ConfigState, LayerChange, LayerState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imgverify.oci.config import ImageConfig
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.manifest import Manifest

Layer = tuple["Descriptor", "Digest"]


def compare_configs(upstream: ImageConfig | None, mirror: ImageConfig | None) -> ConfigChange:
    """Say whether two configs are the same bytes, say the same, or differ.

    A conversion between Docker's and OCI's formats drops fields that OCI does not define.
    That is `rewritten`; a field that OCI defines, or one that was added, is `changed`.
    """
    if upstream is None or mirror is None:
        return ConfigChange(ConfigState.UNREAD)
    if upstream.digest == mirror.digest:
        return ConfigChange(ConfigState.EQUAL)
    names = upstream.fields.keys() | mirror.fields.keys()
    differing = {each for each in names if upstream.fields.get(each) != mirror.fields.get(each)}
    if all(not is_oci_field(each) and each not in mirror.fields for each in differing):
        return ConfigChange(ConfigState.REWRITTEN, tuple(sorted(differing)))
    return ConfigChange(ConfigState.CHANGED, tuple(sorted(differing)))


def compare_layers(
    upstream: Manifest,
    mirror: Manifest,
    configs: tuple[ImageConfig | None, ImageConfig | None],
) -> tuple[LayerChange, ...]:
    """Align two lists of layers; lowest layer first.

    Layers are the same content where the configs give them the same uncompressed digest, which
    is a claim; without both configs only equal blobs are the same.
    """
    ours, theirs = (
        _layers(upstream, configs[0], configs[1]),
        _layers(mirror, configs[1], configs[0]),
    )
    matcher = SequenceMatcher(
        None, [key for _, key in ours], [key for _, key in theirs], autojunk=False
    )
    changes: list[LayerChange] = []
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        pairs = _pairs(ours[i1:i2], theirs[j1:j2])
        for here, there in pairs:
            state = _state(here, there, same=operation == "equal")
            changes.append(LayerChange(len(changes), state, here, there))
    return tuple(changes)


def are_proven(
    layers: Sequence[LayerChange], diff_ids: Sequence[Digest], expanded: Mapping[Digest, Digest]
) -> bool:
    """Tell whether what is inside each layer is known to be what upstream's config names."""
    return len(layers) == len(diff_ids) and all(
        _is_proven(layer, diff_id, expanded)
        for layer, diff_id in zip(layers, diff_ids, strict=True)
    )


def _is_proven(layer: LayerChange, diff_id: Digest, expanded: Mapping[Digest, Digest]) -> bool:
    if layer.upstream is None or layer.mirror is None:
        return False
    if not set(layer.mirror.annotations) <= set(layer.upstream.annotations):
        return False
    return layer.state is LayerState.EQUAL or expanded.get(layer.mirror.digest) == diff_id


def _layers(manifest: Manifest, own: ImageConfig | None, other: ImageConfig | None) -> list[Layer]:
    if own is None or other is None:
        return [(layer, layer.digest) for layer in manifest.layers]
    return list(zip(manifest.layers, own.diff_ids, strict=True))


def _pairs(
    ours: Sequence[Layer], theirs: Sequence[Layer]
) -> Iterator[tuple[Descriptor | None, Descriptor | None]]:
    for position in range(max(len(ours), len(theirs))):
        here = ours[position][0] if position < len(ours) else None
        there = theirs[position][0] if position < len(theirs) else None
        yield here, there


def _state(here: Descriptor | None, there: Descriptor | None, *, same: bool) -> LayerState:
    if here is None:
        return LayerState.ADDED
    if there is None:
        return LayerState.DROPPED
    if not same or not _used_alike(here, there):
        return LayerState.CHANGED
    return LayerState.EQUAL if here.digest == there.digest else LayerState.RECOMPRESSED


def _used_alike(here: Descriptor, there: Descriptor) -> bool:
    """Tell whether a runtime that takes upstream's layer takes the mirror's as well.

    Of the same blob the descriptors have to say the same, but for Docker's and OCI's words.
    """
    ours, theirs = here.media_type, there.media_type
    if theirs.is_foreign and not ours.is_foreign:
        return False
    if here.digest != there.digest:
        return None not in (ours.compression, theirs.compression)
    known = ours.compression is not None and ours.compression == theirs.compression
    return here.size == there.size and (known or ours == theirs)
