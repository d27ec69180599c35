"""The small files of layouts and archives, as bytes: nothing here touches a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.mediatype import OCI_INDEX
from imgverify.oci.strictjson import load_object, refuse_case_variants

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgverify.oci.digest import Digest
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Reference

LAYOUT_FILE: Final = "oci-layout"
INDEX_FILE: Final = "index.json"
DOCKER_FILE: Final = "manifest.json"
BLOBS: Final = "blobs"

#: What a layout calls an image (OCI image-spec, annotations.md).
REF_NAME: Final = "org.opencontainers.image.ref.name"
#: What containerd, and Docker over it, call the image once it is loaded.
CONTAINERD_NAME: Final = "io.containerd.image.name"

LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'

_INDEX_FIELDS: Final = frozenset({"schemaVersion", "mediaType", "manifests", "annotations"})
_SCHEMA_VERSION: Final = 2


def check_layout_file(data: bytes) -> None:
    """Refuse an `oci-layout` of another version than the one there is; raises `Malformed`."""
    version = load_object(data, LAYOUT_FILE).get("imageLayoutVersion")
    if version != "1.0.0":
        msg = f"{LAYOUT_FILE} says version {version!r}, and only 1.0.0 is known"
        raise Malformed(msg)


def blob_path(digest: Digest) -> str:
    """Where a blob lies in a layout and in an archive."""
    return f"{BLOBS}/{digest.algorithm.value}/{digest.encoded}"


def index_entry(root: Descriptor, annotations: Mapping[str, str]) -> dict[str, object]:
    """Return the entry of `index.json` that makes `root` an image of the layout."""
    entry: dict[str, object] = {
        "mediaType": str(root.media_type),
        "digest": str(root.digest),
        "size": root.size,
    }
    if root.platform is not None:
        entry["platform"] = _platform(root.platform)
    if annotations:
        entry["annotations"] = dict(annotations)
    return entry


def index_with(entry: dict[str, object], existing: bytes | None = None) -> bytes:
    """Return `index.json` with `entry` in it.

    An entry of the same name gives way; all else that `existing` says is kept, and so is its
    order. Raises `Malformed` or `LimitExceeded` for an `existing` that cannot be understood.
    """
    fields = _new_index() if existing is None else read_index(existing)
    fields["manifests"] = _merged(_entries(fields), entry)
    data = _dump(fields)
    # What is written has to be readable the next time.
    read_index(data)
    return data


def read_index(data: bytes) -> dict[str, object]:
    """Read an `index.json`; raises `Malformed` or `LimitExceeded`."""
    if len(data) > limits.LAYOUT_INDEX_SIZE:
        msg = f"{INDEX_FILE} has more than {limits.LAYOUT_INDEX_SIZE} bytes"
        raise LimitExceeded(msg)
    fields = load_object(data, INDEX_FILE)
    refuse_case_variants(fields, _INDEX_FIELDS, INDEX_FILE)
    version = fields.get("schemaVersion")
    if version != _SCHEMA_VERSION or isinstance(version, bool):
        msg = f"the schemaVersion of {INDEX_FILE} is not 2"
        raise Malformed(msg)
    if fields.get("mediaType", str(OCI_INDEX)) not in ("", str(OCI_INDEX)):
        msg = f"{INDEX_FILE} says that it is a {fields['mediaType']}"
        raise Malformed(msg)
    for each in _entries(fields):
        Descriptor.from_json(each)
    return fields


def entries_of(data: bytes) -> tuple[Descriptor, ...]:
    """Return what an `index.json` lists; raises what `read_index` raises."""
    return tuple(map(Descriptor.from_json, _entries(read_index(data))))


def docker_manifest(manifest: Manifest, tags: Sequence[str]) -> bytes:
    """Return the `manifest.json` that `docker load` reads, as `docker save` writes it."""
    image = {
        "Config": blob_path(manifest.config.digest),
        "RepoTags": list(tags),
        "Layers": [blob_path(each.digest) for each in manifest.layers],
    }
    return _dump([image])


def familiar(name: Reference) -> str | None:
    """Return the name as Docker shows it, such as `nginx:1.27`; None if it has no tag."""
    if name.tag is None:
        return None
    path = name.repository.path
    if not name.registry.is_docker_hub:
        return f"{name.repository}:{name.tag}"
    folder, slash, last = path.rpartition("/")
    return f"{last if slash and folder == 'library' else path}:{name.tag}"


def _new_index() -> dict[str, object]:
    return {"schemaVersion": _SCHEMA_VERSION, "mediaType": str(OCI_INDEX), "manifests": []}


def _entries(fields: dict[str, object]) -> list[dict[str, object]]:
    # Go writes null for a list that nothing was put into.
    entries = fields.get("manifests")
    if entries is None:
        return []
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        msg = f"the manifests of {INDEX_FILE} are not a list of objects"
        raise Malformed(msg)
    if len(entries) > limits.INDEX_ENTRIES:
        msg = f"{INDEX_FILE} has {len(entries)} entries, where {limits.INDEX_ENTRIES} are the most"
        raise LimitExceeded(msg)
    return entries


def _merged(
    entries: Sequence[dict[str, object]], new: dict[str, object]
) -> list[dict[str, object]]:
    name = _ref_name(new)
    merged: list[dict[str, object]] = []
    placed = False
    for each in entries:
        same = _ref_name(each) == name and (name or each.get("digest") == new["digest"])
        if not same:
            merged.append(each)
        elif not placed:
            merged.append(new if name else each)
            placed = True
    return merged if placed else [*merged, new]


def _ref_name(entry: dict[str, object]) -> str | None:
    annotations = entry.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _platform(platform: Platform) -> dict[str, object]:
    fields: dict[str, object] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        fields["os.version"] = platform.os_version
    if platform.os_features:
        fields["os.features"] = list(platform.os_features)
    if platform.variant:
        fields["variant"] = platform.variant
    return fields


def _dump(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode()
