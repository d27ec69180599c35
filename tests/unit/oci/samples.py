"""Documents and generators that the tests of `imgverify.oci` share."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from imgverify.oci.digest import Algorithm, Content

SEEDS = Path(__file__).resolve().parents[2] / "fuzz" / "seeds"
HEX = "0123456789abcdef"
LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
LENGTHS = {Algorithm.SHA256: 64, Algorithm.SHA384: 96, Algorithm.SHA512: 128}
# Each seed in seeds/config belongs to an image of two layers.
SEED_LAYERS = 2
# Objects whose keys are free text.
FREE_MAPS = {"annotations", "Labels", "ExposedPorts", "Volumes"}

DIGEST = "sha256:" + "ab" * 32
EMPTY_DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
# Characters that other languages' regular expressions and digit tests let through.
STRAYS = ("\n", "\r", "\r\n", "\0", "\t", " ", "\u00a0", "\u0085", "\u2028", "\uff11", "\u0661")

Path_ = tuple[str | int, ...]


def seed(name: str) -> dict[str, object]:
    """Return the seed document of that name, such as `manifest/artifact`."""
    return as_object(json.loads((SEEDS / f"{name}.json").read_text(encoding="utf-8")))


def seed_names(kind: str) -> list[str]:
    """Name every seed document of one kind."""
    names = [f"{kind}/{path.stem}" for path in sorted((SEEDS / kind).glob("*.json"))]
    assert names, f"no seeds for {kind}"
    return names


def as_object(value: object) -> dict[str, object]:
    """Narrow a JSON value to an object."""
    assert isinstance(value, dict)
    return value


def as_list(value: object) -> list[object]:
    """Narrow a JSON value to a list."""
    assert isinstance(value, list)
    return value


def as_content(document: object) -> Content:
    """Write a document as JSON."""
    return Content.of(json.dumps(document).encode())


def descriptor(**fields: object) -> dict[str, object]:
    """Return a small valid descriptor, with some fields set or added."""
    media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
    return {"mediaType": media_type, "digest": DIGEST, "size": 7, **fields}


def paths(document: object, here: Path_ = ()) -> Iterator[Path_]:
    """Yield the place of every field and item, at all depths."""
    inside: list[tuple[str | int, object]] = []
    if isinstance(document, dict):
        inside = list(document.items())
    elif isinstance(document, list):
        inside = list(enumerate(document))
    for key, value in inside:
        yield (*here, key)
        yield from paths(value, (*here, key))


def parent_of(document: object, path: Path_) -> dict[str | int, object]:
    """Return what holds the value at `path`; a list answers to the same operations."""
    holder = document
    for key in path[:-1]:
        assert isinstance(holder, dict | list)
        holder = holder[key]  # type: ignore[index] # the path fits the document
    return holder  # type: ignore[return-value] # a list with its indexes serves as well


def without(document: object, path: Path_) -> object:
    """Return a copy that lacks what is at `path`."""
    changed = copy.deepcopy(document)
    del parent_of(changed, path)[path[-1]]
    return changed


def with_value(document: object, path: Path_, value: object) -> object:
    """Return a copy that has `value` at `path`."""
    changed = copy.deepcopy(document)
    parent_of(changed, path)[path[-1]] = value
    return changed


def with_twin(document: object, path: Path_, name: str) -> bytes:
    """Write the document with the field at `path` once more, under `name` (or its own)."""
    changed = copy.deepcopy(document)
    holder = parent_of(changed, path)
    holder["@twin@"] = holder[path[-1]]
    return json.dumps(changed).replace('"@twin@"', json.dumps(name)).encode()


def field_paths(document: object) -> Iterator[tuple[Path_, str]]:
    """Yield the place and the name of every field that is not in a list."""
    for path in paths(document):
        if isinstance(path[-1], str):
            yield path, path[-1]


def digests() -> st.SearchStrategy[str]:
    """Generate the text of digests."""
    return st.sampled_from(list(Algorithm)).flatmap(
        lambda algorithm: st.text(
            HEX, min_size=LENGTHS[algorithm], max_size=LENGTHS[algorithm]
        ).map(lambda encoded: f"{algorithm}:{encoded}")
    )


def json_values() -> st.SearchStrategy[object]:
    """Generate any JSON value of a few levels."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8)
        | digests()
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
        ),
        max_leaves=6,
    )
