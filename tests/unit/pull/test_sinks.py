"""The engine against a sink that keeps everything in memory, and believes nothing by itself."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from imgverify.errors import InputError, Interrupted
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.local import Origin
from imgverify.store.base import Delivered
from tests.support.image import AMD64, artifact, release
from tests.unit.pull.scene import Scene, Watcher, big_image, blob_of, ranges


class MemoryPart:
    def __init__(self, want: Descriptor, there: bytes) -> None:
        self.want = want
        self.data = bytearray(there)
        self.is_complete = False

    @property
    def offset(self) -> int:
        return len(self.data)

    @offset.setter
    def offset(self, value: int) -> None:
        del self.data[value:]

    def replay(self) -> Iterator[bytes]:
        yield bytes(self.data)

    def write(self, chunk: bytes | memoryview) -> None:
        self.data += chunk

    def restart(self) -> None:
        self.data.clear()

    def complete(self) -> None:
        self.is_complete = True


class MemorySink:
    """Keeps parts of any length, and leaves it to the engine to find out what they are."""

    def __init__(self, there: dict[Digest, bytes] | None = None) -> None:
        self.there = there or {}
        self.parts: dict[Digest, MemoryPart] = {}
        self.committed: Delivered | None = None
        self.is_abandoned = False

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        assert blobs

    def holds(self, want: Descriptor) -> bool:
        return want.digest in self.parts

    @contextmanager
    def part(self, want: Descriptor) -> Iterator[MemoryPart]:
        part = MemoryPart(want, self.there.get(want.digest, b""))
        self.parts[want.digest] = part
        yield part

    def commit(self, image: Delivered) -> None:
        assert all(each.is_complete for each in self.parts.values())
        self.committed = image

    def abandon(self) -> None:
        self.is_abandoned = True


@pytest.mark.parametrize("more", [0, 1])
def test_a_part_of_other_bytes_is_dropped(scene: Scene, more: int) -> None:
    item = big_image(9000)
    scene.publish(item)
    blob = item.layers[0].blob
    sink = MemorySink({blob_of(item): bytes(len(blob) + more)})
    scene.pull(item, sink=sink)
    assert sink.parts[blob_of(item)].data == blob
    assert ranges(scene.mirror, blob_of(item)) == [None]
    assert sink.committed is not None


def test_a_part_that_is_all_of_the_blob_costs_no_request(scene: Scene) -> None:
    item = big_image(9000)
    scene.publish(item)
    sink = MemorySink({blob_of(item): item.layers[0].blob})
    scene.pull(item, sink=sink)
    assert not ranges(scene.mirror, blob_of(item))


def test_the_sink_hears_what_the_image_is(scene: Scene) -> None:
    item = release("app", "1.4.2")
    scene.publish(item)
    sink = MemorySink()
    scene.pull(item, sink=sink)
    assert sink.committed is not None
    assert sink.committed.root.digest == item.digest
    assert [each.digest for each in sink.committed.manifests] == [item.digest]
    assert sink.committed.name == scene.name(scene.upstream)


def test_an_artifact_is_pulled_and_has_no_platform(scene: Scene) -> None:
    item = artifact(release("app", "1.4.2"))
    scene.publish(item)
    with pytest.raises(InputError, match="nothing for linux/amd64"):
        scene.pull(item, AMD64, sink=MemorySink())
    sink = MemorySink()
    scene.pull(item, sink=sink)
    assert sink.committed is not None


class CallingOff(Watcher):
    def __init__(self, cancelled: threading.Event) -> None:
        super().__init__()
        self.cancelled = cancelled

    def started(self, blob: Descriptor, source: Origin, offset: int) -> None:
        super().started(blob, source, offset)
        self.cancelled.set()


def test_whoever_shares_the_deadline_can_call_the_pull_off(scene: Scene) -> None:
    item = big_image(3_000_000)
    scene.publish(item)
    sink = MemorySink()
    cancelled = scene.network.deadline.cancelled
    with pytest.raises(Interrupted):
        scene.pull(item, sink=sink, progress=CallingOff(cancelled))
    assert sink.is_abandoned
    assert sink.committed is None
    assert cancelled.is_set()


def test_a_defect_of_a_sink_is_not_swallowed(scene: Scene) -> None:
    class Broken(MemorySink):
        def commit(self, image: Delivered) -> None:
            raise ZeroDivisionError(image.name)

    item = release("app", "1.4.2")
    scene.publish(item)
    sink = Broken()
    with pytest.raises(ZeroDivisionError):
        scene.pull(item, sink=sink)
    assert sink.is_abandoned
