"""Taking real signatures out of a registry, and putting them back with parts of others."""

from __future__ import annotations

import http.client
import json
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from tests.support.push import push_blob, push_manifest
from tests.support.signed import Signed, image_of, publish
from tests.unit.signature.grafting import PARTS, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]

_LAYERS = {
    "layer": "application/vnd.dev.cosign.simplesigning.v1+json",
    "attestation": "application/vnd.dsse.envelope.v1+json",
}
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_EMPTY = str(mediatype.OCI_EMPTY)
_SUFFIXES = {"layer": "sig", "attestation": "att"}
_TIMEOUT = 120


@dataclass(frozen=True)
class Taken:
    """A signature as it was found: the bundle, or a layer as `payload` and `annotations`."""

    signed: Signed
    document: Document

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it has."""
        return tuple(each for each in PARTS[self.signed.form] if each.get(self.document))

    def having(self, part: Part, other: Taken) -> Document | None:
        """Return the document with a part of the other; None where that changes nothing."""
        theirs = part.get(other.document)
        if not theirs or theirs == part.get(self.document):
            return None
        document = deepcopy(self.document)
        part.put(document, theirs)
        return document

    def without(self, part: Part) -> Document:
        """Return the document as if it had never had the part."""
        document = deepcopy(self.document)
        *steps, last = part.path
        value: Any = document
        for step in steps:
            value = value[step]
        del value[last]
        return document


def take(signed: Signed) -> Taken:
    """Read the only signature of an image."""
    (only,) = take_all(signed)
    return only


def take_all(signed: Signed) -> list[Taken]:
    """Read all signatures or attestations of an image."""
    layers = [each for carrier in _carriers(signed) for each in carrier["layers"]]
    return [_taken(signed, each, _get(signed, f"blobs/{each['digest']}")) for each in layers]


def _taken(signed: Signed, layer: Document, data: bytes) -> Taken:
    if signed.form == "bundle":
        return Taken(signed, json.loads(data))
    return Taken(signed, {"payload": data.decode(), "annotations": layer["annotations"]})


def are_alike(part: Part, one: Taken, other: Taken) -> bool:
    """Tell whether two checkpoints are of one tree, which was signed twice: either will do."""
    if part.name != "checkpoint" or not part.get(other.document):
        return False
    notes = (part.get(each.document)["envelope"].split("\n")[:3] for each in (one, other))
    return len(set(map(tuple, notes))) == 1


def put_beside(signed: Signed, document: Document, repository: str) -> str:
    """Publish an image with a signature in a new repository; gives its reference."""
    digest = publish(signed.host, repository, image_of(signed.name))
    blob, kind, annotations = _layer(signed.form, document)
    config = b"{}"
    push_blob(signed.host, repository, config)
    push_blob(signed.host, repository, blob)
    bundle = signed.form == "bundle"
    manifest: Document = {
        "schemaVersion": 2,
        "mediaType": str(mediatype.OCI_MANIFEST),
        "config": _entry(config, _EMPTY if bundle else _CONFIG),
        "layers": [_entry(blob, kind) | ({"annotations": annotations} if annotations else {})],
    }
    tag = f"sha256-{Digest.parse(digest).encoded}"
    if bundle:
        item = image_of(signed.name)
        manifest["artifactType"] = kind
        manifest["subject"] = _entry(item.manifest, str(item.media_type))
        pushed = _push(signed.host, repository, manifest, None)
        if not _is_listed(signed.host, repository, digest):
            index = {
                "schemaVersion": 2,
                "mediaType": str(mediatype.OCI_INDEX),
                "manifests": [_entry(pushed, str(mediatype.OCI_MANIFEST)) | {"artifactType": kind}],
            }
            _push(signed.host, repository, index, tag)
    else:
        _push(signed.host, repository, manifest, f"{tag}.{_SUFFIXES[signed.form]}")
    return f"{signed.host}/{repository}@{digest}"


def _layer(form: str, document: Document) -> tuple[bytes, str, dict[str, str]]:
    if form == "bundle":
        return json.dumps(document).encode(), _BUNDLE, {}
    return document["payload"].encode(), _LAYERS[form], document["annotations"]


def _entry(data: bytes, kind: str) -> Document:
    return {"mediaType": kind, "digest": str(Digest.of(data)), "size": len(data)}


def _push(host: str, repository: str, document: Document, tag: str | None) -> bytes:
    data = json.dumps(document).encode()
    media_type = mediatype.OCI_INDEX if "manifests" in document else mediatype.OCI_MANIFEST
    name = str(Digest.of(data)) if tag is None else tag
    push_manifest(host, repository, name, data, media_type=media_type)
    return data


def _carriers(signed: Signed) -> Iterator[Document]:
    """Read the manifests that hold signatures of an image."""
    encoded = f"sha256-{Digest.parse(signed.digest).encoded}"
    if signed.form in _SUFFIXES:
        yield json.loads(_get(signed, f"manifests/{encoded}.{_SUFFIXES[signed.form]}"))
        return
    status, body = _ask(signed.host, f"/v2/{signed.repository}/referrers/{signed.digest}")
    if status != http.client.OK:
        body = _get(signed, f"manifests/{encoded}")
    for each in json.loads(body)["manifests"]:
        yield json.loads(_get(signed, f"manifests/{each['digest']}"))


def _is_listed(host: str, repository: str, digest: str) -> bool:
    """Tell whether the registry lists by itself what refers to an image."""
    return _ask(host, f"/v2/{repository}/referrers/{digest}")[0] == http.client.OK


def _get(signed: Signed, path: str) -> bytes:
    status, body = _ask(signed.host, f"/v2/{signed.repository}/{path}")
    assert status == http.client.OK, (path, status, body[:500])
    return body


def _ask(host: str, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
    try:
        accept = f"{mediatype.OCI_MANIFEST}, {mediatype.OCI_INDEX}"
        connection.request("GET", target, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
