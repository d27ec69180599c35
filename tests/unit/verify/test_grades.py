"""Every grade, for an index and for a single image."""

from dataclasses import replace
from datetime import timedelta

import pytest

from imgverify.oci.mediatype import Compression
from imgverify.oci.platform import Platform
from imgverify.verdict import (
    ConfigState,
    Coverage,
    Decision,
    Grade,
    LayerState,
    PlatformState,
    Rule,
)
from tests.support.image import (
    AMD64,
    ARM64,
    PLATFORMS,
    Image,
    ImageIndex,
    docker,
    docker_original,
    index,
    oci,
    put,
    recompressed,
    release,
    reserialised,
    skopeo_oci,
    trimmed,
    with_config,
)
from tests.unit.verify.world import (
    NEW,
    NEW_AMD64,
    OLD,
    OLD_AMD64,
    PATH,
    SAME_CONTENT,
    TAG,
    Item,
    World,
    grade,
    is_allowed,
    only,
    rules,
    states,
)

ARM7 = PLATFORMS[2]
#: The images without their attestations, which speak of digests.
BARE = index(tuple(release("app", "1.4.2", each) for each in PLATFORMS))
CLASSIC = docker_original()
KINDS = (Compression.GZIP, Compression.ZSTD, Compression.NONE)


def each_recompressed(compression: Compression) -> ImageIndex:
    return index(tuple(recompressed(each, compression) for each in BARE.images))


@pytest.mark.parametrize("image", [NEW, NEW_AMD64], ids=["index", "single"])
def test_identical(pair: World, image: Item) -> None:
    pair.holds(image, image)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.ALLOW, Grade.IDENTICAL)
    assert verdict.pinned == pair.name(pair.upstream).pinned(image.digest)
    assert only(verdict).digest == image.digest
    assert only(verdict).coverage is Coverage.MANIFESTS
    assert {state for _, state in states(verdict)} == {PlatformState.EQUAL}


@pytest.mark.parametrize("image", [NEW, NEW_AMD64], ids=["index", "single"])
def test_identical_and_read_to_the_last_layer(pair: World, image: Item) -> None:
    pair.holds(image, image)
    verdict = pair.ask(deep=True)
    assert is_allowed(verdict)
    assert only(verdict).coverage is Coverage.LAYERS
    blobs = {blob for each in _images(image) for blob in each.blobs}
    assert pair.mirror.count("GET", "/blobs/") == len(blobs)


def _images(item: Item) -> tuple[Image, ...]:
    if isinstance(item, Image):
        return (item,)
    return tuple(each for each in item.images if each.platform in PLATFORMS)


def test_subset_partial_coverage_a_trimmed_index(pair: World) -> None:
    pair.holds(NEW, trimmed(NEW, AMD64, ARM64))
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.SUBSET)
    assert rules(verdict) == {Rule.PLATFORM_ABSENT}
    assert ("linux/arm/v7", PlatformState.ABSENT) in states(verdict)
    assert only(verdict).explanation.attestations_absent == len(PLATFORMS)
    assert is_allowed(pair.ask(AMD64))
    assert is_allowed(pair.ask(AMD64, ARM64, deep=True))
    assert not is_allowed(pair.ask(AMD64, ARM7))


def test_subset_a_single_image_out_of_an_index(pair: World) -> None:
    pair.holds(NEW, NEW_AMD64)
    assert grade(pair.ask()) is Grade.SUBSET
    assert not is_allowed(pair.ask())
    assert not is_allowed(pair.ask(ARM64))
    verdict = pair.ask(AMD64, deep=True)
    assert is_allowed(verdict)
    assert verdict.pinned is not None
    assert verdict.pinned.digest == NEW.digest


def test_subset_attestations_left_out(pair: World) -> None:
    pair.holds(NEW, trimmed(NEW, *PLATFORMS))
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.ALLOW, Grade.SUBSET)
    assert only(verdict).explanation.attestations_absent == len(PLATFORMS)


@pytest.mark.parametrize("compression", KINDS)
@pytest.mark.parametrize("single", [False, True], ids=["index", "single"])
def test_repackaged_recompressed(pair: World, compression: Compression, *, single: bool) -> None:
    mirrored = each_recompressed(compression)
    pair.holds(*((BARE.images[0], mirrored.images[0]) if single else (BARE, mirrored)))
    claimed = pair.ask()
    assert (claimed.decision, grade(claimed)) == (Decision.DENY, Grade.REPACKAGED)
    assert not only(claimed).explanation.proven
    change = only(claimed).explanation.platforms[0]
    assert change.config is not None
    assert change.config.state is ConfigState.EQUAL
    assert {each.state for each in change.layers} == {LayerState.RECOMPRESSED}
    # Who accepts it wants it proven: that it reads the layers need not be said as well.
    proven = pair.ask(policy=SAME_CONTENT)
    assert (proven.decision, grade(proven)) == (Decision.ALLOW, Grade.REPACKAGED)
    assert only(proven).explanation.proven
    assert not is_allowed(pair.ask(deep=True))


@pytest.mark.parametrize(
    ("upstream", "mirror", "config"),
    [
        (NEW_AMD64, docker(NEW_AMD64), ConfigState.EQUAL),
        (docker(NEW_AMD64), oci(docker(NEW_AMD64)), ConfigState.EQUAL),
        (NEW_AMD64, reserialised(NEW_AMD64), ConfigState.EQUAL),
        (CLASSIC, skopeo_oci(CLASSIC), ConfigState.REWRITTEN),
    ],
    ids=["oci-to-docker", "docker-to-oci", "reserialised", "skopeo"],
)
def test_repackaged_hash_raw_bytes(
    pair: World, upstream: Image, mirror: Image, config: ConfigState
) -> None:
    pair.holds(upstream, mirror)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.REPACKAGED)
    (change,) = only(verdict).explanation.platforms
    assert change.config is not None
    assert change.config.state is config
    assert {each.state for each in change.layers} == {LayerState.EQUAL}
    # Every layer is upstream's own blob, which leaves nothing to uncompress.
    assert is_allowed(pair.ask(deep=True, policy=SAME_CONTENT))
    pair.holds(index((upstream,)), index((mirror,)))
    assert grade(pair.ask()) is Grade.REPACKAGED


def test_repackaged_an_index_of_other_bytes(pair: World) -> None:
    pair.holds(NEW, reserialised(NEW))
    assert grade(pair.ask()) is Grade.REPACKAGED
    assert not is_allowed(pair.ask())
    assert is_allowed(pair.ask(policy=SAME_CONTENT, deep=True))


def test_repackaged_a_single_image_wrapped_into_an_index(pair: World) -> None:
    pair.holds(NEW_AMD64, index((NEW_AMD64,)))
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert grade(verdict) is Grade.REPACKAGED
    assert states(verdict) == [("linux/amd64", PlatformState.EQUAL)]
    assert is_allowed(verdict)


def test_repackaged_a_wrapped_image_whose_label_leaves_the_os_version_out(pair: World) -> None:
    windows = with_config(NEW_AMD64, **{"os": "windows", "os.version": "10.0.17763.1"})
    label = replace(windows, platform=Platform("windows", "amd64"))
    pair.holds(windows, index((label,)))
    assert grade(pair.ask()) is Grade.REPACKAGED


def test_repackaged_one_platform_and_kept_the_others(pair: World) -> None:
    changed = recompressed(BARE.images[0], Compression.ZSTD)
    pair.holds(BARE, index((changed, *BARE.images[1:])))
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert is_allowed(verdict)
    assert [state for _, state in states(verdict)] == [
        PlatformState.EQUAL,
        PlatformState.EQUAL,
        PlatformState.REPACKAGED,
    ]


def test_partial_coverage_kept_platforms_are_read_deeply_next_to_a_repackaged_one(
    pair: World,
) -> None:
    changed = recompressed(BARE.images[0], Compression.ZSTD)
    pair.holds(BARE, index((changed, *BARE.images[1:])))
    blob = BARE.images[1].layers[-1].descriptor.digest
    pair.mirror.shelf.replace_blob(blob, b"\0" * BARE.images[1].layers[-1].descriptor.size)
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    assert Rule.DIGEST_MISMATCH in rules(verdict)


def test_partial_coverage_kept_platforms_have_to_be_there_next_to_a_repackaged_one(
    pair: World,
) -> None:
    changed = recompressed(BARE.images[0], Compression.ZSTD)
    pair.holds(BARE, index((changed, *BARE.images[1:])))
    pair.mirror.shelf.remove_manifest(PATH, BARE.images[1].digest)
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.REPACKAGED)
    assert ("linux/arm64", PlatformState.ABSENT) in states(verdict)
    assert rules(verdict) == {Rule.PLATFORM_ABSENT}
    assert is_allowed(pair.ask(AMD64, policy=SAME_CONTENT, deep=True))


def test_repackaged_and_sparse_is_not_a_subset(pair: World) -> None:
    pair.holds(BARE, reserialised(BARE))
    pair.mirror.shelf.remove_manifest(PATH, BARE.images[1].digest)
    assert grade(pair.ask()) is Grade.REPACKAGED


def test_repackaged_and_trimmed(pair: World) -> None:
    pair.holds(BARE, index((recompressed(BARE.images[0], Compression.GZIP),)))
    assert not is_allowed(pair.ask(policy=SAME_CONTENT, deep=True))
    assert is_allowed(pair.ask(AMD64, policy=SAME_CONTENT, deep=True))
    assert not is_allowed(pair.ask(ARM64, policy=SAME_CONTENT, deep=True))


@pytest.mark.parametrize("single", [False, True], ids=["index", "single"])
def test_stale_stale_tag_freeze(pair: World, *, single: bool) -> None:
    old, new = (OLD_AMD64, NEW_AMD64) if single else (OLD, NEW)
    pair.holds(new, old, old)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.STALE)
    # The newer image was created at 2026-03-03 08:30.
    assert only(verdict).explanation.age == timedelta(days=17)
    assert {state for _, state in states(verdict)} == {PlatformState.EARLIER}
    assert only(pair.ask(deep=True)).coverage is Coverage.LAYERS


def test_stale_what_upstream_no_longer_serves_cannot_be_told_from_a_forgery(pair: World) -> None:
    pair.holds(NEW, OLD)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)


def test_stale_trimmed_and_old(pair: World) -> None:
    pair.holds(NEW, trimmed(OLD, AMD64), OLD)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.STALE)
    assert ("linux/amd64", PlatformState.EARLIER) in states(verdict)
    assert only(verdict).explanation.age == timedelta(days=17)


def test_stale_only_some_platforms(pair: World) -> None:
    mixed = index((OLD.images[0], *NEW.images[1:3]))
    pair.holds(NEW, mixed, OLD)
    verdict = pair.ask()
    assert grade(verdict) is Grade.STALE
    assert dict(states(verdict))["linux/arm64"] is PlatformState.EQUAL
    assert dict(states(verdict))["linux/amd64"] is PlatformState.EARLIER


def test_stale_a_single_image_of_an_earlier_index(pair: World) -> None:
    pair.holds(NEW, OLD.images[0], OLD)
    assert grade(pair.ask()) is Grade.STALE
    assert not is_allowed(pair.ask(AMD64))


def test_stale_with_an_age_that_nobody_knows(pair: World) -> None:
    undated = with_config(NEW_AMD64, created=None)
    pair.holds(undated, OLD_AMD64, OLD_AMD64)
    assert only(pair.ask()).explanation.age is None
    future = with_config(NEW_AMD64, created="2030-01-01T00:00:00Z")
    pair.holds(future, OLD_AMD64, OLD_AMD64)
    assert only(pair.ask()).explanation.age is None


def test_missing(pair: World) -> None:
    put(pair.upstream.shelf, PATH, NEW, TAG)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.MISSING)
    assert only(verdict).digest is None
    assert only(verdict).coverage is Coverage.NOTHING
