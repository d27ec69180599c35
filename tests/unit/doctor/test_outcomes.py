"""Every answer of every topic, by a mirror that behaves so."""

from collections.abc import Callable

import pytest

from imgverify.doctor.check import ANSWERS, Mark, Topic
from imgverify.doctor.judgement import MirrorReport
from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.verdict import Decision
from tests.support.fault import BLOBS, MANIFESTS, Fault, When
from tests.support.faults import (
    Body,
    FlipByte,
    Gzip,
    Header,
    Longer,
    RangeIgnored,
    RangeShifted,
    Redirect,
    Reset,
    Schema1,
    ServeOther,
    Status,
    TagHistory,
    Truncate,
    no_head,
    no_referrers,
    rate_limited,
)
from tests.support.image import artifact, oci, put, reserialised, trimmed
from tests.support.image import docker as as_docker
from tests.support.tokens import BasicGuard, BearerGuard, TokenService
from tests.unit.doctor.scene import (
    BY_TAG,
    FEW,
    HEADS,
    NEW,
    OLD,
    PATH,
    Clinic,
    at_root,
    check,
    only_with_ns,
    with_narrow_accept,
    with_ns,
)

SIGNATURES = tuple(artifact(NEW, each) for each in (b"{}", b"[]"))
STRANGE = str(Digest.of(b"strange"))
REFERRERS = When(path="/referrers/")
SECOND_BLOB = When(path="/blobs/", first=2)
HTML = (("Content-Type", "text/html; charset=utf-8"),)
EMPTY_INDEX = b'{"schemaVersion":2,"manifests":[]}'
INDEX_TYPE = (("Content-Type", str(mediatype.OCI_INDEX)),)
NO_REFERRERS_EVER = Status(200, INDEX_TYPE, EMPTY_INDEX, when=REFERRERS)

Setting = Callable[[Clinic], None]
Outcome = tuple[Topic, str, Mark, Setting]


def plays(*faults: Fault) -> Setting:
    return lambda pair: pair.mirror.play(*faults)


def guards(guard: Callable[[Clinic], object]) -> Setting:
    def setting(pair: Clinic) -> None:
        pair.mirror.guard = guard(pair)  # type: ignore[assignment] # one of the guards, each an Answer

    return setting


def with_tokens(pair: Clinic) -> None:
    tokens = TokenService()
    pair.mirror.mounts, pair.mirror.guard = (tokens,), BearerGuard(tokens)


def without_digest_on_head(pair: Clinic) -> None:
    pair.mirror.play(Header("Docker-Content-Digest", None, when=HEADS))


def moving(pair: Clinic) -> None:
    pair.holds(NEW, OLD)
    digests = (OLD.digest, OLD.digest, NEW.digest)
    pair.mirror.play(TagHistory(digests, when=BY_TAG))


def stale(pair: Clinic) -> None:
    pair.mirror.shelf = type(pair.mirror.shelf)()
    pair.holds(OLD)


def stale_with_the_current(pair: Clinic) -> None:
    pair.holds(OLD, NEW)


def signs(*at_mirror: int) -> Setting:
    """Upstream has two signatures, the mirror some of them."""

    def setting(pair: Clinic) -> None:
        for each in SIGNATURES:
            put(pair.upstream.shelf, PATH, each)
        for number in at_mirror:
            put(pair.mirror.shelf, PATH, SIGNATURES[number])

    return setting


def both(*settings: Setting) -> Setting:
    def setting(pair: Clinic) -> None:
        for each in settings:
            each(pair)

    return setting


def holds_one_image(pair: Clinic) -> None:
    """One manifest in Docker's types, and no index."""
    image = as_docker(NEW.images[0])
    pair.publishes(image)
    pair.holds(image)


def narrow(data: bytes, kind: mediatype.MediaType) -> Setting:
    return plays(with_narrow_accept(Status(200, (("Content-Type", str(kind)),), data)))


OUTCOMES: list[Outcome] = [
    (Topic.API, "v2", Mark.NOTE, plays()),
    (Topic.API, "v2", Mark.NOTE, plays(Header("Docker-Distribution-API-Version", None))),
    (Topic.API, "not-v2", Mark.NOTE, plays(at_root(Status(404)))),
    (Topic.API, "web-page", Mark.NOTE, plays(at_root(Status(200, HTML, b"<p>")))),
    (Topic.API, "unknown", Mark.UNKNOWN, plays(at_root(Reset()))),
    (Topic.API, "broken", Mark.BAD, plays(at_root(Gzip()))),
    (Topic.LOGIN, "none", Mark.GOOD, plays()),
    (Topic.LOGIN, "basic", Mark.UNKNOWN, guards(lambda _: BasicGuard({"a": "b"}))),
    (Topic.LOGIN, "bearer", Mark.GOOD, with_tokens),
    (
        Topic.LOGIN,
        "bearer",
        Mark.UNKNOWN,
        guards(lambda _: BearerGuard(TokenService(), challenge='Bearer realm="x"')),
    ),
    (
        Topic.LOGIN,
        "unreadable",
        Mark.UNKNOWN,
        guards(lambda _: BearerGuard(TokenService(), challenge="Negotiate")),
    ),
    (
        Topic.LOGIN,
        "unreadable",
        Mark.NOTE,
        plays(at_root(Status(401, (("WWW-Authenticate", "Basic " + "x" * 9000),)))),
    ),
    (Topic.HEAD, "honest", Mark.GOOD, plays()),
    (Topic.HEAD, "moved", Mark.GOOD, moving),
    (Topic.HEAD, "silent", Mark.NOTE, without_digest_on_head),
    (Topic.HEAD, "refused", Mark.NOTE, plays(no_head())),
    (Topic.HEAD, "alone", Mark.NOTE, plays(Status(404, when=When("GET", "/manifests/")))),
    (Topic.HEAD, "lies", Mark.BAD, plays(Header("Docker-Content-Digest", STRANGE, when=HEADS))),
    (
        Topic.HEAD,
        "lies",
        Mark.BAD,
        plays(Header("Docker-Content-Digest", STRANGE, when=When("GET", "/manifests/1.4"))),
    ),
    (Topic.HEAD, "unknown", Mark.UNKNOWN, plays(Reset(when=HEADS))),
    (Topic.HEAD, "unknown", Mark.UNKNOWN, plays(Status(503, when=MANIFESTS))),
    (
        Topic.HEAD,
        "unknown",
        Mark.UNKNOWN,
        plays(
            Header("Docker-Content-Digest", STRANGE, when=HEADS),
            Status(500, when=When("HEAD", "/manifests/", first=3)),
        ),
    ),
    (Topic.HEAD, "unasked", Mark.UNASKED, plays(Status(404, when=MANIFESTS))),
    (
        Topic.HEAD,
        "unasked",
        Mark.UNASKED,
        plays(
            Header("Content-Type", str(mediatype.SCHEMA1_SIGNED), when=MANIFESTS),
            Header("Docker-Content-Digest", STRANGE, when=MANIFESTS),
        ),
    ),
    (Topic.BY_DIGEST, "served", Mark.GOOD, plays()),
    (Topic.BY_DIGEST, "served", Mark.GOOD, holds_one_image),
    (Topic.BY_DIGEST, "current", Mark.GOOD, stale_with_the_current),
    (Topic.BY_DIGEST, "not-current", Mark.NOTE, stale),
    (
        Topic.BY_DIGEST,
        "not-served",
        Mark.NOTE,
        both(holds_one_image, plays(Status(404, when=When("GET", "/manifests/sha256:")))),
    ),
    (
        Topic.BY_DIGEST,
        "incomplete",
        Mark.NOTE,
        plays(Status(404, when=When("GET", "/manifests/sha256:"))),
    ),
    (
        Topic.BY_DIGEST,
        "falsified",
        Mark.BAD,
        both(stale, plays(ServeOther(OLD.digest, when=When("GET", "/manifests/sha256:", last=1)))),
    ),
    (
        Topic.BY_DIGEST,
        "falsified",
        Mark.BAD,
        plays(ServeOther(NEW.digest, when=When("GET", "/manifests/sha256:"))),
    ),
    (
        Topic.BY_DIGEST,
        "unknown",
        Mark.UNKNOWN,
        plays(Status(500, when=When("GET", "/manifests/sha256:"))),
    ),
    (
        Topic.BY_DIGEST,
        "unknown",
        Mark.UNKNOWN,
        both(stale, plays(Status(500, when=When("GET", "/manifests/sha256:")))),
    ),
    (Topic.ACCEPT, "ignored", Mark.GOOD, plays()),
    (Topic.ACCEPT, "followed", Mark.GOOD, plays(with_narrow_accept(Status(404)))),
    (
        Topic.ACCEPT,
        "picks",
        Mark.NOTE,
        narrow(NEW.images[0].manifest, NEW.images[0].media_type),
    ),
    (
        Topic.ACCEPT,
        "converts",
        Mark.NOTE,
        narrow(reserialised(NEW).manifest, NEW.media_type),
    ),
    (
        Topic.ACCEPT,
        "converts",
        Mark.NOTE,
        both(
            holds_one_image,
            narrow(oci(as_docker(NEW.images[0])).manifest, mediatype.OCI_MANIFEST),
        ),
    ),
    (Topic.ACCEPT, "schema1", Mark.NOTE, plays(Schema1(when=MANIFESTS))),
    (Topic.ACCEPT, "unknown", Mark.UNKNOWN, plays(with_narrow_accept(Status(500)))),
    (Topic.ACCEPT, "broken", Mark.BAD, plays(with_narrow_accept(Gzip()))),
    (Topic.REFERRERS, "real", Mark.GOOD, signs(0, 1)),
    (Topic.REFERRERS, "incomplete", Mark.NOTE, signs(1)),
    (Topic.REFERRERS, "plausible", Mark.GOOD, plays()),
    (Topic.REFERRERS, "unproven", Mark.GOOD, plays(NO_REFERRERS_EVER)),
    (Topic.REFERRERS, "hard-coded", Mark.NOTE, both(signs(0, 1), plays(NO_REFERRERS_EVER))),
    (Topic.REFERRERS, "empty", Mark.NOTE, signs()),
    (Topic.REFERRERS, "absent", Mark.NOTE, plays(no_referrers())),
    (Topic.REFERRERS, "absent", Mark.NOTE, plays(Status(405, when=REFERRERS))),
    (Topic.REFERRERS, "wrong-type", Mark.NOTE, plays(Status(200, HTML, b"<p>", when=REFERRERS))),
    (
        Topic.REFERRERS,
        "wrong-type",
        Mark.NOTE,
        plays(Status(200, INDEX_TYPE, NEW.images[0].manifest, when=REFERRERS)),
    ),
    (Topic.REFERRERS, "unknown", Mark.UNKNOWN, plays(Status(500, when=REFERRERS))),
    (Topic.REFERRERS, "broken", Mark.BAD, plays(Gzip(when=REFERRERS))),
    (Topic.RANGE, "honoured", Mark.GOOD, plays()),
    (Topic.RANGE, "ignored", Mark.NOTE, plays(RangeIgnored(when=BLOBS))),
    (Topic.RANGE, "refused", Mark.NOTE, plays(Status(416, when=When(path="/blobs/", last=1)))),
    (Topic.RANGE, "wrong", Mark.NOTE, plays(RangeShifted(-1, when=BLOBS))),
    (Topic.RANGE, "wrong", Mark.NOTE, plays(RangeShifted(-1, lies=True, when=BLOBS))),
    (Topic.RANGE, "wrong", Mark.NOTE, plays(Header("Content-Range", None, when=BLOBS))),
    (Topic.RANGE, "no-blob", Mark.NOTE, plays(Status(404, when=BLOBS))),
    (Topic.RANGE, "falsified", Mark.BAD, plays(FlipByte(20, when=BLOBS))),
    (
        Topic.RANGE,
        "falsified",
        Mark.BAD,
        plays(RangeIgnored(when=BLOBS), FlipByte(20, when=BLOBS)),
    ),
    (Topic.RANGE, "unknown", Mark.UNKNOWN, plays(Status(503, when=BLOBS))),
    (Topic.RANGE, "unknown", Mark.UNKNOWN, plays(Truncate(10, when=BLOBS))),
    (
        Topic.RANGE,
        "broken",
        Mark.BAD,
        plays(RangeIgnored(when=BLOBS), Longer(b"x", chunked=True, when=BLOBS)),
    ),
    (
        Topic.RANGE,
        "broken",
        Mark.BAD,
        plays(RangeShifted(-1, when=BLOBS), Longer(b"x", chunked=True, when=SECOND_BLOB)),
    ),
    (
        Topic.RANGE,
        "unknown",
        Mark.UNKNOWN,
        plays(RangeShifted(-1, when=BLOBS), Reset(when=SECOND_BLOB)),
    ),
    (
        Topic.RANGE,
        "unasked",
        Mark.UNASKED,
        plays(Status(404, when=When("GET", "/manifests/sha256:"))),
    ),
    (
        Topic.NAMESPACE,
        "understood",
        Mark.GOOD,
        plays(with_ns(Header("OCI-Namespace", "docker.io"))),
    ),
    (
        Topic.NAMESPACE,
        "another",
        Mark.NOTE,
        both(stale_with_the_current, plays(with_ns(TagHistory((NEW.digest,))))),
    ),
    (Topic.NAMESPACE, "ignored", Mark.GOOD, plays()),
    (Topic.NAMESPACE, "ignored", Mark.GOOD, plays(no_head())),
    (Topic.NAMESPACE, "needed", Mark.NOTE, plays(only_with_ns())),
    (Topic.NAMESPACE, "refused", Mark.NOTE, plays(with_ns(Status(400)))),
    (Topic.NAMESPACE, "unknown", Mark.UNKNOWN, plays(with_ns(Reset()))),
    (Topic.NAMESPACE, "unasked", Mark.UNASKED, plays(Reset(when=HEADS))),
    (Topic.NAMESPACE, "unasked", Mark.UNASKED, plays(Status(404, when=MANIFESTS))),
    (Topic.REDIRECTS, "none", Mark.GOOD, plays()),
    (Topic.REDIRECTS, "unasked", Mark.UNASKED, plays(Status(404, when=MANIFESTS))),
    (Topic.RATE_LIMIT, "untold", Mark.GOOD, plays()),
    (Topic.RATE_LIMIT, "told", Mark.GOOD, plays(Header("RateLimit-Remaining", "98;w=21600"))),
    (Topic.RATE_LIMIT, "used-up", Mark.UNKNOWN, plays(rate_limited("30", when=MANIFESTS))),
    (Topic.RATE_LIMIT, "used-up", Mark.UNKNOWN, plays(rate_limited(when=REFERRERS))),
]


@pytest.mark.parametrize(
    "outcome", OUTCOMES, ids=[f"{at}-{each[0]}-{each[1]}" for at, each in enumerate(OUTCOMES)]
)
def test_a_mirror_that_behaves_so_is_said_to(pair: Clinic, outcome: Outcome) -> None:
    topic, answer, mark, setting = outcome
    setting(pair)
    report = pair.examine()
    found = check(report, topic)
    assert (found.answer, found.mark) == (answer, mark), found
    assert found.text
    assert (report.decision is Decision.DENY) == has_bad(report)
    assert report.sent <= FEW


def has_bad(report: MirrorReport) -> bool:
    marks = [*(each.mark for each in report.checks), *(each.mark for each in report.images)]
    return Mark.BAD in marks


def test_redirects_name_the_hosts(pair: Clinic) -> None:
    pair.mirror.play(Redirect(f"{pair.upstream.url}{{path}}", when=BLOBS))
    report = pair.examine()
    assert check(report, Topic.REDIRECTS).text == f"blobs to {pair.upstream.host}"
    assert report.redirects == {"manifests": (), "blobs": (pair.upstream.host,)}


def test_every_answer_is_the_outcome_of_a_test() -> None:
    tested = {(topic, answer) for topic, answer, _, _ in OUTCOMES}
    tested.add((Topic.REDIRECTS, "elsewhere"))
    assert {(topic, each) for topic, answers in ANSWERS.items() for each in answers} <= tested


def test_a_trimmed_mirror_is_said_to_be_one(pair: Clinic) -> None:
    pair.mirror.shelf = type(pair.mirror.shelf)()
    pair.holds(trimmed(NEW, NEW.images[0].platform))
    report = pair.examine()
    assert report.sentence.endswith("its tag names fewer platforms")


def test_a_body_that_is_no_manifest_forbids_the_mirror(pair: Clinic) -> None:
    pair.mirror.play(Body(b"{}", when=MANIFESTS))
    report = pair.examine()
    assert report.decision is Decision.DENY
    assert report.images[0].mark is Mark.BAD
