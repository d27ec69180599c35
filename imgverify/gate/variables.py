"""Variables in a reference: defaults that the file itself gives are put in, and nothing else.

The environment is never asked, so that the same file always names the same image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OPERATOR: Final = re.compile(r":?[-+?]", re.ASCII)
_OTHERS: Final = {
    "${{": "an expression of the CI, whose value is not known here",
    "$[[": "an input of the CI, whose value is not known here",
    "$(": "a variable, whose value is not known here",
    "$$": "a dollar sign, which no reference has",
}
_TEMPLATE: Final = "a template's expression, whose value is not known here"


@dataclass(frozen=True, slots=True)
class Expansion:
    """A text with defaults put in; `problem` says why some could not be."""

    text: str
    problem: str = ""


def expand(text: str, known: Mapping[str, str | None], depth: int = 0) -> Expansion:
    """Put in `${X:-d}`, `${X-d}`, and what `known` says; the first that cannot be is the problem.

    `known` are variables that the file declares; None for those that it gives no value.
    """
    if depth > limits.SUBSTITUTION_DEPTH:
        return Expansion(text, "defaults that are nested too deep")
    if "{{" in text:
        return Expansion(text, _OTHERS["${{"] if "${{" in text else _TEMPLATE)
    parts: list[str] = []
    problem = ""
    for piece in _pieces(text):
        part = _variable(piece, known, depth) if piece.startswith("$") else Expansion(piece)
        parts.append(part.text)
        problem = problem or part.problem
    result = "".join(parts)
    if len(result) > limits.REFERENCE_LENGTH:
        return Expansion(
            result[: limits.REFERENCE_LENGTH], problem or "longer than any reference may be"
        )
    return Expansion(result, problem)


def _pieces(text: str) -> Iterator[str]:
    """Yield what stands between variables, and each variable from its dollar sign on."""
    at = 0
    while at < len(text):
        if text[at] != "$":
            end = text.find("$", at)
        elif text.startswith("${", at):
            end = _closing(text, at + 2)
        elif text.startswith(("$$", "$[", "$("), at):
            end = -1
        else:
            name = _NAME.match(text, at + 1)
            end = name.end() if name else at + 1
        end = len(text) if end < 0 else end
        yield text[at:end]
        at = end


def _closing(text: str, at: int) -> int:
    """Return where the brace that was opened before `at` has been closed; -1 where it is not."""
    depth = 1
    for index in range(at, len(text)):
        if text.startswith("${", index):
            depth += 1
        elif text[index] == "}":
            depth -= 1
        if not depth:
            return index + 1
    return -1


def _variable(piece: str, known: Mapping[str, str | None], depth: int) -> Expansion:
    for start, message in _OTHERS.items():
        if piece.startswith(start):
            return Expansion(piece, message)
    braced = piece.startswith("${")
    inner = piece[2:-1] if braced and piece.endswith("}") else piece[1:]
    name = _NAME.match(inner)
    if not name:
        return Expansion(piece, "a variable without a name")
    rest = inner[name.end() :]
    value = known.get(name[0])
    if not rest:
        return _plain(piece, name[0], value)
    operator = _OPERATOR.match(rest)
    if not operator:
        return Expansion(piece, f"a form of the variable {name[0]} that is not understood")
    word = expand(rest[operator.end() :], known, depth + 1)
    is_set = bool(value) if operator[0].startswith(":") else value is not None
    return _by_operator(piece, operator[0][-1], word, (name[0], value, is_set, name[0] in known))


def _by_operator(
    piece: str, operator: str, word: Expansion, variable: tuple[str, str | None, bool, bool]
) -> Expansion:
    name, value, is_set, is_known = variable
    if operator == "-":
        return Expansion(value or "") if is_set else word
    if operator == "+" and is_known:
        return word if is_set else Expansion("")
    return _plain(piece, name, value if is_set and operator == "?" else None)


def _plain(piece: str, name: str, value: str | None) -> Expansion:
    if value is None:
        return Expansion(piece, f"the variable {name} has no value in this file")
    return Expansion(value)
