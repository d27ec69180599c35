"""The one line, the grades and the decision; what they rest on has tests of its own."""

from datetime import timedelta
from pathlib import Path

import pytest

from imgverify.doctor.check import Mark, Topic
from imgverify.doctor.checks import check_all
from imgverify.doctor.gather import gather
from imgverify.doctor.judgement import Use, judge
from imgverify.doctor.observation import Observed, Reply, Scheme
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Registry
from imgverify.registry.client import Network
from imgverify.registry.credentials import Credentials, CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.verdict import Decision, Grade
from tests.support.certificate import self_signed
from tests.support.fault import BLOBS, MANIFESTS, When
from tests.support.faults import (
    Header,
    Redirect,
    Reset,
    ServeOther,
    Status,
    TagHistory,
    no_referrers,
)
from tests.support.image import (
    AMD64,
    artifact,
    index,
    put,
    release,
    reserialised,
    trimmed,
)
from tests.support.registry import FakeRegistry, Shelf
from tests.support.tokens import BasicGuard
from tests.unit.doctor.scene import (
    BY_TAG,
    HEADS,
    NEW,
    NOW,
    OLD,
    PATH,
    TAG,
    Clinic,
    Item,
    at_root,
    check,
    only_with_ns,
    place,
)

FORGED = index(tuple(release("app", "1.4.2-x.9", each.platform) for each in NEW.images))
BY_DIGEST = When("GET", "/manifests/sha256:")


def only(pair: Clinic, tagged: Item | None, *untagged: Item) -> None:
    pair.mirror.shelf = Shelf()
    pair.mirror.shelf.add_repository(PATH)
    for each in untagged:
        put(pair.mirror.shelf, PATH, each)
    if tagged is not None:
        put(pair.mirror.shelf, PATH, tagged, TAG)


def test_a_mirror_as_it_should_be(pair: Clinic) -> None:
    report = pair.examine()
    assert report.use is Use.TAGS_AND_DIGESTS
    assert report.sentence == "good for tags and digests"
    assert report.decision is Decision.ALLOW
    (image,) = report.images
    assert (image.grade, image.mark, image.is_current) == (Grade.IDENTICAL, Mark.GOOD, True)
    assert image.digest == image.upstream_digest == NEW.digest


@pytest.mark.parametrize("has_current", [True, False])
def test_a_mirror_whose_tag_lags(pair: Clinic, *, has_current: bool) -> None:
    only(pair, OLD, *([NEW] if has_current else []))
    report = pair.examine()
    start = "digests only" if has_current else "does not have what upstream has now"
    assert report.use is (Use.DIGESTS_ONLY if has_current else Use.NOTHING)
    assert report.sentence.startswith(f"{start}: its tag lags by at least ")
    (image,) = report.images
    assert (image.grade, image.mark, image.is_current) == (Grade.STALE, Mark.NOTE, has_current)
    assert (image.digest, image.upstream_digest) == (OLD.digest, NEW.digest)
    assert image.age is not None
    assert image.age > timedelta(0)
    assert report.decision is Decision.ALLOW


def test_an_upstream_that_cannot_be_read_grades_nothing(pair: Clinic) -> None:
    only(pair, OLD)
    pair.upstream.play(Status(500, when=BLOBS))
    report = pair.examine()
    assert report.images[0].grade is Grade.INCONCLUSIVE
    assert "upstream's could not be read: " in report.images[0].summary
    assert report.decision is Decision.INCONCLUSIVE


@pytest.mark.parametrize(
    ("tagged", "grade", "words"),
    [
        (trimmed(NEW, AMD64), Grade.SUBSET, "its tag names fewer platforms"),
        (reserialised(NEW), Grade.REPACKAGED, "its tag names repackaged images"),
        (None, Grade.MISSING, "it does not know the tag"),
        (FORGED, Grade.INCONCLUSIVE, "another image, which upstream does not serve by digest"),
    ],
)
def test_a_mirror_that_knows_upstreams_digest_alone(
    pair: Clinic, tagged: Item | None, grade: Grade, words: str
) -> None:
    only(pair, tagged, NEW)
    report = pair.examine()
    assert report.use is Use.DIGESTS_ONLY
    assert report.sentence.startswith(f"digests only: {words}")
    assert report.images[0].grade is grade
    undecided = grade is Grade.INCONCLUSIVE
    assert report.decision is (Decision.INCONCLUSIVE if undecided else Decision.ALLOW)


def test_several_images_are_counted(pair: Clinic) -> None:
    for tag in ("1.5", "1.6", "1.7"):
        put(pair.upstream.shelf, PATH, NEW, tag)
    put(pair.mirror.shelf, PATH, OLD, "1.5")
    images = [pair.image(tag) for tag in (TAG, "1.5", "1.6", "1.7")]
    report = pair.examine(*images)
    grades = [each.grade for each in report.images]
    assert grades == [Grade.IDENTICAL, Grade.STALE, Grade.MISSING, Grade.MISSING]
    assert report.use is Use.DIGESTS_ONLY
    assert report.sentence.startswith("digests only: its tag lags by at least ")
    assert report.sentence.endswith("; it does not know the tags")


def test_a_part_is_called_a_part(pair: Clinic) -> None:
    put(pair.upstream.shelf, "library/tool", OLD, TAG)
    report = pair.examine(pair.image(), pair.image(path="library/tool"))
    assert report.use is Use.IN_PART
    assert report.sentence == "has 1 of 2 images: it does not know the tag"


def test_several_tags_lag_by_the_longest(pair: Clinic) -> None:
    only(pair, OLD)
    put(pair.upstream.shelf, PATH, NEW, "1.5")
    put(pair.mirror.shelf, PATH, OLD, "1.5")
    report = pair.examine(pair.image(), pair.image("1.5"))
    assert "its tags lag by at least" in report.sentence


def test_a_mirror_that_gives_tags_alone(pair: Clinic) -> None:
    pair.mirror.play(Status(404, when=BY_DIGEST))
    report = pair.examine()
    assert report.use is Use.IN_PART
    assert report.sentence.startswith("tags only: it does not have sha256:")


def test_a_liar_is_not_to_be_used_whatever_else_is_right(pair: Clinic) -> None:
    strange = str(Digest.of(b"strange"))
    pair.mirror.play(Header("Docker-Content-Digest", strange, when=HEADS))
    report = pair.examine()
    assert report.use is Use.DO_NOT_USE
    assert report.sentence == "do not use: its digest header lies"
    assert report.decision is Decision.DENY
    assert report.images[0].grade is Grade.IDENTICAL


def test_a_falsifier_is_not_to_be_used(pair: Clinic) -> None:
    pair.mirror.play(ServeOther(NEW.digest, when=BY_DIGEST))
    report = pair.examine()
    assert report.sentence == "do not use: it gives other bytes than it is asked for"
    assert report.decision is Decision.DENY


def test_a_web_server_is_no_registry(pair: Clinic) -> None:
    page = (("Content-Type", "text/html"),)
    pair.mirror.play(Status(200, page, b"<p>Welcome</p>"))
    report = pair.examine()
    assert report.sentence == "do not use: what answers there is no registry"
    assert report.decision is Decision.DENY


def test_nobody_at_home_is_not_known(pair: Clinic) -> None:
    pair.mirror.play(at_root(Reset()))
    report = pair.examine()
    assert report.use is Use.UNKNOWN
    assert report.sentence.startswith("could not be asked: ")
    assert report.decision is Decision.INCONCLUSIVE
    assert report.sent == 1
    assert {each.answer for each in report.checks} == {"unknown", "unasked"}


def test_who_is_not_let_in_cannot_tell(pair: Clinic) -> None:
    pair.mirror.guard = BasicGuard({"alice": "secret"})
    report = pair.examine()
    assert report.sentence == "could not be judged: the mirror answered 401"
    assert report.decision is Decision.INCONCLUSIVE
    login = check(report, Topic.LOGIN)
    assert login.text == "Basic: a user name and a password; refuses access (401)"
    assert f"docker login {pair.mirror.host}" in login.hint


def test_who_is_let_in_can_tell(pair: Clinic) -> None:
    pair.mirror.guard = BasicGuard({"alice": "secret"})
    store = CredentialStore({Registry.parse(pair.mirror.host): Credentials("alice", "secret")})
    assert pair.examine(credentials=store).decision is Decision.ALLOW


@pytest.mark.parametrize("at_upstream", [Status(503), Status(404), Reset()])
def test_an_upstream_that_says_nothing_leaves_the_tags_unjudged(
    pair: Clinic, at_upstream: Status | Reset
) -> None:
    pair.upstream.play(at_upstream)
    report = pair.examine()
    assert report.use is Use.UNKNOWN
    assert report.sentence.startswith("could not be judged: upstream did not say what it has: ")
    assert report.decision is Decision.INCONCLUSIVE
    assert check(report, Topic.HEAD).answer == "honest"
    assert check(report, Topic.REFERRERS).answer == "plausible"


def test_an_upstream_whose_signatures_cannot_be_listed(pair: Clinic) -> None:
    pair.upstream.play(Status(500, when=When(path="/referrers/")))
    empty = b'{"schemaVersion":2,"manifests":[]}'
    kind = (("Content-Type", "application/vnd.oci.image.index.v1+json"),)
    pair.mirror.play(Status(200, kind, empty, when=When(path="/referrers/")))
    found = check(pair.examine(), Topic.REFERRERS)
    assert found.answer == "unproven"
    assert "upstream could not be asked" in found.text


def test_signatures_that_the_mirror_alone_has_prove_that_it_lists(pair: Clinic) -> None:
    put(pair.mirror.shelf, PATH, artifact(NEW))
    found = check(pair.examine(), Topic.REFERRERS)
    assert (found.answer, found.text) == ("real", "lists 1 manifest")


def test_upstreams_fallback_tag_counts_as_well(pair: Clinic) -> None:
    signature = artifact(NEW)
    put(pair.upstream.shelf, PATH, index((signature,)), f"sha256-{NEW.digest.encoded}")
    pair.upstream.play(no_referrers())
    found = check(pair.examine(), Topic.REFERRERS)
    assert (found.answer, found.text.split(":")[0]) == ("empty", "empty, where upstream lists 1")


def test_compare_via_same_path_upstream_that_the_mirror_answers_for(pair: Clinic) -> None:
    pair.upstream.play(Redirect(f"{pair.mirror.url}{{path}}", when=MANIFESTS))
    report = pair.examine()
    assert report.images[0].grade is Grade.INCONCLUSIVE
    assert report.sentence.startswith("could not be judged: upstream is answered for by this")
    assert report.decision is Decision.INCONCLUSIVE


def test_upstream_itself_may_be_examined(pair: Clinic) -> None:
    itself = Clinic(pair.upstream, pair.upstream)
    assert itself.examine().use is Use.TAGS_AND_DIGESTS


def test_a_tag_that_moves_at_upstream_is_not_held_against_the_mirror(pair: Clinic) -> None:
    moving = TagHistory((OLD.digest, NEW.digest), when=When("HEAD", f"/manifests/{TAG}"))
    pair.upstream.play(moving)
    report = pair.examine()
    assert report.images[0].grade is Grade.INCONCLUSIVE
    assert "moved at upstream while mirrors were being asked" in report.images[0].summary


def test_an_image_by_digest(pair: Clinic) -> None:
    image = pair.image().pinned(NEW.digest)
    assert pair.examine(image).use is Use.TAGS_AND_DIGESTS
    pair.mirror.play(ServeOther(OLD.images[0].digest, when=MANIFESTS))
    put(pair.mirror.shelf, PATH, OLD.images[0])
    report = pair.examine(image)
    assert report.images[0].grade is Grade.DIVERGED
    assert report.decision is Decision.DENY


def test_without_an_image_only_the_server_is_judged(pair: Clinic) -> None:
    report = pair.examine_without_image()
    assert (report.use, report.decision) == (Use.UNASKED, Decision.ALLOW)
    assert report.sentence.endswith("to learn more, name an image with --image")
    assert check(report, Topic.REFERRERS).answer == "unasked"
    assert report.sent == pair.mirror.count() == 2
    assert pair.upstream.count() == 0


def test_without_an_image_the_api_of_referrers_may_show(pair: Clinic) -> None:
    pair.mirror.shelf.add_repository("imgverify/absent")
    found = check(pair.examine_without_image(), Topic.REFERRERS)
    assert (found.answer, found.mark) == ("unproven", Mark.GOOD)
    pair.mirror.play(no_referrers())
    assert check(pair.examine_without_image(), Topic.REFERRERS).answer == "absent"


def test_without_an_image_a_web_server_is_seen_through(pair: Clinic) -> None:
    pair.mirror.play(at_root(Status(404)))
    report = pair.examine_without_image()
    assert report.sentence == "does not answer as a registry does"


def test_what_needs_its_upstreams_name_is_asked_with_it(pair: Clinic) -> None:
    pair.mirror.play(only_with_ns())
    put(pair.upstream.shelf, PATH, NEW, "1.5")
    put(pair.mirror.shelf, PATH, NEW, "1.5")
    report = pair.examine(pair.image(), pair.image("1.5"))
    assert report.use is Use.TAGS_AND_DIGESTS
    assert [each.grade for each in report.images] == [Grade.IDENTICAL, Grade.IDENTICAL]
    (head, *others) = pair.mirror.seen(path="/manifests/")
    assert head.parameter("ns") is None
    assert {each.parameter("ns") for each in others} == {pair.upstream.host}


def test_a_broken_answer_is_quoted(pair: Clinic) -> None:
    pair.mirror.play(Redirect("{path}", when=BY_TAG))
    report = pair.examine()
    assert report.decision is Decision.DENY
    assert report.sentence == f"do not use: {pair.mirror.host} redirects more than 5 times"


def test_neither_side_gives_the_image(pair: Clinic) -> None:
    pair.upstream.play(Status(503))
    pair.mirror.play(Reset(when=MANIFESTS))
    report = pair.examine()
    assert check(report, Topic.REFERRERS).answer == "unasked"
    assert check(report, Topic.BY_DIGEST).answer == "unasked"
    assert check(report, Topic.HEAD).answer == "unknown"
    assert report.decision is Decision.INCONCLUSIVE


@pytest.mark.parametrize(
    ("realm", "words"),
    [
        ("token", "Bearer, and names no token server that can be asked"),
        ("https://-x-/token", "Bearer, and names no token server that can be asked"),
        ("https://auth.example/token", "Bearer: tokens from auth.example"),
    ],
)
def test_where_tokens_come_from(pair: Clinic, realm: str, words: str) -> None:
    challenge = f'Bearer realm="{realm}"'
    pair.mirror.play(at_root(Status(401, (("WWW-Authenticate", challenge),))))
    assert check(pair.examine(), Topic.LOGIN).text == words


@pytest.mark.parametrize("checked", [True, False])
def test_a_mirror_with_tls(pair: Clinic, tmp_path: Path, *, checked: bool) -> None:
    files = self_signed(tmp_path)
    images = (pair.image(),)
    with FakeRegistry(pair.mirror.shelf, certificate=files) as mirror:
        host = Registry.parse(mirror.host)
        settings = NetworkSettings(
            frozenset({images[0].registry}), frozenset() if checked else frozenset({host})
        )
        with Network(settings, CredentialStore(), Deadline.after(10)) as network:
            (report,) = judge(gather(network, (place(mirror, *images),), images), NOW)
    found = check(report, Topic.API)
    if checked:
        assert "the TLS certificate is not valid" in found.text
        assert (report.use, report.scheme) == (Use.UNKNOWN, Scheme.HTTPS)
    else:
        words = "registry/2.0, over https, its certificate not checked (--insecure-tls)"
        assert (found.text, found.mark) == (words, Mark.NOTE)
        assert (report.use, report.scheme) == (Use.TAGS_AND_DIGESTS, Scheme.UNCHECKED)


def test_a_token_server_without_tls_is_said_to_be_one() -> None:
    challenge = 'Bearer realm="http://auth.example/token"'
    greeting = Reply(401, {"www-authenticate": challenge})
    seen = Observed("m.example", Registry("m.example"), Scheme.HTTPS, greeting)
    (api, login, *_) = check_all(seen, None)
    assert (api.text, api.mark) == ("version 2, over https", Mark.GOOD)
    assert login.mark is Mark.NOTE
    assert login.text == "Bearer: tokens from auth.example over plain HTTP, which is refused"
