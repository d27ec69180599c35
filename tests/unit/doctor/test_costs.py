"""How much is asked: of a mirror, of upstream, and of a mirror that wants to be asked for ever."""

from itertools import pairwise

import pytest

from imgverify.doctor.judgement import Use
from imgverify.oci import limits
from imgverify.verdict import Decision
from tests.support.fault import BLOBS, When
from tests.support.faults import Redirect, Status, no_referrers
from tests.support.image import artifact, put
from tests.support.registry import FakeRegistry, Shelf
from tests.support.tokens import BearerGuard, TokenService
from tests.unit.doctor.scene import FEW, NEW, OLD, PATH, TAG, Clinic, Item, examine, hopping, place


def test_what_a_mirror_is_asked_for_one_image(pair: Clinic) -> None:
    report = pair.examine()
    assert report.sent == pair.mirror.count() == 9


@pytest.mark.parametrize("tagged", [NEW, OLD], ids=["identical", "stale"])
def test_logins_redirects_and_signatures_keep_within_the_bound(pair: Clinic, tagged: Item) -> None:
    tokens, images = TokenService(), (pair.image(),)
    put(pair.upstream.shelf, PATH, artifact(NEW))
    pair.mirror.shelf = Shelf()
    pair.holds(tagged, NEW)
    pair.mirror.mounts, pair.mirror.guard = (tokens,), BearerGuard(tokens)
    with FakeRegistry(pair.mirror.shelf) as store:
        pair.mirror.play(Redirect(f"{store.url}{{path}}", when=BLOBS))
        places = (place(pair.mirror, *images),)
        (report,) = examine(places, images, pair.upstream, pair.mirror, store)
        assert report.sent == pair.mirror.count() + store.count() <= FEW
        assert report.redirects["blobs"] == (store.host,)
    assert report.use is (Use.DIGESTS_ONLY if tagged is OLD else Use.TAGS_AND_DIGESTS)


def test_a_further_image_costs_little(pair: Clinic) -> None:
    tags, costs = [TAG], []
    for number in range(3):
        pair.mirror.forget()
        report = pair.examine(*map(pair.image, tags))
        assert report.sent == pair.mirror.count()
        costs.append(report.sent)
        tags.append(f"1.{number + 5}")
        put(pair.upstream.shelf, PATH, NEW, tags[-1])
        put(pair.mirror.shelf, PATH, OLD, tags[-1])
    assert [two - one for one, two in pairwise(costs)] == [2, 2]


def test_upstream_is_asked_what_its_tag_names_and_what_refers_to_that(pair: Clinic) -> None:
    pair.examine()
    asked = [
        (each.method, each.path.removeprefix(f"/v2/{PATH}")) for each in pair.upstream.requests
    ]
    assert asked == [
        ("HEAD", f"/manifests/{TAG}"),
        ("GET", f"/referrers/{NEW.digest}"),
        ("GET", f"/manifests/sha256-{NEW.digest.encoded}"),
    ]


def test_several_mirrors_cost_upstream_no_more(pair: Clinic) -> None:
    images = (pair.image(),)
    with FakeRegistry(pair.mirror.shelf) as other:
        places = tuple(place(each, *images) for each in (pair.mirror, other))
        reports = examine(places, images, pair.upstream, pair.mirror, other)
    assert [each.use for each in reports] == [Use.TAGS_AND_DIGESTS] * 2
    assert pair.upstream.count() == 3


def test_pagination_fanout_who_redirects_every_request_is_left_in_time(pair: Clinic) -> None:
    pair.mirror.play(hopping(limits.REDIRECTS))
    report = pair.examine()
    assert report.sent == pair.mirror.count() == limits.PROBE_REQUESTS
    assert report.decision is Decision.INCONCLUSIVE
    assert any("requests were made already" in each.text for each in report.checks)


def test_who_gives_no_proper_answer_is_not_asked_much_more(pair: Clinic) -> None:
    pair.mirror.play(hopping(limits.REDIRECTS + 1))
    report = pair.examine()
    assert report.sent == 1 + limits.PROBE_FAILURES * (limits.REDIRECTS + 1)
    assert any(each.text.startswith("not asked: 2 questions") for each in report.checks)


def test_nothing_is_asked_again_because_it_failed(pair: Clinic) -> None:
    pair.mirror.play(Status(503, when=When(path="/referrers/")))
    pair.examine()
    assert pair.mirror.count(path="/referrers/") == 1


def test_a_mirror_without_the_api_is_asked_for_referrers_once(pair: Clinic) -> None:
    pair.mirror.play(no_referrers())
    pair.examine()
    assert pair.mirror.count(path="/referrers/") == 1
