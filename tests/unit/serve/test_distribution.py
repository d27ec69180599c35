import http.client
import json
from collections.abc import Iterator

import pytest

from imgverify.oci import mediatype
from imgverify.oci.digest import Algorithm, Digest
from imgverify.serve.loopback import (
    LoopbackRegistry,
    Shelf,
    Streamed,
)

MANIFEST = b'{"schemaVersion":2}'
BLOB = bytes(range(256)) * 4
NAME = "library/app"


@pytest.fixture
def shelf() -> Shelf:
    held = Shelf()
    held.put_manifest(NAME, MANIFEST, mediatype.OCI_MANIFEST, tag="1.4")
    held.put_blob(BLOB)
    return held


@pytest.fixture
def registry(shelf: Shelf) -> Iterator[LoopbackRegistry]:
    with LoopbackRegistry(shelf) as running:
        yield running


@pytest.fixture
def client(registry: LoopbackRegistry) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(registry.host, timeout=10)
    yield connection
    connection.close()


def ask(
    client: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    client.request(method, path, headers=headers)
    response = client.getresponse()
    return response, response.read()


def code(body: bytes) -> str:
    return str(json.loads(body)["errors"][0]["code"])


def blob_path(digest: Digest | None = None) -> str:
    return f"/v2/{NAME}/blobs/{digest or Digest.of(BLOB)}"


@pytest.mark.parametrize("reference", ["1.4", str(Digest.of(MANIFEST))])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest_comes_by_tag_and_by_digest(
    client: http.client.HTTPConnection, method: str, reference: str
) -> None:
    response, body = ask(client, f"/v2/{NAME}/manifests/{reference}", method)
    assert response.status == 200
    assert body == (MANIFEST if method == "GET" else b"")
    assert response.getheader("Content-Type") == str(mediatype.OCI_MANIFEST)
    assert response.getheader("Docker-Content-Digest") == str(Digest.of(MANIFEST))
    assert response.getheader("Content-Length") == str(len(MANIFEST))


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_base_says_which_api_this_is(client: http.client.HTTPConnection, path: str) -> None:
    response, body = ask(client, path)
    assert (response.status, body) == (200, b"{}")
    assert response.getheader("Docker-Distribution-API-Version") == "registry/2.0"


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        (f"/v2/{NAME}/manifests/2.0", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/{NAME}/manifests/{Digest.of(b'?')}", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/{NAME}/manifests/sha256:zz", 400, "DIGEST_INVALID"),
        (f"/v2/{NAME}/blobs/{Digest.of(b'?')}", 404, "BLOB_UNKNOWN"),
        (f"/v2/{NAME}/blobs/latest", 400, "DIGEST_INVALID"),
        ("/v2/other/manifests/1.4", 404, "NAME_UNKNOWN"),
        ("/v2/other/referrers/" + str(Digest.of(b"?")), 404, "NAME_UNKNOWN"),
        (f"/v2/{NAME}/tags/other", 404, "UNSUPPORTED"),
        ("/metrics", 404, "UNSUPPORTED"),
    ],
)
def test_what_is_absent_is_an_error_in_the_api_s_form(
    client: http.client.HTTPConnection, path: str, status: int, expected: str
) -> None:
    response, body = ask(client, path)
    assert (response.status, code(body)) == (status, expected)
    assert response.getheader("Content-Type") == "application/json"


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE", "BREW"])
def test_it_is_read_only(client: http.client.HTTPConnection, method: str) -> None:
    response, body = ask(client, f"/v2/{NAME}/manifests/1.4", method)
    assert (response.status, code(body)) == (405, "UNSUPPORTED")
    assert response.getheader("Allow") == "GET, HEAD"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", BLOB[:1]),
        ("bytes=100-", BLOB[100:]),
        ("bytes=100-700", BLOB[100:701]),
        ("bytes=1000-9999999", BLOB[1000:]),
        ("bytes=-5", BLOB[-5:]),
        ("bytes=-5000", BLOB),
    ],
)
def test_a_range_of_a_blob(
    client: http.client.HTTPConnection,
    shelf: Shelf,
    *,
    streamed: bool,
    wanted: str,
    expected: bytes,
) -> None:
    if streamed:
        parts = [BLOB[:300], BLOB[300:301], b"", BLOB[301:]]
        shelf.replace_blob(Digest.of(BLOB), Streamed(len(BLOB), lambda: iter(parts)))
    response, body = ask(client, blob_path(), Range=wanted)
    start = BLOB.index(expected) if len(expected) > 255 else BLOB.rindex(expected)
    start = 0 if wanted == "bytes=0-0" else start
    assert (response.status, body) == (206, expected)
    span = f"bytes {start}-{start + len(expected) - 1}/{len(BLOB)}"
    assert response.getheader("Content-Range") == span


@pytest.mark.parametrize("wanted", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_beyond_the_end(client: http.client.HTTPConnection, wanted: str) -> None:
    response, _ = ask(client, blob_path(), Range=wanted)
    assert response.status == 416
    assert response.getheader("Content-Range") == f"bytes */{len(BLOB)}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "bytes=9-3", "bytes=-", "items=0-1", "x"])
def test_a_range_that_is_none_is_ignored(client: http.client.HTTPConnection, wanted: str) -> None:
    response, body = ask(client, blob_path(), Range=wanted)
    assert (response.status, body) == (200, BLOB)


def test_head_of_a_streamed_blob_makes_no_bytes(
    client: http.client.HTTPConnection, shelf: Shelf
) -> None:
    digest = Digest.of(b"big")

    made: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        made.append(b"x")
        yield b"x"

    shelf.replace_blob(digest, Streamed(5 << 30, chunks))
    response, body = ask(client, blob_path(digest), "HEAD")
    assert (response.status, body) == (200, b"")
    assert response.getheader("Content-Length") == str(5 << 30)
    assert made == []


def test_tags_come_sorted_and_in_pages(client: http.client.HTTPConnection, shelf: Shelf) -> None:
    for tag in ("2.0", "1.10", "1.5"):
        shelf.tag(NAME, tag, Digest.of(MANIFEST))
    _, body = ask(client, f"/v2/{NAME}/tags/list")
    assert json.loads(body) == {"name": NAME, "tags": ["1.10", "1.4", "1.5", "2.0"]}
    response, body = ask(client, f"/v2/{NAME}/tags/list?n=3")
    assert json.loads(body)["tags"] == ["1.10", "1.4", "1.5"]
    link = response.getheader("Link") or ""
    assert link.endswith('>; rel="next"')
    response, body = ask(client, link[1 : link.index(">")])
    assert json.loads(body)["tags"] == ["2.0"]
    assert response.getheader("Link") is None


def test_a_page_size_that_is_no_number(client: http.client.HTTPConnection) -> None:
    response, body = ask(client, f"/v2/{NAME}/tags/list?n=-1")
    assert (response.status, code(body)) == (400, "PAGINATION_NUMBER_INVALID")


def referrer(kind: str | None, config: str, note: str) -> bytes:
    document = {
        "schemaVersion": 2,
        "config": {"mediaType": config},
        "subject": {"digest": str(Digest.of(MANIFEST))},
        "annotations": {"note": note},
    }
    return json.dumps(document | ({"artifactType": kind} if kind else {})).encode()


def test_referrers_are_found_by_their_subject(
    client: http.client.HTTPConnection, shelf: Shelf
) -> None:
    signature = referrer("application/sig", "application/empty", "a")
    old = referrer(None, "application/sbom", "b")
    for each in (signature, old, b"no JSON", b"[1]", b'{"subject": "text"}'):
        shelf.put_manifest(NAME, each, mediatype.OCI_MANIFEST)
    path = f"/v2/{NAME}/referrers/{Digest.of(MANIFEST)}"
    response, body = ask(client, path)
    assert response.getheader("Content-Type") == str(mediatype.OCI_INDEX)
    assert response.getheader("OCI-Filters-Applied") is None
    assert json.loads(body)["manifests"] == [
        {
            "mediaType": str(mediatype.OCI_MANIFEST),
            "digest": str(Digest.of(data)),
            "size": len(data),
            "artifactType": kind,
            "annotations": {"note": note},
        }
        for data, kind, note in (
            (signature, "application/sig", "a"),
            (old, "application/sbom", "b"),
        )
    ]
    response, body = ask(client, f"{path}?artifactType=application%2Fsbom")
    assert response.getheader("OCI-Filters-Applied") == "artifactType"
    assert [each["digest"] for each in json.loads(body)["manifests"]] == [str(Digest.of(old))]


def test_without_referrers_the_list_is_empty(client: http.client.HTTPConnection) -> None:
    response, body = ask(client, f"/v2/{NAME}/referrers/{Digest.of(b'?')}")
    assert (response.status, json.loads(body)["manifests"]) == (200, [])


def test_the_shelf_may_change_meanwhile(client: http.client.HTTPConnection, shelf: Shelf) -> None:
    path = f"/v2/{NAME}/manifests/1.4"
    other = shelf.put_manifest(
        NAME, b"{}", mediatype.OCI_MANIFEST, tag="1.4", algorithm=Algorithm.SHA512
    )
    response, body = ask(client, path)
    assert (body, response.getheader("Docker-Content-Digest")) == (b"{}", str(other))
    shelf.remove_manifest(NAME, other)
    assert ask(client, path)[0].status == 404
    shelf.untag(NAME, "1.4")
    assert ask(client, path)[0].status == 404
    shelf.remove_blob(Digest.of(BLOB))
    assert ask(client, blob_path())[0].status == 404
