"""Which lines of a function run: a fuzzer that does not get behind the door looks green."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import CodeType, FrameType

    Tracer = Callable[[FrameType, str, object], "Tracer | None"]


def unreached(run: Callable[[], object], functions: Sequence[Callable[..., object]]) -> list[str]:
    """Return the lines of these functions that `run` does not reach, as `name:line`.

    What traces already (a measurement of coverage) goes on after it.
    """
    codes = {code: name for each in functions for code, name in _codes(each)}
    seen: set[tuple[CodeType, int]] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> Tracer | None:
        if frame.f_code not in codes:
            return None
        if event == "line":
            seen.add((frame.f_code, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    every = {(code, line) for code in codes for line in _lines(code)}
    return sorted(f"{codes[code]}:{line}" for code, line in every - seen)


def lines_of(functions: Sequence[Callable[..., object]]) -> int:
    """Count the lines that could be reached."""
    return sum(len(_lines(code)) for each in functions for code, _ in _codes(each))


def _codes(function: Callable[..., object]) -> Iterator[tuple[CodeType, str]]:
    """Go through a function's code and that of the functions in it."""
    inner = getattr(function, "__func__", function)
    waiting = [inspect.unwrap(inner).__code__]
    while waiting:
        code = waiting.pop()
        yield code, code.co_qualname
        waiting += [each for each in code.co_consts if inspect.iscode(each)]


def _lines(code: CodeType) -> set[int]:
    """Return the lines that have something to run, but for the one that defines the function."""
    return {line for _, _, line in code.co_lines() if line} - {code.co_firstlineno}
