"""Images for tests: those of the demo, and what tools and liars make of them."""

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import zstandard

from imgverify.demo.images import (
    AMD64,
    ARM64,
    PLATFORMS,
    Image,
    ImageIndex,
    Layer,
    assemble,
    config,
    index,
    layer,
    multi_platform,
    put,
    release,
    tamper,
    tarball,
    to_json,
    trimmed,
)
from imgverify.oci import mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import Compression, MediaType
from imgverify.oci.platform import Platform
from imgverify.serve.loopback import Streamed

__all__ = [
    "AMD64",
    "ARM64",
    "PLATFORMS",
    "Image",
    "ImageIndex",
    "Layer",
    "artifact",
    "assemble",
    "big_blob",
    "config",
    "docker",
    "docker_original",
    "grafted",
    "index",
    "layer",
    "list_with",
    "multi_platform",
    "oci",
    "put",
    "recompressed",
    "release",
    "reserialised",
    "skopeo_oci",
    "tamper",
    "tarball",
    "to_json",
    "trimmed",
    "with_config",
]

_OCI_LAYERS = {
    Compression.NONE: mediatype.OCI_LAYER,
    Compression.GZIP: mediatype.OCI_LAYER_GZIP,
    Compression.ZSTD: mediatype.OCI_LAYER_ZSTD,
}
_DOCKER_LAYERS = {
    Compression.NONE: mediatype.DOCKER_LAYER,
    Compression.GZIP: mediatype.DOCKER_LAYER_GZIP,
    Compression.ZSTD: mediatype.DOCKER_LAYER_ZSTD,
}
_OCI = (mediatype.OCI_MANIFEST, mediatype.OCI_CONFIG)
_DOCKER = (mediatype.DOCKER_MANIFEST, mediatype.DOCKER_CONFIG)
# The order in which Go writes the fields of an OCI config; it knows no others.
_OCI_FIELDS = ("created", "author", "architecture", "variant", "os", "config", "rootfs", "history")
_OCI_RUN_FIELDS = (
    *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels"),
    *("StopSignal", "ArgsEscaped"),
)


def compress(plain: bytes, compression: Compression, level: int) -> bytes:
    if compression is Compression.GZIP:
        return zlib.compress(plain, level, 31)
    if compression is Compression.ZSTD:
        return zstandard.ZstdCompressor(level=level).compress(plain)
    return plain


def is_docker(image: Image) -> bool:
    return image.media_type == mediatype.DOCKER_MANIFEST


def _rebuilt(
    image: Image, config_bytes: bytes, layers: tuple[Layer, ...], *, as_docker: bool
) -> Image:
    types = _DOCKER if as_docker else _OCI
    return assemble(
        config_bytes, layers, image.platform, media_types=types, annotations=image.annotations
    )


def recompressed(image: Image, compression: Compression, level: int = 1) -> Image:
    """Same config, same diff_ids, other layer blobs."""
    types = _DOCKER_LAYERS if is_docker(image) else _OCI_LAYERS
    layers = tuple(
        Layer(each.plain, compress(each.plain, compression, level), types[compression])
        for each in image.layers
    )
    return _rebuilt(image, image.config, layers, as_docker=is_docker(image))


def _retyped(image: Image, types: dict[Compression, MediaType]) -> tuple[Layer, ...]:
    return tuple(
        replace(each, media_type=types[each.media_type.compression])
        if each.media_type.compression
        else each
        for each in image.layers
    )


def docker(image: Image) -> Image:
    """Docker's media types around the very same config and layers."""
    return _rebuilt(image, image.config, _retyped(image, _DOCKER_LAYERS), as_docker=True)


def oci(image: Image) -> Image:
    """OCI's media types around the very same config and layers."""
    return _rebuilt(image, image.config, _retyped(image, _OCI_LAYERS), as_docker=False)


def with_config(image: Image, **fields: object) -> Image:
    """Other top-level fields in the config; None drops one."""
    document = json.loads(image.config) | fields
    kept = {key: value for key, value in document.items() if value is not None}
    text = json.dumps(kept, separators=(",", ":")).encode()
    return _rebuilt(image, text, image.layers, as_docker=is_docker(image))


def docker_original(name: str = "app", version: str = "1.4.2", platform: Platform = AMD64) -> Image:
    """An image as Docker's classic builder pushes it: config with fields that OCI does not know."""
    plain = release(name, version, platform)
    document = json.loads(plain.config)
    run = {"Hostname": "", "Domainname": "", "AttachStdin": False, "Image": "sha256:" + "5" * 64}
    document["config"] = run | document["config"] | {"OnBuild": None, "ArgsEscaped": True}
    document |= {"container": "c" * 64, "docker_version": "24.0.7", "container_config": run}
    text = json.dumps(document, separators=(",", ":")).encode()
    return docker(_rebuilt(plain, text, plain.layers, as_docker=False))


def skopeo_oci(image: Image) -> Image:
    """What `skopeo copy --format oci` makes: a config written by a reader that knows OCI only."""
    document = json.loads(image.config)
    run = document.get("config") or {}
    document["config"] = {key: run[key] for key in _OCI_RUN_FIELDS if run.get(key)}
    kept = {key: document[key] for key in _OCI_FIELDS if document.get(key)}
    text = json.dumps(kept, separators=(",", ":")).encode()
    return _rebuilt(image, text, _retyped(image, _OCI_LAYERS), as_docker=False)


Item = TypeVar("Item", Image, ImageIndex)


def reserialised(item: Item) -> Item:
    """The same manifest document in other bytes: keys sorted, no spaces."""
    document = json.loads(item.manifest)
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    return replace(item, manifest=text)


def list_with(whole: ImageIndex, *children: Descriptor) -> ImageIndex:
    """The index with exactly these children in its list; its images stay those to be put."""
    document = json.loads(whole.manifest)
    document["manifests"] = [to_json(each) for each in children]
    return replace(whole, manifest=json.dumps(document, indent=2).encode())


def grafted(whole: ImageIndex, platform: Platform, image: Image) -> ImageIndex:
    """`image` under the label `platform`, in place of the one that was there."""
    children = tuple(
        replace(image.descriptor, platform=platform)
        if each.platform == platform
        else each.descriptor
        for each in whole.images
    )
    grown = replace(whole, images=(*whole.images, image))
    return list_with(grown, *children)


def artifact(
    subject: Image | ImageIndex,
    data: bytes = b"{}",
    artifact_type: str = "application/vnd.test.sig",
) -> Image:
    """A manifest that refers to `subject`, as signatures and bills of materials do."""
    empty = b"{}"
    blob = Layer(data, data, MediaType("application/octet-stream"))
    about = Descriptor(subject.media_type, subject.digest, len(subject.manifest))
    document = {
        "schemaVersion": 2,
        "mediaType": str(mediatype.OCI_MANIFEST),
        "artifactType": artifact_type,
        "config": to_json(Descriptor(mediatype.OCI_EMPTY, Digest.of(empty), len(empty))),
        "layers": [to_json(blob.descriptor)],
        "subject": to_json(about),
    }
    text = json.dumps(document, indent=2).encode()
    return Image(text, mediatype.OCI_MANIFEST, empty, (blob,), Platform("", ""))


def big_blob(size: int) -> tuple[Digest, Streamed]:
    """A blob that is never in memory, for `Shelf.replace_blob`; hashing it takes the only time."""
    block = bytes(range(256)) * 4096

    def chunks() -> Iterator[bytes]:
        for start in range(0, size, len(block)):
            yield block[: size - start] if size - start < len(block) else block

    hasher = hashlib.sha256()
    for chunk in chunks():
        hasher.update(chunk)
    return Digest.parse(f"sha256:{hasher.hexdigest()}"), Streamed(size, chunks)
