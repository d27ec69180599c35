"""The registry client against the tests' own registry and three real ones: the same answers."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from imgverify.errors import NotFound, Side
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry.client import Network, RemoteRepository
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from tests.support.image import AMD64, artifact, index, multi_platform, put, release
from tests.support.processes import KINDS, running_registry
from tests.support.push import push_shelf
from tests.support.registry import FakeRegistry, Shelf

PATH = "library/app"
WHOLE = multi_platform("app", "1.4.2")
IMAGE = release("app", "1.4.2", AMD64)
SIGNATURE = artifact(IMAGE)
FALLBACK = f"sha256-{IMAGE.digest.encoded}"
TAGS = tuple(sorted(("1.4", "single", *(f"t{number:03}" for number in range(120)))))
LAYER = IMAGE.layers[0]


@dataclass(frozen=True, slots=True)
class Registered:
    kind: str
    remote: RemoteRepository

    def named(self, tag: str | None = None, digest: Digest | None = None) -> Reference:
        return Reference(self.remote.repository, tag, digest)


def _shelf(*, fallback: bool) -> Shelf:
    shelf = Shelf()
    put(shelf, PATH, WHOLE, "1.4")
    put(shelf, PATH, IMAGE, "single")
    for tag in TAGS:
        if tag.startswith("t"):
            shelf.tag(PATH, tag, IMAGE.digest)
    put(shelf, PATH, SIGNATURE)
    if fallback:
        put(shelf, PATH, index((SIGNATURE,)), FALLBACK)
    return shelf


@contextlib.contextmanager
def _running(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    shelf = _shelf(fallback=kind in ("docker-registry", "distribution"))
    if kind == "fake":
        with FakeRegistry(shelf) as fake:
            yield fake.host
    else:
        with running_registry(kind, tmp_path_factory.mktemp(kind)) as host:
            push_shelf(host, shelf)
            yield host


@pytest.fixture(
    scope="module",
    params=[
        "fake",
        *(pytest.param(kind, marks=pytest.mark.system(kind)) for kind in KINDS),
    ],
)
def registered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registered]:
    kind: str = request.param
    with _running(kind, tmp_path_factory) as host:
        registry = Registry.parse(host)
        settings = NetworkSettings(insecure_http=frozenset({registry}))
        with Network(settings, CredentialStore(), Deadline.after(120)) as network:
            yield Registered(kind, network.at(Repository(registry, PATH), Side.MIRROR))


@pytest.mark.parametrize(("tag", "digest"), [("1.4", WHOLE.digest), ("single", IMAGE.digest)])
def test_a_tag_is_resolved(registered: Registered, tag: str, digest: Digest) -> None:
    assert registered.remote.resolve(registered.named(tag)).digest == digest


def test_a_manifest_by_tag_and_by_digest_is_the_same(registered: Registered) -> None:
    by_tag = registered.remote.manifest(registered.named("1.4"))
    by_digest = registered.remote.manifest(registered.named(digest=WHOLE.digest))
    assert by_tag.manifest == by_digest.manifest
    assert by_tag.claimed == by_tag.manifest.digest == WHOLE.digest


def test_a_child_is_had_by_digest_and_what_is_absent_is_not(registered: Registered) -> None:
    host = str(registered.remote.repository.registry)
    assert registered.remote.vouching_hosts(WHOLE.images[0].digest) == (host,)
    assert registered.remote.vouching_hosts(Digest.of(b"absent")) == ()


@pytest.mark.parametrize("offset", [0, 1, len(LAYER.blob) - 1])
def test_a_blob_is_read_from_an_offset(registered: Registered, offset: int) -> None:
    with registered.remote.blob(LAYER.descriptor, offset) as (chunks, start):
        assert b"".join(bytes(each) for each in chunks) == LAYER.blob[start:]
    assert start == offset


def test_what_is_absent_is_not_found(registered: Registered) -> None:
    remote, absent = registered.remote, Digest.of(b"absent")
    with pytest.raises(NotFound) as caught:
        remote.manifest(registered.named("absent"))
    assert caught.value.side is Side.MIRROR
    for reference in (registered.named("absent"), registered.named(digest=absent)):
        with pytest.raises(NotFound):
            remote.resolve(reference)
    lost = type(LAYER.descriptor)(LAYER.media_type, absent, 6)
    with pytest.raises(NotFound), remote.blob(lost):
        pass


def test_all_tags_are_listed(registered: Registered) -> None:
    tags = set(registered.remote.tags()) - {FALLBACK}
    assert tags == set(TAGS)


def test_tags_in_pages_are_all_listed(
    registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Real registries give pages only to who asks for them.
    fetch = registered.remote._fetch_page
    pages = 0

    def small(target: object, accept: str) -> object:
        nonlocal pages
        pages += 1
        return fetch(f"{target}?n=50" if isinstance(target, str) else target, accept)  # type: ignore[arg-type]

    monkeypatch.setattr(registered.remote, "_fetch_page", small)
    tags = registered.remote.tags()
    assert set(tags) - {FALLBACK} == set(TAGS)
    # distribution 2 knows no pages of tags, and gives them all at once.
    assert pages >= (1 if registered.kind == "docker-registry" else 3)


def test_what_refers_to_an_image_is_found(registered: Registered) -> None:
    found = registered.remote.referrers(IMAGE.digest)
    assert [each.digest for each in found.descriptors] == [SIGNATURE.digest]
    assert found.has_api is (registered.kind in ("fake", "olareg"))
    assert registered.remote.referrers(WHOLE.digest).descriptors == ()


def test_many_threads_read_at_once(registered: Registered) -> None:
    def read(number: int) -> bytes:
        image = WHOLE.images[number % len(WHOLE.images)]
        registered.remote.manifest(registered.named(digest=image.digest))
        layer = image.layers[-1]
        with registered.remote.blob(layer.descriptor) as (chunks, _):
            assert b"".join(bytes(each) for each in chunks) == layer.blob
        return layer.blob

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(read, range(100)))) == 100
