"""Descriptors (OCI image-spec, descriptor.md)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final, Self

from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.digest import Content, Digest
from imgverify.oci.mediatype import MediaType
from imgverify.oci.platform import Platform
from imgverify.oci.strictjson import refuse_case_variants

_FIELDS: Final = frozenset(
    {"mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"}
)

Annotations = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Names content by type, digest and size in bytes.

    `urls` are kept to be reported; they are never fetched.
    """

    media_type: MediaType
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Annotations = ()
    artifact_type: MediaType | None = None
    urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse sizes that no content has."""
        if not 0 <= self.size <= limits.BLOB_SIZE:
            msg = f"a descriptor's size of {self.size} bytes is out of range"
            raise LimitExceeded(msg)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a descriptor object; raises `Malformed`, `DigestMismatch` or `LimitExceeded`."""
        if not isinstance(value, dict):
            msg = "a descriptor is a JSON object"
            raise Malformed(msg)
        refuse_case_variants(value, _FIELDS, "a descriptor")
        size = value.get("size")
        if not isinstance(size, int) or isinstance(size, bool):
            msg = "a descriptor's size is an integer"
            raise Malformed(msg)
        digest = Digest.parse(value.get("digest"))
        _check_data(value.get("data"), digest, size)
        platform = value.get("platform")
        return cls(
            media_type=MediaType.parse(value.get("mediaType")),
            digest=digest,
            size=size,
            platform=None if platform is None else Platform.from_json(platform),
            annotations=annotations_from_json(value.get("annotations")),
            artifact_type=optional_media_type(value.get("artifactType")),
            urls=_urls(value.get("urls")),
        )

    def annotation(self, key: str) -> str | None:
        """Return an annotation's value, None where it is absent."""
        return dict(self.annotations).get(key)


def annotations_from_json(value: object) -> Annotations:
    """Read a map of text to text; absent and null are empty."""
    if value is None:
        return ()
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        msg = "annotations are a map of text to text"
        raise Malformed(msg)
    return tuple(sorted(value.items()))


def optional_media_type(value: object) -> MediaType | None:
    """Read a media type that may be absent; Go writers leave an empty text for that."""
    return None if value is None or value == "" else MediaType.parse(value)


def _check_data(value: object, digest: Digest, size: int) -> None:
    if value is None:
        return
    # Text that is not base64 stands for data of the wrong type, too.
    text = value if isinstance(value, str) else "!"
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        msg = "a descriptor's data is not base64"
        raise Malformed(msg) from None
    if len(data) != size:
        msg = f"a descriptor's data has {len(data)} bytes where its size says {size}"
        raise Malformed(msg)
    Content(data, digest)


def _urls(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        msg = "a descriptor's urls are a list of text"
        raise Malformed(msg)
    return tuple(value)
