"""What lies at the destination after a pull, and what does not."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import InputError, LimitExceeded, StoreError
from imgverify.oci import limits, mediatype
from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference
from imgverify.pull.engine import pull
from imgverify.pull.progress import Silence
from imgverify.store.archive import ArchiveSink, DockerStyle, OciStyle
from imgverify.store.layout import LayoutSink
from imgverify.verdict import Grade, UpstreamResult, Verdict
from tests.support.fault import MANIFESTS, When
from tests.support.faults import FlipByte, ServeOther, Status
from tests.support.image import (
    AMD64,
    ARM64,
    Image,
    ImageIndex,
    Layer,
    index,
    layer,
    list_with,
    multi_platform,
    put,
    release,
)
from tests.unit.pull.scene import (
    NAME,
    TAG,
    Scene,
    Watcher,
    assert_layout,
    assert_no_image,
    big_image,
    blob_of,
    image_of,
    noise,
    on_blob,
    ranges,
    root_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.store.base import Sink

S390X = Platform("linux", "s390x")


def test_a_single_image_is_laid_down_whole(scene: Scene) -> None:
    item = release("app", "1.4.2")
    scene.publish(item)
    delivery = scene.pull(item)
    assert_layout(scene.out, item)
    assert root_of(scene.out)["digest"] == str(item.digest)
    assert delivery.pinned == Reference(scene.repository(scene.upstream), None, item.digest)
    assert delivery.size == sum(map(len, item.blobs))
    assert not delivery.falsified


def test_the_mirror_is_asked_for_everything_and_upstream_for_nothing(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    delivery = scene.pull(item)
    assert not scene.upstream.requests
    assert {each.source for each in delivery.fetched} == {scene.repository(scene.mirror)}


def test_nothing_is_asked_for_by_its_tag(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    other = release("app", "1.4.2-mirror.3")
    for each in scene.registries:
        put(each.shelf, NAME, other, TAG)
    scene.pull(item)
    assert not any(each.count(path=f"/manifests/{TAG}") for each in scene.registries)
    assert_layout(scene.out, item)


def test_all_of_an_index_comes_along_attestations_included(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    scene.pull(item)
    assert_layout(scene.out, item)
    assert root_of(scene.out)["digest"] == str(item.digest)


def test_one_platform_stands_by_itself(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    delivery = scene.pull(item, ARM64)
    (chosen,) = (each for each in item.images if each.platform == ARM64)
    assert_layout(scene.out, chosen)
    root = root_of(scene.out)
    assert root["digest"] == str(chosen.digest)
    assert root["platform"] == {"architecture": "arm64", "os": "linux"}
    assert delivery.pinned.digest == chosen.digest


def test_one_platform_named_twice_is_one(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    scene.pull(item, AMD64, replace(AMD64, os_version=""))
    assert_layout(scene.out, item.images[0])


def test_the_destination_says_of_a_platform_what_upstream_says(scene: Scene) -> None:
    windows = Platform("windows", "amd64", os_version="10.0.20348.1")
    item = index((release("app", "1.4.2"), release("app", "1.4.2", windows)))
    scene.publish(item)
    scene.pull(item, Platform("windows", "amd64"))
    assert root_of(scene.out)["platform"] == {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0.20348.1",
    }


def test_several_platforms_come_under_the_index(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    delivery = scene.pull(item, AMD64, ARM64)
    assert root_of(scene.out)["digest"] == str(item.digest)
    assert delivery.pinned.digest == item.digest
    there = {each.name for each in (scene.out / "blobs" / "sha256").iterdir()}
    wanted, other = item.images[:2], item.images[2]
    assert {each.digest.encoded for each in wanted} <= there
    assert other.digest.encoded not in there


def test_a_platform_that_the_index_lacks_is_the_callers_mistake(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    with pytest.raises(InputError, match="nothing for linux/s390x") as caught:
        scene.pull(item, S390X)
    assert caught.value.hint == "it has linux/amd64, linux/arm64, linux/arm/v7"
    assert not scene.out.exists()


def test_a_platform_that_the_index_has_twice_is_ambiguous(scene: Scene) -> None:
    item = index((release("app", "1.4.2"), release("app", "1.4.1")))
    scene.publish(item)
    with pytest.raises(InputError, match="2 images for linux/amd64"):
        scene.pull(item, AMD64)
    assert not scene.out.exists()


def test_a_single_image_for_another_platform_is_not_passed_off(scene: Scene) -> None:
    item = release("app", "1.4.2", AMD64)
    scene.publish(item)
    with pytest.raises(InputError, match="nothing for linux/arm64") as caught:
        scene.pull(item, ARM64)
    assert caught.value.hint == "it has linux/amd64"
    assert not scene.out.exists()


def test_a_single_image_for_the_wanted_platform_is_taken(scene: Scene) -> None:
    item = release("app", "1.4.2", ARM64)
    scene.publish(item)
    scene.pull(item, ARM64)
    assert_layout(scene.out, item)


def test_a_single_image_whose_config_nobody_gives_is_not_judged(scene: Scene) -> None:
    item = release("app", "1.4.2", ARM64)
    scene.publish(item)
    for each in scene.registries:
        each.play(Status(404, when=on_blob(Digest.of(item.config))))
    with pytest.raises(StoreError, match="not complete"):
        scene.pull(item, ARM64)


def nested(scene: Scene) -> tuple[ImageIndex, ImageIndex]:
    """An index of two platforms, the first of which is itself an index."""
    inner = index((release("app", "1.4.2"), release("app", "1.4.1")))
    other = release("app", "1.4.2", ARM64)
    scene.publish(inner)
    scene.publish(other)
    child = replace(other.descriptor, platform=AMD64)
    child = replace(
        child, media_type=inner.media_type, digest=inner.digest, size=len(inner.manifest)
    )
    outer = list_with(index((other,)), child, other.descriptor)
    scene.publish(outer)
    return outer, inner


def test_an_index_inside_an_index_comes_whole(scene: Scene) -> None:
    outer, inner = nested(scene)
    scene.pull(outer)
    assert_layout(scene.out, outer, inner)


def test_a_platform_may_be_an_index_inside_the_index(scene: Scene) -> None:
    outer, inner = nested(scene)
    scene.pull(outer, AMD64)
    assert_layout(scene.out, inner)
    assert root_of(scene.out)["digest"] == str(inner.digest)


def test_an_index_has_bounds(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    outer, _ = nested(scene)
    monkeypatch.setattr(limits, "INDEX_DEPTH", 1)
    with pytest.raises(LimitExceeded, match="nested deeper than 1"):
        scene.pull(outer)
    monkeypatch.setattr(limits, "INDEX_CHILDREN", 1)
    with pytest.raises(LimitExceeded, match="more than 1 images"):
        scene.pull(outer)
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MANIFESTS_SIZE", 1000)
    with pytest.raises(LimitExceeded, match="more than 1000 bytes together"):
        scene.pull(outer)
    assert not scene.out.exists()


def test_an_empty_blob_is_a_blob(scene: Scene) -> None:
    item = image_of((Layer(b"", b"", mediatype.OCI_LAYER),))
    scene.publish(item)
    scene.pull(item)
    assert_layout(scene.out, item)


def test_a_layer_that_is_listed_twice_is_fetched_once(scene: Scene) -> None:
    once = layer({"a": noise("a", 5000)})
    item = image_of((once, layer({"b": b"b"}), once))
    scene.publish(item)
    delivery = scene.pull(item)
    assert scene.mirror.count("GET", f"/blobs/{once.descriptor.digest}") == 1
    assert len(delivery.fetched) == 3
    assert_layout(scene.out, item)


def test_many_layers_are_no_trouble(scene: Scene) -> None:
    item = image_of(tuple(layer({f"{number}": b"%d" % number}) for number in range(256)))
    scene.publish(item)
    delivery = scene.pull(item)
    assert len(delivery.fetched) == 257
    assert_layout(scene.out, item)


def test_what_is_there_already_is_not_fetched_again(scene: Scene) -> None:
    item = release("app", "1.4.2")
    scene.publish(item)
    scene.pull(item)
    scene.mirror.forget()
    watcher = Watcher()
    delivery = scene.pull(item, progress=watcher)
    assert scene.mirror.count(path="/blobs/") == 0
    assert {each.source for each in delivery.fetched} == {None}
    assert len(watcher.there) == 3
    assert_layout(scene.out, item)


def test_other_content_under_a_blobs_name_gives_way(scene: Scene) -> None:
    item = big_image(50_000)
    scene.publish(item)
    scene.pull(item)
    blob = scene.out / "blobs" / "sha256" / blob_of(item).encoded
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    scene.mirror.forget()
    scene.pull(item)
    assert ranges(scene.mirror, blob_of(item)) == [None]
    assert_layout(scene.out, item)


def test_two_images_share_what_they_have_in_common(scene: Scene) -> None:
    first, second = release("app", "1.4.1"), release("app", "1.4.2")
    scene.publish(first)
    scene.publish(second)
    scene.pull(first, sink=LayoutSink(scene.out, "first"))
    scene.mirror.forget()
    scene.pull(second, sink=LayoutSink(scene.out, "second"))
    assert not ranges(scene.mirror, blob_of(second, 0))
    assert len(json.loads((scene.out / "index.json").read_bytes())["manifests"]) == 2


def test_a_mirrors_falsified_manifest_is_taken_from_upstream_and_told(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    falsified = str(item.images[1].digest)
    scene.mirror.play(FlipByte(40, when=When(path=falsified)))
    delivery = scene.pull(item)
    assert_layout(scene.out, item)
    ((liar, error),) = delivery.falsified
    assert liar == scene.repository(scene.mirror)
    assert falsified in error.message


def test_another_images_manifest_does_not_slip_in(scene: Scene) -> None:
    item, other = multi_platform("app", "1.4.2"), release("app", "1.4.1")
    scene.publish(other)
    scene.publish(item)
    when = When(path=str(item.images[0].digest))
    for each in scene.registries:
        each.play(ServeOther(other.digest, when=when))
    with pytest.raises(StoreError, match="not complete"):
        scene.pull(item)
    assert not scene.out.exists()


def test_a_mirror_without_the_manifests_is_no_obstacle(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    put(scene.upstream.shelf, NAME, item, TAG)
    delivery = scene.pull(item, grades=[Grade.STALE])
    assert_layout(scene.out, item)
    assert {each.source for each in delivery.fetched} == {scene.repository(scene.upstream)}


@pytest.mark.parametrize("grade", [Grade.MISSING, Grade.INCONCLUSIVE, Grade.DIVERGED])
def test_a_mirror_that_cannot_help_is_not_asked(scene: Scene, grade: Grade) -> None:
    item = release("app", "1.4.2")
    scene.publish(item)
    scene.pull(item, grades=[grade])
    assert not scene.mirror.requests
    assert_layout(scene.out, item)


def test_an_exempted_image_is_taken_from_the_mirror_that_has_it(scene: Scene) -> None:
    """Upstream never had it: that is what the exemption is for."""
    item = multi_platform("app", "1.4.2")
    put(scene.mirror.shelf, NAME, item, TAG)
    verdict = scene.verdict(item.digest, [Grade.DIVERGED])
    exempted = tuple(replace(each, exempted=True) for each in verdict.mirrors)
    verdict = replace(verdict, mirrors=exempted)
    pull(verdict, scene.network, LayoutSink(scene.out, TAG), progress=Silence())
    assert_layout(scene.out, item)


def test_upstream_down_after_the_verdict_is_no_obstacle(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    scene.upstream.play(Status(503))
    scene.pull(item)
    assert_layout(scene.out, item)


def test_manifests_from_nobody_store_nothing(scene: Scene) -> None:
    item = multi_platform("app", "1.4.2")
    scene.publish(item)
    for each in scene.registries:
        each.play(Status(503, when=MANIFESTS))
    with pytest.raises(StoreError, match="not complete") as caught:
        scene.pull(item)
    assert "mirror:" in caught.value.message
    assert "upstream:" in caught.value.message
    assert not scene.out.exists()


@pytest.mark.parametrize("kind", ["layout", "oci-archive", "docker-archive"])
def test_a_blob_that_all_falsify_stores_nothing(scene: Scene, kind: str) -> None:
    item = big_image(70_000, 1000)
    scene.publish(item)
    for each in scene.registries:
        each.play(FlipByte(5000, when=on_blob(blob_of(item))))
    sinks: dict[str, Callable[[], Sink]] = {
        "layout": lambda: LayoutSink(scene.out),
        "oci-archive": lambda: ArchiveSink(scene.out, OciStyle()),
        "docker-archive": lambda: ArchiveSink(scene.out, DockerStyle()),
    }
    with pytest.raises(StoreError) as caught:
        scene.pull(item, sink=sinks[kind]())
    assert str(blob_of(item)) in caught.value.message
    assert_no_image(scene.out)
    if kind != "layout":
        assert not list(scene.out.parent.iterdir())


def test_a_failed_pull_leaves_the_network_usable(scene: Scene) -> None:
    item = big_image(70_000, 1000)
    scene.publish(item)
    for each in scene.registries:
        each.play(Status(404, when=on_blob(blob_of(item))))
    with pytest.raises(StoreError):
        scene.pull(item)
    for each in scene.registries:
        each.heal()
    scene.pull(item)
    assert_layout(scene.out, item)


def test_an_image_that_was_not_allowed_is_not_pulled(scene: Scene) -> None:
    item = release("app", "1.4.2")
    scene.publish(item)
    own = scene.name(scene.upstream)
    denied = Verdict(str(own), UpstreamResult(own, item.digest))
    with pytest.raises(InputError, match="was not allowed"):
        pull(denied, scene.network, LayoutSink(scene.out), progress=Silence())
    assert not any(each.requests for each in scene.registries)


def test_archives_are_filled_by_the_same_engine(scene: Scene) -> None:
    item: Image = big_image(300_000, 20)
    scene.publish(item)
    scene.pull(item, sink=ArchiveSink(scene.out, DockerStyle()))
    data = scene.out.read_bytes()
    assert all(each in data for each in (item.manifest, *item.blobs))
    assert [each.name for each in scene.out.parent.iterdir()] == ["out"]
