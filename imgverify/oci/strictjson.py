"""JSON as two parsers cannot read it differently.

Go's decoder matches field names without regard to case and keeps the last of two equal names;
Python's keeps case and accepts UTF-16, NaN and lone surrogates.
A document on which they could disagree is refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final, NoReturn

from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits

# Maps whose keys are free text: there "Maintainer" beside "maintainer" is ordinary.
_FREE_MAPS: Final = frozenset({"annotations", "Labels", "ExposedPorts", "Volumes"})


_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]", re.ASCII)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _CaseCollision(dict[str, object]):
    """An object with two keys that are equal when case is ignored."""


def loads(data: bytes, foreign: frozenset[str] = frozenset()) -> object:
    """Parse one JSON document; raises `Malformed` or `LimitExceeded`.

    Integers are limited to int64, other numbers to float64, nesting to `limits.JSON_DEPTH`, and
    values to about `limits.JSON_VALUES`.
    `foreign` names fields whose values follow somebody else's rules: there keys may differ in
    case only.
    """
    _refuse_many(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        msg = "the document is not UTF-8"
        raise Malformed(msg) from None
    if text.startswith("\ufeff"):
        msg = "the document starts with a byte order mark"
        raise Malformed(msg)
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except RecursionError:
        msg = f"the document is nested deeper than {limits.JSON_DEPTH} levels"
        raise LimitExceeded(msg) from None
    except json.JSONDecodeError as error:
        msg = f"the document is not JSON: {error.msg} at offset {error.pos}"
        raise Malformed(msg) from None
    _check(value, foreign, free=False, depth=0)
    # Only an escape can name half of a pair: UTF-8 has none.
    if _HALF.search(text):
        _check_text(value)
    return value


def load_object(data: bytes, what: str, foreign: frozenset[str] = frozenset()) -> dict[str, object]:
    """Parse a document whose top level has to be an object; `what` names it in the error."""
    value = loads(data, foreign)
    if not isinstance(value, dict):
        msg = f"{what} is not a JSON object"
        raise Malformed(msg)
    return value


def refuse_case_variants(fields: dict[str, object], known: frozenset[str], what: str) -> None:
    """Refuse a key that only a reader who ignores case would take for one of `known`."""
    # casefold() also folds the long s and the Kelvin sign, as Go's decoder does.
    folded = {name.casefold(): name for name in known}
    for key in fields:
        if key not in known and key.casefold() in folded:
            name = folded[key.casefold()]
            msg = f"{what} has the field {key!r}, which some readers take for {name!r}"
            raise Malformed(msg)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        msg = "the document has an object with a duplicate key"
        raise Malformed(msg)
    if len({key.casefold() for key in result}) != len(result):
        return _CaseCollision(result)
    return result


def _integer(digits: str) -> int:
    # Counted first: int() refuses thousands of digits with an error of its own.
    short = len(digits.lstrip("-")) <= limits.JSON_INTEGER_DIGITS
    if not short or not -limits.INT64_MAX - 1 <= int(digits) <= limits.INT64_MAX:
        msg = "the document has a number that does not fit 64 bits"
        raise LimitExceeded(msg)
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        msg = "the document has a number that does not fit 64 bits"
        raise LimitExceeded(msg)
    return number


def _constant(name: str) -> NoReturn:
    msg = f"the document has the value {name}, which is not JSON"
    raise Malformed(msg)


def _refuse_many(data: bytes) -> None:
    """Count values before a parser makes objects of them, which take 50 times their text."""
    if _count(data) <= limits.JSON_VALUES:
        return
    # What stands in texts does not count; of those there are two at the most for each value.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    few = bare.count(b'"') <= 4 * limits.JSON_VALUES
    if few and _count(b"".join(bare.split(b'"')[::2])) <= limits.JSON_VALUES:
        return
    msg = f"the document has more than {limits.JSON_VALUES} values"
    raise LimitExceeded(msg)


def _count(text: bytes) -> int:
    return sum(map(text.count, (b",", b"[", b"{")))


def _check(value: object, foreign: frozenset[str] | None, *, free: bool, depth: int) -> None:
    """Check what is nested in `value`; within a foreign field `foreign` is None."""
    if not isinstance(value, (dict, list)):
        return
    if value and depth >= limits.JSON_DEPTH:
        msg = f"the document is nested deeper than {limits.JSON_DEPTH} levels"
        raise LimitExceeded(msg)
    if isinstance(value, list):
        for item in value:
            _check(item, foreign, free=False, depth=depth + 1)
        return
    if isinstance(value, _CaseCollision) and not free and foreign is not None:
        msg = "the document has an object with keys that differ only in case"
        raise Malformed(msg)
    for key, item in value.items():
        inner = None if foreign is None or key in foreign else foreign
        _check(item, inner, free=key in _FREE_MAPS and not free, depth=depth + 1)


def _check_text(value: object) -> None:
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for each in value:
            _check_text(each)
    elif isinstance(value, str) and _SURROGATE.search(value):
        msg = "the document has half of a surrogate pair"
        raise Malformed(msg)
