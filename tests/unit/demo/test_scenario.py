"""The demo has to notice when something is not as it should be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from imgverify.demo import scenario
from imgverify.demo.scenario import STEPS, Played, Step, play
from imgverify.demo.table import render_played
from imgverify.errors import StoreError
from imgverify.pull.engine import pull
from imgverify.verdict import Decision, Grade

if TYPE_CHECKING:
    from imgverify.pull.engine import Delivery
    from imgverify.pull.progress import Progress
    from imgverify.registry.client import Network
    from imgverify.store.layout import LayoutSink
    from imgverify.verdict import Verdict

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def played() -> Played:
    return play(NOW)


def test_every_outcome_is_right(played: Played) -> None:
    assert [each.problem for each in played.outcomes] == [""] * len(STEPS)
    assert played.is_right


def test_the_table_names_every_image_and_counts(played: Played) -> None:
    text = render_played(played, colour=False, width=100)
    assert all(each.repository in text for each in played.outcomes)
    assert f"{len(STEPS)} of {len(STEPS)} outcomes are right." in text
    assert "DENIED" in text
    assert "layer 2 of 2" in text


def test_nothing_played_is_not_right() -> None:
    nothing = play(NOW, ())
    assert not nothing.is_right
    assert "0 of 0" in render_played(nothing, colour=False, width=80)


@pytest.mark.parametrize(
    "change",
    [
        {"decision": Decision.DENY},
        {"grade": Grade.STALE},
        {"replaced": 2},
    ],
)
def test_an_outcome_that_is_not_expected_is_wrong(change: dict[str, object]) -> None:
    step: Step = replace(STEPS[-1], **change)  # type: ignore[arg-type] # one field of three types
    result = play(NOW, (step,))
    assert not result.is_right
    assert "WRONG" in render_played(result, colour=False, width=80)


def test_a_pull_that_fails_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        message = "the disk is full"
        raise StoreError(message)

    monkeypatch.setattr(scenario, "pull", fail)
    result = play(NOW, (STEPS[-1],))
    assert result.outcomes[0].problem == "the disk is full"


def test_a_layout_that_lies_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(
        verdict: Verdict, network: Network, sink: LayoutSink, *, progress: Progress
    ) -> Delivery:
        delivery = pull(verdict, network, sink, progress=progress)
        blob = next((sink._path / "blobs" / "sha256").iterdir())
        blob.write_bytes(blob.read_bytes() + b"!")
        return delivery

    monkeypatch.setattr(scenario, "pull", lie)
    result = play(NOW, (STEPS[-2],))
    assert "not what was verified" in result.outcomes[0].problem
