import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from imgverify import exitcode
from imgverify.errors import Side
from imgverify.report.jsonreport import render_json, schema_text
from imgverify.verdict import (
    Clock,
    ConfigState,
    Coverage,
    Decision,
    Grade,
    LayerState,
    Level,
    PlatformState,
    ResolvedFrom,
    Rule,
    SignatureFormat,
    SubjectLevel,
    Verdict,
)
from tests.unit.report.harm import commands, unseen
from tests.unit.report.verdicts import (
    DIVERGED,
    HOSTILE,
    IDENTICAL,
    MIXED,
    REPACKED,
    UNREACHABLE,
    VERDICTS,
    digest,
    hostile,
)

SCHEMA = json.loads(schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)

ENUMS: dict[str, type[Enum]] = {
    "decision": Decision,
    "mirror.grade": Grade,
    "mirror.coverage": Coverage,
    "platform.state": PlatformState,
    "config.state": ConfigState,
    "layer.state": LayerState,
    "finding.rule": Rule,
    "finding.level": Level,
    "finding.side": Side,
    "upstream.resolvedFrom": ResolvedFrom,
    "evidence.format": SignatureFormat,
    "evidence.clock": Clock,
    "evidence.subjectLevel": SubjectLevel,
}


def objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from objects(each)


def strings(value: object) -> Iterator[str]:
    for each in objects(value):
        for item in each.values():
            yield from ([item] if isinstance(item, str) else [])
            if isinstance(item, list):
                yield from (text for text in item if isinstance(text, str))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=VERDICTS)
def test_every_report_satisfies_the_schema(verdict: Verdict) -> None:
    VALIDATOR.validate(json.loads(render_json([verdict])))


def test_a_report_of_all_satisfies_the_schema() -> None:
    VALIDATOR.validate(json.loads(render_json(list(VERDICTS.values()))))


@pytest.mark.parametrize(("place", "enum"), ENUMS.items(), ids=ENUMS)
def test_schema_and_code_know_the_same_values(place: str, enum: type[Enum]) -> None:
    definition, _, field = place.partition(".")
    node = SCHEMA["$defs"][definition]
    listed = (node["properties"][field] if field else node)["enum"]
    assert {each for each in listed if each is not None} == {each.value for each in enum}


# What only the report of a gate has.
OF_A_GATE = {"emptyAllowed", "locations", "unreadable"}


def test_every_object_of_the_schema_is_closed_and_complete() -> None:
    closed = [
        each for each in objects(SCHEMA) if each.get("type") == "object" and "$ref" not in each
    ]
    described = [each for each in closed if "properties" in each]
    assert len(described) == 14
    for each in described:
        assert each["additionalProperties"] is False
        assert set(each["required"]) == set(each["properties"]) - OF_A_GATE - {"cosign"}


def test_the_table_has_every_value() -> None:
    # Else the tests above would not say what their names claim.
    text = render_json(list(VERDICTS.values()))
    for enum in ENUMS.values():
        for each in enum:
            assert f'"{each.value}"' in text


def test_an_unknown_field_is_refused_anywhere() -> None:
    report = json.loads(render_json([DIVERGED, MIXED]))
    found = list(objects(report))
    assert len(found) > 20
    for each in found:
        each["extra"] = 1
        assert not VALIDATOR.is_valid(report)
        del each["extra"]
    assert VALIDATOR.is_valid(report)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("decision",), "deny"),
        (("decision",), "inconclusive"),
        (("schemaVersion",), 2),
        (("images",), []),
        (("images", 0, "decision"), "deny"),
        (("images", 0, "pinned"), None),
        (("images", 0, "pinned"), "docker.io/library/nginx:1.27"),
        (("images", 0, "requested"), "a\u202eb"),
        (("images", 0, "requested"), "a\nb"),
        (("images", 0, "upstream", "digest"), None),
        (("images", 0, "upstream", "digest"), "sha256:abc"),
        (("images", 0, "upstream", "digest"), "md5:" + "a" * 32),
        (("images", 0, "mirrors", 0, "digest"), None),
        (("images", 0, "mirrors", 0, "grade"), "diverged"),
        (("images", 0, "mirrors", 0, "grade"), "good"),
        (("images", 0, "mirrors", 0, "explanation", "ageSeconds"), -1),
        (("images", 0, "mirrors", 0, "explanation", "ageSeconds"), 1.5),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(path: tuple[Any, ...], value: object) -> None:
    report = json.loads(render_json([IDENTICAL]))
    node = report
    for step in path[:-1]:
        node = node[step]
    assert node[path[-1]] != value
    node[path[-1]] = value
    assert not VALIDATOR.is_valid(report)


def test_an_allowed_image_with_an_error_is_refused() -> None:
    report = json.loads(render_json([IDENTICAL]))
    denied = json.loads(render_json([DIVERGED]))
    report["images"][0]["findings"] = denied["images"][0]["mirrors"][0]["findings"]
    assert not VALIDATOR.is_valid(report)


@pytest.mark.parametrize(
    ("verdicts", "decision"),
    [
        ([], "inconclusive"),
        ([IDENTICAL], "allow"),
        ([IDENTICAL, MIXED], "allow"),
        ([IDENTICAL, UNREACHABLE], "inconclusive"),
        ([IDENTICAL, UNREACHABLE, DIVERGED], "deny"),
    ],
)
def test_the_decision_agrees_with_the_exit_status(verdicts: list[Any], decision: str) -> None:
    report = json.loads(render_json(verdicts))
    VALIDATOR.validate(report)
    assert report["decision"] == decision
    status = {"allow": {0}, "deny": {1}, "inconclusive": {2, 3}}[decision]
    assert exitcode.of_verdicts(verdicts) in status


def test_the_shape() -> None:
    report = json.loads(render_json([MIXED]))
    image = report["images"][0]
    assert image | {"mirrors": [], "findings": []} == {
        "requested": "nginx:1.27",
        "upstream": {
            "reference": "docker.io/library/nginx:1.27",
            "digest": str(digest("a")),
            "resolvedFrom": "upstream",
            "servedBy": ["registry-1.docker.io"],
        },
        "mirrors": [],
        "pinned": f"docker.io/library/nginx@{digest('a')}",
        "evidence": [],
        "findings": [],
        "decision": "allow",
    }
    assert image["findings"] == [
        {
            "rule": "insecure",
            "level": "note",
            "message": "m.example.cn was asked without TLS",
            "side": "local",
            "hint": "",
            "helpUri": "https://github.com/imgverify/imgverify/blob/main/docs/rules.md#insecure",
        }
    ]
    assert image["mirrors"][1]["explanation"]["ageSeconds"] == 36 * 3600
    assert [each["grade"] for each in image["mirrors"]] == ["identical", "stale"]


def test_a_layer_keeps_both_sides_and_counts_from_zero() -> None:
    report = json.loads(render_json([REPACKED]))
    change = report["images"][0]["mirrors"][0]["explanation"]["platforms"][0]
    assert change["platform"] == "linux/amd64"
    assert change["config"] == {"state": "rewritten", "fields": ["container_config"]}
    assert change["layers"][1] == {
        "position": 1,
        "state": "recompressed",
        "upstream": {
            "digest": str(digest("3")),
            "size": 53_687_091,
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        },
        "mirror": {
            "digest": str(digest("4")),
            "size": 41_943_040,
            "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
        },
    }


def assert_harmless(text: str) -> None:
    rendered = render_json([hostile(text)])
    assert rendered.isascii()
    assert not unseen(rendered.replace("\n", ""))
    assert not [line for line in rendered.splitlines() if commands(line)]
    report = json.loads(rendered)
    VALIDATOR.validate(report)
    assert not unseen("".join(strings(report)))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_known_attacks_are_harmless(text: str) -> None:
    assert_harmless(text)


@settings(max_examples=30)
@given(st.text(min_size=1))
def test_whatever_comes_is_harmless(text: str) -> None:
    assert_harmless(text)
