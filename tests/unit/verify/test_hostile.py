"""Answers that are meant to mislead, or to do harm on their way to a verdict."""

import time
import zlib

import pytest

from imgverify.oci import mediatype, strictjson
from imgverify.oci.digest import Digest
from imgverify.verdict import Coverage, Decision, Grade, Rule
from tests.support.faults import BLOBS, Body, Fault, Gzip, Header, Redirect, When
from tests.support.image import AMD64, Layer, assemble, docker, oci, reserialised
from tests.unit.pull.scene import noise
from tests.unit.verify.world import NEW, NEW_AMD64, SAME_CONTENT, World, grade, only, rules


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
    assert only(verdict).coverage is Coverage.LAYERS


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

    def watched(data: bytes) -> object:
        read.append(data)
        return really(data)

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
