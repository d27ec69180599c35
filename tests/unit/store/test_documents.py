import json

import pytest

from imgverify.errors import ContentError, LimitExceeded
from imgverify.oci import mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.store import documents
from tests.unit.store.images import image

ROOT = image().root
ENTRY = documents.index_entry(ROOT, {documents.REF_NAME: "a"})


def index(*entries: dict[str, object]) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


def manifests(data: bytes) -> list[dict[str, object]]:
    found = json.loads(data)["manifests"]
    assert isinstance(found, list)
    return found


def test_an_entry_has_the_whole_platform() -> None:
    platform = Platform("windows", "arm", "v6", "10.0.17763", ("win32k",))
    root = Descriptor(mediatype.OCI_MANIFEST, Digest.of(b""), 0, platform)
    assert documents.index_entry(root, {}) == {
        "mediaType": str(mediatype.OCI_MANIFEST),
        "digest": str(Digest.of(b"")),
        "size": 0,
        "platform": {
            "architecture": "arm",
            "os": "windows",
            "os.version": "10.0.17763",
            "os.features": ["win32k"],
            "variant": "v6",
        },
    }


def test_a_name_that_was_there_twice_is_there_once() -> None:
    other = documents.index_entry(image("b").root, {documents.REF_NAME: "b"})
    old = documents.index_entry(image("c").root, {documents.REF_NAME: "a"})
    assert manifests(documents.index_with(ENTRY, index(old, other, old))) == [ENTRY, other]


def test_an_image_without_a_name_is_kept_beside_its_named_twin() -> None:
    nameless = documents.index_entry(ROOT, {})
    assert manifests(documents.index_with(nameless, index(ENTRY))) == [ENTRY, nameless]
    assert manifests(documents.index_with(ENTRY, index(nameless))) == [nameless, ENTRY]


def test_more_entries_than_are_read_are_not_written() -> None:
    entries = [
        documents.index_entry(ROOT, {documents.REF_NAME: str(number)}) for number in range(1000)
    ]
    with pytest.raises(LimitExceeded, match="1001 entries"):
        documents.index_with(ENTRY, index(*entries))


def test_a_longer_index_than_is_read_is_not_written() -> None:
    long = documents.index_entry(ROOT, {"note": "x" * (4 * 1024 * 1024 - 200)})
    with pytest.raises(LimitExceeded, match="more than"):
        documents.index_with(ENTRY, index(long))


def test_a_number_that_could_not_be_written_is_not_read() -> None:
    with pytest.raises(ContentError):
        documents.index_with(ENTRY, b'{"schemaVersion": 2, "manifests": [], "x": 1e999}')
