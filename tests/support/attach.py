"""Putting signatures beside images in the ways that registries hold them."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING

from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from tests.support.translog import compact

if TYPE_CHECKING:
    from imgverify.demo.images import Image, ImageIndex
    from imgverify.serve.shelf import Shelf
    from tests.support.signer import Specimen

_LAYERS = {
    "layer": "application/vnd.dev.cosign.simplesigning.v1+json",
    "attestation": "application/vnd.dsse.envelope.v1+json",
}
_SUFFIXES = {"layer": "sig", "attestation": "att"}


class Place(enum.Enum):
    """Where a signature lies: found by its subject, by an index under a tag, or by cosign's tag.

    `DOWNGRADED` is what GitHub writes where a registry takes no artifacts: listed under the tag,
    without subject, artifact type or parameters of its type.
    """

    REFERRER = enum.auto()
    FALLBACK = enum.auto()
    DOWNGRADED = enum.auto()
    TAG = enum.auto()


def attach(
    shelf: Shelf, repository: str, item: Image | ImageIndex, specimen: Specimen, *, place: Place
) -> Digest:
    """Put a signature beside an image; returns the digest of the manifest that carries it."""
    data, kind, annotations = _layer(specimen)
    if place is Place.DOWNGRADED:
        kind = kind.partition(";")[0]
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": str(mediatype.OCI_MANIFEST),
        "config": _blob(shelf, b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [_blob(shelf, data, kind) | {"annotations": annotations}],
    }
    if place in (Place.REFERRER, Place.FALLBACK):
        manifest["artifactType"] = kind
        manifest["subject"] = _entry(item.manifest, str(item.media_type))
    text = json.dumps(manifest).encode()
    encoded = f"sha256-{item.digest.encoded}"
    tag = f"{encoded}.{_SUFFIXES[specimen.recipe.form]}" if place is Place.TAG else None
    digest = shelf.put_manifest(repository, text, mediatype.OCI_MANIFEST, tag=tag)
    if place in (Place.FALLBACK, Place.DOWNGRADED):
        entry = _entry(text, str(mediatype.OCI_MANIFEST))
        listed = {
            "schemaVersion": 2,
            "mediaType": str(mediatype.OCI_INDEX),
            "manifests": [entry | {"artifactType": "application/vnd.oci.empty.v1+json"}],
        }
        index = json.dumps(listed).encode()
        shelf.put_manifest(repository, index, mediatype.OCI_INDEX, tag=encoded)
    return digest


def _layer(specimen: Specimen) -> tuple[bytes, str, dict[str, str]]:
    form, document = specimen.recipe.form, specimen.document
    if form == "bundle":
        return compact(document), document["mediaType"], {}
    return document["payload"].encode(), _LAYERS[form], document["annotations"]


def _blob(shelf: Shelf, data: bytes, kind: str) -> dict[str, object]:
    shelf.put_blob(data)
    return _entry(data, kind)


def _entry(data: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "digest": str(Digest.of(data)), "size": len(data)}
