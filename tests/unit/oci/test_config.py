"""Image configs."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import ContentError, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.config import ImageConfig, is_oci_field, parse_config
from imgverify.oci.digest import Content
from imgverify.oci.platform import Platform
from tests.unit.oci.samples import (
    DIGEST,
    SEED_LAYERS,
    as_content,
    as_object,
    json_values,
    seed,
    seed_names,
)

BASE: dict[str, object] = {
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
}
ZERO = as_object({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}})


def read(**fields: object) -> ImageConfig:
    return parse_config(as_content(BASE | fields), layers=1)


@pytest.mark.parametrize("name", seed_names("config"))
def test_configs_as_builders_write_them_are_read(name: str) -> None:
    document = seed(name)
    content = as_content(document)
    config = parse_config(content, layers=SEED_LAYERS)
    assert config.digest == content.digest
    assert list(map(str, config.diff_ids)) == as_object(document["rootfs"])["diff_ids"]


def test_a_docker_config_says_its_platform_time_and_fields() -> None:
    config = parse_config(as_content(seed("config/docker-classic")), layers=2)
    assert config.platform == Platform("linux", "amd64")
    assert config.created == datetime(2024, 5, 14, 9, 57, 34, 206153, UTC)
    assert config.fields["config:Cmd"] == '["nginx", "-g", "daemon off;"]'
    assert "config:OnBuild" not in config.fields
    assert "config:Hostname" not in config.fields
    assert "docker_version" in config.fields


def test_a_windows_config_says_its_os_version() -> None:
    config = parse_config(as_content(seed("config/windows")), layers=2)
    assert config.platform.os_version == "10.0.20348.2700"
    assert config.platform.os_features == ("win32k",)


@pytest.mark.parametrize("diff_ids", [{}, {"diff_ids": None}, {"diff_ids": []}])
def test_an_image_without_layers_has_no_diff_ids(diff_ids: dict[str, object]) -> None:
    """Go writes null for an empty list."""
    rootfs = {"type": "layers", **diff_ids}
    assert parse_config(as_content(ZERO | {"rootfs": rootfs}), layers=0).diff_ids == ()


@pytest.mark.parametrize("layers", [0, 2])
def test_another_number_of_layers_than_the_manifest_s_is_malformed(layers: int) -> None:
    with pytest.raises(Malformed, match=f"lists 1 layers, the manifest {layers}"):
        parse_config(as_content(BASE), layers=layers)


@pytest.mark.parametrize(
    "rootfs",
    [
        None,
        [],
        "layers",
        {},
        {"diff_ids": [DIGEST]},
        {"type": "layers+base", "diff_ids": [DIGEST]},
        {"type": "layers", "diff_ids": DIGEST},
        {"type": "layers", "diff_ids": {"0": DIGEST}},
        {"type": "layers", "diff_ids": [None]},
        {"type": "layers", "diff_ids": ["md5:d41d8cd98f00b204e9800998ecf8427e"]},
        {"type": "layers", "diff_ids": ["sha256:../../x"]},
        {"type": "layers", "Diff_IDs": [DIGEST], "diff_ids": [DIGEST]},
        {"Type": "layers", "diff_ids": [DIGEST]},
    ],
)
def test_a_rootfs_that_is_no_list_of_layers_is_malformed(rootfs: object) -> None:
    """The type of a rootfs is `layers`, and an implementation refuses any other."""
    with pytest.raises(Malformed):
        read(rootfs=rootfs)


@pytest.mark.parametrize(
    "fields",
    [
        {"RootFS": {}},
        {"OS": "linux"},
        {"Architecture": "arm64"},
        {"Config": {}},
        {"config": {"env": []}},
        {"config": {"USER": "root"}},
        {"config": {"entrypoint": ["/bin/sh"]}},
        {"hi\u017ftory": []},
    ],
)
def test_dup_and_case_keys_in_a_config_are_malformed(fields: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read(**fields)


def test_dup_and_case_keys_labels_may_differ_in_case_only() -> None:
    labels = {"Maintainer": "a", "maintainer": "b"}
    assert read(config={"Labels": labels}).fields["config:Labels"].count("aintainer") == 2


@pytest.mark.parametrize("config", [[], "x", 1, True, 0, False, ""])
def test_a_run_configuration_that_is_no_object_is_malformed(config: object) -> None:
    with pytest.raises(Malformed, match="config is not a JSON object"):
        read(config=config)


@pytest.mark.parametrize("nothing", [None, False, "", [], {}])
def test_a_field_that_says_nothing_is_as_good_as_absent(nothing: object) -> None:
    assert read(config={"Cmd": nothing}, author=nothing).fields == read().fields
    assert read(config=None).fields == read().fields


def test_a_zero_is_a_setting() -> None:
    assert read(config={"StopTimeout": 0}).fields["config:StopTimeout"] == "0"


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-14T09:57:34.2Z",
        "2024-05-14T09:57:34.200000000Z",
        "2024-05-14T09:57:34.2+00:00",
        "2024-05-14T11:57:34.20+02:00",
        "2024-05-13T21:57:34.2-12:00",
    ],
)
def test_one_moment_is_the_same_field_however_it_is_written(text: str) -> None:
    config = read(created=text)
    assert config.created == datetime(2024, 5, 14, 9, 57, 34, 200000, UTC)
    assert config.fields == read(created="2024-05-14T09:57:34.2Z").fields


def test_moments_that_differ_by_a_nanosecond_are_different_fields() -> None:
    one, two = (read(created=f"2024-05-14T09:57:34.20615312{digit}Z") for digit in "45")
    assert one.created == two.created
    assert one.fields != two.fields


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "yesterday",
        1715680654,
        1.5,
        ["2024-05-14T09:57:34Z"],
        "2024-05-14",
        "2024-05-14T09:57:34",
        "2024-05-14 09:57:34Z",
        "20240514T095734Z",
        "2024-W20-2T09:57:34Z",
        "2024-13-14T09:57:34Z",
        "2024-02-30T09:57:34Z",
        "2024-05-14T09:57:60Z",
        "0000-00-00T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2024-05-14T09:57:34Z\n",
        "\u0662024-05-14T09:57:34Z",
    ],
)
def test_a_time_that_is_not_rfc_3339_is_unknown(value: object) -> None:
    """`created` is a time as RFC 3339 section 5.6 writes it."""
    assert read(created=value).created is None


def test_go_s_zero_time_is_read() -> None:
    assert read(created="0001-01-01T00:00:00Z").created == datetime(1, 1, 1, tzinfo=UTC)


def test_unreadable_times_are_still_compared() -> None:
    assert read(created="x").fields != read(created="y").fields


def test_floats_and_fields_nobody_knows_are_kept() -> None:
    """Fields that the specification does not define are no error."""
    config = read(**{"x.ratio": 0.25, "x.exp": 1.5e-3, "x.deep": {"a": [1.0]}})
    assert config.fields["x.ratio"] == "0.25"
    assert config.fields["x.exp"] == "0.0015"


def test_the_order_of_keys_says_nothing() -> None:
    one = read(config={"Labels": {"a": "1", "b": "2"}})
    two = read(config={"Labels": {"b": "2", "a": "1"}})
    assert one.fields == two.fields
    assert one.digest != two.digest


def test_a_top_level_field_cannot_pass_for_one_of_the_run_configuration() -> None:
    env = ["A=1"]
    honest, posing = read(config={"Env": env}), read(**{"config:Env": env})
    assert honest.fields != posing.fields
    assert not any(is_oci_field(name) for name in posing.fields.keys() - read().fields.keys())


@pytest.mark.parametrize(
    ("name", "defined"),
    [
        ("created", True),
        ("rootfs", True),
        ("os.version", True),
        ("config:Env", True),
        ("config:StopSignal", True),
        ("config:OnBuild", False),
        ("config:Healthcheck", False),
        ("config:", False),
        ("docker_version", False),
        ("container_config", False),
        (":config:Env", False),
    ],
)
def test_the_fields_of_the_specification_are_known(name: str, *, defined: bool) -> None:
    assert is_oci_field(name) is defined


def test_json_types_limits_hold_against_large_configs() -> None:
    padded = as_content(BASE).data.ljust(limits.CONFIG_SIZE)
    assert parse_config(Content.of(padded), layers=1).platform == Platform("linux", "amd64")
    with pytest.raises(LimitExceeded, match="more than"):
        parse_config(Content.of(padded + b" "), layers=1)


def test_malformed_crash_a_config_that_is_no_object_is_refused() -> None:
    with pytest.raises(Malformed, match="the image config is not a JSON object"):
        parse_config(Content.of(b"[]"), layers=0)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            key: json_values()
            for key in ["created", "os", "variant", "os.features", "config", "rootfs", "history"]
        },
    )
)
def test_malformed_crash_no_value_gets_through_a_config(fields: dict[str, object]) -> None:
    try:
        config = read(**fields)
    except ContentError:
        return
    assert config.fields.keys() <= {*BASE, *fields} | {
        f"config:{key}" for key in as_object(fields.get("config") or {})
    } | {f":{key}" for key in fields}


@given(
    st.dictionaries(st.sampled_from(["Env", "Cmd", "Shell"]), st.lists(st.text("ab"), min_size=1))
)
def test_fields_are_equal_exactly_if_the_configs_say_the_same(run: dict[str, list[str]]) -> None:
    assert read(config=run).fields == read(config=dict(reversed(run.items()))).fields
    assert (read(config=run).fields == read().fields) == (not run)
