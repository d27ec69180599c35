"""Fan-out over threads, with failures as values."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from imgverify.errors import ContentError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

_WORKERS: Final = 8
#: Each may ask a host as often at a time as there are workers.
IMAGES: Final = 4

T = TypeVar("T")
Outcome: TypeAlias = T | SourceError | ContentError


def attempt(task: Callable[[], T]) -> Outcome[T]:
    """Do a task; what a source did wrong is returned, anything else is raised."""
    try:
        return task()
    except (SourceError, ContentError) as error:
        return error


def attempt_all(tasks: Sequence[Callable[[], T]]) -> tuple[Outcome[T], ...]:
    """Do tasks side by side, and return their outcomes in order."""
    if len(tasks) <= 1:
        return tuple(map(attempt, tasks))
    # The caller's own thread does the first: to start another takes as long as a quick answer.
    with ThreadPoolExecutor(min(_WORKERS, len(tasks)) - 1) as pool:
        rest = pool.map(attempt, tasks[1:])
        return (attempt(tasks[0]), *rest)


def each_image(
    tasks: Sequence[Callable[[], T]], cancelled: Event, at_once: int = IMAGES
) -> tuple[T, ...]:
    """Do what may itself fan out, for so many images at a time; results are in order.

    A failure of a source is no exception here; any other calls off the rest, and is raised.
    """
    if len(tasks) <= 1:
        return tuple(each() for each in tasks)
    with ThreadPoolExecutor(min(at_once, len(tasks))) as pool:
        futures = [pool.submit(each) for each in tasks]
        try:
            return tuple(each.result() for each in futures)
        except BaseException:
            cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def all_or_raise(tasks: Sequence[Callable[[], T]]) -> tuple[T, ...]:
    """Do tasks side by side; raises the first failure, in order, once all have ended."""
    results: list[T] = []
    for outcome in attempt_all(tasks):
        if isinstance(outcome, (SourceError, ContentError)):
            raise outcome
        results.append(outcome)
    return tuple(results)
