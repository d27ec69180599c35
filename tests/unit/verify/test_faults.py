"""What a side that fails makes of the verdict: never an allowed image, never an exception."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from imgverify.errors import Interrupted, Side
from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import Compression
from imgverify.verdict import Decision, Grade, Rule
from imgverify.verify import verify
from tests.support.faults import (
    BLOBS,
    MANIFESTS,
    Body,
    Drip,
    Endless,
    Fault,
    Gzip,
    Hang,
    Header,
    Longer,
    NotModified,
    Redirect,
    Reset,
    ServeOther,
    Stall,
    Status,
    Truncate,
    When,
    rate_limited,
)
from tests.support.image import AMD64, ImageIndex, docker_original, put, recompressed, skopeo_oci
from tests.unit.verify.world import (
    FORGED,
    NEW,
    NEW_AMD64,
    NOW,
    OLD,
    PATH,
    SAME_CONTENT,
    TAG,
    World,
    grade,
    only,
    pinned,
    rules,
)

SCHEMA1 = json.dumps({"schemaVersion": 1, "name": "x", "tag": "x", "fsLayers": []}).encode()
HYBRID = json.dumps(json.loads(NEW.manifest) | json.loads(NEW_AMD64.manifest)).encode()
GETS, HEADS = When("GET", "/manifests/"), When("HEAD", "/manifests/")

FAULTS: dict[str, tuple[Fault, ...]] = {
    "401": (Status(401, when=MANIFESTS),),
    "403": (Status(403, when=MANIFESTS),),
    "404": (Status(404, when=MANIFESTS),),
    "429": (rate_limited(when=MANIFESTS),),
    "429-later": (rate_limited("3600", when=MANIFESTS),),
    "500": (Status(500, when=MANIFESTS),),
    "503": (Status(503, when=MANIFESTS),),
    "hang": (Hang(when=MANIFESTS),),
    "stall": (Header("Docker-Content-Digest", None, when=MANIFESTS), Stall(10, when=GETS)),
    "drip": (Header("Docker-Content-Digest", None, when=MANIFESTS), Drip(1, 0.02, when=GETS)),
    "truncated": (Header("Docker-Content-Digest", None, when=MANIFESTS), Truncate(10, when=GETS)),
    "reset": (Reset(when=MANIFESTS),),
    "reset-inside": (Header("Docker-Content-Digest", None, when=MANIFESTS), Reset(10, when=GETS)),
    "endless": (Header("Docker-Content-Digest", None, when=MANIFESTS), Endless(when=GETS)),
    "encoded": (Gzip(when=MANIFESTS),),
    "not-modified": (NotModified(when=MANIFESTS),),
    "redirect-loop": (Redirect("{path}", when=MANIFESTS),),
    "redirect-to-nowhere": (Redirect("http://127.0.0.1:1{path}", when=MANIFESTS),),
    "malformed": (
        Header("Docker-Content-Digest", None, when=MANIFESTS),
        Body(b'{"schemaVersion": 2, "manifests": [}', when=GETS),
    ),
    "empty": (Header("Docker-Content-Digest", None, when=MANIFESTS), Body(b"", when=GETS)),
    "nested-deeply": (
        Header("Docker-Content-Digest", None, when=MANIFESTS),
        Body(b"[" * 100_000, when=GETS),
    ),
    "schema1": (
        Header("Docker-Content-Digest", None, when=MANIFESTS),
        Header("Content-Type", str(mediatype.SCHEMA1_SIGNED), when=MANIFESTS),
        Body(SCHEMA1, when=GETS),
    ),
    "hybrid": (
        Header("Docker-Content-Digest", None, when=MANIFESTS),
        Body(HYBRID, when=GETS),
    ),
}
SLOW = {"hang", "stall", "drip", "endless"}


def seconds_for(name: str) -> float:
    return 0.25 if name in SLOW else 10


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("mirrored", [NEW, FORGED], ids=["identical", "forged"])
def test_upstream_down_fail_open_upstream_fails(
    pair: World, name: str, mirrored: ImageIndex
) -> None:
    pair.holds(NEW, mirrored)
    pair.play("upstream", *FAULTS[name])
    verdict = pair.ask(policy=SAME_CONTENT, deep=True, seconds=seconds_for(name))
    assert verdict.decision is Decision.INCONCLUSIVE
    assert grade(verdict) is Grade.INCONCLUSIVE
    assert (verdict.pinned, verdict.upstream.digest) == (None, None)
    (error,) = (each for each in verdict.findings if each.level == "error")
    assert error.side is Side.UPSTREAM
    assert error.rule in (Rule.UNREACHABLE, Rule.MALFORMED)
    assert error.hint


@pytest.mark.parametrize("name", FAULTS)
def test_upstream_down_fail_open_the_mirror_fails(pair: World, name: str) -> None:
    pair.holds(NEW, NEW)
    pair.play("mirror", *FAULTS[name])
    verdict = pair.ask(policy=SAME_CONTENT, deep=True, seconds=seconds_for(name))
    missing = name == "404"
    assert verdict.decision is (Decision.DENY if missing else Decision.INCONCLUSIVE)
    assert grade(verdict) is (Grade.MISSING if missing else Grade.INCONCLUSIVE)
    if not missing and seconds_for(name) == 10:
        assert only(verdict).findings[0].side is Side.MIRROR
        assert only(verdict).findings[0].hint


def late(nth: int) -> Iterator[Fault]:
    """Everything that can go wrong with the n-th request and all after it."""
    when = When(first=nth)
    yield Status(401, when=when)
    yield Status(403, when=when)
    yield Status(404, when=when)
    yield Status(500, when=when)
    yield rate_limited(when=when)
    yield Status(503, when=when)
    yield Reset(when=when)
    yield Truncate(5, when=when)
    yield Body(b"{}", when=when)
    yield Body(SCHEMA1, when=when)
    yield Longer(b"x", chunked=True, when=when)
    yield NotModified(when=when)
    yield Gzip(when=when)
    yield ServeOther(Digest.of(FORGED.manifest), when=When(path="/manifests/", first=nth))


@pytest.mark.parametrize("side", ["upstream", "mirror"])
@pytest.mark.parametrize("nth", range(1, 8))
def test_upstream_down_fail_open_at_any_request(pair: World, side: str, nth: int) -> None:
    pair.holds(NEW_AMD64, recompressed(NEW_AMD64, Compression.ZSTD), FORGED)
    put(pair.mirror.shelf, PATH, FORGED)
    asked = pair.upstream if side == "upstream" else pair.mirror
    assert pair.ask(policy=SAME_CONTENT, deep=True).decision is Decision.ALLOW
    needed = asked.count()
    for fault in late(nth):
        asked.heal()
        asked.play(fault)
        verdict = pair.ask(policy=SAME_CONTENT, deep=True)
        told = nth > needed or _tells_no_more(fault)
        assert told or verdict.decision is not Decision.ALLOW, fault
        # Whatever was said: what is allowed is upstream's own content, and is proven to be.
        allowed = (Grade.REPACKAGED, Decision.ALLOW, True, NEW_AMD64.digest)
        said = (grade(verdict), verdict.decision, only(verdict).explanation.proven)
        assert verdict.decision is not Decision.ALLOW or (*said, pinned(verdict)) == allowed


def _tells_no_more(fault: Fault) -> bool:
    """Whether the answer to a HEAD stays what it was, or is the no that is true anyway."""
    is_no = isinstance(fault, Status) and fault.code == 404
    return is_no or isinstance(fault, (ServeOther, Truncate, Body, Longer, Gzip))


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_question_about_earlier_images_that_fails_is_inconclusive(
    pair: World, status: int
) -> None:
    pair.holds(NEW, OLD, OLD)
    pair.play("upstream", Status(status, when=When("HEAD", str(OLD.digest))))
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)


def test_what_upstream_lacks_itself_is_inconclusive_and_no_alarm(pair: World) -> None:
    pair.holds(NEW, FORGED)
    pair.upstream.shelf.remove_manifest(PATH, NEW.images[0].digest)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert only(verdict).findings[0].side is Side.UPSTREAM


def test_upstream_without_its_config_is_inconclusive_and_no_alarm(pair: World) -> None:
    original = docker_original()
    pair.holds(original, skopeo_oci(original))
    pair.upstream.shelf.remove_blob(Digest.of(original.config))
    assert grade(pair.ask()) is Grade.INCONCLUSIVE


def test_a_mirror_without_its_config_is_missing(pair: World) -> None:
    original = docker_original()
    mirrored = skopeo_oci(original)
    pair.holds(original, mirrored)
    pair.mirror.shelf.remove_blob(Digest.of(mirrored.config))
    verdict = pair.ask(policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.MISSING)


def test_upstream_that_serves_other_bytes_for_its_child_is_inconclusive(pair: World) -> None:
    pair.holds(NEW, FORGED)
    put(pair.upstream.shelf, PATH, OLD)
    other = ServeOther(OLD.images[0].digest, when=When("GET", str(NEW.images[0].digest)))
    pair.play("upstream", other)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_listed_image_that_the_mirror_will_not_show_is_inconclusive(
    pair: World, status: int
) -> None:
    pair.holds(NEW, NEW)
    pair.play("mirror", Status(status, when=When("GET", str(NEW.images[1].digest))))
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)


def test_pinned_digest_ignored_other_bytes_for_a_listed_image(pair: World) -> None:
    pair.holds(NEW, NEW)
    put(pair.mirror.shelf, PATH, FORGED)
    other = ServeOther(FORGED.images[0].digest, when=When("GET", str(NEW.images[0].digest)))
    pair.play("mirror", other)
    verdict = pair.ask(AMD64)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    assert rules(verdict) == {Rule.DIGEST_MISMATCH}


@pytest.mark.parametrize("fault", [Hang(when=MANIFESTS), Hang(when=BLOBS)], ids=["tag", "layers"])
@pytest.mark.parametrize("side", ["upstream", "mirror"])
def test_interrupted_when_called_off(pair: World, fault: Fault, side: str) -> None:
    pair.holds(NEW_AMD64, recompressed(NEW_AMD64, Compression.GZIP))
    pair.play(side, fault)
    with pair.network() as network:
        timer = threading.Timer(0.1, network.deadline.cancelled.set)
        timer.start()
        started = time.monotonic()
        question = pair.question(deep=True)
        with pytest.raises(Interrupted):
            verify(question, network, SAME_CONTENT, NOW)
        timer.join()
    assert time.monotonic() - started < 10


def test_nothing_is_asked_of_upstream_but_its_tag_while_it_is_down(pair: World) -> None:
    put(pair.mirror.shelf, PATH, NEW, TAG)
    pair.play("upstream", Status(500))
    pair.ask()
    assert pair.upstream.count() == 1
