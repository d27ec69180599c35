"""Media types (OCI image-spec, media-types.md; Docker image manifest version 2, schema 2)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final, Self

from imgverify.errors import Malformed
from imgverify.oci import limits

_GRAMMAR: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
    # Sigstore's first bundles have their version as a parameter.
    r"(?:;[A-Za-z0-9_-]{1,32}=[A-Za-z0-9_.-]{1,32}){0,4}",
    re.ASCII,
)


class Kind(enum.Enum):
    """What a media type says its content is."""

    INDEX = enum.auto()
    MANIFEST = enum.auto()
    CONFIG = enum.auto()
    LAYER = enum.auto()
    SCHEMA1 = enum.auto()
    OTHER = enum.auto()


class Compression(enum.StrEnum):
    """How a layer's bytes are compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True, order=True)
class MediaType:
    """A media type as written, parameters included: media types are compared exactly."""

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `type/subtype`; raises `Malformed`."""
        if (
            not isinstance(text, str)
            or len(text) > limits.MEDIA_TYPE_LENGTH
            or not _GRAMMAR.fullmatch(text)
        ):
            msg = "a media type is text of the form type/subtype"
            raise Malformed(msg)
        return cls(text)

    @classmethod
    def from_header(cls, header: str) -> Self | None:
        """Read a Content-Type header; parameters are dropped, an unreadable one is None."""
        try:
            return cls.parse(header.partition(";")[0].strip(" \t"))
        except Malformed:
            return None

    @property
    def kind(self) -> Kind:
        """What the content claims to be."""
        if self in _LAYER_COMPRESSION:
            return Kind.LAYER
        return _KINDS.get(self, Kind.OTHER)

    @property
    def compression(self) -> Compression | None:
        """The compression that a layer's media type declares; None for what is no layer."""
        return _LAYER_COMPRESSION.get(self)

    @property
    def is_foreign(self) -> bool:
        """Whether the layer may legitimately be absent from the registry."""
        return ".foreign." in self.value or ".nondistributable." in self.value

    def __str__(self) -> str:
        """Return `type/subtype`."""
        return self.value


_OCI: Final = "application/vnd.oci.image"
_DOCKER: Final = "application/vnd.docker"

OCI_INDEX: Final = MediaType(f"{_OCI}.index.v1+json")
OCI_MANIFEST: Final = MediaType(f"{_OCI}.manifest.v1+json")
OCI_CONFIG: Final = MediaType(f"{_OCI}.config.v1+json")
OCI_LAYER: Final = MediaType(f"{_OCI}.layer.v1.tar")
OCI_LAYER_GZIP: Final = MediaType(f"{_OCI}.layer.v1.tar+gzip")
OCI_LAYER_ZSTD: Final = MediaType(f"{_OCI}.layer.v1.tar+zstd")
OCI_EMPTY: Final = MediaType("application/vnd.oci.empty.v1+json")
DOCKER_INDEX: Final = MediaType(f"{_DOCKER}.distribution.manifest.list.v2+json")
DOCKER_MANIFEST: Final = MediaType(f"{_DOCKER}.distribution.manifest.v2+json")
DOCKER_CONFIG: Final = MediaType(f"{_DOCKER}.container.image.v1+json")
DOCKER_LAYER: Final = MediaType(f"{_DOCKER}.image.rootfs.diff.tar")
DOCKER_LAYER_GZIP: Final = MediaType(f"{_DOCKER}.image.rootfs.diff.tar.gzip")
DOCKER_LAYER_ZSTD: Final = MediaType(f"{_DOCKER}.image.rootfs.diff.tar.zstd")
SCHEMA1: Final = MediaType(f"{_DOCKER}.distribution.manifest.v1+json")
SCHEMA1_SIGNED: Final = MediaType(f"{_DOCKER}.distribution.manifest.v1+prettyjws")

_KINDS: Final = {
    OCI_INDEX: Kind.INDEX,
    DOCKER_INDEX: Kind.INDEX,
    OCI_MANIFEST: Kind.MANIFEST,
    DOCKER_MANIFEST: Kind.MANIFEST,
    OCI_CONFIG: Kind.CONFIG,
    DOCKER_CONFIG: Kind.CONFIG,
    SCHEMA1: Kind.SCHEMA1,
    SCHEMA1_SIGNED: Kind.SCHEMA1,
}

_LAYER_COMPRESSION: Final = {
    OCI_LAYER: Compression.NONE,
    OCI_LAYER_GZIP: Compression.GZIP,
    OCI_LAYER_ZSTD: Compression.ZSTD,
    MediaType(f"{_OCI}.layer.nondistributable.v1.tar"): Compression.NONE,
    MediaType(f"{_OCI}.layer.nondistributable.v1.tar+gzip"): Compression.GZIP,
    MediaType(f"{_OCI}.layer.nondistributable.v1.tar+zstd"): Compression.ZSTD,
    DOCKER_LAYER: Compression.NONE,
    DOCKER_LAYER_GZIP: Compression.GZIP,
    DOCKER_LAYER_ZSTD: Compression.ZSTD,
    MediaType(f"{_DOCKER}.image.rootfs.foreign.diff.tar"): Compression.NONE,
    MediaType(f"{_DOCKER}.image.rootfs.foreign.diff.tar.gzip"): Compression.GZIP,
}

#: Sent with every manifest request: a registry that lacks one of these would convert, and
#: conversion changes the digest.
#: Schema 1 is not offered: a registry that has nothing else says so with an error.
ACCEPT_MANIFEST: Final = ", ".join(
    str(each) for each in (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
)
