"""Configs field by field, and layers one by one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.compare.layers import are_proven, compare_configs, compare_layers
from imgverify.oci.config import ImageConfig, parse_config
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import Manifest, parse_manifest
from imgverify.oci.mediatype import Compression
from imgverify.verdict import ConfigChange, ConfigState, LayerState
from tests.support.image import Image, Layer, assemble, layer, recompressed, release

IMAGE = release("app", "1.4.2")
BASE = json.loads(IMAGE.config)
LAYERS = tuple(layer({"file": b"%d" % each}) for each in range(6))


def config(**changes: object) -> ImageConfig:
    """The config with other top-level fields; None leaves one out."""
    kept = {key: value for key, value in (BASE | changes).items() if value is not None}
    return parse_config(Content.of(json.dumps(kept).encode()), layers=2)


def running(**changes: object) -> ImageConfig:
    run = {key: value for key, value in (BASE["config"] | changes).items() if value is not None}
    return config(config=run)


def compared(upstream: ImageConfig, mirror: ImageConfig) -> ConfigChange:
    return compare_configs(upstream, mirror)


def test_the_same_bytes_are_equal_and_what_was_not_read_is_unread() -> None:
    assert compared(config(), config()) == ConfigChange(ConfigState.EQUAL)
    assert compare_configs(None, config()).state is ConfigState.UNREAD
    assert compare_configs(config(), None).state is ConfigState.UNREAD


def test_other_bytes_that_say_the_same_are_rewritten() -> None:
    other = parse_config(Content.of(json.dumps(BASE, indent=3).encode()), layers=2)
    assert compared(config(), other) == ConfigChange(ConfigState.REWRITTEN)


@pytest.mark.parametrize("nothing", [None, "", [], {}, False])
@pytest.mark.parametrize("field", ["Cmd", "Volumes", "Labels", "ArgsEscaped", "StopSignal"])
def test_nothing_is_written_in_many_ways(field: str, nothing: object) -> None:
    one, other = running(), running(**{field: nothing}, Hostname="")
    assert compared(one, other).state is ConfigState.REWRITTEN
    assert compared(other, one).state is ConfigState.REWRITTEN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("User", ""),
        ("User", "0"),
        ("Env", []),
        ("Entrypoint", None),
        ("Cmd", ["sh"]),
        ("WorkingDir", "/"),
        ("Labels", {"a": ""}),
        ("ExposedPorts", {"1/tcp": {}}),
        ("Volumes", {"/data": {}}),
        ("StopSignal", "SIGKILL"),
        ("ArgsEscaped", True),
    ],
)
def test_a_field_that_runs_differently_is_changed_both_ways(field: str, value: object) -> None:
    one, other = running(), running(**{field: value})
    for here, there in ((one, other), (other, one)):
        assert compared(here, there) == ConfigChange(ConfigState.CHANGED, (f"config:{field}",))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("variant", "v2"),
        ("os.version", "10.0"),
        ("os.features", ["win32k"]),
        ("author", "somebody"),
        ("created", None),
        ("history", [{"created_by": "x"}]),
    ],
)
def test_a_top_field_of_oci_is_changed_both_ways(field: str, value: object) -> None:
    one, other = config(), config(**{field: value})
    assert compared(one, other) == ConfigChange(ConfigState.CHANGED, (field,))
    assert compared(other, one) == ConfigChange(ConfigState.CHANGED, (field,))


@pytest.mark.parametrize("field", ["Healthcheck", "OnBuild", "Shell", "Unknown"])
def test_a_field_that_oci_does_not_know_may_be_dropped_and_not_added(field: str) -> None:
    without, having = running(), running(**{field: ["x"]})
    dropped = ConfigChange(ConfigState.REWRITTEN, (f"config:{field}",))
    assert compared(having, without) == dropped
    assert compared(without, having).state is ConfigState.CHANGED
    assert compared(having, running(**{field: ["y"]})).state is ConfigState.CHANGED


def test_a_field_of_another_place_does_not_pass_for_one_of_the_config() -> None:
    assert compared(config(), config(**{"config:Env": ["A=1"]})).state is ConfigState.CHANGED


@given(st.dictionaries(st.sampled_from(["Cmd", "User", "Shell", "X"]), st.none() | st.just(["a"])))
def test_comparing_configs_is_reflexive_and_never_forgives_an_addition(
    changes: dict[str, object],
) -> None:
    other = running(**changes)
    assert compared(other, other).state is ConfigState.EQUAL
    if any(changes.get(each) for each in ("Cmd", "Shell", "X")):
        assert compared(running(), other).state is ConfigState.CHANGED


def image(*layers: Layer) -> Image:
    document = BASE | {
        "rootfs": {"type": "layers", "diff_ids": [str(each.diff_id) for each in layers]}
    }
    return assemble(json.dumps(document).encode(), layers, IMAGE.platform)


def read(item: Image) -> tuple[Manifest, ImageConfig]:
    manifest = parse_manifest(Content.of(item.manifest))
    assert isinstance(manifest, Manifest)
    return manifest, parse_config(Content.of(item.config), layers=len(manifest.layers))


def aligned(upstream: Image, mirror: Image, *, configs: bool = True) -> list[LayerState]:
    (ours, our_config), (theirs, their_config) = read(upstream), read(mirror)
    known = (our_config, their_config) if configs else (None, None)
    changes = compare_layers(ours, theirs, known)
    assert [each.position for each in changes] == list(range(len(changes)))
    assert [each.upstream for each in changes if each.upstream] == list(ours.layers)
    assert [each.mirror for each in changes if each.mirror] == list(theirs.layers)
    return [each.state for each in changes]


E, R = LayerState.EQUAL, LayerState.RECOMPRESSED
C, A, D = LayerState.CHANGED, LayerState.ADDED, LayerState.DROPPED


@pytest.mark.parametrize(
    ("mirror", "states"),
    [
        ((0, 1, 2), [E, E, E]),
        ((0, 1, 2, 3), [E, E, E, A]),
        ((3, 0, 1, 2), [A, E, E, E]),
        ((0, 3, 2), [E, C, E]),
        ((0, 2), [E, D, E]),
        ((0, 3, 4, 2), [E, C, A, E]),
        ((), [D, D, D]),
        ((2, 2, 2), [A, A, D, D, E]),
    ],
)
def test_layers_are_aligned(mirror: tuple[int, ...], states: list[LayerState]) -> None:
    upstream = image(*LAYERS[:3])
    there = image(*(LAYERS[each] for each in mirror))
    for configs in (True, False):
        assert sorted(aligned(upstream, there, configs=configs)) == sorted(states)


def test_without_configs_only_equal_blobs_are_the_same() -> None:
    upstream = image(*LAYERS[:2])
    packed = recompressed(upstream, Compression.ZSTD)
    assert aligned(upstream, packed) == [R, R]
    assert aligned(upstream, packed, configs=False) == [C, C]


def test_equal_blobs_that_the_configs_call_different_are_changed() -> None:
    one = image(LAYERS[0])
    lying = assemble(image(LAYERS[1]).config, (LAYERS[0],), IMAGE.platform)
    assert aligned(one, lying) == [C]


def test_proven_is_what_was_computed_for_every_layer() -> None:
    upstream = image(*LAYERS[:2])
    packed = recompressed(upstream, Compression.ZSTD)
    (ours, our_config), (theirs, their_config) = read(upstream), read(packed)
    changes = compare_layers(ours, theirs, (our_config, their_config))
    computed = {each.descriptor.digest: each.diff_id for each in packed.layers}
    ids = our_config.diff_ids
    assert are_proven(changes, ids, computed)
    assert not are_proven(changes, ids, {})
    assert not are_proven(changes, ids[:1], computed)
    assert not are_proven(changes, tuple(reversed(ids)), computed)
    for digest in computed:
        assert not are_proven(changes, ids, computed | {digest: Digest.of(b"other")})
    longer = image(*LAYERS[:3])
    added = compare_layers(ours, read(longer)[0], (our_config, read(longer)[1]))
    assert not are_proven(added, (*ids, ids[0]), computed)
