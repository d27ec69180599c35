import gzip
import http.client
import json
import ssl
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.serve.loopback import Request, Response, Shelf, Streamed
from tests.support import faults
from tests.support.certificate import self_signed, trusting
from tests.support.faults import BLOBS, MANIFESTS, Fault, When
from tests.support.registry import FakeRegistry

MANIFEST = b'{"schemaVersion":2,"mediaType":"x","config":{},"layers":[]}'
OTHER = b'{"schemaVersion":2,"config":{},"layers":[]}'
BLOB = bytes(range(256)) * 8
NAME = "library/app"
TAG = f"/v2/{NAME}/manifests/1.4"
PINNED = f"/v2/{NAME}/manifests/{Digest.of(MANIFEST)}"
BLOB_PATH = f"/v2/{NAME}/blobs/{Digest.of(BLOB)}"
SHORT = 0.15


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    shelf = Shelf()
    shelf.put_manifest(NAME, OTHER, mediatype.OCI_MANIFEST)
    shelf.put_manifest(NAME, MANIFEST, mediatype.OCI_MANIFEST, tag="1.4")
    shelf.put_blob(BLOB)
    with FakeRegistry(shelf) as running:
        yield running


Answered = tuple[http.client.HTTPResponse, bytes]


def ask(
    registry: FakeRegistry,
    path: str = TAG,
    method: str = "GET",
    *,
    headers: dict[str, str] | None = None,
    body: str = "",
    timeout: float = 10,
) -> Answered:
    client = http.client.HTTPConnection(registry.host, timeout=timeout)
    try:
        client.request(method, path, body=body or None, headers=headers or {})
        response = client.getresponse()
        return response, response.read()
    finally:
        client.close()


def test_without_faults_it_is_a_registry(registry: FakeRegistry) -> None:
    assert ask(registry)[1] == MANIFEST
    assert ask(registry, PINNED)[1] == MANIFEST
    assert ask(registry, BLOB_PATH)[1] == BLOB


def test_every_request_is_recorded(registry: FakeRegistry) -> None:
    ask(registry, TAG + "?ns=docker.io", "HEAD", headers={"Accept": "a/b"})
    ask(registry, BLOB_PATH)
    ask(registry, "/v2/none/manifests/x")
    assert registry.count() == 3
    assert registry.count("GET", "/manifests/") == 1
    assert registry.count("HEAD") == 1
    seen = registry.seen("HEAD")[0]
    assert (seen.path, seen.query, seen.header("accept")) == (TAG, (("ns", "docker.io"),), "a/b")
    registry.forget()
    assert registry.requests == ()


def test_a_fault_is_for_some_requests_only(registry: FakeRegistry) -> None:
    registry.play(faults.Status(503, when=When("GET", "/manifests/", first=2, last=3)))
    ask(registry, TAG, "HEAD")
    ask(registry, BLOB_PATH)
    assert [ask(registry)[0].status for _ in range(4)] == [200, 503, 503, 200]
    registry.play(faults.Status(500))
    registry.heal()
    assert ask(registry)[0].status == 200


def test_faults_add_up(registry: FakeRegistry) -> None:
    registry.play(faults.Body(b"other"), faults.Header("X-A", "1"), faults.Header("X-B", "2"))
    response, body = ask(registry)
    assert (body, response.getheader("X-A"), response.getheader("X-B")) == (b"other", "1", "2")


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500, 502, 503, 504])
def test_status(registry: FakeRegistry, code: int) -> None:
    registry.play(faults.Status(code, (("X-Why", "test"),)))
    response, body = ask(registry)
    assert (response.status, response.getheader("X-Why")) == (code, "test")
    assert json.loads(body)["errors"][0]["code"] == HTTPStatus(code).name


def test_rate_limited(registry: FakeRegistry) -> None:
    registry.play(faults.rate_limited("7", when=When(last=1)))
    registry.play(faults.rate_limited(when=When(first=2, last=2)))
    answers = [ask(registry)[0] for _ in range(3)]
    assert [each.status for each in answers] == [429, 429, 200]
    assert [each.getheader("Retry-After") for each in answers] == ["7", None, None]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect(registry: FakeRegistry, code: int) -> None:
    registry.play(faults.Redirect("https://cdn.test{path}?sig=1", code, when=BLOBS))
    response, body = ask(registry, BLOB_PATH)
    assert (response.status, body) == (code, b"")
    assert response.getheader("Location") == f"https://cdn.test{BLOB_PATH}?sig=1"


@pytest.mark.parametrize("value", [str(Digest.of(OTHER)), "sha256:short", "", None])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_header_lies_on_one_method(registry: FakeRegistry, method: str, value: str | None) -> None:
    registry.play(faults.Header("Docker-Content-Digest", value, when=When(method)))
    other = "HEAD" if method == "GET" else "GET"
    assert ask(registry, TAG, method)[0].headers.get_all("Docker-Content-Digest") == (
        None if value is None else [value]
    )
    said = ask(registry, TAG, other)[0].getheader("Docker-Content-Digest")
    assert said == str(Digest.of(MANIFEST))


def test_header_replaces_the_content_type(registry: FakeRegistry) -> None:
    registry.play(faults.Header("Content-Type", "text/html"))
    response, body = ask(registry)
    assert (response.headers.get_all("Content-Type"), body) == (["text/html"], MANIFEST)


def test_body_keeps_the_headers(registry: FakeRegistry) -> None:
    registry.play(faults.Body(b"not it"))
    response, body = ask(registry)
    assert (body, response.getheader("Content-Length")) == (b"not it", "6")
    assert response.getheader("Docker-Content-Digest") == str(Digest.of(MANIFEST))


@pytest.mark.parametrize("path", [TAG, BLOB_PATH])
def test_truncate_ends_before_the_length(registry: FakeRegistry, path: str) -> None:
    registry.play(faults.Truncate(10))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(registry, path)
    assert len(caught.value.partial) == 10


def everything(registry: FakeRegistry, path: str) -> bytes:
    """All bytes of an answer until the server closes, without a reading of its length."""
    client = http.client.HTTPConnection(registry.host, timeout=10)
    client.putrequest("GET", path)
    client.endheaders()
    received = b""
    while chunk := client.sock.recv(65536):
        received += chunk
    client.close()
    return received


def test_longer_sends_on_after_the_length(registry: FakeRegistry) -> None:
    registry.play(faults.Longer(b"extra"))
    head, _, body = everything(registry, BLOB_PATH).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(BLOB)}".encode() in head
    assert body == BLOB + b"extra"


def test_longer_can_be_chunked(registry: FakeRegistry) -> None:
    registry.play(faults.Longer(b"extra", chunked=True))
    response, body = ask(registry, BLOB_PATH)
    assert (response.getheader("Content-Length"), body) == (None, BLOB + b"extra")


def test_endless_ends_with_the_registry(registry: FakeRegistry) -> None:
    registry.play(faults.Endless())
    client = http.client.HTTPConnection(registry.host, timeout=10)
    client.request("GET", BLOB_PATH)
    response = client.getresponse()
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert response.read(len(BLOB)) == BLOB
    assert len(response.read(5_000_000)) == 5_000_000
    started = time.monotonic()
    registry.__exit__(None, None, None)
    assert time.monotonic() - started < 8
    response.close()
    client.close()


def test_drip(registry: FakeRegistry) -> None:
    registry.play(faults.Drip(1024, SHORT))
    started = time.monotonic()
    assert ask(registry, BLOB_PATH)[1] == BLOB
    assert time.monotonic() - started >= 2 * SHORT


def test_headers_drip(registry: FakeRegistry) -> None:
    registry.play(faults.DripHeaders(SHORT / 4, 4))
    started = time.monotonic()
    response, body = ask(registry)
    assert time.monotonic() - started >= SHORT
    assert response.headers.get_all("X-Padding") == ["0", "1", "2", "3"]
    assert (body, response.getheader("Content-Length")) == (MANIFEST, str(len(MANIFEST)))


def test_hang_for_a_while(registry: FakeRegistry) -> None:
    registry.play(faults.Hang(SHORT))
    started = time.monotonic()
    assert ask(registry)[1] == MANIFEST
    assert time.monotonic() - started >= SHORT


@pytest.mark.parametrize(
    "fault", [faults.Hang(), faults.Stall(10), faults.Drip(1, 60), faults.DripHeaders(60)], ids=repr
)
def test_silence_ends_with_the_registry(registry: FakeRegistry, fault: Fault) -> None:
    registry.play(fault)
    with pytest.raises(TimeoutError):
        ask(registry, BLOB_PATH, timeout=SHORT)
    started = time.monotonic()
    registry.__exit__(None, None, None)
    assert time.monotonic() - started < 8


def test_stall_resumes(registry: FakeRegistry) -> None:
    registry.play(faults.Stall(10, SHORT))
    started = time.monotonic()
    assert ask(registry, BLOB_PATH)[1] == BLOB
    assert time.monotonic() - started >= SHORT


def test_reset_before_the_answer(registry: FakeRegistry) -> None:
    registry.play(faults.Reset(when=When(last=1)))
    with pytest.raises(ConnectionResetError):
        ask(registry)
    assert ask(registry)[1] == MANIFEST


def test_reset_within_the_body(registry: FakeRegistry) -> None:
    registry.play(faults.Reset(100))
    client = http.client.HTTPConnection(registry.host, timeout=10)
    client.request("GET", BLOB_PATH)
    response = client.getresponse()
    assert response.read(100) == BLOB[:100]
    with pytest.raises(ConnectionResetError):
        response.read(1)
    response.close()
    client.close()


def test_gzip(registry: FakeRegistry) -> None:
    registry.play(faults.Gzip())
    response, body = ask(registry)
    assert response.getheader("Content-Encoding") == "gzip"
    assert body != MANIFEST
    assert gzip.decompress(body) == MANIFEST


@pytest.mark.parametrize("path", ["/v2/", TAG, BLOB_PATH])
def test_not_modified(registry: FakeRegistry, path: str) -> None:
    registry.play(faults.NotModified())
    response, body = ask(registry, path)
    assert (response.status, body) == (304, b"")


PART = {"Range": "bytes=10-19"}


def test_range_ignored(registry: FakeRegistry) -> None:
    registry.play(faults.RangeIgnored())
    response, body = ask(registry, BLOB_PATH, headers=PART)
    assert (response.status, body) == (200, BLOB)
    assert response.getheader("Content-Range") is None


@pytest.mark.parametrize(("lies", "said"), [(False, "15-24"), (True, "10-19")])
def test_range_shifted(registry: FakeRegistry, *, lies: bool, said: str) -> None:
    registry.play(faults.RangeShifted(5, lies=lies))
    response, body = ask(registry, BLOB_PATH, headers=PART)
    assert (response.status, body) == (206, BLOB[15:25])
    assert response.headers.get_all("Content-Range") == [f"bytes {said}/{len(BLOB)}"]
    assert ask(registry, BLOB_PATH, headers={"Range": "bytes=2040-"})[1] == BLOB[2045:]
    assert ask(registry, BLOB_PATH)[1] == BLOB


def test_a_false_content_range(registry: FakeRegistry) -> None:
    registry.play(faults.Header("Content-Range", "bytes 0-9/10"))
    response, body = ask(registry, BLOB_PATH, headers=PART)
    assert (response.getheader("Content-Range"), body) == ("bytes 0-9/10", BLOB[10:20])


def test_no_referrers(registry: FakeRegistry) -> None:
    path = f"/v2/{NAME}/referrers/{Digest.of(MANIFEST)}"
    assert ask(registry, path)[0].status == 200
    registry.play(faults.no_referrers())
    assert ask(registry, path)[0].status == 404
    assert ask(registry)[0].status == 200


def test_pages_that_link_to_themselves(registry: FakeRegistry) -> None:
    path = f"/v2/{NAME}/tags/list"
    registry.play(faults.LoopingPages())
    links = [ask(registry, path)[0].headers.get_all("Link") for _ in range(2)]
    assert links == [[f'<{path}>; rel="next"']] * 2
    registry.heal()
    registry.play(faults.LoopingPages(fresh=True))
    links = [ask(registry, path)[0].headers.get_all("Link") for _ in range(2)]
    assert links == [[f'<{path}?last={nth}>; rel="next"'] for nth in (1, 2)]


def test_a_tag_that_moves(registry: FakeRegistry) -> None:
    first, last = Digest.of(MANIFEST), Digest.of(OTHER)
    registry.play(faults.moving_tag(NAME, "1.4", first, first, last))
    bodies = [ask(registry, TAG, method)[1] for method in ("GET", "HEAD", "GET", "GET")]
    assert bodies == [MANIFEST, b"", OTHER, OTHER]
    assert ask(registry, TAG, "HEAD")[0].getheader("Docker-Content-Digest") == str(last)
    assert ask(registry, PINNED)[1] == MANIFEST


def test_only_the_head_of_a_tag_moves(registry: FakeRegistry) -> None:
    moved = faults.TagHistory((Digest.of(OTHER),), when=When("HEAD", "/manifests/"))
    registry.play(moved)
    said = ask(registry, TAG, "HEAD")[0].getheader("Docker-Content-Digest")
    assert said == str(Digest.of(OTHER))
    assert ask(registry)[1] == MANIFEST
    pinned = ask(registry, PINNED, "HEAD")[0].getheader("Docker-Content-Digest")
    assert pinned == str(Digest.of(MANIFEST))


@pytest.mark.parametrize("path", [TAG, PINNED])
def test_serve_other(registry: FakeRegistry, path: str) -> None:
    registry.play(faults.ServeOther(Digest.of(OTHER), when=MANIFESTS))
    response, body = ask(registry, path)
    assert body == OTHER
    assert response.headers.get_all("Docker-Content-Digest") == [str(Digest.of(MANIFEST))]


def test_no_head(registry: FakeRegistry) -> None:
    registry.play(faults.no_head())
    assert ask(registry, TAG, "HEAD")[0].status == 405
    assert ask(registry)[0].status == 200


def test_schema1_for_who_does_not_accept_more(registry: FakeRegistry) -> None:
    registry.play(faults.Schema1(when=MANIFESTS))
    assert ask(registry, headers={"Accept": mediatype.ACCEPT_MANIFEST})[1] == MANIFEST
    response, body = ask(registry, headers={"Accept": "application/json"})
    assert response.getheader("Content-Type") == str(mediatype.SCHEMA1_SIGNED)
    assert response.getheader("Docker-Content-Digest") == str(Digest.of(body))
    assert json.loads(body)["schemaVersion"] == 1
    assert ask(registry, f"/v2/{NAME}/manifests/none")[0].status == 404


@pytest.mark.parametrize("streamed", [False, True])
def test_flip_byte(registry: FakeRegistry, *, streamed: bool) -> None:
    if streamed:
        parts = (BLOB[:12], BLOB[12:13], BLOB[13:])
        registry.shelf.replace_blob(Digest.of(BLOB), Streamed(len(BLOB), lambda: parts))
    registry.play(faults.FlipByte(12, when=BLOBS))
    wrong = BLOB[:12] + bytes([BLOB[12] ^ 1]) + BLOB[13:]
    assert ask(registry, BLOB_PATH)[1] == wrong
    assert ask(registry, BLOB_PATH, headers=PART)[1] == wrong[10:20]
    assert ask(registry, BLOB_PATH, headers={"Range": "bytes=13-"})[1] == BLOB[13:]
    assert ask(registry)[1] == MANIFEST


def test_custom(registry: FakeRegistry) -> None:
    def answer(call: faults.Call) -> Response:
        return Response(200, (("X-Nth", str(call.nth)),), call.data[::-1])

    registry.play(faults.Custom(answer, when=When(first=2)))
    assert ask(registry)[1] == MANIFEST
    response, body = ask(registry)
    assert (response.getheader("X-Nth"), body) == ("2", MANIFEST[::-1])


def test_a_fault_s_base_does_nothing(registry: FakeRegistry) -> None:
    call = faults.Call(
        Request("GET", "/"), Response(200), 1, lambda _: Response(200), registry.stopping
    )
    with pytest.raises(NotImplementedError):
        Fault().apply(call)


def test_tls_with_a_given_certificate(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    with FakeRegistry(certificate=files) as registry:
        for context, trusted in ((trusting(files[0]), True), (ssl.create_default_context(), False)):
            client = http.client.HTTPSConnection(registry.host, timeout=10, context=context)
            if trusted:
                client.request("GET", "/v2/")
                assert client.getresponse().read() == b"{}"
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    client.request("GET", "/v2/")
            client.close()
        assert registry.count() == 1
