"""Image manifests and indexes over the bytes they came as.

OCI image-spec manifest.md and image-index.md; Docker manifest version 2, schema 2.
Schema 1 is refused, and so is a document that is both a manifest and an index
(GHSA-mc8v-mgrf-8f4m): its meaning would depend on who reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits, mediatype
from imgverify.oci.descriptor import (
    Annotations,
    Descriptor,
    annotations_from_json,
    optional_media_type,
)
from imgverify.oci.mediatype import Kind, MediaType
from imgverify.oci.strictjson import load_object, refuse_case_variants

if TYPE_CHECKING:
    from imgverify.oci.digest import Content, Digest

_INDEX_ONLY: Final = frozenset({"manifests"})
_MANIFEST_ONLY: Final = frozenset({"config", "layers"})
_SCHEMA1_ONLY: Final = frozenset({"fsLayers", "history", "signatures", "tag"})
_SHARED: Final = frozenset({"schemaVersion", "mediaType", "artifactType", "subject", "annotations"})
_ALL: Final = _INDEX_ONLY | _MANIFEST_ONLY | _SCHEMA1_ONLY | _SHARED
_SCHEMA_VERSION: Final = 2

# BuildKit lists an image's attestations in the image's own index under this annotation.
_REFERENCE_TYPE: Final = "vnd.docker.reference.type"
_REFERENCE_DIGEST: Final = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image (or artifact): a config and its layers, lowest layer first."""

    content: Content
    media_type: MediaType
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: MediaType | None = None
    annotations: Annotations = ()

    @property
    def digest(self) -> Digest:
        """The digest of the bytes as received."""
        return self.content.digest

    @property
    def size(self) -> int:
        """The number of bytes of the manifest itself."""
        return len(self.content.data)

    @property
    def is_image(self) -> bool:
        """Whether the config is an image config, and not that of some other artifact."""
        return self.config.media_type.kind is Kind.CONFIG


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests, one for each platform, and what else was pushed with them."""

    content: Content
    media_type: MediaType
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: MediaType | None = None
    annotations: Annotations = ()

    @property
    def digest(self) -> Digest:
        """The digest of the bytes as received."""
        return self.content.digest

    @property
    def size(self) -> int:
        """The number of bytes of the index itself."""
        return len(self.content.data)

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The children that run somewhere."""
        return tuple(each for each in self.manifests if not is_attestation(each))

    @property
    def attestations(self) -> tuple[Descriptor, ...]:
        """The children that are BuildKit attestations; nothing vouches for them but the index."""
        return tuple(each for each in self.manifests if is_attestation(each))


def is_attestation(child: Descriptor) -> bool:
    """Tell whether an index lists `child` as an attestation and not as an image."""
    marked = child.annotation(_REFERENCE_TYPE) == "attestation-manifest"
    return marked and child.platform is not None and child.platform.is_unknown


def attested_image(child: Descriptor) -> str | None:
    """Return the digest (as written) of the image that an attestation child is about."""
    return child.annotation(_REFERENCE_DIGEST)


def parse_manifest(
    content: Content,
    *,
    content_type: MediaType | None = None,
    expected: MediaType | None = None,
) -> Manifest | Index:
    """Read a manifest or an index.

    `content_type` is what the transport said, `expected` what the parent descriptor said; they
    and the document's own `mediaType` have to agree where present.
    Raises `Malformed`, `DigestMismatch` (inline data) or `LimitExceeded`.
    """
    if len(content.data) > limits.MANIFEST_SIZE:
        msg = f"a manifest of more than {limits.MANIFEST_SIZE} bytes"
        raise LimitExceeded(msg)
    fields = load_object(content.data, "the manifest")
    _refuse_schema1(fields, content_type)
    refuse_case_variants(fields, _ALL, "the manifest")
    version = fields.get("schemaVersion")
    if not isinstance(version, int) or version != _SCHEMA_VERSION:
        msg = "the manifest's schemaVersion is not 2"
        raise Malformed(msg)
    media_type = _agreed_media_type(fields, content_type, expected)
    if media_type.kind is Kind.INDEX:
        return _index(content, media_type, fields)
    return _manifest(content, media_type, fields)


def _refuse_schema1(fields: dict[str, object], content_type: MediaType | None) -> None:
    declared = content_type is not None and content_type.kind is Kind.SCHEMA1
    if declared or fields.get("schemaVersion") == 1 or "fsLayers" in fields:
        msg = (
            "the registry answered with a schema 1 manifest, a format that cannot be verified"
            " (its digest does not cover all of it)"
        )
        raise Malformed(msg, hint="have the image pushed again, by a current tool")
    legacy = _SCHEMA1_ONLY & fields.keys()
    if legacy:
        msg = f"the manifest has the schema 1 field {min(legacy)!r}"
        raise Malformed(msg)


def _agreed_media_type(
    fields: dict[str, object], content_type: MediaType | None, expected: MediaType | None
) -> MediaType:
    shape = _shape(fields)
    body = optional_media_type(fields.get("mediaType"))
    said = {each for each in (body, content_type, expected) if each is not None}
    if len(said) > 1:
        names = ", ".join(sorted(map(str, said)))
        msg = f"the manifest's media type is said in ways that disagree: {names}"
        raise Malformed(msg)
    if not said:
        return mediatype.OCI_INDEX if shape is Kind.INDEX else mediatype.OCI_MANIFEST
    media_type = said.pop()
    if media_type.kind is not shape:
        msg = f"the document is no {media_type}, though its media type says so"
        raise Malformed(msg)
    return media_type


def _shape(fields: dict[str, object]) -> Kind:
    is_index, is_manifest = _INDEX_ONLY & fields.keys(), _MANIFEST_ONLY & fields.keys()
    if is_index and is_manifest:
        msg = "the document is a manifest and an index at once"
        raise Malformed(msg)
    if is_index:
        return Kind.INDEX
    if is_manifest == _MANIFEST_ONLY:
        return Kind.MANIFEST
    msg = "the document is neither a manifest (config and layers) nor an index (manifests)"
    raise Malformed(msg)


def _index(content: Content, media_type: MediaType, fields: dict[str, object]) -> Index:
    return Index(
        content=content,
        media_type=media_type,
        manifests=_descriptors(fields["manifests"], limits.INDEX_ENTRIES, "manifests"),
        subject=_optional_descriptor(fields.get("subject")),
        artifact_type=optional_media_type(fields.get("artifactType")),
        annotations=annotations_from_json(fields.get("annotations")),
    )


def _manifest(content: Content, media_type: MediaType, fields: dict[str, object]) -> Manifest:
    return Manifest(
        content=content,
        media_type=media_type,
        config=Descriptor.from_json(fields["config"]),
        layers=_descriptors(fields["layers"], limits.LAYERS, "layers"),
        subject=_optional_descriptor(fields.get("subject")),
        artifact_type=optional_media_type(fields.get("artifactType")),
        annotations=annotations_from_json(fields.get("annotations")),
    )


def _descriptors(value: object, most: int, what: str) -> tuple[Descriptor, ...]:
    if value is None:
        return ()  # Go writes null for an empty list
    if not isinstance(value, list):
        msg = f"the field {what!r} is not a list"
        raise Malformed(msg)
    if len(value) > most:
        msg = f"{len(value)} {what}, where {most} are the most that is read"
        raise LimitExceeded(msg)
    return tuple(map(Descriptor.from_json, value))


def _optional_descriptor(value: object) -> Descriptor | None:
    return None if value is None else Descriptor.from_json(value)
