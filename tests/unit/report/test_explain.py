from dataclasses import replace
from datetime import timedelta

import pytest

from imgverify.oci.platform import Platform
from imgverify.report.explain import age_text, counted, explain, size_text
from imgverify.verdict import (
    ConfigChange,
    ConfigState,
    Explanation,
    Grade,
    LayerChange,
    LayerState,
    PlatformState,
)
from tests.unit.report.verdicts import CHANGED, DIVERGED_MIRROR, REPACKAGED_MIRROR, blob


def sentences(explanation: Explanation, grade: Grade = Grade.DIVERGED) -> list[str]:
    return [
        line for _, line in explain(replace(DIVERGED_MIRROR, grade=grade, explanation=explanation))
    ]


def layers(count: int, state: LayerState) -> tuple[LayerChange, ...]:
    return tuple(
        LayerChange(
            at,
            state,
            None if state is LayerState.ADDED else blob("1", 1024),
            None if state is LayerState.DROPPED else blob("2", 2048),
        )
        for at in range(count)
    )


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (layers(1, LayerState.EQUAL), ["layer 1 equal (1.0 KiB)"]),
        (layers(2, LayerState.EQUAL), ["layers 1–2 equal (2.0 KiB)"]),  # noqa: RUF001 - a range
        (layers(3, LayerState.EQUAL), ["all 3 layers equal (3.0 KiB)"]),
        (layers(9, LayerState.CHANGED), ["all 9 layers changed: 9.0 KiB → 18.0 KiB"]),
        (layers(9, LayerState.ADDED), ["all 9 layers added: 18.0 KiB"]),
        (
            (*layers(9, LayerState.DROPPED), replace(layers(1, LayerState.EQUAL)[0], position=9)),
            ["layers 1–9 dropped: 9.0 KiB", "layer 10 equal (1.0 KiB)"],  # noqa: RUF001 - same
        ),
        (
            layers(2, LayerState.DROPPED),
            [
                "layer 1 dropped: 1.0 KiB sha256:111111111111",
                "layer 2 dropped: 1.0 KiB sha256:111111111111",
            ],
        ),
        ((), []),
    ],
)
def test_runs_of_layers_are_one_line(changes: tuple[LayerChange, ...], lines: list[str]) -> None:
    change = replace(CHANGED, config=None, layers=changes)
    assert sentences(Explanation("", (change,)))[1:] == lines


def test_a_side_without_a_digest_is_a_dash() -> None:
    change = replace(CHANGED, config=None, layers=(), mirror=None)
    assert sentences(Explanation("", (change,))) == ["linux/amd64 changed: sha256:111111111111 → -"]


def test_many_config_fields_are_cut_short() -> None:
    fields = tuple(f"config:Labels:{each}" for each in range(20))
    change = replace(CHANGED, config=ConfigChange(ConfigState.CHANGED, fields), layers=())
    line = sentences(Explanation("", (change,)))[1]
    assert line.startswith("config changed: config:Labels:0, ")
    assert line.endswith("config:Labels:11, and 8 more")


def test_what_is_claimed_and_what_is_proven_are_told_apart() -> None:
    claimed = REPACKAGED_MIRROR.explanation
    assert sentences(claimed, Grade.REPACKAGED)[-1].startswith("claimed by the configs only: the")
    proven = replace(claimed, proven=True)
    assert sentences(proven, Grade.REPACKAGED)[-1].startswith("proven: ")
    bare = Explanation("the same images, listed in an index of other bytes")
    assert sentences(bare, Grade.REPACKAGED) == ["claimed by the configs only"]
    assert sentences(bare, Grade.SUBSET) == []


def test_every_state_has_words() -> None:
    for state in PlatformState:
        change = replace(CHANGED, state=state, platform=Platform("plan9", "mips"))
        assert any("plan9/mips" in line for line in sentences(Explanation("", (change,))))
    for config in ConfigState:
        change = replace(CHANGED, config=ConfigChange(config), layers=())
        assert "config" in sentences(Explanation("", (change,)))[1]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (53_687_091, "51.2 MiB"), (2**33, "8.0 GiB")],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=3), "3 min"),
        (timedelta(hours=5, minutes=10, seconds=7), "5 h 10 min"),
        (timedelta(hours=36), "1 d 12 h"),
        (timedelta(days=3, seconds=5), "3 d"),
        (timedelta(days=400, hours=1), "400 d 1 h"),
    ],
)
def test_ages(age: timedelta, text: str) -> None:
    assert age_text(age) == text


def test_counted() -> None:
    assert [counted(each, "layer") for each in range(3)] == ["0 layers", "1 layer", "2 layers"]
