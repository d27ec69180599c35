"""The push side of the distribution API, as far as tests fill real registries with it."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from imgverify.oci.digest import Digest
from imgverify.serve.shelf import Streamed

if TYPE_CHECKING:
    from imgverify.oci.mediatype import MediaType
    from imgverify.serve.shelf import Blob, Shelf

_TIMEOUT = 60


def push_blob(host: str, repository: str, data: bytes) -> Digest:
    """Upload a blob in one piece (distribution-spec, "POST then PUT")."""
    digest = Digest.of(data)
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
    try:
        started = _ask(
            connection, ("POST", f"/v2/{repository}/blobs/uploads/"), b"", {}, wanted=202
        )
        place = urlsplit(started)
        query = f"{place.query}&" if place.query else ""
        target = f"{place.path}?{query}digest={quote(str(digest))}"
        headers = {"Content-Type": "application/octet-stream"}
        _ask(connection, ("PUT", target), data, headers, wanted=201)
    finally:
        connection.close()
    return digest


def push_manifest(
    host: str, repository: str, name: str, data: bytes, *, media_type: MediaType
) -> Digest:
    """Put a manifest under a tag or its digest; its blobs and children have to be there."""
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
    try:
        target = f"/v2/{repository}/manifests/{name}"
        _ask(connection, ("PUT", target), data, {"Content-Type": str(media_type)}, wanted=201)
    finally:
        connection.close()
    return Digest.of(data)


def push_shelf(host: str, shelf: Shelf) -> None:
    """Copy all that a shelf holds: blobs, then manifests, then tags.

    Blobs that do not hash to their name are left out: no real registry takes them.
    """
    for repository, held in shelf._repositories.items():
        pushed: set[Digest] = set()
        # Children before the index that names them, and images before what refers to them.
        ordered = sorted(
            held.manifests.values(),
            key=lambda each: (b'"manifests"' in each.data, b'"subject"' in each.data),
        )
        for each in ordered:
            for digest in _blobs_of(each.data) - pushed:
                _copy_blob(host, repository, shelf.blob(digest), digest)
                pushed.add(digest)
            push_manifest(host, repository, str(each.digest), each.data, media_type=each.media_type)
        for tag, digest in held.tags.items():
            named = held.manifests[digest]
            push_manifest(host, repository, tag, named.data, media_type=named.media_type)


def _blobs_of(manifest: bytes) -> set[Digest]:
    document = json.loads(manifest)
    if "layers" not in document:
        return set()
    return {Digest.parse(each["digest"]) for each in (document["config"], *document["layers"])}


def _copy_blob(host: str, repository: str, blob: Blob | None, digest: Digest) -> None:
    data = b"".join(blob.chunks()) if isinstance(blob, Streamed) else blob
    if data is not None and digest.matches(data):
        push_blob(host, repository, data)


def _ask(
    connection: http.client.HTTPConnection,
    what: tuple[str, str],
    body: bytes,
    headers: dict[str, str],
    *,
    wanted: int,
) -> str:
    connection.request(*what, body=body, headers={**headers, "Content-Length": str(len(body))})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != wanted:
        message = f"{' '.join(what)}: {answer.status} {said[:500]!r}"
        raise RuntimeError(message)
    location: str = answer.headers.get("Location", "")
    return location
