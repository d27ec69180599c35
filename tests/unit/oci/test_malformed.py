"""Documents that are almost right: whatever is twisted in them, only an error comes out."""

import json
from collections.abc import Callable, Iterator

import pytest

from imgverify.errors import ContentError
from imgverify.oci.config import parse_config
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Content
from imgverify.oci.manifest import parse_manifest
from imgverify.oci.strictjson import loads
from tests.unit.oci.samples import (
    SEED_LAYERS,
    field_paths,
    paths,
    seed,
    seed_names,
    with_twin,
    with_value,
    without,
)

PARSERS: dict[str, Callable[[bytes], object]] = {
    "manifest": lambda data: parse_manifest(Content.of(data)),
    "config": lambda data: parse_config(Content.of(data), layers=SEED_LAYERS),
    "descriptor": lambda data: Descriptor.from_json(loads(data)),
}
DOCUMENTS = [name for kind in PARSERS for name in seed_names(kind)]
DEEP: object = {}
for _ in range(40):
    DEEP = [DEEP]
RETYPED: list[object] = [
    None, True, False, 0, -1, 1, 2, 1.5, 2**31, 2**63 - 1, 2**63, -(2**70), "", "\0", "\u2028", "x",
    "a/b", "sha256:", "sha256:" + "a" * 64, "../../x", "x" * 5000, [], [[]], [None], [{}], {},
    {"": ""}, {"a": None}, {"size": -1}, DEEP,
]  # fmt: skip


def mutants(document: object) -> Iterator[bytes]:
    for path in paths(document):
        yield json.dumps(without(document, path)).encode()
        for value in RETYPED:
            yield json.dumps(with_value(document, path, value)).encode()
    for path, key in field_paths(document):
        for name in (key, key.upper(), key + "\0", key.title()):
            yield with_twin(document, path, name)


def test_there_are_enough_seeds_and_mutants() -> None:
    assert len(DOCUMENTS) >= 12
    assert sum(1 for name in DOCUMENTS for _ in mutants(seed(name))) > 5000


@pytest.mark.parametrize("name", DOCUMENTS)
def test_malformed_crash_mutants_of_a_document_are_read_or_refused(name: str) -> None:
    parse = PARSERS[name.partition("/")[0]]
    read = refused = 0
    for data in mutants(seed(name)):
        try:
            parse(data)
            read += 1
        except ContentError as error:
            assert error.message  # noqa: PT017 - thousands of inputs, of which most raise
            refused += 1
    assert min(read, refused) > 5
    parse(json.dumps(seed(name)).encode())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_malformed_crash_documents_cut_short_are_refused(name: str) -> None:
    parse = PARSERS[name.partition("/")[0]]
    data = json.dumps(seed(name)).encode()
    for end in range(len(data)):
        with pytest.raises(ContentError):
            parse(data[:end])
