"""Answers that are meant to mislead, or to do harm on their way to a verdict."""

import base64
import inspect
import json
import time
import tracemalloc
import zlib
from dataclasses import replace
from datetime import timedelta

import pytest

from imgverify.errors import DigestMismatch
from imgverify.exitcode import of_verdicts
from imgverify.oci import limits, mediatype, strictjson
from imgverify.oci.config import parse_config
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import parse_manifest
from imgverify.oci.mediatype import MediaType
from imgverify.verdict import Coverage, Decision, Grade, Rule
from tests.support.faults import (
    BLOBS,
    MANIFESTS,
    Body,
    Fault,
    Gzip,
    Header,
    Redirect,
    Schema1,
    When,
)
from tests.support.image import (
    AMD64,
    Layer,
    assemble,
    docker,
    multi_platform,
    oci,
    put,
    reserialised,
)
from tests.support.registry import FakeRegistry, Shelf
from tests.unit.pull.scene import noise
from tests.unit.verify.world import (
    FORGED,
    NEW,
    NEW_AMD64,
    OLD,
    PATH,
    SAME_CONTENT,
    TAG,
    World,
    grade,
    only,
    rules,
)


@pytest.mark.parametrize(
    "fault",
    [
        Gzip(when=BLOBS),
        Header("Content-Encoding", "br", when=BLOBS),
        Redirect("http://u:p@evil.test/", when=BLOBS),
        Redirect("{path}", when=BLOBS),
    ],
    ids=["gzip", "br", "user-information", "loop"],
)
def test_http_decompression_a_layer_that_cannot_be_read_is_no_falsification(
    pair: World, fault: Fault
) -> None:
    pair.holds(NEW_AMD64, NEW_AMD64)
    pair.play("mirror", fault)
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert rules(verdict) == {Rule.MALFORMED}
    # Some were not read, so it is not said that they were.
    assert only(verdict).coverage is Coverage.MANIFESTS


def dense(megabytes: int) -> bytes:
    """A gzip stream that is below the ratio at which bombs are told by it."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    start = packer.compress(b"start") + packer.flush(zlib.Z_FULL_FLUSH)
    unit = packer.compress(noise("dense", 6000) + bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + unit * megabytes


def test_slow_and_endless_tar_loop_bomb_unpacking_ends_at_the_deadline(pair: World) -> None:
    last = Layer(NEW_AMD64.layers[-1].plain, dense(1500), mediatype.OCI_LAYER_GZIP)
    mirrored = assemble(NEW_AMD64.config, (*NEW_AMD64.layers[:-1], last), NEW_AMD64.platform)
    pair.holds(NEW_AMD64, mirrored)
    started = time.monotonic()
    verdict = pair.ask(deep=True, policy=SAME_CONTENT, seconds=0.6)
    assert time.monotonic() - started < 1.6
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert rules(verdict) == {Rule.UNREACHABLE}


@pytest.mark.parametrize("what", ["child", "config"])
def test_process_before_verify_falsified_json_never_meets_a_parser(
    pair: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    read: list[bytes] = []
    really = strictjson.loads

    def watched(data: bytes, *foreign: frozenset[str]) -> object:
        read.append(data)
        return really(data, *foreign)

    monkeypatch.setattr(strictjson, "loads", watched)
    pair.holds(NEW, reserialised(NEW))
    evil = b'{"schemaVersion": 2, "evil": true}'
    image = NEW.images[0]
    if what == "child":
        pair.play("mirror", Body(evil, when=When("GET", str(image.digest))))
    else:
        pair.holds(image, oci(docker(image)))
        pair.mirror.shelf.replace_blob(Digest.of(image.config), evil)
    verdict = pair.ask(AMD64, deep=True, policy=SAME_CONTENT)
    assert verdict.decision is Decision.DENY
    assert read
    assert not any(b"evil" in each for each in read)


# --- what is told of sizes, types and tags ----------------------------------------------------


@pytest.mark.parametrize("told", [1, 2**40, -1, limits.BLOB_SIZE])
@pytest.mark.parametrize("place", ["config", "layers"])
def test_descriptor_size_allocates_nothing_and_passes_nothing(
    pair: World, told: int, place: str
) -> None:
    document = json.loads(NEW_AMD64.manifest)
    described = document["config"] if place == "config" else document["layers"][0]
    described["size"] = told
    evil = replace(NEW_AMD64, manifest=json.dumps(document).encode())
    pair.holds(evil, evil)
    tracemalloc.start()
    try:
        verdict = pair.ask(AMD64, deep=True, policy=SAME_CONTENT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verdict.decision is not Decision.ALLOW
    assert peak < 16_000_000


@pytest.mark.parametrize("pulling", [False, True])
def test_registry_down_convert_every_question_names_every_type(
    pair: World, *, pulling: bool
) -> None:
    pair.holds(NEW, FORGED if not pulling else NEW)
    for side in ("upstream", "mirror"):
        pair.play(side, Schema1(when=MANIFESTS))
    verdict = pair.put_question(pair.question(), pulling=pulling)
    assert (grade(verdict) is Grade.IDENTICAL) is pulling
    asked = [each for one in pair.registries for each in one.seen(path="/manifests/")]
    assert {each.header("Accept") for each in asked} == {mediatype.ACCEPT_MANIFEST}
    assert "v1+" not in mediatype.ACCEPT_MANIFEST.replace(".v1+json", "")


def signed(payload: dict[str, object], **around: object) -> bytes:
    """A schema 1 manifest in which a signature covers only what stands before it."""
    text = json.dumps(payload, indent=3).encode()
    cut = {"formatLength": len(text) - 2, "formatTail": base64.b64encode(b"\n}").decode()}
    protected = base64.b64encode(json.dumps(cut).encode()).decode()
    signature = {"header": {"alg": "ES256"}, "signature": "x", "protected": protected}
    return json.dumps(payload | {"signatures": [signature]} | around).encode()


SCHEMA1 = {"schemaVersion": 1, "name": "app", "tag": TAG, "fsLayers": [], "history": []}


@pytest.mark.parametrize(
    "body",
    [
        signed(SCHEMA1),
        signed(SCHEMA1, fsLayers=[{"blobSum": str(Digest.of(b"evil"))}]),
        signed(SCHEMA1, schemaVersion=2, config={}, layers=[]),
        signed(SCHEMA1) + b"{}",
        json.dumps(SCHEMA1).encode(),
        signed(json.loads(NEW_AMD64.manifest)),
        signed(json.loads(NEW.manifest)),
    ],
)
@pytest.mark.parametrize("said", [mediatype.SCHEMA1, mediatype.SCHEMA1_SIGNED, None])
@pytest.mark.parametrize("side", ["upstream", "mirror"])
def test_schema1_signed_part_of_a_document_is_never_enough(
    pair: World, body: bytes, said: MediaType | None, side: str
) -> None:
    pair.holds(NEW, NEW)
    pair.play(side, Header("Docker-Content-Digest", None, when=MANIFESTS))
    pair.play(side, Body(body, when=When("GET", "/manifests/")))
    if said is not None:
        pair.play(side, Header("Content-Type", str(said), when=MANIFESTS))
    verdict = pair.ask(policy=SAME_CONTENT)
    assert verdict.decision is Decision.INCONCLUSIVE
    assert rules(verdict) == {Rule.MALFORMED}


def test_schema1_signed_part_parsers_take_nothing_but_content_that_was_hashed() -> None:
    for parse in (parse_manifest, parse_config):
        first = next(iter(inspect.signature(parse).parameters.values()))
        assert first.annotation == "Content"
    with pytest.raises(DigestMismatch):
        Content(NEW.manifest + b" ", NEW.digest)


@pytest.mark.parametrize("pulling", [False, True])
@pytest.mark.parametrize("moved", ["upstream", "mirror"])
def test_tag_digest_confusion_a_tag_that_moved_away_from_its_digest(
    pair: World, *, moved: str, pulling: bool
) -> None:
    for each in pair.registries:
        put(each.shelf, PATH, OLD)
        put(each.shelf, PATH, NEW, TAG)
    if moved == "mirror":
        put(pair.mirror.shelf, PATH, OLD, TAG)
    wanted = OLD if moved == "upstream" else NEW
    verdict = pair.put_question(pair.question(digest=wanted.digest), pulling=pulling)
    # The digest is what is asked of the mirror, whatever its tag names by now.
    expected = Decision.DENY if moved == "upstream" else Decision.ALLOW
    assert verdict.decision is expected
    assert (Rule.TAG_DIGEST_MISMATCH in rules(verdict)) is (moved == "upstream")


HISTORY = (multi_platform("app", "1.4.0"), OLD, NEW)


@pytest.mark.parametrize(("stuck", "status"), [(0, 1), (1, 1), (2, 0)])
def test_stale_tag_freeze_a_mirror_that_stays_behind_is_told_from_one_that_lies(
    pair: World, stuck: int, status: int
) -> None:
    pair.holds(NEW, HISTORY[stuck], *HISTORY)
    verdict = pair.ask()
    assert grade(verdict) is (Grade.IDENTICAL if stuck == 2 else Grade.STALE)
    assert of_verdicts([verdict]) == status
    if stuck < 2:
        # How long upstream has had its newest image, by the clock that was passed in.
        assert only(verdict).explanation.age == timedelta(days=17)
        pair.upstream.shelf = Shelf()
        put(pair.upstream.shelf, PATH, NEW, TAG)
        assert grade(pair.ask()) is Grade.DIVERGED


@pytest.mark.parametrize("deep", [False, True])
def test_foreign_url_creds_no_address_in_a_manifest_is_ever_asked(
    pair: World, *, deep: bool
) -> None:
    with FakeRegistry() as listener:
        document = json.loads(NEW_AMD64.manifest)
        for described in (document["config"], *document["layers"]):
            described["urls"] = [f"{listener.url}/x", "file:///etc/passwd"]
        evil = replace(NEW_AMD64, manifest=json.dumps(document).encode())
        pair.holds(evil, evil)
        assert pair.ask(deep=deep).decision is Decision.ALLOW
        pair.mirror.shelf.remove_blob(NEW_AMD64.layers[0].descriptor.digest)
        pair.ask(deep=deep)
        assert listener.requests == ()
