"""Small images, and an engine that hands them to a sink as the real one does."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imgverify.oci import mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import Manifest, parse_manifest
from imgverify.oci.mediatype import MediaType
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference
from imgverify.oci.stream import Check
from imgverify.store.base import Delivered, Part, Sink

NAME = "docker.io/library/sample:1.27"


@dataclass(frozen=True)
class Image:
    """An image with the bytes of all its blobs."""

    delivered: Delivered
    content: dict[Digest, bytes]
    blobs: tuple[Descriptor, ...]

    @property
    def root(self) -> Descriptor:
        return self.delivered.root

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        return tuple({each.digest: each for each in self.blobs if _is_layer(each)}.values())

    @property
    def layer(self) -> Descriptor:
        return self.layers[0]

    def bytes_of(self, want: Descriptor) -> bytes:
        return self.content[want.digest]


def image(
    seed: str = "a", *, layers: int = 2, size: int = 3000, name: str = NAME, docker: bool = False
) -> Image:
    """Return an image for linux/amd64; other seeds make other blobs."""
    manifest, content = _manifest(seed, layers, size, docker=docker)
    root = Descriptor(
        manifest.media_type, manifest.digest, manifest.size, Platform("linux", "amd64")
    )
    delivered = Delivered(root, (manifest,), Reference.parse(name))
    return Image(delivered, content, (root, manifest.config, *manifest.layers))


def two_platforms() -> Image:
    """Return an index of two images."""
    parts = [image("amd64"), image("arm64")]
    entries = [
        {**_json(each.root), "platform": {"os": "linux", "architecture": architecture}}
        for each, architecture in zip(parts, ("amd64", "arm64"), strict=True)
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": str(mediatype.OCI_INDEX),
        "manifests": entries,
    }
    data = json.dumps(document).encode()
    root = Descriptor(mediatype.OCI_INDEX, Digest.of(data), len(data))
    content = {root.digest: data, **parts[0].content, **parts[1].content}
    manifests = parts[0].delivered.manifests + parts[1].delivered.manifests
    delivered = Delivered(root, manifests, Reference.parse(NAME))
    blobs = {each.digest: each for each in (root, *parts[0].blobs, *parts[1].blobs)}
    return Image(delivered, content, tuple(blobs.values()))


def deliver(sink: Sink, made: Image) -> int:
    """Put an image into a sink with two threads; returns how many bytes had to be fetched."""
    sink.begin(made.blobs)
    with ThreadPoolExecutor(2) as pool:
        unique = {each.digest: each for each in made.blobs}.values()
        fetched = sum(pool.map(lambda want: put(sink, made, want), unique))
    sink.commit(made.delivered)
    return fetched


def put(sink: Sink, made: Image, want: Descriptor) -> int:
    """Put one blob into a sink, resuming what it has."""
    if sink.holds(want):
        return 0
    with sink.part(want) as part:
        data = made.bytes_of(want)
        start = _replayed(part, want, data)
        check = Check(want)
        check.feed(data[:start])
        for chunk in _chunks(data[start:]):
            part.write(memoryview(chunk))
            check.feed(chunk)
        check.finish()
        part.complete()
    return len(data) - start


def files_in(folder: Path) -> list[str]:
    """Return every name below a folder."""
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


def _replayed(part: Part, want: Descriptor, data: bytes) -> int:
    there = b"".join(part.replay())
    assert len(there) == part.offset
    if there != data[: len(there)]:
        part.restart()
    assert part.offset <= want.size
    return part.offset


def _manifest(
    seed: str, layers: int, size: int, *, docker: bool
) -> tuple[Manifest, dict[Digest, bytes]]:
    plain = [_layer(f"{seed}{number}", size) for number in range(layers)]
    packed = [gzip.compress(each, mtime=0) for each in plain]
    config = _dump(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(each)) for each in plain]},
            "history": [{"created_by": seed} for _ in plain],
        }
    )
    types = (
        (mediatype.DOCKER_MANIFEST, mediatype.DOCKER_CONFIG, mediatype.DOCKER_LAYER_GZIP)
        if docker
        else (mediatype.OCI_MANIFEST, mediatype.OCI_CONFIG, mediatype.OCI_LAYER_GZIP)
    )
    document = {
        "schemaVersion": 2,
        "mediaType": str(types[0]),
        "config": _json(_describe(config, types[1])),
        "layers": [_json(_describe(each, types[2])) for each in packed],
    }
    raw = Content.of(_dump(document))
    manifest = parse_manifest(raw)
    assert isinstance(manifest, Manifest)
    return manifest, {Digest.of(each): each for each in (raw.data, config, *packed)}


def _layer(seed: str, size: int) -> bytes:
    # Text that does not compress, and is the same every time.
    stream = hashlib.shake_256(seed.encode()).digest(size)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(f"{seed}.bin")
        info.size = len(stream)
        archive.addfile(info, io.BytesIO(stream))
    return buffer.getvalue()


def _describe(data: bytes, media_type: MediaType) -> Descriptor:
    return Descriptor(media_type, Digest.of(data), len(data))


def _json(each: Descriptor) -> dict[str, object]:
    return {"mediaType": str(each.media_type), "digest": str(each.digest), "size": each.size}


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()


def _chunks(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _is_layer(each: Descriptor) -> bool:
    return each.media_type.kind is mediatype.Kind.LAYER
