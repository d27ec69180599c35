import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgverify.errors import (
    DigestMismatch,
    ImgverifyError,
    InvalidReference,
    LimitExceeded,
    Malformed,
    NotFound,
    Side,
    StoreError,
    Unreachable,
)
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.manifest import Manifest
from imgverify.oci.mediatype import OCI_MANIFEST, MediaType
from imgverify.oci.reference import Reference, Registry, Repository, Route
from imgverify.registry import session as session_module
from imgverify.serve.loopback import Response
from tests.support.faults import (
    BLOBS,
    MANIFESTS,
    Body,
    Custom,
    Drip,
    Endless,
    Gzip,
    Header,
    NotModified,
    RangeIgnored,
    RangeShifted,
    Reset,
    Schema1,
    ServeOther,
    Status,
    Truncate,
    When,
    no_head,
)
from tests.support.registry import FakeRegistry
from tests.unit.registry.scene import (
    IMAGE,
    OTHER,
    PATH,
    TAG,
    everything_said,
    ipv6_works,
    named,
    network,
    repository,
    stock,
)

LAYER = IMAGE.layers[0].descriptor
HEADS = When("HEAD")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_BACKOFF", 0.001)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield stock(running)


def blob(registry: FakeRegistry, offset: int = 0, *, seconds: float = 5.0) -> tuple[bytes, int]:
    with repository(registry, seconds=seconds) as remote, remote.blob(LAYER, offset) as got:
        chunks, start = got
        return b"".join(bytes(each) for each in chunks), start


# --- what a tag names -------------------------------------------------------------------------


def test_a_tag_is_resolved_by_head_alone(fake: FakeRegistry) -> None:
    with repository(fake) as remote:
        answer = remote.resolve(named(fake.host))
    assert (answer.digest, answer.served) == (IMAGE.digest, None)
    assert answer.served_by == (fake.host,)
    assert [each.method for each in fake.requests] == ["HEAD"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Header("Docker-Content-Digest", None, when=HEADS), id="no-digest"),
        pytest.param(Header("Docker-Content-Digest", "sha256:short", when=HEADS), id="malformed"),
        pytest.param(no_head(), id="405"),
        pytest.param(Status(400, when=HEADS), id="400"),
        pytest.param(Status(501, when=HEADS), id="501"),
        pytest.param(Status(404, when=HEADS), id="404"),
    ],
)
def test_where_head_gives_no_digest_get_does(fake: FakeRegistry, fault: Header | Status) -> None:
    fake.play(fault)
    with repository(fake) as remote:
        answer = remote.resolve(named(fake.host))
    assert answer.digest == IMAGE.digest
    assert answer.served is not None


def test_a_head_that_fails_is_not_tried_by_get(fake: FakeRegistry) -> None:
    fake.play(Status(500, when=HEADS))
    with repository(fake) as remote, pytest.raises(Unreachable):
        remote.resolve(named(fake.host))
    assert fake.count("GET") == 0


@pytest.mark.parametrize("digest", [None, Digest.of(b"absent")])
def test_what_is_absent_is_not_found(fake: FakeRegistry, digest: Digest | None) -> None:
    tag = "absent" if digest is None else None
    with repository(fake, side=Side.UPSTREAM) as remote, pytest.raises(NotFound) as caught:
        remote.resolve(named(fake.host, tag, digest))
    assert caught.value.side is Side.UPSTREAM


def test_header_digest_trust_a_head_that_contradicts_the_pin_is_checked_by_bytes(
    fake: FakeRegistry,
) -> None:
    fake.play(Header("Docker-Content-Digest", str(OTHER.digest), when=HEADS))
    with repository(fake) as remote:
        answer = remote.resolve(named(fake.host, TAG, IMAGE.digest))
    assert answer.digest == IMAGE.digest
    assert answer.served is not None


# --- manifests --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [None, str(OTHER.digest), "sha512:" + "a" * 128, "sha256:", "\u00e9", "md5:" + "a" * 32]
)
def test_header_digest_trust_the_bytes_decide(fake: FakeRegistry, said: str | None) -> None:
    value = said.encode().decode("latin-1") if said else said
    fake.play(Header("Docker-Content-Digest", value and value.encode("ascii", "replace").decode()))
    with repository(fake) as remote:
        for reference in (named(fake.host), named(fake.host, None, IMAGE.digest)):
            served = remote.manifest(reference)
            assert served.manifest.digest == IMAGE.digest
            assert served.claimed in (None, OTHER.digest, _sha512())


def _sha512() -> Digest:
    return Digest.parse("sha512:" + "a" * 128)


def test_pinned_digest_ignored_other_bytes_are_a_mismatch(fake: FakeRegistry) -> None:
    fake.play(ServeOther(OTHER.digest))
    with repository(fake) as remote, pytest.raises(DigestMismatch) as caught:
        remote.manifest(named(fake.host, TAG, IMAGE.digest))
    assert caught.value.side is Side.MIRROR


def test_pinned_digest_ignored_the_digest_is_asked_for_and_not_the_tag(fake: FakeRegistry) -> None:
    with repository(fake) as remote:
        remote.manifest(named(fake.host, TAG, OTHER.digest))
    assert fake.requests[0].path.endswith(str(OTHER.digest))


def test_304_unverified_is_an_error(fake: FakeRegistry) -> None:
    fake.play(NotModified())
    with repository(fake) as remote:
        for ask in (remote.resolve, remote.manifest):
            with pytest.raises(Unreachable, match="304"):
                ask(named(fake.host))
    assert not any(each.header("If-None-Match") for each in fake.requests)


def test_registry_down_convert_every_type_is_accepted_at_once(fake: FakeRegistry) -> None:
    fake.play(Schema1())
    with repository(fake) as remote:
        assert remote.manifest(named(fake.host)).manifest.digest == IMAGE.digest


def test_registry_down_convert_a_type_other_than_the_index_said_is_refused(
    fake: FakeRegistry,
) -> None:
    wanted = MediaType("application/vnd.docker.distribution.manifest.v2+json")
    with repository(fake) as remote, pytest.raises(Malformed):
        remote.manifest(named(fake.host), wanted)
    with repository(fake) as remote:
        assert remote.manifest(named(fake.host), OCI_MANIFEST).manifest.digest == IMAGE.digest


@pytest.mark.parametrize("fault", [Reset(10), Truncate(10)])
def test_a_manifest_that_breaks_off_is_asked_for_again(
    fake: FakeRegistry, fault: Reset | Truncate
) -> None:
    fake.play(replace(fault, when=When(last=2)))
    with repository(fake) as remote:
        assert remote.manifest(named(fake.host)).manifest.digest == IMAGE.digest
    assert fake.count() == 3


def test_slow_and_endless_a_manifest_without_end_is_refused(fake: FakeRegistry) -> None:
    fake.play(Endless(when=MANIFESTS))
    with repository(fake) as remote, pytest.raises(LimitExceeded):
        remote.manifest(named(fake.host))


def test_a_registry_vouches_for_a_digest_only_by_a_fitting_answer(fake: FakeRegistry) -> None:
    absent = Digest.of(b"absent")
    with repository(fake) as remote:
        assert remote.vouching_hosts(IMAGE.digest) == (fake.host,)
        assert remote.vouching_hosts(absent) == ()
        fake.play(no_head())
        assert remote.vouching_hosts(IMAGE.digest) == (fake.host,)
        assert remote.vouching_hosts(absent) == ()
        fake.heal()
        fake.play(Header("Docker-Content-Digest", str(OTHER.digest)))
        assert remote.vouching_hosts(IMAGE.digest) == ()
        fake.heal()
        fake.play(Status(500))
        with pytest.raises(Unreachable):
            remote.vouching_hosts(IMAGE.digest)


# --- blobs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1, LAYER.size - 1])
def test_a_blob_is_read_from_an_offset(fake: FakeRegistry, offset: int) -> None:
    assert blob(fake, offset) == (IMAGE.layers[0].blob[offset:], offset)


def test_a_registry_without_ranges_starts_at_zero(fake: FakeRegistry) -> None:
    fake.play(RangeIgnored())
    assert blob(fake, 5) == (IMAGE.layers[0].blob, 0)


@pytest.mark.parametrize(
    "fault",
    [
        RangeShifted(1),
        Header("Content-Range", None),
        Header("Content-Range", "bytes 5-6/*"),
        Header("Content-Range", f"bytes 5-{LAYER.size - 1}/{LAYER.size + 1}"),
    ],
)
def test_a_range_that_was_not_asked_for_is_refused(
    fake: FakeRegistry, fault: RangeShifted | Header
) -> None:
    fake.play(fault)
    with pytest.raises(Malformed, match="answered with the range") as caught:
        blob(fake, 5)
    assert caught.value.side is Side.MIRROR


@pytest.mark.parametrize("fault", [Reset(5), Truncate(5)])
def test_a_blob_that_breaks_off_says_so_with_host_and_side(
    fake: FakeRegistry, fault: Reset | Truncate
) -> None:
    fake.play(fault)
    with pytest.raises(Unreachable, match=fake.host) as caught:
        blob(fake)
    assert caught.value.transient
    assert caught.value.side is Side.MIRROR


def test_slow_and_endless_a_blob_that_drips_ends_and_names_the_host(fake: FakeRegistry) -> None:
    fake.play(Drip(1, 0.1, when=BLOBS))
    start = time.monotonic()
    with pytest.raises(Unreachable, match=fake.host):
        blob(fake, seconds=0.3)
    assert time.monotonic() - start < 10


def test_http_decompression_a_compressed_blob_is_refused(fake: FakeRegistry) -> None:
    fake.play(Gzip())
    with pytest.raises(Malformed, match="gzip"):
        blob(fake)


def test_what_the_caller_does_with_a_blob_keeps_its_own_side(fake: FakeRegistry) -> None:
    with repository(fake) as remote:
        with pytest.raises(NotFound) as caught, remote.blob(LAYER):
            raise NotFound("elsewhere", side=Side.UPSTREAM)
        assert caught.value.side is Side.UPSTREAM
        with pytest.raises(StoreError) as stored, remote.blob(LAYER):
            raise StoreError("disk full")
        assert stored.value.side is Side.LOCAL


def test_a_config_is_read(fake: FakeRegistry) -> None:
    with repository(fake) as remote:
        manifest = remote.manifest(named(fake.host)).manifest
        assert isinstance(manifest, Manifest)
        assert remote.document(manifest.config, 10_000).data == IMAGE.config
        assert remote.config(manifest).platform == IMAGE.platform


def test_a_document_is_bounded_before_it_is_asked_for(fake: FakeRegistry) -> None:
    with repository(fake) as remote, pytest.raises(LimitExceeded) as caught:
        remote.document(LAYER, LAYER.size - 1)
    assert caught.value.side is Side.MIRROR
    assert fake.requests == ()


def test_a_document_of_other_bytes_is_a_mismatch(fake: FakeRegistry) -> None:
    fake.play(Body(b"x" * LAYER.size))
    with repository(fake) as remote, pytest.raises(DigestMismatch) as caught:
        remote.document(LAYER, LAYER.size)
    assert caught.value.side is Side.MIRROR


def test_foreign_url_creds_urls_of_a_descriptor_are_never_asked(fake: FakeRegistry) -> None:
    with FakeRegistry() as listener:
        foreign = Descriptor(LAYER.media_type, Digest.of(b"foreign"), 7)
        text = IMAGE.manifest.decode().replace(
            f'"{LAYER.digest}"', f'"{foreign.digest}", "urls": ["{listener.url}/x"]', 1
        )
        fake.shelf.put_manifest(PATH, text.encode(), IMAGE.media_type, tag="foreign")
        with network(fake.host, listener.host) as net:
            remote = net.at(named(fake.host).repository, Side.MIRROR)
            remote.manifest(named(fake.host, "foreign"))
            with pytest.raises(NotFound), remote.blob(foreign):
                pass
        assert listener.requests == ()


# --- everything else --------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.text(max_size=20))
def test_header_injection_parse_no_name_outside_its_grammar_gets_far(path: str, tag: str) -> None:
    try:
        reference = Reference(Repository(Registry("reg.test"), path), tag)
    except InvalidReference:
        return
    assert not set(f"{reference.repository.path}{reference.tag}") & set("\r\n ?#%\\@")


@pytest.mark.skipif(not ipv6_works(), reason="no IPv6 on this machine")
def test_an_ipv6_address_is_dialled_and_named_in_brackets() -> None:
    with network("[::1]:9") as net, pytest.raises(Unreachable, match=r"^\[::1\]:9: ") as caught:
        net.at(named("[::1]:9").repository, Side.MIRROR).manifest(named("[::1]:9"))
    assert "refused" in caught.value.message


@pytest.mark.parametrize(
    ("registry", "host"),
    [("docker.io", "docker.io"), ("reg.test:443", "reg.test"), ("reg.test:80", "reg.test:80")],
)
def test_a_host_has_one_name_however_it_was_written(registry: str, host: str) -> None:
    with network() as net:
        assert net.at(named(registry).repository, Side.MIRROR).host == host


def test_an_error_calls_off_what_still_runs(fake: FakeRegistry) -> None:
    with pytest.raises(StoreError), network(fake.host) as net:
        raise StoreError("disk full")
    assert net.deadline.cancelled.is_set()


def test_a_query_of_a_redirect_is_in_no_message(fake: FakeRegistry) -> None:
    with FakeRegistry(faults=[Status(403)]) as cdn:

        def away(_: object) -> Response:
            return Response(307, (("Location", f"{cdn.url}/blob?X-Amz-Sig={_signed()}"),))

        fake.play(Custom(away, when=BLOBS))
        with repository(fake, cdn.host) as remote, pytest.raises(ImgverifyError) as caught:
            remote.document(LAYER, LAYER.size)
        assert cdn.host in caught.value.message
        assert _signed() not in everything_said(caught.value)


def _signed() -> str:
    return "abc" * 4


def test_a_route_says_where_the_api_lies_and_for_whom_the_host_stands_in(
    fake: FakeRegistry,
) -> None:
    route = Route("/custom/v2", "docker.io")
    with network(fake.host) as made:
        place = replace(named(fake.host).repository, route=route)
        with pytest.raises(NotFound):
            made.at(place, Side.MIRROR).manifest(Reference(place, TAG))
    (asked,) = fake.requests
    assert (asked.path, asked.query) == (
        f"/custom/v2/{PATH}/manifests/{TAG}",
        (("ns", "docker.io"),),
    )
