"""Image configs (OCI image-spec, config.md)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.digest import Content, Digest
from imgverify.oci.platform import Platform
from imgverify.oci.strictjson import load_object, refuse_case_variants

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS: Final = frozenset(
    {
        "created",
        "author",
        "architecture",
        "os",
        "os.version",
        "os.features",
        "variant",
        "config",
        "rootfs",
        "history",
    }
)
_ROOTFS_FIELDS: Final = frozenset({"type", "diff_ids"})
# What the specification defines inside "config"; a conversion to OCI keeps these.
_RUN_FIELDS: Final = frozenset(
    {
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Volumes",
        "WorkingDir",
        "Labels",
        "StopSignal",
        "ArgsEscaped",
    }
)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image is to run with, and the digests of its uncompressed layers in order.

    `fields` maps every leaf that carries a value, as a name such as `config:Env`, to its
    canonical JSON text: two configs say the same exactly if their `fields` are equal.
    """

    content: Content
    platform: Platform
    diff_ids: tuple[Digest, ...]
    created: datetime | None
    fields: Mapping[str, str]

    @property
    def digest(self) -> Digest:
        """The digest of the bytes as received; Docker calls it the image ID."""
        return self.content.digest


def is_oci_field(name: str) -> bool:
    """Tell whether the specification defines a name of `ImageConfig.fields`."""
    top, _, rest = name.partition(":")
    return rest in _RUN_FIELDS if top == "config" else top in _FIELDS


def parse_config(content: Content, *, layers: int) -> ImageConfig:
    """Read the config of an image that has `layers` layers.

    Raises `Malformed` or `LimitExceeded`; a different number of diff_ids is `Malformed`.
    """
    if len(content.data) > limits.CONFIG_SIZE:
        msg = f"an image config of more than {limits.CONFIG_SIZE} bytes"
        raise LimitExceeded(msg)
    document = load_object(content.data, "the image config")
    refuse_case_variants(document, _FIELDS, "the image config")
    diff_ids = _diff_ids(document.get("rootfs"))
    if len(diff_ids) != layers:
        msg = f"the image config lists {len(diff_ids)} layers, the manifest {layers}"
        raise Malformed(msg)
    return ImageConfig(
        content=content,
        platform=Platform.from_json(document),
        diff_ids=diff_ids,
        created=_created(document.get("created")),
        fields=_fields(document),
    )


def _diff_ids(rootfs: object) -> tuple[Digest, ...]:
    if not isinstance(rootfs, dict):
        msg = "the image config has no rootfs"
        raise Malformed(msg)
    refuse_case_variants(rootfs, _ROOTFS_FIELDS, "the image config's rootfs")
    # Go writes null for an empty list.
    diff_ids = rootfs.get("diff_ids") or []
    if rootfs.get("type") != "layers" or not isinstance(diff_ids, list):
        msg = "the image config's rootfs is not a list of layers"
        raise Malformed(msg)
    return tuple(map(Digest.parse, diff_ids))


def _created(value: object) -> datetime | None:
    """Read RFC 3339; an unreadable time is an unknown one, and satisfies no age."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _fields(document: dict[str, object]) -> Mapping[str, str]:
    run = document.get("config")
    if run is not None and not isinstance(run, dict):
        msg = "the image config's config is not a JSON object"
        raise Malformed(msg)
    refuse_case_variants(run or {}, _RUN_FIELDS, "the image config's config")
    # A colon is marked, or a top-level "config:Env" would pass for what config says of Env.
    leaves = {
        f":{key}" if ":" in key else key: value
        for key, value in document.items()
        if key != "config"
    }
    leaves |= {f"config:{key}": value for key, value in (run or {}).items()}
    # Null, false, empty text and empty list mean to Go's reader what an absent field means;
    # a zero can be a setting (Docker's StopTimeout).
    return {
        key: _canonical(key, value)
        for key, value in leaves.items()
        if value or (value == 0 and value is not False)
    }


def _canonical(key: str, value: object) -> str:
    if key == "created" and (created := _created(value)):
        # The digits of the text: a datetime stops at microseconds.
        fraction = re.search(r"\.([0-9]+)", str(value))
        digits = fraction[1].rstrip("0") if fraction else ""
        value = f"{created:%Y-%m-%dT%H:%M:%S}.{digits}"
    return json.dumps(value, sort_keys=True, ensure_ascii=True)
