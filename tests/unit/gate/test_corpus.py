"""Files as people write them: every reference at its place, and none invented."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgverify.gate.find import find
from imgverify.gate.kubernetes import ImagePath
from imgverify.gate.mention import Mention

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
# Written down where the files were, and not by what is tested.
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
PATHS = (ImagePath.parse("Prometheus=spec.image"),)


def form(mention: Mention) -> str:
    if mention.reference is None:
        return "unresolvable"
    return "literal" if mention.span else "composed"


def files() -> Iterator[str]:
    return (each.relative_to(CORPUS).as_posix() for each in CORPUS.rglob("*") if each.is_file())


def test_every_file_has_its_expectation() -> None:
    assert sorted(files()) == sorted(EXPECTED)
    assert len(EXPECTED) >= 60


@pytest.mark.parametrize("path", EXPECTED)
def test_what_is_found_is_what_is_there(path: str) -> None:
    data = (CORPUS / path).read_bytes()
    reading = find(path, data, paths=PATHS)
    found = [
        [each.location.line, each.location.column, each.text, form(each)]
        for each in reading.mentions
    ]
    assert found == EXPECTED[path]["references"]
    assert [each.location.line for each in reading.troubles] == EXPECTED[path]["unreadable"]
    for each in reading.mentions:
        if each.span and each.reference:
            assert data[each.span.start : each.span.end].decode() == each.text
