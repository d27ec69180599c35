"""Which blobs make up an image."""

from dataclasses import replace

import pytest

from imgverify.errors import InputError
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import Index, Manifest, parse_manifest
from imgverify.oci.mediatype import OCI_INDEX
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference
from imgverify.pull.plan import Plan, plan, require_platforms, wanted_children
from tests.support.image import AMD64, ARM64, Image, ImageIndex, list_with, multi_platform

NAME = Reference.parse("docker.io/library/app:1.4")
WHOLE = multi_platform("app", "1.4.2")


def parsed(item: Image | ImageIndex) -> Manifest | Index:
    return parse_manifest(Content.of(item.manifest), expected=item.media_type)


def planned(whole: ImageIndex, *wanted: Platform) -> Plan:
    top = parsed(whole)
    by_digest = {each.digest: each for each in whole.images}
    chosen = [by_digest[each.digest] for each in wanted_children(top, wanted)]
    return plan(NAME, top, {each.digest: parsed(each) for each in chosen}, wanted)


def test_an_image_is_its_manifest_config_and_layers() -> None:
    image = WHOLE.images[0]
    made = plan(NAME, parsed(image), {}, ())
    assert [each.digest for each in made.documents] == [image.digest]
    assert made.root.digest == image.digest
    assert {each.digest for each in made.blobs} == set(map(Digest.of, image.blobs))
    assert made.size == sum(map(len, image.blobs))
    assert [each.digest for each in made.images] == [image.digest]


def test_large_blobs_come_first() -> None:
    sizes = [each.size for each in planned(WHOLE).blobs]
    assert sizes == sorted(sizes, reverse=True)


def test_every_blob_is_there_once() -> None:
    made = planned(WHOLE)
    digests = [each.digest for each in made.descriptors]
    assert len(digests) == len(set(digests))
    # The base layer is shared by all three platforms.
    assert len(made.blobs) == 3 * 2 + 1 + 3 * 2


def test_attestations_come_along_and_are_no_images() -> None:
    made = planned(WHOLE)
    assert len(made.documents) == 1 + 6
    assert [each.digest for each in made.images] == [each.digest for each in WHOLE.images[:3]]


def test_one_platform_is_its_own_root() -> None:
    made = planned(WHOLE, ARM64)
    assert [each.digest for each in made.documents] == [WHOLE.images[1].digest]
    assert made.root.digest == WHOLE.images[1].digest
    assert made.root.platform == ARM64


def test_two_platforms_keep_the_index() -> None:
    made = planned(WHOLE, AMD64, ARM64)
    assert made.root.digest == WHOLE.digest
    assert [each.digest for each in made.documents] == [
        WHOLE.digest,
        WHOLE.images[0].digest,
        WHOLE.images[1].digest,
    ]


def test_a_child_that_is_listed_twice_is_wanted_once() -> None:
    first = WHOLE.images[0]
    twice = list_with(
        WHOLE, first.descriptor, replace(first.descriptor, platform=Platform("linux", "s390x"))
    )
    assert len(wanted_children(parsed(twice), ())) == 1


def test_a_child_that_is_listed_twice_for_one_platform_is_not_ambiguous() -> None:
    first = WHOLE.images[0].descriptor
    twice = parsed(list_with(WHOLE, first, replace(first, annotations=(("a", "b"),))))
    assert wanted_children(twice, (AMD64,)) == (first,)


def test_of_several_windows_the_version_tells() -> None:
    children = [
        replace(each.descriptor, platform=Platform("windows", "amd64", "", version))
        for each, version in zip(WHOLE.images, ("10.0.1", "10.0.2"), strict=False)
    ]
    top = parsed(list_with(WHOLE, *children))
    assert wanted_children(top, (Platform.parse("windows/amd64:10.0.2"),)) == (children[1],)
    with pytest.raises(InputError, match="2 images for windows/amd64") as caught:
        wanted_children(top, (Platform.parse("windows/amd64"),))
    assert caught.value.hint == "name one of windows/amd64:10.0.1, windows/amd64:10.0.2"


def test_of_several_that_nothing_tells_apart_one_is_asked_for_by_digest() -> None:
    one, other = (replace(each.descriptor, platform=AMD64) for each in WHOLE.images[:2])
    with pytest.raises(InputError, match="2 images for linux/amd64") as caught:
        wanted_children(parsed(list_with(WHOLE, one, other)), (AMD64,))
    assert caught.value.hint == f"ask for one by its digest: {one.digest}, {other.digest}"


def test_what_an_index_in_the_index_offers_is_not_to_be_had_by_platform() -> None:
    inner = replace(WHOLE.images[0].descriptor, platform=None, media_type=OCI_INDEX)
    with pytest.raises(InputError) as caught:
        wanted_children(parsed(list_with(WHOLE, inner, WHOLE.images[1].descriptor)), (AMD64,))
    assert caught.value.hint == (
        "it has linux/arm64, and an index within, which comes with the whole: without --platform"
    )


def test_attestations_do_not_count_as_a_platform() -> None:
    with pytest.raises(InputError, match="nothing for unknown/unknown"):
        wanted_children(parsed(WHOLE), (Platform("unknown", "unknown"),))


def test_an_index_without_platforms_has_none_to_offer() -> None:
    bare = list_with(WHOLE, replace(WHOLE.images[0].descriptor, platform=None))
    with pytest.raises(InputError) as caught:
        wanted_children(parsed(bare), (AMD64,))
    assert caught.value.hint == "it has no platforms"


def test_a_manifest_has_no_children() -> None:
    assert wanted_children(parsed(WHOLE.images[0]), (AMD64,)) == ()


def test_what_has_no_platform_satisfies_nobody() -> None:
    with pytest.raises(InputError) as caught:
        require_platforms(None, (AMD64,))
    assert caught.value.hint == "it has no platform"
    require_platforms(None, ())
    require_platforms(AMD64, (AMD64,))
