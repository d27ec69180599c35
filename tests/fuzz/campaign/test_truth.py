"""The oracle by itself: what it takes for given, and what it calls a wrong accept."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from imgverify.serve.distribution import Request
from tests.fuzz.campaign.truth import Evidence, Listed, Pulled, Verified, readings
from tests.fuzz.campaign.wire import Exchange, Play, Step

if TYPE_CHECKING:
    from pathlib import Path

UP, MIRROR, CDN = "up.example", "mirror.example", "cdn.example"
TAG = "/v2/app/manifests/1"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(data: bytes, **more: object) -> dict[str, Any]:
    return {"mediaType": "a/b", "digest": digest_of(data), "size": len(data), **more}


def to_json(**document: object) -> bytes:
    return json.dumps(document).encode()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAYER, CONFIG = b"layer", b"{}"
IMAGE = to_json(config=descriptor(CONFIG), layers=[descriptor(LAYER)])
OTHER = to_json(config=descriptor(CONFIG), layers=[])
AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64"}
BOTH = to_json(manifests=[descriptor(IMAGE, platform=AMD64), descriptor(OTHER, platform=ARM64)])
FIRST = to_json(manifests=[descriptor(IMAGE, platform=AMD64)])


def answered(
    host: str,
    target: str,
    body: bytes = b"",
    *headers: str,
    status: str = "200 OK",
    method: str = "GET",
) -> Exchange:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    text = "\r\n".join(lines).encode() + (b"" if method == "HEAD" else body)
    return Exchange(host, Request(method, target), target, Play((Step(text),)))


def named(data: bytes, host: str = UP) -> Exchange:
    return answered(host, TAG, data, f"Docker-Content-Digest: {digest_of(data)}", method="HEAD")


def by_digest(data: bytes, host: str = MIRROR) -> Exchange:
    return answered(host, f"/v2/app/manifests/{digest_of(data)}", data)


def blob(data: bytes, host: str = MIRROR) -> Exchange:
    return answered(host, f"/v2/app/blobs/{digest_of(data)}", data)


def judge(
    *log: Exchange, platforms: tuple[str, ...] = (), deep: bool = False, same: bool = False
) -> str:
    claim = Verified(UP, (MIRROR,), TAG, platforms, deep=deep, same=same)
    return claim(Evidence(log, "", None))  # type: ignore[arg-type] # nothing was pulled


def test_what_upstream_says_and_the_mirror_gives_is_right() -> None:
    assert judge(named(IMAGE), answered(MIRROR, TAG, IMAGE)) == ""
    whole = (named(BOTH), answered(MIRROR, TAG, BOTH), by_digest(IMAGE), by_digest(OTHER))
    assert judge(*whole, same=True) == ""


@pytest.mark.parametrize(
    "log",
    [
        (named(IMAGE), answered(MIRROR, TAG, OTHER)),
        (named(IMAGE), answered(MIRROR, TAG, IMAGE[:-1])),
        (named(IMAGE), answered(MIRROR, TAG, IMAGE, status="404 Not Found")),
        (named(IMAGE), answered(MIRROR, TAG, IMAGE, method="HEAD")),
        (named(IMAGE), answered(UP, TAG, IMAGE)),
        (named(IMAGE), by_digest(IMAGE)),
        (named(IMAGE, MIRROR), answered(MIRROR, TAG, IMAGE)),
        (answered(MIRROR, TAG, IMAGE),),
        (named(IMAGE),),
        (),
    ],
)
def test_what_is_not_both_said_and_given_is_wrong(log: tuple[Exchange, ...]) -> None:
    assert judge(*log)


def test_the_last_word_counts() -> None:
    mirrored = answered(MIRROR, TAG, IMAGE)
    assert judge(named(OTHER), named(IMAGE), mirrored) == ""
    assert judge(named(IMAGE), named(OTHER), mirrored)
    assert judge(named(OTHER), answered(UP, TAG, IMAGE), mirrored) == ""


def test_a_word_may_be_said_where_a_redirect_leads_to() -> None:
    away = answered(UP, TAG, b"", f"Location: http://{CDN}/x?y=z", status="307 x", method="HEAD")
    there = answered(
        CDN, "/x?y=z", IMAGE, f"docker-content-digest:{digest_of(IMAGE)}", method="HEAD"
    )
    mirrored = answered(MIRROR, TAG, IMAGE)
    assert judge(away, there, mirrored) == ""
    assert judge(there, mirrored)
    assert judge(there, away, mirrored)


@pytest.mark.parametrize("lacking", [IMAGE, OTHER])
def test_every_listed_image_has_to_be_given(lacking: bytes) -> None:
    given = [by_digest(each) for each in (IMAGE, OTHER) if each != lacking]
    log = (named(BOTH), answered(MIRROR, TAG, BOTH), *given)
    assert digest_of(lacking) in judge(*log)
    assert judge(*log, by_digest(lacking, UP))
    wanted = "linux/amd64" if lacking == OTHER else "linux/arm64"
    assert judge(*log, platforms=(wanted,)) == ""


def test_a_platform_that_nobody_has_is_wrong() -> None:
    log = (named(FIRST), answered(MIRROR, TAG, FIRST), by_digest(IMAGE))
    assert (
        judge(*log, platforms=("linux/arm64",))
        == "mirror.example: there is nothing for linux/arm64"
    )


def test_a_part_is_right_for_verify_and_wrong_for_compare() -> None:
    log = (named(BOTH), answered(MIRROR, TAG, FIRST), by_digest(IMAGE))
    assert judge(*log, platforms=("linux/amd64",))
    whole = answered(UP, TAG, BOTH)
    assert judge(*log, whole, platforms=("linux/amd64",)) == ""
    assert judge(*log, whole, platforms=("linux/amd64",), same=True)


@pytest.mark.parametrize(
    "other",
    [
        {"platform": ARM64},
        {"platform": AMD64 | {"variant": "v2"}},
        {"platform": AMD64, "size": 1},
        {"platform": AMD64, "mediaType": "c/d"},
        {},
    ],
)
def test_a_part_whose_entries_say_something_else_is_wrong(other: dict[str, object]) -> None:
    part = to_json(manifests=[descriptor(IMAGE) | other])
    log = (named(BOTH), answered(UP, TAG, BOTH), answered(MIRROR, TAG, part), by_digest(IMAGE))
    assert judge(*log)


def test_a_digest_that_was_asked_for_has_to_be_the_one() -> None:
    claim = Verified(UP, (MIRROR,), TAG, digest=digest_of(IMAGE))
    right = (named(IMAGE), by_digest(IMAGE))
    assert claim(Evidence(right, "", None)) == ""  # type: ignore[arg-type] # nothing was pulled
    for wrong in (
        (named(OTHER), by_digest(IMAGE)),
        (named(IMAGE), by_digest(OTHER)),
        (named(IMAGE), answered(MIRROR, TAG, IMAGE)),
        (named(OTHER), by_digest(OTHER)),
    ):
        assert claim(Evidence(wrong, "", None))  # type: ignore[arg-type] # as above


@pytest.mark.parametrize("lacking", [CONFIG, LAYER])
def test_deep_means_every_blob(lacking: bytes) -> None:
    given = [blob(each) for each in (CONFIG, LAYER) if each != lacking]
    log = (named(IMAGE), answered(MIRROR, TAG, IMAGE), *given)
    assert judge(*log) == ""
    assert judge(*log, deep=True)
    assert judge(*log, blob(lacking, UP), deep=True)
    assert judge(*log, blob(lacking), deep=True) == ""


@pytest.mark.parametrize(
    "document", [b'{"manifests":[],"manifests":[]}', b"[]", b"\xff", b"{", b'{"manifests":7}']
)
def test_what_cannot_be_read_in_one_way_is_wrong(document: bytes) -> None:
    assert judge(named(document), answered(MIRROR, TAG, document))


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef", b"abc"),
        (b"HTTP/1.1 200 OK\n\nabc", b"abc"),
        (b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
        (CHUNKED + b"2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.0 206 x\r\n\r\nabc", b"abc"),
    ],
)
def test_a_body_is_read_in_every_way(text: bytes, body: bytes) -> None:
    assert body in readings(Exchange(UP, Request("GET", "/"), "/", Play((Step(text),))))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"abc",
        b"HTTP/1.1 404 x\r\n\r\nabc",
        b"HTTP/1.1 2000 x\r\n\r\nabc",
        b"HTTP/1.1 304 x\r\n\r\n",
    ],
)
def test_only_an_answer_of_2xx_has_a_body(text: bytes) -> None:
    assert readings(Exchange(UP, Request("GET", "/"), "/", Play((Step(text),)))) == []


def layout(folder: Path, root: bytes, *blobs: bytes) -> Path:
    place = folder / "blobs" / "sha256"
    place.mkdir(parents=True)
    for each in (root, *blobs):
        (place / hashlib.sha256(each).hexdigest()).write_bytes(each)
    (folder / "index.json").write_bytes(to_json(manifests=[descriptor(root)]))
    return folder


def pulled(
    out: Path, *log: Exchange, printed: bytes = IMAGE, platforms: tuple[str, ...] = ()
) -> str:
    evidence = Evidence(log, f"up.example/app@{digest_of(printed)}\n", out)
    return Pulled(UP, TAG, platforms)(evidence)


def test_what_upstream_names_was_pulled(tmp_path: Path) -> None:
    out = layout(tmp_path, IMAGE, CONFIG, LAYER)
    assert pulled(out, named(IMAGE)) == ""
    assert "something else was printed" in pulled(out, named(IMAGE), printed=OTHER)
    assert "upstream does not name" in pulled(out, named(OTHER))
    assert "upstream does not name" in pulled(out)
    (out / "blobs" / "sha256" / digest_of(b"x")[7:]).write_bytes(b"y")
    assert "hashes to something else" in pulled(out, named(IMAGE))


@pytest.mark.parametrize("blobs", [(CONFIG,), (LAYER,), ()])
def test_an_image_with_something_missing_was_pulled_wrongly(
    tmp_path: Path, blobs: tuple[bytes, ...]
) -> None:
    assert "nobody gave" in pulled(layout(tmp_path, IMAGE, *blobs), named(IMAGE))


def test_one_platform_is_pulled_by_itself(tmp_path: Path) -> None:
    out = layout(tmp_path, IMAGE, CONFIG, LAYER)
    log = (named(BOTH), answered(MIRROR, TAG, BOTH))
    assert pulled(out, *log, platforms=("linux/amd64",)) == ""
    assert pulled(out, *log)
    assert pulled(out, log[0], platforms=("linux/amd64",))


def test_nothing_was_pulled(tmp_path: Path) -> None:
    assert "cannot be read" in pulled(tmp_path, named(IMAGE))


def test_what_is_listed_has_to_be_said() -> None:
    log = [answered(UP, "/v2/app/tags/list", b'{"tags":["1","2"]}')]
    assert Listed(UP)(Evidence(log, "1\n2\n", None)) == ""  # type: ignore[arg-type] # as above
    assert Listed(UP)(Evidence(log, "1\n3\n", None))  # type: ignore[arg-type] # as above
    assert Listed(MIRROR)(Evidence(log, "1\n", None))  # type: ignore[arg-type] # as above
