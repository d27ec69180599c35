import threading
import time

import pytest

from imgverify.errors import Interrupted, Unreachable
from imgverify.registry.deadline import Deadline


def test_patience_is_what_is_left_and_no_more_than_asked_for() -> None:
    deadline = Deadline.after(10)
    assert deadline.patience(0.5) == 0.5
    assert 9 < deadline.patience(100) <= 10


def test_patience_ends_with_the_time() -> None:
    with pytest.raises(Unreachable, match="within 0 s") as caught:
        Deadline.after(0).patience(1)
    assert "--timeout" in caught.value.hint
    assert not caught.value.transient


def test_patience_ends_with_an_interrupt_even_after_the_time() -> None:
    deadline = Deadline.after(0)
    deadline.cancelled.set()
    with pytest.raises(Interrupted):
        deadline.patience(1)


def test_within_is_the_earlier_of_two_and_is_called_off_together() -> None:
    outer = Deadline.after(10)
    assert outer.within(20) is outer
    inner = outer.within(1)
    assert inner.at < outer.at
    assert inner.seconds == 1
    outer.cancelled.set()
    with pytest.raises(Interrupted):
        inner.patience(1)


def test_a_sleep_that_would_pass_the_deadline_is_not_begun() -> None:
    start = time.monotonic()
    assert not Deadline.after(10).sleep(20)
    assert time.monotonic() - start < 5


def test_a_sleep_within_the_deadline_is_slept() -> None:
    start = time.monotonic()
    assert Deadline.after(5).sleep(0.02)
    assert time.monotonic() - start >= 0.02


def test_an_interrupt_ends_a_sleep() -> None:
    deadline = Deadline.after(60)
    threading.Timer(0.05, deadline.cancelled.set).start()
    start = time.monotonic()
    with pytest.raises(Interrupted):
        deadline.sleep(30)
    assert time.monotonic() - start < 10
