"""What `docker save` calls its images (`manifest.json`).  Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import InvalidReference, LimitExceeded, Malformed
from imgverify.oci import limits, mediatype
from imgverify.oci.digest import Content
from imgverify.oci.reference import Reference
from imgverify.oci.strictjson import loads, refuse_case_variants
from imgverify.store.documents import DOCKER_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.mediatype import MediaType

#: What Docker's layers are by their compression.
LAYER_TYPES: Final[dict[mediatype.Compression, MediaType]] = {
    mediatype.Compression.NONE: mediatype.DOCKER_LAYER,
    mediatype.Compression.GZIP: mediatype.DOCKER_LAYER_GZIP,
    mediatype.Compression.ZSTD: mediatype.DOCKER_LAYER_ZSTD,
}

_FIELDS: Final = frozenset({"Config", "RepoTags", "Layers", "Parent", "LayerSources"})


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One image: its names, and the files that have its config and layers, lowest first."""

    names: tuple[str, ...]
    config: str
    layers: tuple[str, ...]

    def is_called(self, name: str) -> bool:
        """Tell whether one of the names is this one, in Docker's short form or whole."""
        wanted = Reference.parse(name)
        return any(_same(each, wanted) for each in self.names)


def parse_saved(data: bytes) -> tuple[SavedImage, ...]:
    """Read a `manifest.json`; raises `Malformed` or `LimitExceeded`."""
    document = loads(data)
    if not isinstance(document, list):
        msg = f"{DOCKER_FILE} is not a list of images"
        raise Malformed(msg)
    if len(document) > limits.ARCHIVE_IMAGES:
        msg = f"{DOCKER_FILE} has more than {limits.ARCHIVE_IMAGES} images"
        raise LimitExceeded(msg)
    return tuple(map(_image, document))


def rebuilt(config: Descriptor, layers: Sequence[Descriptor]) -> Content:
    """Return a manifest over what an archive has: no archive keeps the registry's own."""
    document = {
        "schemaVersion": 2,
        "mediaType": str(mediatype.DOCKER_MANIFEST),
        "config": _json(config),
        "layers": [_json(each) for each in layers],
    }
    return Content.of(json.dumps(document, separators=(",", ":")).encode())


def _image(fields: object) -> SavedImage:
    if not isinstance(fields, dict):
        msg = f"{DOCKER_FILE} lists an image that is no object"
        raise Malformed(msg)
    refuse_case_variants(fields, _FIELDS, DOCKER_FILE)
    (config,) = _texts([fields.get("Config")])
    layers = _texts(fields.get("Layers"))
    if len(layers) > limits.LAYERS:
        msg = f"{DOCKER_FILE} lists an image of {len(layers)} layers"
        raise LimitExceeded(msg)
    return SavedImage(_texts(fields.get("RepoTags")), config, layers)


def _texts(value: object) -> tuple[str, ...]:
    # Go writes null for an empty list.
    texts = [] if value is None else value
    if not isinstance(texts, list) or not all(isinstance(each, str) and each for each in texts):
        msg = f"{DOCKER_FILE} has a name that is no text, or a list that is none"
        raise Malformed(msg)
    return tuple(texts)


def _same(name: str, wanted: Reference) -> bool:
    try:
        return Reference.parse(name) == wanted
    except InvalidReference:
        return False


def _json(each: Descriptor) -> dict[str, object]:
    return {"mediaType": str(each.media_type), "digest": str(each.digest), "size": each.size}
