"""Two indexes of any make: what can be said without a network."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from imgverify.compare.image import Image, Knowledge, compare
from imgverify.oci.config import parse_config
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import Index, Manifest, parse_manifest
from imgverify.verdict import Grade, PlatformState
from tests.support.image import (
    AMD64,
    ARM64,
    PLATFORMS,
    ImageIndex,
    list_with,
    multi_platform,
    release,
)
from tests.support.image import Image as Built

NOW = datetime(2026, 3, 20, tzinfo=UTC)
NEW, OLD, FORGED = (multi_platform("app", each) for each in ("1.4.2", "1.4.1", "1.4.2-x.1"))
PACKED = tuple(release("app", "1.4.2", each, level=1) for each in PLATFORMS)
EVERY = (*NEW.images, *OLD.images, *FORGED.images, *PACKED)
AUTHENTIC = frozenset(each.digest for each in (*OLD.images, *NEW.images))

children = st.lists(
    st.builds(
        lambda built, label: replace(built.descriptor, platform=label or built.platform),
        st.sampled_from(EVERY),
        st.sampled_from([None, None, None, AMD64, ARM64]),
    ),
    max_size=5,
)


def image(top: ImageIndex | Built) -> Image:
    """An image with everything that could be read of it."""
    parsed = parse_manifest(Content.of(top.manifest))
    manifests: dict[Digest, Manifest] = {}
    configs = {}
    for each in EVERY:
        manifest = parse_manifest(Content.of(each.manifest))
        assert isinstance(manifest, Manifest)
        manifests[each.digest] = manifest
        config = parse_config(Content.of(each.config), layers=len(manifest.layers))
        configs[config.digest] = config
    return Image(parsed, manifests, {}, configs)


UPSTREAM = image(NEW)


@given(children, st.sampled_from([AUTHENTIC, frozenset[Digest]()]))
def test_what_is_not_diverged_is_made_of_what_upstream_published(
    listed: list[Descriptor], authentic: frozenset[Digest]
) -> None:
    mirror = image(list_with(NEW, *listed))
    assert isinstance(mirror.top, Index)
    result = compare(UPSTREAM, mirror, Knowledge(authentic), NOW)
    ours = {(each.platform, each.digest) for each in NEW.images}
    packed = {(each.platform, each.digest) for each in PACKED}
    said = [(each.platform, each.digest) for each in mirror.top.manifests]
    images = [(each.platform, each.digest) for each in mirror.top.images]
    if result.grade in (Grade.IDENTICAL, Grade.SUBSET):
        assert set(said) <= ours
        assert len(set(images)) == len(images)
    if result.grade is Grade.REPACKAGED:
        assert set(images) <= ours | packed
        assert result.explanation.proven == (not set(images) & packed)
    if result.grade is Grade.STALE:
        assert {digest for _, digest in said} <= authentic | {each.digest for each in NEW.images}
        assert authentic
    if set(said) <= ours and images and len(set(images)) == len(images):
        assert result.grade in (Grade.IDENTICAL, Grade.SUBSET, Grade.REPACKAGED)


@given(children)
def test_every_image_of_both_sides_is_accounted_for(listed: list[Descriptor]) -> None:
    mirror = image(list_with(NEW, *listed))
    changes = compare(UPSTREAM, mirror, Knowledge(), NOW).explanation.platforms
    if mirror.top.digest == UPSTREAM.top.digest:
        return
    ours = [each.upstream for each in changes if each.upstream]
    theirs = [each.mirror for each in changes if each.mirror]
    assert sorted(ours) == sorted(each.digest for each in UPSTREAM.entries)
    assert sorted(theirs) == sorted(each.digest for each in mirror.entries)


def test_an_unread_child_is_never_more_than_changed() -> None:
    unread = Image(image(list_with(NEW, PACKED[0].descriptor)).top)
    result = compare(UPSTREAM, unread, Knowledge(), NOW)
    assert result.grade is Grade.DIVERGED
    assert PlatformState.CHANGED in {each.state for each in result.explanation.platforms}


def test_a_single_image_has_no_attestations_and_no_platform_until_it_is_read() -> None:
    alone = image(NEW.images[0])
    assert alone.attestations == frozenset()
    assert alone.entries[0].platform == AMD64
    assert Image(alone.top).entries[0].platform is None
