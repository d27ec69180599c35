"""An upstream with mirrors, all real servers, and a place to pull to."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.local import Origin
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.pull.engine import Delivery, pull
from imgverify.pull.progress import Progress, Silence
from imgverify.registry.client import Network
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.store.base import Sink
from imgverify.store.layout import LayoutSink
from imgverify.verdict import (
    Decision,
    Explanation,
    Grade,
    MirrorResult,
    UpstreamResult,
    Verdict,
)
from tests.support.fault import When
from tests.support.image import AMD64, Image, ImageIndex, Layer, assemble, config, layer, put
from tests.support.registry import FakeRegistry

NAME = "library/app"
TAG = "1.4"
PATIENCE = 60.0


@dataclass
class Scene:
    upstream: FakeRegistry
    mirrors: tuple[FakeRegistry, ...]
    network: Network
    out: Path

    @property
    def mirror(self) -> FakeRegistry:
        return self.mirrors[0]

    @property
    def registries(self) -> tuple[FakeRegistry, ...]:
        return (*self.mirrors, self.upstream)

    def publish(self, item: Image | ImageIndex) -> None:
        """Put an image on every side."""
        for each in self.registries:
            put(each.shelf, NAME, item, TAG)

    def name(self, registry: FakeRegistry) -> Reference:
        return Reference.parse(f"{registry.host}/{NAME}:{TAG}")

    def verdict(self, digest: Digest, grades: Sequence[Grade] = ()) -> Verdict:
        """What verifying would have said; without `grades` every mirror is identical."""
        own = self.name(self.upstream)
        results = tuple(
            MirrorResult(self.name(each), grade, Explanation(""), digest)
            for each, grade in zip(
                self.mirrors, grades or [Grade.IDENTICAL] * len(self.mirrors), strict=True
            )
        )
        upstream = UpstreamResult(own, digest)
        pinned = own.pinned(digest)
        return Verdict(str(own), upstream, results, (), Decision.ALLOW, pinned)

    def pull(
        self,
        item: Image | ImageIndex,
        *platforms: Platform,
        sink: Sink | None = None,
        progress: Progress | None = None,
        grades: Sequence[Grade] = (),
        network: Network | None = None,
    ) -> Delivery:
        return pull(
            self.verdict(item.digest, grades),
            network or self.network,
            sink or LayoutSink(self.out, TAG),
            progress=progress or Silence(),
            platforms=platforms,
        )

    def repository(self, registry: FakeRegistry) -> Repository:
        return self.name(registry).repository

    def hurried(self, seconds: float) -> Network:
        """The same network, with as little time as this."""
        return Network(self.network.settings, CredentialStore(), Deadline.after(seconds))


@contextmanager
def playing(out: Path, *, mirrors: int) -> Iterator[Scene]:
    with ExitStack() as stack:
        upstream = stack.enter_context(FakeRegistry())
        others = tuple(stack.enter_context(FakeRegistry()) for _ in range(mirrors))
        hosts = frozenset(Registry.parse(each.host) for each in (upstream, *others))
        network = stack.enter_context(
            Network(NetworkSettings(hosts), CredentialStore(), Deadline.after(PATIENCE))
        )
        yield Scene(upstream, others, network, out)


def noise(seed: str, size: int) -> bytes:
    """Bytes that do not compress, the same every time."""
    return hashlib.shake_256(seed.encode()).digest(size)


def big_image(*sizes: int, seed: str = "big", platform: Platform = AMD64) -> Image:
    """An image whose layers have about these sizes."""
    layers = tuple(
        layer({f"{number}.bin": noise(f"{seed}{number}", size)}, level=0)
        for number, size in enumerate(sizes)
    )
    return image_of(layers, platform)


def image_of(layers: tuple[Layer, ...], platform: Platform = AMD64) -> Image:
    text = config(platform, layers, created="2026-03-02T08:30:00Z", command="/bin/app")
    return assemble(text, layers, platform)


def blob_of(image: Image, position: int = 0) -> Digest:
    return image.layers[position].descriptor.digest


def on_blob(digest: Digest, *, first: int = 1, last: int | None = None) -> When:
    return When("GET", f"/blobs/{digest}", first, last)


def ranges(registry: FakeRegistry, digest: Digest) -> list[str | None]:
    """The Range header of every request for a blob, in order."""
    return [each.header("Range") for each in registry.seen("GET", f"/blobs/{digest}")]


def root_of(path: Path) -> dict[str, object]:
    """The only entry of a layout's index."""
    (entry,) = json.loads((path / "index.json").read_bytes())["manifests"]
    assert isinstance(entry, dict)
    return entry


def assert_layout(path: Path, *images: Image | ImageIndex) -> None:
    """All of these documents and blobs lie there, with their own bytes, and nothing half done."""
    assert sorted(each.name for each in path.iterdir()) == ["blobs", "index.json", "oci-layout"]
    wanted = {Digest.of(data): data for each in images for data in _contents(each)}
    folder = path / "blobs" / "sha256"
    assert {each.name for each in folder.iterdir()} == {each.encoded for each in wanted}
    for digest, data in wanted.items():
        assert (folder / digest.encoded).read_bytes() == data


def _contents(item: Image | ImageIndex) -> Iterator[bytes]:
    yield item.manifest
    if isinstance(item, Image):
        yield from item.blobs
    else:
        for each in item.images:
            yield from _contents(each)


def assert_no_image(path: Path) -> None:
    """Nothing there that a reader would take for an image."""
    left = {each.name for each in path.iterdir()} if path.exists() else set()
    assert left <= {".imgverify-ingest"}


def parts(path: Path) -> dict[str, Path]:
    """What an interrupted run left, by the digest's hexadecimal part."""
    found = (path / ".imgverify-ingest").rglob("sha256-*")
    return {each.name.removeprefix("sha256-"): each for each in found}


@dataclass
class Watcher:
    """Progress that remembers."""

    expected: int = 0
    there: list[Digest] = field(default_factory=list)
    sources: list[tuple[Digest, str, int]] = field(default_factory=list)
    arrived: Counter[Digest] = field(default_factory=Counter)
    done: list[Digest] = field(default_factory=list)

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        self.expected = sum(each.size for each in blobs)

    def present(self, blob: Descriptor) -> None:
        self.there.append(blob.digest)

    def started(self, blob: Descriptor, source: Origin, offset: int) -> None:
        self.sources.append((blob.digest, str(source.registry), offset))

    def advanced(self, blob: Descriptor, count: int) -> None:
        self.arrived[blob.digest] += count

    def finished(self, blob: Descriptor) -> None:
        self.done.append(blob.digest)
