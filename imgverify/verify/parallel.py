"""Fan-out over threads, with failures as values."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from imgverify.errors import ContentError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WORKERS: Final = 8

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
    with ThreadPoolExecutor(min(_WORKERS, len(tasks))) as pool:
        return tuple(pool.map(attempt, tasks))


def all_or_raise(tasks: Sequence[Callable[[], T]]) -> tuple[T, ...]:
    """Do tasks side by side; raises the first failure, in order, once all have ended."""
    results: list[T] = []
    for outcome in attempt_all(tasks):
        if isinstance(outcome, (SourceError, ContentError)):
            raise outcome
        results.append(outcome)
    return tuple(results)
