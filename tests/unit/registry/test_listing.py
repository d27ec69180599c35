import json
import time
from collections.abc import Iterator

import pytest

from imgverify.errors import ContentError, LimitExceeded, Malformed, NotFound, Unreachable
from imgverify.oci import limits
from imgverify.oci.mediatype import MediaType
from imgverify.registry import session as session_module
from imgverify.serve.loopback import Request, Response
from tests.support.faults import Body, Endless, Header, LoopingPages, Reset, Status, When
from tests.support.faults import no_referrers as without_api
from tests.support.image import artifact, index, put
from tests.support.registry import FakeRegistry
from tests.unit.registry.scene import IMAGE, OTHER, PATH, TAG, repository, stock

TAGS = When(path="/tags/list")
REFERRERS = When(path="/referrers/")
SIGNATURE, BILL = artifact(IMAGE, b"signature"), artifact(IMAGE, b"bill", "application/bill")
FALLBACK = f"sha256-{IMAGE.digest.encoded}"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_BACKOFF", 0.001)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield stock(running)


def tags(registry: FakeRegistry, *also: str, seconds: float = 5.0) -> tuple[str, ...]:
    with repository(registry, *also, seconds=seconds) as remote:
        return remote.tags()


def paged(link: str) -> FakeRegistry:
    """A registry with three tags on two pages; `link` is the header of the first."""

    def pages(request: Request) -> Response | None:
        if not request.path.endswith("/tags/list"):
            return None
        last = dict(request.query).get("last")
        listed = ["c"] if last else ["a", "b"]
        headers = () if last else (("Link", link),)
        return Response(200, headers, json.dumps({"name": PATH, "tags": listed}).encode())

    return FakeRegistry(mounts=[pages])


@pytest.mark.parametrize(
    "link",
    [
        '</v2/library/app/tags/list?last=b>; rel="next"',
        "<?last=b>;rel=next",
        '<list?last=b> ; REL = "Next"',
        '</v2/x>; rel="prev", <?last=b>; rel="next"',
        '<?last=b>; title="a, b"; rel="next"',
        '<?last=b>; rel="next"; title="x", </v2/y>; rel="first"',
        '<?last=b>; rel="prefetch next"',
    ],
)
def test_pages_are_followed_in_every_spelling_of_a_link(link: str) -> None:
    with paged(link) as fake:
        assert tags(fake) == ("a", "b", "c")


@pytest.mark.parametrize(
    "link", ["", "garbage", '<?last=b>; rel="prev"', '<?last=b>; rel="nextish"']
)
def test_a_link_to_something_else_is_not_a_next_page(link: str) -> None:
    with paged(link) as fake:
        assert tags(fake) == ("a", "b")


@pytest.mark.parametrize("target", ["http://{thief}/x", "//{thief}/x", "https://{own}/x"])
def test_server_urls_one_door_a_next_page_elsewhere_is_refused(target: str) -> None:
    with FakeRegistry() as thief, paged("") as fake:
        link = f'<{target.format(thief=thief.host, own=fake.host)}>; rel="next"'
        fake.play(Header("Link", link, when=TAGS))
        with pytest.raises(Malformed, match="another host"):
            tags(fake, thief.host)
        assert thief.requests == ()


@pytest.mark.parametrize("target", ["http://u:p@{own}/x", "\\\\evil.test", "http:///x"])
def test_server_urls_one_door_a_next_page_that_is_no_plain_url_is_refused(target: str) -> None:
    with paged("") as fake:
        fake.play(Header("Link", f'<{target.format(own=fake.host)}>; rel="next"', when=TAGS))
        with pytest.raises(Malformed):
            tags(fake)


def test_a_link_header_beyond_the_limit_is_refused_and_not_cut(fake: FakeRegistry) -> None:
    fake.play(Header("Link", "<" * limits.URL_LENGTH + '<?last=b>; rel="next"', when=TAGS))
    start = time.perf_counter()
    with pytest.raises(LimitExceeded, match="Link header"):
        tags(fake)
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("fresh", [True, False])
def test_pagination_fanout_pages_without_end_are_refused(
    fake: FakeRegistry, *, fresh: bool
) -> None:
    fake.play(LoopingPages(fresh, when=TAGS))
    with pytest.raises(LimitExceeded, match=f"more than {limits.TAG_PAGES} pages"):
        tags(fake)
    assert fake.count(path="/tags/") == limits.TAG_PAGES


def test_pagination_fanout_more_tags_than_anybody_reads_are_refused(fake: FakeRegistry) -> None:
    many = [f"t{number}" for number in range(limits.TAGS + 1)]
    fake.play(Body(json.dumps({"tags": many}).encode(), when=TAGS))
    with pytest.raises(LimitExceeded, match="tags"):
        tags(fake)


@pytest.mark.parametrize(
    "page",
    [
        b"[]",
        b"{",
        b'{"tags": {"a": 1}}',
        b'{"tags": [1]}',
        b'{"tags": ["a b"]}',
        b'{"tags": ["\\u001b"]}',
    ],
)
def test_a_list_that_is_none_is_refused(fake: FakeRegistry, page: bytes) -> None:
    fake.play(Body(page, when=TAGS))
    with pytest.raises(ContentError):
        tags(fake)


@pytest.mark.parametrize("page", [b"{}", b'{"tags": null}', b'{"tags": []}'])
def test_a_list_may_be_empty(fake: FakeRegistry, page: bytes) -> None:
    fake.play(Body(page, when=TAGS))
    assert tags(fake) == ()


def test_a_tag_is_listed_once(fake: FakeRegistry) -> None:
    fake.play(Body(b'{"tags": ["b", "a", "b"]}', when=TAGS))
    assert tags(fake) == ("b", "a")


def test_slow_and_endless_a_list_without_end_is_refused(fake: FakeRegistry) -> None:
    fake.play(Endless(when=TAGS))
    with pytest.raises(LimitExceeded):
        tags(fake)


def test_a_page_that_breaks_off_is_asked_for_again(fake: FakeRegistry) -> None:
    fake.play(Reset(3, when=When(path="/tags/", last=2)))
    assert tags(fake) == (TAG,)
    assert fake.count(path="/tags/") == 3


def test_an_unknown_repository_is_not_found() -> None:
    with FakeRegistry() as fake, pytest.raises(NotFound):
        tags(fake)


# --- referrers --------------------------------------------------------------------------------


def test_referrers_come_from_the_api_and_the_tag_each_once(fake: FakeRegistry) -> None:
    put(fake.shelf, PATH, SIGNATURE)
    put(fake.shelf, PATH, index((SIGNATURE, BILL)), FALLBACK)
    with repository(fake) as remote:
        listed = remote.referrers(IMAGE.digest)
    assert listed.has_api
    assert {each.digest for each in listed.descriptors} == {SIGNATURE.digest, BILL.digest}
    assert len(listed.descriptors) == 2


def test_referrers_of_one_type(fake: FakeRegistry) -> None:
    put(fake.shelf, PATH, SIGNATURE)
    put(fake.shelf, PATH, BILL)
    with repository(fake) as remote:
        listed = remote.referrers(IMAGE.digest, MediaType("application/bill"))
    assert [each.digest for each in listed.descriptors] == [BILL.digest]


@pytest.mark.parametrize("status", [400, 404, 405, 406, 501])
def test_without_the_api_the_tag_alone_counts(fake: FakeRegistry, status: int) -> None:
    put(fake.shelf, PATH, index((SIGNATURE,)), FALLBACK)
    fake.play(Status(status, when=REFERRERS))
    with repository(fake) as remote:
        listed = remote.referrers(IMAGE.digest)
    assert not listed.has_api
    assert [each.digest for each in listed.descriptors] == [SIGNATURE.digest]


def test_a_page_of_html_is_no_api(fake: FakeRegistry) -> None:
    fake.play(Header("Content-Type", "text/html", when=REFERRERS))
    with repository(fake) as remote:
        assert not remote.referrers(IMAGE.digest).has_api


def test_a_fallback_tag_that_names_an_image_names_no_referrers(fake: FakeRegistry) -> None:
    put(fake.shelf, PATH, OTHER, FALLBACK)
    fake.play(without_api())
    with repository(fake) as remote:
        assert remote.referrers(IMAGE.digest).descriptors == ()


def test_a_lookup_that_failed_is_not_an_empty_one(fake: FakeRegistry) -> None:
    fake.play(Status(500, when=REFERRERS))
    with repository(fake) as remote, pytest.raises(Unreachable, match="500"):
        remote.referrers(IMAGE.digest)


def test_pagination_fanout_referrers_without_end_are_refused(fake: FakeRegistry) -> None:
    fake.play(LoopingPages(fresh=True, when=REFERRERS))
    with repository(fake) as remote, pytest.raises(LimitExceeded, match="8 pages"):
        remote.referrers(IMAGE.digest)
    assert fake.count(path="/referrers/") == limits.REFERRER_PAGES


def test_pagination_fanout_more_referrers_than_are_looked_at_are_refused(
    fake: FakeRegistry,
) -> None:
    for number in range(limits.REFERRERS + 1):
        each = artifact(IMAGE, f"{number}".encode())
        fake.shelf.put_manifest(PATH, each.manifest, each.media_type)
    with repository(fake) as remote, pytest.raises(LimitExceeded, match="manifests refer to"):
        remote.referrers(IMAGE.digest)
