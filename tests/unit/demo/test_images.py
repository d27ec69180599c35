import io
import json
import tarfile
import zlib
from collections.abc import Callable

import pytest
import zstandard

from imgverify.demo import images
from imgverify.demo.images import (
    AMD64,
    ARM64,
    PLATFORMS,
    TAG,
    Image,
    ImageIndex,
    Twin,
    index,
    multi_platform,
    put,
    release,
    stage,
    tamper,
    trimmed,
)
from imgverify.oci import mediatype
from imgverify.oci.config import ImageConfig, is_oci_field, parse_config
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import Index, Manifest, attested_image, parse_manifest
from imgverify.oci.mediatype import Compression
from imgverify.oci.platform import Platform
from imgverify.serve.shelf import Shelf
from tests.support import image as support


def read(item: Image) -> tuple[Manifest, ImageConfig]:
    manifest = parse_manifest(Content.of(item.manifest), expected=item.media_type)
    assert isinstance(manifest, Manifest)
    return manifest, parse_config(Content.of(item.config), layers=len(manifest.layers))


def read_index(item: ImageIndex) -> Index:
    parsed = parse_manifest(Content.of(item.manifest), expected=item.media_type)
    assert isinstance(parsed, Index)
    return parsed


def every_byte(shelf: Shelf, repository: str, digest: Digest) -> list[bytes]:
    """Everything below a digest, as a client would find it."""
    stored = shelf.manifest(repository, digest)
    assert stored is not None
    parsed = parse_manifest(Content(stored.data, digest), content_type=stored.media_type)
    if isinstance(parsed, Index):
        below = [every_byte(shelf, repository, each.digest) for each in parsed.manifests]
        return [stored.data, *(data for each in below for data in each)]
    blobs = [shelf.blob(each.digest) for each in (parsed.config, *parsed.layers)]
    return [stored.data, *(each for each in blobs if isinstance(each, bytes))]


def test_the_same_call_gives_the_same_bytes() -> None:
    assert multi_platform("app", "1.4.2") == multi_platform("app", "1.4.2")
    again, first = stage(), stage()
    for _, repository in first.images:
        digest = first.mirror.resolve(repository, TAG)
        assert digest is not None
        assert digest == again.mirror.resolve(repository, TAG)
        assert every_byte(first.mirror, repository, digest) == every_byte(
            again.mirror, repository, digest
        )


def test_no_bytes_depend_on_when_they_were_made() -> None:
    layer = release("app", "1.4.2").layers[0]
    assert layer.blob[:4] == b"\x1f\x8b\x08\x00"
    assert layer.blob[4:8] == bytes(4)
    with tarfile.open(fileobj=io.BytesIO(layer.plain)) as archive:
        members = archive.getmembers()
    assert len(members) > 1
    assert {(each.mtime, each.uid, each.gid, each.uname) for each in members} == {(0, 0, 0, "")}


@pytest.mark.parametrize("platform", PLATFORMS, ids=str)
def test_an_image_is_one_by_the_specification(platform: Platform) -> None:
    image = release("app", "1.4.2", platform)
    manifest, config = read(image)
    assert manifest.is_image
    assert manifest.digest == image.digest
    assert config.platform == platform
    for described, layer, diff_id in zip(
        manifest.layers, image.layers, config.diff_ids, strict=True
    ):
        assert described == layer.descriptor
        Content(layer.blob, described.digest)
        Content(zlib.decompress(layer.blob, 31), diff_id)


def test_versions_share_the_base_layer_and_nothing_else() -> None:
    older, newer = release("app", "1.4.1"), release("app", "1.4.2")
    assert older.layers[0] == newer.layers[0]
    assert older.layers[1].diff_id != newer.layers[1].diff_id
    before, after = read(older)[1].created, read(newer)[1].created
    assert before is not None
    assert after is not None
    assert before < after


def test_an_index_lists_every_platform_and_their_attestations() -> None:
    whole = multi_platform("app", "1.4.2")
    parsed = read_index(whole)
    assert tuple(each.platform for each in parsed.images) == PLATFORMS
    assert [attested_image(each) for each in parsed.attestations] == [
        str(each.digest) for each in parsed.images
    ]
    assert tuple(each.digest for each in parsed.manifests) == tuple(
        each.digest for each in whole.images
    )


def test_an_attestation_names_its_image() -> None:
    image = release("app", "1.4.2")
    child = images.attestation(image)
    manifest, config = read(child)
    assert config.platform.is_unknown
    assert config.diff_ids == (child.layers[0].diff_id,)
    assert manifest.layers[0].annotation("in-toto.io/predicate-type")
    subject = json.loads(child.layers[0].blob)["subject"]
    assert subject == [{"name": "_", "digest": {"sha256": image.digest.encoded}}]


def test_put_leaves_nothing_out() -> None:
    shelf = Shelf()
    whole = multi_platform("app", "1.4.2")
    digest = put(shelf, "library/app", whole, "1.4")
    assert digest == whole.digest == shelf.resolve("library/app", "1.4")
    assert len(every_byte(shelf, "library/app", digest)) == 1 + 3 * 4 + 3 * 3
    single = put(shelf, "library/one", whole.images[0])
    assert single == whole.images[0].digest
    assert shelf.tags("library/one") == ()


def on_stage(twin: Twin) -> tuple[str, images.Stage, ImageIndex]:
    staged = stage()
    repository = dict(staged.images)[twin]
    return repository, staged, multi_platform(repository.rpartition("/")[2], "1.4.2")


def mirrored(twin: Twin) -> Index:
    repository, staged, _ = on_stage(twin)
    digest = staged.mirror.resolve(repository, TAG)
    assert digest is not None
    stored = staged.mirror.manifest(repository, digest)
    assert stored is not None
    parsed = parse_manifest(Content(stored.data, digest))
    assert isinstance(parsed, Index)
    return parsed


def test_the_stage_has_every_twin_once() -> None:
    assert [twin for twin, _ in stage().images] == list(Twin)
    assert len({repository for _, repository in stage().images}) == len(Twin)


@pytest.mark.parametrize("twin", Twin)
def test_upstream_serves_the_current_release_whole(twin: Twin) -> None:
    repository, staged, current = on_stage(twin)
    assert staged.upstream.resolve(repository, TAG) == current.digest
    for data in every_byte(staged.upstream, repository, current.digest):
        assert staged.upstream.blob(Digest.of(data)) in (data, None)


def test_identical_is_identical_to_the_last_byte() -> None:
    repository, staged, current = on_stage(Twin.IDENTICAL)
    assert every_byte(staged.mirror, repository, current.digest) == every_byte(
        staged.upstream, repository, current.digest
    )


def test_stale_is_what_upstream_had_before_and_still_serves() -> None:
    repository, staged, current = on_stage(Twin.STALE)
    held = staged.mirror.resolve(repository, TAG)
    assert held is not None
    assert held != current.digest
    assert every_byte(staged.upstream, repository, held)
    assert staged.upstream.tags(repository) == (TAG,)


def test_repackaged_has_the_same_configs_and_other_layers() -> None:
    _, _, current = on_stage(Twin.REPACKAGED)
    theirs = mirrored(Twin.REPACKAGED)
    assert not theirs.attestations
    ours = images.twin_of(Twin.REPACKAGED, "cache", current)
    for mine, original in zip(ours.images, current.images, strict=False):
        assert mine.config == original.config
        assert mine.digest != original.digest
        pairs = zip(mine.layers, original.layers, strict=True)
        assert all(a.blob != b.blob and a.plain == b.plain for a, b in pairs)
    assert theirs.digest == ours.digest


def test_trimmed_keeps_the_digests_of_what_it_keeps() -> None:
    _, _, current = on_stage(Twin.TRIMMED)
    theirs = mirrored(Twin.TRIMMED)
    assert theirs.manifests == read_index(current).images[:1]
    both = trimmed(current, AMD64, ARM64)
    assert [each.platform for each in both.images] == [AMD64, ARM64]


def test_tampered_differs_in_one_byte_of_one_blob() -> None:
    repository, staged, current = on_stage(Twin.TAMPERED)
    assert staged.mirror.resolve(repository, TAG) == current.digest
    good = every_byte(staged.upstream, repository, current.digest)
    bad = every_byte(staged.mirror, repository, current.digest)
    changed = [(a, b) for a, b in zip(good, bad, strict=True) if a != b]
    assert len(changed) == 1
    original, tampered = changed[0]
    assert len(original) == len(tampered)
    assert sum(a != b for a, b in zip(original, tampered, strict=True)) == 1


def test_diverged_was_never_upstream_s() -> None:
    repository, staged, _ = on_stage(Twin.DIVERGED)
    theirs = mirrored(Twin.DIVERGED)
    assert staged.upstream.manifest(repository, theirs.digest) is None
    for each in theirs.manifests:
        assert staged.upstream.manifest(repository, each.digest) is None


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("make", [support.oci, support.docker])
def test_recompressed_changes_the_layers_only(
    make: Callable[[Image], Image], compression: Compression
) -> None:
    original = make(release("app", "1.4.2"))
    other = support.recompressed(original, compression)
    manifest, config = read(other)
    assert other.config == original.config
    assert other.media_type == original.media_type
    assert {each.media_type.compression for each in manifest.layers} == {compression}
    plain = [uncompressed(each.blob, compression) for each in other.layers]
    assert [Digest.of(each) for each in plain] == list(config.diff_ids)


def uncompressed(blob: bytes, compression: Compression) -> bytes:
    if compression is Compression.GZIP:
        return zlib.decompress(blob, 31)
    if compression is Compression.ZSTD:
        return zstandard.ZstdDecompressor().decompress(blob)
    return blob


def test_docker_and_oci_are_two_manifests_of_one_config() -> None:
    original = release("app", "1.4.2")
    other = support.docker(original)
    manifest, _ = read(other)
    assert manifest.media_type == mediatype.DOCKER_MANIFEST
    assert manifest.config.media_type == mediatype.DOCKER_CONFIG
    assert {each.media_type for each in manifest.layers} == {mediatype.DOCKER_LAYER_GZIP}
    assert manifest.config.digest == read(original)[0].config.digest
    assert support.oci(other) == original


def test_skopeo_drops_what_only_docker_knows() -> None:
    original = support.docker_original()
    converted = support.skopeo_oci(original)
    before, after = read(original)[1].fields, read(converted)[1].fields
    dropped = set(before) - set(after)
    assert {"docker_version", "container", "config:Image"} <= dropped
    assert not any(map(is_oci_field, dropped))
    assert {key: before[key] for key in after} == after
    assert read(converted)[0].media_type == mediatype.OCI_MANIFEST
    assert converted.config != original.config


def test_reserialised_says_the_same_in_other_bytes() -> None:
    image, whole = release("app", "1.4.2"), multi_platform("app", "1.4.2")
    texts = [(image.manifest, support.reserialised(image).manifest)]
    texts += [(whole.manifest, support.reserialised(whole).manifest)]
    for original, other in texts:
        assert other != original
        assert json.loads(other) == json.loads(original)


def test_a_graft_has_a_real_digest_under_a_false_label() -> None:
    whole = index((release("app", "1.4.2", AMD64), release("app", "1.4.2", ARM64)))
    stranger = release("miner", "6.6.6", AMD64)
    grafted = support.grafted(whole, ARM64, stranger)
    children = read_index(grafted).images
    assert [each.platform for each in children] == [AMD64, ARM64]
    assert [each.digest for each in children] == [whole.images[0].digest, stranger.digest]
    shelf = Shelf()
    assert every_byte(shelf, "library/app", put(shelf, "library/app", grafted))


def test_an_artifact_refers_to_its_subject() -> None:
    shelf = Shelf()
    image = release("app", "1.4.2")
    put(shelf, "library/app", image)
    put(shelf, "library/app", support.artifact(image, b"signature"))
    found = shelf.referrers("library/app", image.digest)
    assert [each["artifactType"] for each in found] == ["application/vnd.test.sig"]


def test_with_config_changes_a_field() -> None:
    changed = support.with_config(release("app", "1.4.2"), author="me", history=None)
    fields = read(changed)[1].fields
    assert fields["author"] == '"me"'
    assert "history" not in fields


@pytest.mark.parametrize("size", [0, 5, 1 << 20, (5 << 20) + 7])
def test_a_big_blob_hashes_to_its_digest(size: int) -> None:
    digest, blob = support.big_blob(size)
    for _ in range(2):
        data = b"".join(blob.chunks())
        assert len(data) == blob.size == size
        assert digest.matches(data)


def test_tamper_changes_what_lies_on_the_shelf_only() -> None:
    shelf = Shelf()
    image = release("app", "1.4.2")
    put(shelf, "library/app", image)
    tamper(shelf, image)
    named = image.layers[-1].descriptor.digest
    held = shelf.blob(named)
    assert isinstance(held, bytes)
    assert not named.matches(held)
    assert shelf.blob(image.layers[0].descriptor.digest) == image.layers[0].blob
