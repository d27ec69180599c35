"""Copies of images in files, as tools write them: layouts, archives, and what docker saves."""

from __future__ import annotations

import enum
import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.serve.shelf import Shelf, Streamed
from tests.support.attach import Place, attach
from tests.support.image import put

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imgverify.demo.images import Image, ImageIndex
    from tests.support.signer import Specimen

PATH = "app"
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
_KINDS = {"sig": "dev.cosignproject.cosign/sigs", "att": "dev.cosignproject.cosign/atts"}


class Manner(enum.Enum):
    """How a tool lists what lies beside an image.

    `TAGS`: by their tags alone (skopeo, crane); what has a subject is among the blobs, as
    `cosign save` leaves bundles. `LISTED`: what has a subject is in `index.json`, too (oras).
    `COSIGN`: tags of cosign's are entries of a kind, and have no name (`cosign save`).
    """

    TAGS = enum.auto()
    LISTED = enum.auto()
    COSIGN = enum.auto()


def shelved(
    item: Image | ImageIndex,
    tag: str | None = "1.4",
    *signatures: tuple[Image | ImageIndex, Specimen, Place],
) -> Shelf:
    """Return a shelf with an image, and signatures beside it or its platforms."""
    shelf = Shelf()
    put(shelf, PATH, item, tag)
    for subject, specimen, place in signatures:
        attach(shelf, PATH, subject, specimen, place=place)
    return shelf


def write_layout(
    folder: Path, shelf: Shelf, manner: Manner = Manner.TAGS, root: Digest | None = None
) -> Path:
    """Write all that a shelf holds as a layout; `root` is listed without a name."""
    held = shelf._repositories[PATH]
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for digest, manifest in held.manifests.items():
        (blobs / digest.encoded).write_bytes(manifest.data)
    for digest, blob in shelf._blobs.items():
        data = b"".join(blob.chunks()) if isinstance(blob, Streamed) else blob
        (blobs / digest.encoded).write_bytes(data)
    entries = [] if root is None else [_entry(shelf, root)]
    for tag, digest in held.tags.items():
        suffix = tag.rpartition(".")[2]
        cosigns = manner is Manner.COSIGN and suffix in _KINDS
        annotations = {"kind": _KINDS[suffix]} if cosigns else {REF_NAME: tag}
        entries.append(_entry(shelf, digest) | {"annotations": annotations})
    for digest, manifest in held.manifests.items():
        document = json.loads(manifest.data)
        if manner is Manner.LISTED and "subject" in document:
            entries.append(_entry(shelf, digest) | {"artifactType": document["artifactType"]})
    write_index(folder, entries)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def write_index(folder: Path, entries: list[dict[str, object]]) -> None:
    """Write `index.json`."""
    index = {"schemaVersion": 2, "mediaType": str(mediatype.OCI_INDEX), "manifests": entries}
    (folder / "index.json").write_text(json.dumps(index))


def index_of(folder: Path) -> list[dict[str, object]]:
    """Read what `index.json` lists."""
    entries: list[dict[str, object]] = json.loads((folder / "index.json").read_bytes())["manifests"]
    return entries


def blob_file(folder: Path, digest: Digest) -> Path:
    """Return where a blob lies."""
    return folder / "blobs" / digest.algorithm.value / digest.encoded


def pack(file: Path, folder: Path, mode: str = "w") -> Path:
    """Put a folder's files into an archive, compressed or not (`w:gz`)."""
    with tarfile.open(file, mode) as archive:  # type: ignore[call-overload] # mode is one of them
        for each in sorted(folder.rglob("*")):
            archive.add(each, str(each.relative_to(folder)), recursive=False)
    return file


def archive_of(
    file: Path, members: Mapping[str, bytes | str], style: int = tarfile.PAX_FORMAT
) -> Path:
    """Write an archive; a member that is text is a symbolic link to it."""
    with tarfile.open(file, "w", format=style) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file


def saved(image: Image, *names: str) -> dict[str, bytes | str]:
    """Return the files of `docker save` before version 25: no manifest, layers uncompressed."""
    config = f"{hashlib.sha256(image.config).hexdigest()}.json"
    layers = [f"{hashlib.sha256(each.plain).hexdigest()}/layer.tar" for each in image.layers]
    listed = {"Config": config, "RepoTags": list(names) or None, "Layers": layers}
    plain = {name: each.plain for name, each in zip(layers, image.layers, strict=True)}
    return {config: image.config, **plain, "manifest.json": json.dumps([listed]).encode()}


def saved_layout(image: Image, name: str, tag: str) -> dict[str, bytes | str]:
    """Return the files of `docker save` since version 25: a layout, and a manifest over it."""
    blobs = {str(each.digest): each.manifest for each in (image,)}
    blobs |= {str(Digest.of(each)): each for each in image.blobs}
    entry = {
        "mediaType": str(image.media_type),
        "digest": str(image.digest),
        "size": len(image.manifest),
        "annotations": {CONTAINERD_NAME: f"{name}:{tag}", REF_NAME: tag},
    }
    listed = {
        "Config": _place(Digest.of(image.config)),
        "RepoTags": [f"{name}:{tag}"],
        "Layers": [_place(Digest.of(each.blob)) for each in image.layers],
    }
    return {
        **{_place(Digest.parse(key)): data for key, data in blobs.items()},
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        "manifest.json": json.dumps([listed]).encode(),
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
    }


def _place(digest: Digest) -> str:
    return f"blobs/{digest.algorithm.value}/{digest.encoded}"


def _entry(shelf: Shelf, digest: Digest) -> dict[str, object]:
    manifest = shelf._repositories[PATH].manifests[digest]
    return {
        "mediaType": str(manifest.media_type),
        "digest": str(digest),
        "size": len(manifest.data),
    }
