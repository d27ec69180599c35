"""Other content, and everything above it rewritten to name it: a liar whose digests are all right.

What hashes to the wrong digest is refused before it is read. To get behind that door the change
has to be made where the content lies, and every manifest above it has to name the new bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imgverify.oci.digest import Digest
from imgverify.serve.shelf import Shelf, Streamed

if TYPE_CHECKING:
    from collections.abc import Mapping


def content(shelf: Shelf) -> dict[Digest, bytes]:
    """Return all that a shelf holds, manifests first; the order is the same every time."""
    held = shelf._repositories.values()
    manifests = {each.digest: each.data for one in held for each in one.manifests.values()}
    blobs = {
        digest: blob for digest, blob in shelf._blobs.items() if not isinstance(blob, Streamed)
    }
    return manifests | blobs


def grafted(shelf: Shelf, old: Digest, new: bytes) -> Shelf:
    """Return a shelf that holds `new` in the place of `old`, named rightly by all above it."""
    renamed: dict[Digest, bytes] = {old: new}
    while True:
        more = {
            digest: _renaming(data, renamed)
            for digest, data in content(shelf).items()
            if digest not in renamed and _names(data, renamed)
        }
        if not more:
            return _with(shelf, renamed)
        renamed |= more


def _names(data: bytes, renamed: Mapping[Digest, bytes]) -> bool:
    return data[:1] == b"{" and any(str(each).encode() in data for each in renamed)


def _renaming(data: bytes, renamed: Mapping[Digest, bytes]) -> bytes:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        # An earlier change left it no JSON; its text may name things all the same.
        for digest, new in renamed.items():
            data = data.replace(str(digest).encode(), str(Digest.of(new)).encode())
        return data
    _rename(document, {str(digest): new for digest, new in renamed.items()})
    return json.dumps(document, indent=2).encode()


def _rename(value: Any, names: Mapping[str, bytes]) -> None:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        for each in value:
            _rename(each, names)
    elif isinstance(value, dict):
        new = names.get(value["digest"]) if isinstance(value.get("digest"), str) else None
        if new is not None:
            value |= {"digest": str(Digest.of(new)), "size": len(new)}
        for each in value.values():
            _rename(each, names)


def _with(shelf: Shelf, renamed: Mapping[Digest, bytes]) -> Shelf:
    result = Shelf()
    for digest, blob in shelf._blobs.items():
        if digest in renamed:
            result.put_blob(renamed[digest])
        else:
            result.replace_blob(digest, blob)
    for name, held in shelf._repositories.items():
        result.add_repository(name)
        for each in held.manifests.values():
            data = renamed.get(each.digest, each.data)
            result.put_manifest(name, data, each.media_type)
        for tag, digest in held.tags.items():
            new = renamed.get(digest)
            result.tag(name, tag, digest if new is None else Digest.of(new))
    return result
