"""Tiny images, their twins as mirrors make them, and a stage with one of each; built in memory.

The same call gives the same bytes every time.
"""

from __future__ import annotations

import enum
import io
import json
import tarfile
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from imgverify.oci import mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.serve.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgverify.oci.descriptor import Annotations
    from imgverify.oci.mediatype import MediaType

AMD64: Final = Platform("linux", "amd64")
ARM64: Final = Platform("linux", "arm64")
PLATFORMS: Final = (AMD64, ARM64, Platform("linux", "arm", "v7"))
TAG: Final = "1.4"

_NOWHERE: Final = Platform("unknown", "unknown")
_PROVENANCE: Final = "https://slsa.dev/provenance/v1"
_GZIP: Final = 31  # zlib's word for a gzip header, in which it writes no time and no name
_BASE_FILES: Final = {
    "etc/os-release": b'NAME="Small Linux"\nID=small\nVERSION_ID=3\n',
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/srv:/bin/false\n",
    "usr/share/licenses/base": b"Permission to use, copy, modify and distribute is granted.\n" * 20,
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as it is served (`blob`) and as it is without its compression (`plain`)."""

    plain: bytes
    blob: bytes
    media_type: MediaType
    annotations: Annotations = ()

    @property
    def diff_id(self) -> Digest:
        """The digest of the uncompressed bytes."""
        return Digest.of(self.plain)

    @property
    def descriptor(self) -> Descriptor:
        """What a manifest says about the layer."""
        return _describe(self.blob, self.media_type, annotations=self.annotations)


@dataclass(frozen=True, slots=True)
class Image:
    """One platform's image; `annotations` are those of its descriptor in an index."""

    manifest: bytes
    media_type: MediaType
    config: bytes
    layers: tuple[Layer, ...]
    platform: Platform
    annotations: Annotations = ()

    @property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return Digest.of(self.manifest)

    @property
    def descriptor(self) -> Descriptor:
        """What an index says about the image."""
        return _describe(
            self.manifest, self.media_type, platform=self.platform, annotations=self.annotations
        )

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """The config and the layers as they are served."""
        return (self.config, *(each.blob for each in self.layers))


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """An index and the images it lists, attestations last."""

    manifest: bytes
    media_type: MediaType
    images: tuple[Image, ...]

    @property
    def digest(self) -> Digest:
        """The digest of the index."""
        return Digest.of(self.manifest)


def tarball(files: Mapping[str, bytes]) -> bytes:
    """Pack files in the given order, with fixed owners, modes and times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def layer(files: Mapping[str, bytes], *, level: int = 6) -> Layer:
    """Build a gzip layer; another compression level gives other bytes of the same content."""
    plain = tarball(files)
    return Layer(plain, zlib.compress(plain, level, _GZIP), mediatype.OCI_LAYER_GZIP)


def config(platform: Platform, layers: tuple[Layer, ...], *, created: str, command: str) -> bytes:
    """Build an image config that runs `command`."""
    document: dict[str, object] = {
        "created": created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {
            "User": "1000:1000",
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": [command],
            "WorkingDir": "/srv",
        },
        "rootfs": {"type": "layers", "diff_ids": [str(each.diff_id) for each in layers]},
        "history": [{"created": created, "created_by": "COPY / / # buildkit"} for _ in layers],
    }
    if platform.variant:
        document["variant"] = platform.variant
    return json.dumps(document, separators=(",", ":")).encode()


def assemble(
    config: bytes,
    layers: tuple[Layer, ...],
    platform: Platform,
    *,
    media_types: tuple[MediaType, MediaType] = (mediatype.OCI_MANIFEST, mediatype.OCI_CONFIG),
    annotations: Annotations = (),
) -> Image:
    """Write the manifest of a config and layers; `media_types` are the manifest's and config's."""
    media_type, config_type = media_types
    document = {
        "schemaVersion": 2,
        "mediaType": str(media_type),
        "config": to_json(_describe(config, config_type)),
        "layers": [to_json(each.descriptor) for each in layers],
    }
    return Image(_indented(document), media_type, config, layers, platform, annotations)


def release(name: str, version: str, platform: Platform = AMD64, *, level: int = 6) -> Image:
    """Build one version of a program for one platform, on a base that all versions share."""
    program = f"#!/bin/sh\nexec {name} --listen :8080 # {version} {platform}\n".encode()
    files = {
        f"usr/bin/{name}": program,
        f"etc/{name}/{name}.conf": b"workers = 4\nlog = stdout\n",
        f"usr/share/{name}/VERSION": f"{version}\n".encode(),
    }
    layers = (layer(_BASE_FILES, level=level), layer(files, level=level))
    # Versions are days apart, in their order.
    created = f"2026-03-{1 + int(version.rpartition('.')[2]) % 28:02}T08:30:00Z"
    text = config(platform, layers, created=created, command=f"/usr/bin/{name}")
    return assemble(text, layers, platform)


def attestation(image: Image) -> Image:
    """Build what BuildKit lists beside an image: an in-toto statement dressed as a manifest."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": _PROVENANCE,
        "subject": [{"name": "_", "digest": {"sha256": image.digest.encoded}}],
        "predicate": {"buildDefinition": {"buildType": "https://mobyproject.org/buildkit@v1"}},
    }
    data = json.dumps(statement).encode()
    predicate = (("in-toto.io/predicate-type", _PROVENANCE),)
    layers = (Layer(data, data, mediatype.MediaType("application/vnd.in-toto+json"), predicate),)
    document = {
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [str(each.diff_id) for each in layers]},
    }
    marks = (
        ("vnd.docker.reference.digest", str(image.digest)),
        ("vnd.docker.reference.type", "attestation-manifest"),
    )
    text = json.dumps(document, separators=(",", ":")).encode()
    return assemble(text, layers, _NOWHERE, annotations=marks)


def index(
    images: tuple[Image, ...],
    *,
    attested: bool = False,
    media_type: MediaType = mediatype.OCI_INDEX,
) -> ImageIndex:
    """List images in an index, followed by an attestation of each where `attested`."""
    if attested:
        images += tuple(map(attestation, images))
    document = {
        "schemaVersion": 2,
        "mediaType": str(media_type),
        "manifests": [to_json(each.descriptor) for each in images],
    }
    return ImageIndex(_indented(document), media_type, images)


def multi_platform(name: str, version: str) -> ImageIndex:
    """Build a release for every platform of `PLATFORMS`, with attestations."""
    return index(tuple(release(name, version, each) for each in PLATFORMS), attested=True)


def trimmed(whole: ImageIndex, *keep: Platform) -> ImageIndex:
    """Keep some platforms, as mirrors do that copy only those; attestations are dropped."""
    kept = tuple(each for each in whole.images if each.platform in keep)
    return index(kept, media_type=whole.media_type)


def put(shelf: Shelf, repository: str, item: Image | ImageIndex, tag: str | None = None) -> Digest:
    """Put everything an image or index consists of on a shelf; return its digest."""
    for image in item.images if isinstance(item, ImageIndex) else (item,):
        for blob in image.blobs:
            shelf.put_blob(blob)
        shelf.put_manifest(repository, image.manifest, image.media_type)
    return shelf.put_manifest(repository, item.manifest, item.media_type, tag=tag)


def tamper(shelf: Shelf, image: Image) -> None:
    """Change one byte of the image's last layer where it lies; nothing that names it changes."""
    blob = image.layers[-1].blob
    middle = len(blob) // 2
    changed = blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :]
    shelf.replace_blob(Digest.of(blob), changed)


class Twin(enum.StrEnum):
    """How an image on the stage's mirror relates to upstream's."""

    IDENTICAL = "identical"
    TRIMMED = "trimmed"
    REPACKAGED = "repackaged"
    STALE = "stale"
    TAMPERED = "tampered"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Stage:
    """An upstream and a mirror; each image of `images` is in both, under the tag `TAG`."""

    upstream: Shelf
    mirror: Shelf
    images: tuple[tuple[Twin, str], ...]


def stage() -> Stage:
    """Build upstream and mirror with one repository for every `Twin`."""
    names = ("app", "tools", "cache", "worker", "gateway", "agent")
    images = tuple((twin, f"library/{name}") for twin, name in zip(Twin, names, strict=True))
    built = Stage(Shelf(), Shelf(), images)
    for (twin, repository), name in zip(images, names, strict=True):
        # Upstream keeps what it published before: that is how a stale mirror is told apart.
        put(built.upstream, repository, multi_platform(name, "1.4.1"))
        current = multi_platform(name, "1.4.2")
        put(built.upstream, repository, current, TAG)
        mirrored = twin_of(twin, name, current)
        put(built.mirror, repository, mirrored, TAG)
        if twin is Twin.TAMPERED:
            tamper(built.mirror, mirrored.images[0])
    return built


def twin_of(twin: Twin, name: str, current: ImageIndex) -> ImageIndex:
    """Build what the mirror has of the release 1.4.2 of `name`; `tamper` does the rest."""
    match twin:
        case Twin.STALE:
            return multi_platform(name, "1.4.1")
        case Twin.REPACKAGED:
            # Without attestations: the digests they speak of would no longer exist.
            return index(tuple(release(name, "1.4.2", each, level=1) for each in PLATFORMS))
        case Twin.TRIMMED:
            return trimmed(current, AMD64)
        case Twin.DIVERGED:
            return multi_platform(name, "1.4.2-mirror.3")
        case Twin.IDENTICAL | Twin.TAMPERED:
            return current


def to_json(descriptor: Descriptor) -> dict[str, object]:
    """Write a descriptor as it stands in a manifest."""
    document: dict[str, object] = {
        "mediaType": str(descriptor.media_type),
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.annotations:
        document["annotations"] = dict(descriptor.annotations)
    if descriptor.platform is not None:
        document["platform"] = dict(_platform(descriptor.platform))
    return document


def _platform(platform: Platform) -> Iterator[tuple[str, object]]:
    yield "architecture", platform.architecture
    yield "os", platform.os
    if platform.os_version:
        yield "os.version", platform.os_version
    if platform.variant:
        yield "variant", platform.variant


def _describe(
    data: bytes,
    media_type: MediaType,
    *,
    platform: Platform | None = None,
    annotations: Annotations = (),
) -> Descriptor:
    named = Descriptor(media_type, Digest.of(data), len(data))
    return replace(named, platform=platform, annotations=annotations)


def _indented(document: dict[str, object]) -> bytes:
    return json.dumps(document, indent=2).encode()
