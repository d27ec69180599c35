"""One blob from several sources: failover, resumption, and what is never accepted."""

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from imgverify.errors import (
    DigestMismatch,
    Interrupted,
    LimitExceeded,
    NotFound,
    StoreError,
)
from imgverify.oci import limits
from imgverify.oci.descriptor import Descriptor
from imgverify.pull.engine import Delivery
from imgverify.pull.fetch import Fetched
from imgverify.verdict import Grade
from tests.support.fault import BLOBS, Fault, When
from tests.support.faults import (
    Drip,
    Endless,
    FlipByte,
    Longer,
    RangeIgnored,
    RangeShifted,
    Reset,
    Stall,
    Status,
    Truncate,
    rate_limited,
)
from tests.support.image import Image, layer
from tests.unit.pull.scene import (
    Scene,
    Watcher,
    assert_layout,
    assert_no_image,
    big_image,
    blob_of,
    image_of,
    on_blob,
    parts,
    ranges,
)

SIZE = 700_000
CUT = 300_000


@pytest.fixture
def item(scene: Scene) -> Image:
    made = big_image(SIZE)
    scene.publish(made)
    return made


def fetched(delivery: Delivery, item: Image, position: int = 0) -> Fetched:
    (found,) = (each for each in delivery.fetched if each.blob.digest == blob_of(item, position))
    return found


def rest(start: int, item: Image, position: int = 0) -> str:
    return f"bytes={start}-{len(item.layers[position].blob) - 1}"


def gone(*, after: int = 1) -> Fault:
    """The blob disappears after that many answers."""
    return Status(404, when=When("GET", "/blobs/", after + 1))


def test_a_blob_that_the_mirror_lacks_comes_from_upstream(scene: Scene, item: Image) -> None:
    scene.mirror.shelf.remove_blob(blob_of(item))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.upstream)
    ((source, error),) = found.refused
    assert source == scene.repository(scene.mirror)
    assert isinstance(error, NotFound)
    assert_layout(scene.out, item)


@pytest.mark.parametrize("offset", [0, 1, CUT, SIZE])
def test_one_falsified_byte_is_one_too_many(scene: Scene, item: Image, offset: int) -> None:
    scene.mirror.play(FlipByte(offset, when=on_blob(blob_of(item))))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.upstream)
    ((source, error),) = found.refused
    assert source == scene.repository(scene.mirror)
    assert isinstance(error, DigestMismatch)
    assert ranges(scene.upstream, blob_of(item)) == [None]
    assert_layout(scene.out, item)


@pytest.mark.parametrize(
    "fault",
    [Longer(b"x", chunked=True), Longer(b"x" * 5_000_000, chunked=True), Endless()],
    ids=["a byte", "megabytes", "endless"],
)
def test_what_is_too_long_is_given_up_at_the_first_byte(
    scene: Scene, item: Image, fault: Fault
) -> None:
    scene.mirror.play(_on(fault, item))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.upstream)
    assert isinstance(found.refused[0][1], LimitExceeded)
    assert_layout(scene.out, item)


def test_bytes_behind_the_length_are_not_read(scene: Scene, item: Image) -> None:
    scene.mirror.play(Longer(b"HTTP/1.1 200 OK\r\n\r\n", when=on_blob(blob_of(item))))
    scene.pull(item)
    assert_layout(scene.out, item)


def test_what_ends_early_is_not_accepted(scene: Scene, item: Image) -> None:
    data = item.layers[0].blob
    scene.mirror.shelf.replace_blob(blob_of(item), data[:-1])
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.upstream)
    assert_layout(scene.out, item)


def test_what_breaks_off_goes_on_where_it_was(scene: Scene, item: Image) -> None:
    scene.mirror.play(Truncate(CUT, when=on_blob(blob_of(item), last=1)))
    watcher = Watcher()
    found = fetched(scene.pull(item, progress=watcher), item)
    assert found.source == scene.repository(scene.mirror)
    assert not found.refused
    assert ranges(scene.mirror, blob_of(item)) == [None, rest(CUT, item)]
    assert watcher.arrived[blob_of(item)] == len(item.layers[0].blob)
    assert not scene.upstream.count(path="/blobs/")
    assert_layout(scene.out, item)


def test_the_next_source_goes_on_where_the_last_one_broke_off(scene: Scene, item: Image) -> None:
    scene.mirror.play(Truncate(CUT, when=on_blob(blob_of(item), last=1)), _on(gone(), item))
    watcher = Watcher()
    found = fetched(scene.pull(item, progress=watcher), item)
    assert found.source == scene.repository(scene.upstream)
    assert ranges(scene.upstream, blob_of(item)) == [rest(CUT, item)]
    assert watcher.arrived[blob_of(item)] == len(item.layers[0].blob)
    assert (blob_of(item), scene.upstream.host, CUT) in watcher.sources
    assert_layout(scene.out, item)


def test_a_reset_is_a_break_like_any_other(scene: Scene, item: Image) -> None:
    scene.mirror.play(Reset(CUT, when=on_blob(blob_of(item), last=1)))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.mirror)
    assert_layout(scene.out, item)


def test_a_source_that_keeps_breaking_off_is_left(scene: Scene, item: Image) -> None:
    scene.mirror.play(Truncate(1000, when=on_blob(blob_of(item))))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.upstream)
    assert len(ranges(scene.mirror, blob_of(item))) == limits.RETRIES + 1
    assert ranges(scene.upstream, blob_of(item)) == [rest(1000 * (limits.RETRIES + 1), item)]
    assert "broke off" in found.refused[0][1].message


def test_a_source_that_gives_nothing_more_is_left_at_once(scene: Scene, item: Image) -> None:
    scene.mirror.play(Truncate(0, when=on_blob(blob_of(item))))
    assert fetched(scene.pull(item), item).source == scene.repository(scene.upstream)
    assert ranges(scene.mirror, blob_of(item)) == [None]


def test_a_wrong_beginning_is_found_out_and_dropped(scene: Scene, item: Image) -> None:
    first = on_blob(blob_of(item), last=1)
    scene.mirror.play(FlipByte(10, when=first), Truncate(CUT, when=first), _on(gone(), item))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.upstream)
    assert ranges(scene.upstream, blob_of(item)) == [rest(CUT, item), None]
    assert scene.repository(scene.upstream) not in [source for source, _ in found.refused]
    assert_layout(scene.out, item)


def test_a_source_that_ignores_ranges_starts_over(scene: Scene, item: Image) -> None:
    scene.mirror.play(Truncate(CUT, when=on_blob(blob_of(item), last=1)), _on(gone(), item))
    scene.upstream.play(RangeIgnored())
    watcher = Watcher()
    scene.pull(item, progress=watcher)
    assert (blob_of(item), scene.upstream.host, 0) in watcher.sources
    assert len(ranges(scene.upstream, blob_of(item))) == 1
    assert_layout(scene.out, item)


@pytest.mark.parametrize("lies", [False, True], ids=["honest", "lying"])
@pytest.mark.parametrize("by", [-5, 5])
def test_another_range_than_asked_for_is_not_used(
    scene: Scene, item: Image, by: int, *, lies: bool
) -> None:
    scene.mirror.play(Truncate(CUT, when=on_blob(blob_of(item), last=1)), _on(gone(), item))
    scene.upstream.play(RangeShifted(by, lies=lies))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.upstream)
    assert ranges(scene.upstream, blob_of(item)) == [rest(CUT, item), None]
    assert_layout(scene.out, item)


def test_a_mirror_that_dies_after_some_blobs_is_no_obstacle(scene: Scene) -> None:
    item = big_image(*[20_000] * 12)
    scene.publish(item)
    scene.mirror.play(Reset(when=When(path="/blobs/", first=4)))
    delivery = scene.pull(item)
    assert_layout(scene.out, item)
    sources = {each.source for each in delivery.fetched}
    assert sources == {scene.repository(scene.mirror), scene.repository(scene.upstream)}


@pytest.mark.parametrize(
    "fault",
    [Status(500), Status(403), rate_limited("0"), Truncate(0), FlipByte(3)],
    ids=["500", "403", "429", "nothing", "falsified"],
)
def test_a_source_that_keeps_failing_is_not_asked_for_every_blob(
    scene: Scene, fault: Fault
) -> None:
    item = big_image(*[2000] * 40)
    scene.publish(item)
    scene.mirror.play(_when(fault, BLOBS))
    scene.pull(item)
    asked = {each.path for each in scene.mirror.seen("GET", "/blobs/")}
    # As many as are under way at once may be asked for before the failures are known.
    assert limits.SOURCE_FAILURES <= len(asked) <= limits.SOURCE_FAILURES + 4
    assert_layout(scene.out, item)


def test_a_source_that_lacks_blobs_goes_on_being_asked(scene: Scene) -> None:
    item = big_image(*[2000] * 20)
    scene.publish(item)
    for position in range(19):
        scene.mirror.shelf.remove_blob(blob_of(item, position))
    found = fetched(scene.pull(item), item, 19)
    assert found.source == scene.repository(scene.mirror)


def test_a_source_that_kept_failing_is_asked_before_giving_up(scene: Scene) -> None:
    item = big_image(*range(30_000, 18_000, -1000))
    scene.publish(item)
    scene.mirror.play(Status(500, when=When(path="/blobs/", last=limits.SOURCE_FAILURES)))
    scene.upstream.shelf.remove_blob(blob_of(item, 11))
    found = fetched(scene.pull(item), item, 11)
    assert found.source == scene.repository(scene.mirror)
    assert_layout(scene.out, item)


def test_a_source_that_stalls_is_left(
    scene: Scene, item: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALL_TIMEOUT", 0.2)
    scene.mirror.play(Stall(CUT, when=on_blob(blob_of(item), last=1)), _on(gone(), item))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(scene.upstream)
    assert_layout(scene.out, item)


def test_mirrors_are_asked_in_their_order(wide_scene: Scene) -> None:
    scene = wide_scene
    item = big_image(1000)
    scene.publish(item)
    first, second, third = scene.mirrors
    first.shelf.remove_blob(blob_of(item))
    second.play(FlipByte(7, when=on_blob(blob_of(item))))
    found = fetched(scene.pull(item), item)
    assert found.source == scene.repository(third)
    assert [source for source, _ in found.refused] == [
        scene.repository(first),
        scene.repository(second),
    ]
    assert not scene.upstream.requests
    assert_layout(scene.out, item)


def test_every_source_is_named_when_all_fail(wide_scene: Scene) -> None:
    scene = wide_scene
    item = big_image(1000)
    scene.publish(item)
    for each in scene.registries:
        each.play(Status(404, when=on_blob(blob_of(item))))
    with pytest.raises(StoreError) as caught:
        scene.pull(item, grades=[Grade.IDENTICAL, Grade.STALE, Grade.SUBSET])
    for each in scene.mirrors:
        assert f"mirror: {each.host} answered 404" in caught.value.message
    assert f"upstream: {scene.upstream.host} answered 404" in caught.value.message
    assert_no_image(scene.out)


def test_whoever_falsifies_is_named_when_all_do(scene: Scene, item: Image) -> None:
    for each in scene.registries:
        each.play(FlipByte(CUT, when=on_blob(blob_of(item))))
    with pytest.raises(StoreError) as caught:
        scene.pull(item)
    assert f"mirror {scene.mirror.host}: asked for" in caught.value.message
    assert f"upstream {scene.upstream.host}: asked for" in caught.value.message


@pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
def test_a_source_that_there_was_no_time_to_ask_is_not_accused(
    scene: Scene, item: Image, part: str
) -> None:
    scene.mirror.play(Stall(100, when=When("GET", part)))
    with pytest.raises(StoreError) as caught, scene.hurried(0.5) as network:
        scene.pull(item, network=network)
    assert f"mirror: {scene.mirror.host}: no complete answer within" in caught.value.message
    assert "upstream" not in caught.value.message
    assert "--timeout" in caught.value.hint


def test_a_later_run_goes_on_with_what_an_earlier_one_left(scene: Scene, item: Image) -> None:
    leave_part(scene, item)
    scene.pull(item)
    assert ranges(scene.mirror, blob_of(item)) == [rest(CUT, item)]
    assert not scene.upstream.requests
    assert_layout(scene.out, item)


@pytest.mark.parametrize("offset", [0, CUT - 1])
def test_a_poisoned_part_is_dropped_and_the_blob_taken_whole(
    scene: Scene, item: Image, offset: int
) -> None:
    part = leave_part(scene, item)
    with part.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
    found = fetched(scene.pull(item), item)
    assert ranges(scene.mirror, blob_of(item)) == [rest(CUT, item), None]
    assert found.source == scene.repository(scene.mirror)
    assert not found.refused
    assert_layout(scene.out, item)


@pytest.mark.parametrize("more", [1, SIZE])
def test_a_part_that_is_too_long_is_dropped(scene: Scene, item: Image, more: int) -> None:
    os.truncate(leave_part(scene, item), len(item.layers[0].blob) + more)
    scene.pull(item)
    assert ranges(scene.mirror, blob_of(item)) == [None]
    assert_layout(scene.out, item)


def test_a_part_of_the_right_length_is_not_believed(scene: Scene, item: Image) -> None:
    part = leave_part(scene, item)
    os.truncate(part, len(item.layers[0].blob))
    scene.pull(item)
    assert ranges(scene.mirror, blob_of(item)) == [None]
    assert_layout(scene.out, item)


def test_a_full_disk_ends_the_pull(scene: Scene, item: Image) -> None:
    with file_size_limit(CUT), pytest.raises(StoreError) as caught:
        scene.pull(item)
    assert "ulimit" in caught.value.hint
    assert_no_image(scene.out)
    assert not scene.network.deadline.cancelled.is_set()
    scene.pull(item)
    assert_layout(scene.out, item)


def test_what_cannot_fit_is_refused_before_anything_is_fetched(scene: Scene) -> None:
    plain = image_of(tuple(layer({f"{number}": b"x"}) for number in range(64)))
    document = json.loads(plain.manifest)
    for each in document["layers"]:
        each["size"] = limits.BLOB_SIZE
    item = replace(plain, manifest=json.dumps(document).encode())
    scene.publish(item)
    with pytest.raises(StoreError, match="it takes"):
        scene.pull(item)
    assert not scene.mirror.count(path="/blobs/")
    assert not scene.out.exists()


class Interrupting(Watcher):
    """Presses Ctrl-C once this many bytes have arrived."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.lock = threading.Lock()

    def advanced(self, blob: Descriptor, count: int) -> None:
        super().advanced(blob, count)
        with self.lock:
            if self.after and sum(self.arrived.values()) >= self.after:
                self.after = 0
                os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_pull_can_be_resumed(scene: Scene, item: Image) -> None:
    scene.mirror.play(Drip(20_000, 0.005, when=on_blob(blob_of(item))))
    with pytest.raises(Interrupted, match="goes on from here"):
        scene.pull(item, progress=Interrupting(CUT))
    (part,) = (each for name, each in parts(scene.out).items() if name == blob_of(item).encoded)
    assert CUT <= part.stat().st_size < SIZE
    assert_no_image(scene.out)
    scene.mirror.forget()
    scene.network.deadline.cancelled.clear()
    start = part.stat().st_size
    scene.pull(item)
    assert ranges(scene.mirror, blob_of(item)) == [rest(start, item)]
    assert_layout(scene.out, item)


def test_an_interruption_is_heard_while_a_source_is_silent(scene: Scene, item: Image) -> None:
    scene.mirror.play(Stall(CUT, when=on_blob(blob_of(item))))
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        scene.pull(item, progress=Interrupting(limits.CHUNK))
    assert time.monotonic() - begun < limits.STALL_TIMEOUT / 3


def test_progress_hears_of_every_byte_once(scene: Scene) -> None:
    item = big_image(SIZE, 5000, 1)
    scene.publish(item)
    watcher = Watcher()
    scene.pull(item, progress=watcher)
    assert sum(watcher.arrived.values()) == watcher.expected == sum(map(len, item.blobs))
    assert sorted(watcher.done) == sorted(each for each, _, _ in watcher.sources)
    assert {(source, offset) for _, source, offset in watcher.sources} == {(scene.mirror.host, 0)}


def leave_part(scene: Scene, item: Image) -> Path:
    """Let a pull fail in the middle of the first layer; returns the file that it left."""
    first = on_blob(blob_of(item), last=1)
    scene.mirror.play(Truncate(CUT, when=first), _on(gone(), item))
    scene.upstream.play(Status(404, when=on_blob(blob_of(item))))
    with pytest.raises(StoreError):
        scene.pull(item)
    for each in scene.registries:
        each.heal()
        each.forget()
    part = parts(scene.out)[blob_of(item).encoded]
    assert part.stat().st_size == CUT
    return part


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _when(fault: Fault, when: When) -> Fault:
    return replace(fault, when=when)


def _on(fault: Fault, item: Image) -> Fault:
    """The fault for the first layer only, from and to the same requests."""
    path = f"/blobs/{blob_of(item)}"
    return _when(fault, replace(fault.when, method="GET", path=path))
