"""What upstream never published, and what only claims to be the same."""

import json
from dataclasses import replace

import pytest

from imgverify.oci import mediatype
from imgverify.oci.mediatype import Compression
from imgverify.verdict import (
    ConfigState,
    Decision,
    Grade,
    LayerState,
    PlatformState,
)
from tests.support.image import (
    AMD64,
    ARM64,
    Image,
    Layer,
    assemble,
    index,
    layer,
    list_with,
    put,
    recompressed,
    with_config,
)
from tests.unit.verify.world import (
    FORGED,
    FORGED_AMD64,
    NEW,
    NEW_AMD64,
    OLD,
    PATH,
    SAME_CONTENT,
    World,
    grade,
    is_allowed,
    only,
    states,
)


def _changed_layer(image: Image) -> Image:
    layers = (image.layers[0], layer({"usr/bin/app": b"#!/bin/sh\nexec evil\n"}))
    document = json.loads(image.config)
    document["rootfs"]["diff_ids"] = [str(each.diff_id) for each in layers]
    return assemble(json.dumps(document).encode(), layers, image.platform)


def _added_layer(image: Image) -> Image:
    layers = (*image.layers, layer({"etc/ld.so.preload": b"/lib/evil.so\n"}))
    document = json.loads(image.config)
    document["rootfs"]["diff_ids"] = [str(each.diff_id) for each in layers]
    return assemble(json.dumps(document).encode(), layers, image.platform)


def _dropped_layer(image: Image) -> Image:
    document = json.loads(image.config)
    del document["rootfs"]["diff_ids"][1:]
    return assemble(json.dumps(document).encode(), image.layers[:1], image.platform)


def _running(image: Image, **fields: object) -> Image:
    return with_config(image, config=json.loads(image.config)["config"] | fields)


CHANGES = {
    "changed-layer": _changed_layer(NEW_AMD64),
    "added-layer": _added_layer(NEW_AMD64),
    "dropped-layer": _dropped_layer(NEW_AMD64),
    "env": _running(NEW_AMD64, Env=["LD_PRELOAD=/lib/evil.so"]),
    "entrypoint": _running(NEW_AMD64, Entrypoint=["/bin/sh", "-c", "evil"]),
    "user": _running(NEW_AMD64, User="0:0"),
    "user-dropped": _running(NEW_AMD64, User=""),
    "added-field": _running(NEW_AMD64, Healthcheck={"Test": ["CMD", "evil"]}),
    "added-top-field": with_config(NEW_AMD64, container="c" * 64),
    "os-features": with_config(NEW_AMD64, **{"os.features": ["win32k"]}),
    "variant": with_config(NEW_AMD64, variant="v3"),
    "architecture": with_config(NEW_AMD64, architecture="arm64"),
    "history": with_config(NEW_AMD64, history=[]),
    "created": with_config(NEW_AMD64, created="2026-03-03T08:30:00.000000001Z"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_diverged(pair: World, name: str) -> None:
    pair.holds(NEW_AMD64, CHANGES[name])
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    pair.holds(NEW, list_with(NEW, CHANGES[name].descriptor, NEW.images[1].descriptor))
    put(pair.mirror.shelf, PATH, CHANGES[name])
    verdict = pair.ask(AMD64, policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("changed-layer", LayerState.CHANGED),
        ("added-layer", LayerState.ADDED),
        ("dropped-layer", LayerState.DROPPED),
    ],
)
def test_diverged_says_which_layer(pair: World, name: str, state: LayerState) -> None:
    pair.holds(NEW_AMD64, CHANGES[name])
    (change,) = only(pair.ask()).explanation.platforms
    assert {each.state for each in change.layers} == {LayerState.EQUAL, state}
    assert [each.position for each in change.layers] == list(range(len(change.layers)))


@pytest.mark.parametrize(
    ("name", "field"),
    [("env", "config:Env"), ("added-field", "config:Healthcheck"), ("variant", "variant")],
)
def test_diverged_says_which_field(pair: World, name: str, field: str) -> None:
    pair.holds(NEW_AMD64, CHANGES[name])
    (change,) = only(pair.ask()).explanation.platforms
    assert change.config is not None
    assert change.config.state is ConfigState.CHANGED
    assert change.config.fields == (field,)


def test_diverged_an_index(pair: World) -> None:
    pair.holds(NEW, FORGED, OLD)
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    assert {state for _, state in states(verdict)} == {PlatformState.CHANGED}


def test_diverged_in_one_platform_only(pair: World) -> None:
    pair.holds(NEW, index((FORGED_AMD64, *NEW.images[1:3])))
    assert grade(pair.ask()) is Grade.DIVERGED
    # Whoever wants another platform is not told that this mirror is fine.
    assert not is_allowed(pair.ask(ARM64))


def test_two_lists_of_nothing_are_not_the_same(pair: World) -> None:
    nothing = index(())
    pair.holds(NEW, nothing)
    assert grade(pair.ask(policy=SAME_CONTENT, deep=True)) is Grade.DIVERGED
    pair.holds(nothing, replace(nothing, manifest=nothing.manifest + b"\n"))
    assert grade(pair.ask(policy=SAME_CONTENT, deep=True)) is Grade.DIVERGED


def test_repackaged_with_a_config_of_no_image_is_diverged(pair: World) -> None:
    document = json.loads(NEW_AMD64.manifest)
    document["config"]["mediaType"] = str(mediatype.OCI_EMPTY)
    mirrored = replace(NEW_AMD64, manifest=json.dumps(document).encode())
    pair.holds(NEW_AMD64, mirrored)
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)


def _posing(image: Image, blob: bytes) -> Image:
    """Another last layer under the very config of the image."""
    last = Layer(image.layers[-1].plain, blob, mediatype.OCI_LAYER_GZIP)
    return assemble(image.config, (*image.layers[:-1], last), image.platform)


EVIL = layer({"usr/bin/app": b"#!/bin/sh\nexec evil\n"})
GOOD = NEW_AMD64.layers[-1]
ZEROS = layer({"zeros": bytes(40 << 20)}, level=9)
POSES = {
    "other-content": EVIL.blob,
    "gzip-bomb": ZEROS.blob,
    "cut-gzip": GOOD.blob[:-4],
    "damaged-gzip": GOOD.blob[:40] + bytes(8) + GOOD.blob[48:],
    "trailing": GOOD.blob + b"more",
    "second-member": GOOD.blob + EVIL.blob,
    "plain-of-another": EVIL.plain,
    "nothing": b"",
}


@pytest.mark.parametrize("name", POSES)
def test_partial_coverage_diffid_claims_a_layer_that_poses_as_another(
    pair: World, name: str
) -> None:
    pair.holds(NEW_AMD64, _posing(NEW_AMD64, POSES[name]))
    claimed = pair.ask(policy=SAME_CONTENT)
    assert (claimed.decision, grade(claimed)) == (Decision.DENY, Grade.REPACKAGED)
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert verdict.decision is Decision.DENY
    assert not only(verdict).explanation.proven


def test_diffid_claims_tar_loop_bomb_a_zstd_bomb_proves_nothing(pair: World) -> None:
    bomb = Layer(ZEROS.plain, ZEROS.plain, mediatype.OCI_LAYER)
    upstream = assemble(_config_of(ZEROS.plain), (replace(bomb, blob=ZEROS.plain),), AMD64)
    mirrored = recompressed(upstream, Compression.ZSTD, level=19)
    pair.holds(upstream, mirrored)
    # Even with the right content inside: the ratio is beyond what is read.
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.REPACKAGED)
    assert not only(verdict).explanation.proven


def _config_of(*plain: bytes) -> bytes:
    document = json.loads(NEW_AMD64.config)
    layers = [Layer(each, each, mediatype.OCI_LAYER) for each in plain]
    document["rootfs"]["diff_ids"] = [str(each.diff_id) for each in layers]
    return json.dumps(document).encode()


def test_an_annotation_that_the_mirror_put_in_leaves_it_unproven(pair: World) -> None:
    toc = (("io.github.containers.zstd-chunked.manifest-checksum", "sha256:" + "0" * 64),)
    packed = recompressed(NEW_AMD64, Compression.ZSTD)
    chunked = tuple(replace(each, annotations=toc) for each in packed.layers)
    mirrored = assemble(packed.config, chunked, AMD64)
    pair.holds(NEW_AMD64, mirrored)
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.REPACKAGED)
    document = json.loads(packed.manifest) | {"annotations": {"run.oci.handler": "evil"}}
    annotated = replace(packed, manifest=json.dumps(document).encode())
    pair.holds(NEW_AMD64, annotated)
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.REPACKAGED)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 5),
        ("mediaType", str(mediatype.OCI_LAYER)),
        ("mediaType", str(mediatype.OCI_LAYER_ZSTD)),
        ("mediaType", "application/vnd.example.unknown"),
        ("mediaType", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
    ],
)
def test_the_same_layer_blob_described_otherwise_is_diverged(
    pair: World, field: str, value: object
) -> None:
    document = json.loads(NEW_AMD64.manifest)
    document["layers"][1][field] = value
    pair.holds(NEW_AMD64, replace(NEW_AMD64, manifest=json.dumps(document).encode()))
    verdict = pair.ask(policy=SAME_CONTENT, deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    (change,) = only(verdict).explanation.platforms
    assert [each.state for each in change.layers] == [LayerState.EQUAL, LayerState.CHANGED]
