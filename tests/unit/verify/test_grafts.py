"""Genuine parts put together wrongly, and genuine digests over other bytes."""

import json
from dataclasses import replace

import pytest

from imgverify.demo.images import attestation
from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import Compression, MediaType
from imgverify.oci.platform import Platform
from imgverify.verdict import Coverage, Decision, Grade, Level, PlatformState, Rule
from tests.support.faults import Status, When
from tests.support.image import (
    AMD64,
    ARM64,
    PLATFORMS,
    Image,
    ImageIndex,
    assemble,
    grafted,
    index,
    list_with,
    multi_platform,
    put,
    recompressed,
    release,
    reserialised,
    tamper,
    trimmed,
)
from tests.unit.verify.world import (
    NEW,
    NEW_AMD64,
    OLD,
    PATH,
    SAME_CONTENT,
    TAG,
    World,
    grade,
    is_allowed,
    only,
    rules,
    states,
)

OTHER = multi_platform("tools", "1.4.2")
AMD, ARM, ARM7 = NEW.images[:3]
PROOF = NEW.images[3]
STRANGER = attestation(OTHER.images[0])


def refused(pair: World, *grades: Grade) -> None:
    """For no platform, however deeply read, and by no policy."""
    for wanted in ((), (AMD64,), (ARM64,)):
        verdict = pair.ask(*wanted, deep=True, policy=SAME_CONTENT)
        assert verdict.decision is Decision.DENY
        assert grade(verdict) in grades
        assert not is_allowed(pair.ask(*wanted))


def test_the_right_digest_under_a_wrong_platform(pair: World) -> None:
    swapped = (replace(ARM.descriptor, platform=AMD64), replace(AMD.descriptor, platform=ARM64))
    pair.holds(NEW, list_with(NEW, *swapped))
    refused(pair, Grade.DIVERGED)


def test_an_old_authentic_image_for_another_platform(pair: World) -> None:
    pair.holds(NEW, grafted(NEW, AMD64, OLD.images[1]), OLD)
    refused(pair, Grade.DIVERGED)


def test_an_old_authentic_image_for_a_platform_that_upstream_has_not(pair: World) -> None:
    listed = replace(OLD.images[1].descriptor, platform=Platform("linux", "s390x"))
    whole = list_with(NEW, AMD.descriptor, ARM.descriptor, listed)
    pair.holds(NEW, replace(whole, images=(*whole.images, OLD.images[1])), OLD)
    refused(pair, Grade.DIVERGED)


def test_an_image_more_than_upstream_lists(pair: World) -> None:
    extra = release("app", "1.4.2", Platform("linux", "s390x"))
    pair.holds(NEW, index((AMD, ARM, extra)))
    refused(pair, Grade.DIVERGED)


def test_an_unknown_attestation(pair: World) -> None:
    pair.holds(NEW, index((AMD, ARM, STRANGER)))
    refused(pair, Grade.DIVERGED)


def test_a_known_attestation_listed_for_another_image(pair: World) -> None:
    marks = dict(PROOF.annotations) | {"vnd.docker.reference.digest": str(ARM.digest)}
    moved = replace(PROOF.descriptor, annotations=tuple(marks.items()))
    pair.holds(NEW, list_with(NEW, AMD.descriptor, ARM.descriptor, moved))
    refused(pair, Grade.DIVERGED)


def test_an_earlier_attestation_beside_current_images(pair: World) -> None:
    pair.holds(NEW, index((AMD, ARM, OLD.images[3])), OLD)
    verdict = pair.ask(AMD64, policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.ALLOW, Grade.REPACKAGED)
    assert not is_allowed(pair.ask(AMD64))


def test_an_image_disguised_as_an_attestation(pair: World) -> None:
    disguised = replace(ARM.descriptor, platform=PROOF.platform, annotations=PROOF.annotations)
    pair.holds(NEW, list_with(NEW, AMD.descriptor, disguised))
    refused(pair, Grade.DIVERGED)


def test_an_attestation_listed_as_an_image(pair: World) -> None:
    shown = replace(PROOF.descriptor, platform=ARM64, annotations=())
    pair.holds(NEW, list_with(NEW, AMD.descriptor, shown))
    refused(pair, Grade.DIVERGED)


def test_a_child_of_another_image(pair: World) -> None:
    pair.holds(NEW, index((OTHER.images[0], ARM)))
    refused(pair, Grade.DIVERGED)
    pair.holds(NEW, OTHER)
    refused(pair, Grade.DIVERGED)
    pair.holds(NEW, OTHER.images[0])
    refused(pair, Grade.DIVERGED)


@pytest.mark.parametrize("order", ["first", "last"])
def test_platform_choice_a_second_image_for_a_platform(pair: World, order: str) -> None:
    forged = release("app", "1.4.2-x.1")
    both = (forged, AMD) if order == "first" else (AMD, forged)
    pair.holds(NEW, index((*both, ARM)))
    refused(pair, Grade.DIVERGED)


def test_platform_choice_the_same_image_twice(pair: World) -> None:
    pair.holds(NEW, index((AMD, AMD, ARM)))
    refused(pair, Grade.DIVERGED)


def test_platform_choice_an_earlier_image_before_the_current_one(pair: World) -> None:
    pair.holds(NEW, index((OLD.images[0], AMD, ARM)), OLD)
    refused(pair, Grade.STALE)


def test_platform_choice_two_of_upstreams_own_in_another_order(pair: World) -> None:
    debug = release("app", "1.4.2-debug.1")
    upstream = index((AMD, debug, ARM))
    pair.holds(upstream, index((debug, AMD)))
    for wanted in ((), (AMD64,)):
        verdict = pair.ask(*wanted, policy=SAME_CONTENT, deep=True)
        assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.REPACKAGED)
    pair.holds(upstream, index((debug,)))
    assert not is_allowed(pair.ask(AMD64))
    pair.holds(upstream, index((AMD, debug)))
    assert is_allowed(pair.ask(AMD64))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 7),
        ("size", len(AMD.manifest) + 1),
        ("mediaType", str(mediatype.DOCKER_MANIFEST)),
        ("mediaType", str(mediatype.OCI_INDEX)),
        ("mediaType", "application/vnd.example.unknown"),
        ("mediaType", str(mediatype.OCI_LAYER)),
    ],
)
def test_a_listed_image_described_wrongly(pair: World, field: str, value: object) -> None:
    document = json.loads(trimmed(NEW, AMD64, ARM64).manifest)
    document["manifests"][0][field] = value
    bent = replace(NEW, manifest=json.dumps(document).encode())
    pair.holds(NEW, bent)
    for wanted in ((), (AMD64,)):
        verdict = pair.ask(*wanted, policy=SAME_CONTENT, deep=True)
        assert not is_allowed(verdict)
        assert grade(verdict) in (Grade.DIVERGED, Grade.INCONCLUSIVE)


def test_a_wrapped_image_under_a_wrong_platform_or_type(pair: World) -> None:
    pair.holds(NEW_AMD64, index((replace(NEW_AMD64, platform=ARM64),)))
    assert grade(pair.ask(policy=SAME_CONTENT, deep=True)) is Grade.DIVERGED
    wrapped = index((replace(NEW_AMD64, media_type=MediaType("application/vnd.unknown")),))
    pair.holds(NEW_AMD64, index((NEW_AMD64,)))
    put(pair.mirror.shelf, PATH, replace(wrapped, images=()), TAG)
    assert not is_allowed(pair.ask(policy=SAME_CONTENT, deep=True))


@pytest.mark.parametrize("mirrored", [NEW, trimmed(NEW, AMD64)], ids=["identical", "trimmed"])
def test_partial_coverage_a_falsified_layer_is_named(pair: World, mirrored: ImageIndex) -> None:
    pair.holds(NEW, mirrored)
    tamper(pair.mirror.shelf, AMD)
    assert is_allowed(pair.ask(AMD64))
    verdict = pair.ask(AMD64, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    (finding,) = only(verdict).findings
    assert (finding.rule, finding.level) == (Rule.DIGEST_MISMATCH, Level.ERROR)
    assert finding.message.startswith(f"layer 2 of 2 from {pair.mirror.host}: ")


def test_process_before_verify_a_falsified_layer_never_meets_a_decompressor(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[bytes] = []
    monkeypatch.setattr("imgverify.verify.deep.detect", met.append)
    packed = recompressed(NEW_AMD64, Compression.ZSTD)
    pair.holds(NEW_AMD64, packed)
    for each in packed.layers:
        pair.mirror.shelf.replace_blob(each.descriptor.digest, bytes(len(each.blob)))
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    assert only(verdict).explanation.summary.endswith("than its own manifests name")
    assert met == []


@pytest.mark.parametrize("data", [b"{}", b"{" * 90, None], ids=["short", "other", "longer"])
def test_a_falsified_config(pair: World, data: bytes | None) -> None:
    pair.holds(NEW_AMD64, NEW_AMD64)
    digest = Digest.of(NEW_AMD64.config)
    pair.mirror.shelf.replace_blob(digest, data or NEW_AMD64.config + b" ")
    verdict = pair.ask(deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    (finding,) = only(verdict).findings
    assert finding.message.startswith(f"the config from {pair.mirror.host}: ")


def test_an_absent_layer(pair: World) -> None:
    pair.holds(NEW, NEW)
    digest = ARM.layers[1].descriptor.digest
    pair.mirror.shelf.remove_blob(digest)
    assert is_allowed(pair.ask())
    assert is_allowed(pair.ask(AMD64, deep=True))
    verdict = pair.ask(deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.MISSING)
    assert str(digest) in only(verdict).explanation.summary


def test_a_layer_that_registries_do_not_distribute(pair: World) -> None:
    foreign = MediaType("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    layers = (replace(NEW_AMD64.layers[0], media_type=foreign), NEW_AMD64.layers[1])
    windows = assemble(NEW_AMD64.config, layers, AMD64)
    pair.holds(windows, windows)
    pair.mirror.shelf.remove_blob(layers[0].descriptor.digest)
    verdict = pair.ask(deep=True)
    assert is_allowed(verdict)
    (finding,) = only(verdict).findings
    assert (finding.rule, finding.level) == (Rule.LAYER_NOT_VERIFIABLE, Level.WARNING)
    # What upstream distributes does not become exempt by being called so.
    pair.upstream.shelf.remove_manifest(PATH, windows.digest)
    pair.holds(NEW_AMD64, windows)
    pair.mirror.shelf.remove_blob(layers[0].descriptor.digest)
    assert grade(pair.ask(deep=True, policy=SAME_CONTENT)) is Grade.DIVERGED


def test_a_foreign_layer_that_a_mirror_distributes(pair: World) -> None:
    foreign = MediaType("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    layers = tuple(replace(each, media_type=foreign) for each in NEW_AMD64.layers)
    pair.holds(assemble(NEW_AMD64.config, layers, AMD64), NEW_AMD64)
    assert grade(pair.ask(deep=True, policy=SAME_CONTENT)) is Grade.REPACKAGED


def test_a_sparse_mirror_has_the_index_and_not_all_images(pair: World) -> None:
    pair.holds(NEW, NEW)
    pair.mirror.shelf.remove_manifest(PATH, ARM.digest)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.SUBSET)
    assert states(verdict)[1] == ("linux/arm64", PlatformState.ABSENT)
    assert rules(verdict) == {Rule.PLATFORM_ABSENT}
    assert not is_allowed(pair.ask(ARM64))
    assert is_allowed(pair.ask(AMD64, deep=True))


def nested(*images: Image) -> tuple[ImageIndex, ImageIndex]:
    """An index in an index, as the inner and the outer one."""
    inner = index(images)
    as_child = Image(inner.manifest, inner.media_type, b"{}", (), Platform("", ""))
    return inner, replace(index((AMD, as_child)), images=(AMD, *images))


def inner_to(pair: World, inner: ImageIndex) -> None:
    put(pair.upstream.shelf, PATH, inner)
    put(pair.mirror.shelf, PATH, inner)


def test_an_index_in_an_index(pair: World) -> None:
    inner, outer = nested(ARM, ARM7)
    pair.holds(outer, outer)
    inner_to(pair, inner)
    assert is_allowed(pair.ask(deep=True))
    assert [name for name, _ in states(pair.ask())] == [str(each) for each in PLATFORMS]
    pair.mirror.shelf.remove_manifest(PATH, ARM.digest)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.SUBSET)


def test_an_image_of_an_inner_index_that_a_repackaged_one_lacks(pair: World) -> None:
    inner, outer = nested(ARM, ARM7)
    pair.holds(outer, reserialised(outer))
    inner_to(pair, inner)
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.ALLOW, Grade.REPACKAGED)
    pair.mirror.shelf.remove_manifest(PATH, ARM.digest)
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert verdict.decision is Decision.DENY
    assert rules(verdict) == {Rule.PLATFORM_ABSENT}


def test_an_inner_index_beside_a_repackaged_image(pair: World) -> None:
    inner, outer = nested(ARM, ARM7)
    document = json.loads(outer.manifest)
    packed = recompressed(AMD, Compression.ZSTD)
    document["manifests"][0] |= {"digest": str(packed.digest), "size": len(packed.manifest)}
    images = (packed, *outer.images)
    mirrored = replace(outer, manifest=json.dumps(document).encode(), images=images)
    pair.holds(outer, mirrored)
    inner_to(pair, inner)
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.ALLOW, Grade.REPACKAGED)


def test_indexes_nested_too_deeply(pair: World) -> None:
    item: Image | ImageIndex = NEW_AMD64
    for _ in range(4):
        child = Image(item.manifest, item.media_type, b"{}", (), AMD64)
        put(pair.mirror.shelf, PATH, item)
        item = replace(index((child,)), images=())
    pair.holds(item, item)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert rules(verdict) == {Rule.MALFORMED}


@pytest.mark.parametrize("marked", [False, True], ids=["images", "attestations"])
def test_an_index_of_more_images_than_are_asked_about(pair: World, *, marked: bool) -> None:
    template = PROOF.descriptor if marked else AMD.descriptor
    crowd = [replace(template, digest=Digest.of(b"%d" % each)) for each in range(300)]
    pair.holds(NEW, replace(list_with(NEW, AMD.descriptor, *crowd), images=(AMD,)))
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert rules(verdict) == {Rule.MALFORMED}
    assert pair.upstream.count() < 20


def test_a_platform_that_upstream_does_not_publish(pair: World) -> None:
    for item in (NEW, NEW_AMD64, trimmed(NEW, AMD64)):
        pair.holds(NEW if item is not NEW_AMD64 else NEW_AMD64, item)
        verdict = pair.ask(Platform("linux", "s390x"))
        assert verdict.decision is Decision.DENY
        assert Rule.PLATFORM_ABSENT in rules(verdict)


def test_a_single_image_says_its_platform_in_its_config(pair: World) -> None:
    pair.holds(NEW_AMD64, NEW_AMD64)
    assert is_allowed(pair.ask(AMD64))
    assert not is_allowed(pair.ask(ARM64))
    pair.mirror.shelf.remove_blob(Digest.of(NEW_AMD64.config))
    assert grade(pair.ask(AMD64)) is Grade.MISSING


def test_coverage_says_what_was_read(pair: World) -> None:
    pair.holds(NEW, NEW)
    assert only(pair.ask()).coverage is Coverage.MANIFESTS
    assert only(pair.ask(deep=True)).coverage is Coverage.LAYERS
    for deep in (False, True):
        verdict = pair.put_question(pair.question(deep=deep), pulling=True)
        assert only(verdict).coverage is Coverage.MANIFESTS


@pytest.mark.parametrize("status", [404, 500])
def test_coverage_does_not_count_layers_that_were_not_to_be_had(pair: World, status: int) -> None:
    pair.holds(NEW, NEW)
    layer = NEW.images[0].layers[0].descriptor.digest
    pair.play("mirror", Status(status, when=When(path=str(layer))))
    assert only(pair.ask(deep=True)).coverage is Coverage.MANIFESTS
