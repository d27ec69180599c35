"""Several images in one call: some at a time, in order, and none in the way of another."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import InputError
from imgverify.policy.model import DEFAULT_POLICY
from imgverify.verdict import Decision
from imgverify.verify import verify_all
from imgverify.verify.parallel import each_image
from tests.support.fault import When
from tests.support.faults import Status
from tests.support.image import put, release
from tests.unit.verify.world import NOW, PATH, World, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60


@pytest.fixture
def many() -> Iterator[World]:
    with world() as made:
        for number in range(12):
            for each in made.registries:
                put(each.shelf, PATH, release("app", f"2.{number}"), f"{number}")
        yield made


def ask(many: World, *tags: str) -> list[Decision]:
    questions = [many.question(tag=each) for each in tags]
    with many.network(PATIENCE) as network:
        return [each.decision for each in verify_all(questions, network, DEFAULT_POLICY, NOW)]


def test_verdicts_come_in_the_order_of_the_questions(many: World) -> None:
    tags = [str(number) for number in range(12)]
    questions = [many.question(tag=each) for each in tags]
    with many.network(PATIENCE) as network:
        verdicts = verify_all(questions, network, DEFAULT_POLICY, NOW)
    assert [each.upstream.reference.tag for each in verdicts] == tags
    assert {each.decision for each in verdicts} == {Decision.ALLOW}


def test_what_is_wrong_with_one_stops_no_other(many: World) -> None:
    many.play("upstream", Status(403, when=When(path="/manifests/1")))
    many.mirror.shelf = type(many.mirror.shelf)()
    for number in (0, 1, 3):
        put(many.mirror.shelf, PATH, release("app", f"2.{number}"), f"{number}")
    expected = [Decision.ALLOW, Decision.INCONCLUSIVE, Decision.DENY, Decision.ALLOW]
    assert ask(many, "0", "1", "2", "3") == expected


def test_one_image_needs_no_thread_of_its_own() -> None:
    (name,) = each_image([lambda: threading.current_thread().name], threading.Event())
    assert name == threading.main_thread().name


def test_images_are_done_side_by_side_and_no_more_than_a_few() -> None:
    barrier, lock = threading.Barrier(2), threading.Lock()
    running: set[int] = set()
    most: list[int] = []

    def task(number: int) -> int:
        with lock:
            running.add(number)
            most.append(len(running))
        barrier.wait(PATIENCE)
        with lock:
            running.remove(number)
        return number

    done = each_image([partial(task, each) for each in range(12)], threading.Event())
    assert done == tuple(range(12))
    assert 2 <= max(most) <= 4


def test_what_raises_calls_off_the_rest() -> None:
    cancelled = threading.Event()
    begun: list[int] = []

    def fails() -> None:
        msg = "no"
        raise InputError(msg)

    def waits(number: int) -> None:
        begun.append(number)
        assert cancelled.wait(PATIENCE)

    tasks: list[Callable[[], None]] = [fails, *(partial(waits, each) for each in range(20))]
    with pytest.raises(InputError):
        each_image(tasks, cancelled)
    assert len(begun) < 20


def test_a_question_that_asks_nothing_is_refused_beside_others(many: World) -> None:
    questions = [many.question(tag="0"), replace(many.question(tag="1"), mirrors=())]
    with many.network(PATIENCE) as network, pytest.raises(InputError, match="nothing to hold"):
        verify_all(questions, network, DEFAULT_POLICY, NOW)
