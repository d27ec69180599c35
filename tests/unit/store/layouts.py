"""What tests ask of a layout."""

import json
import sys
from pathlib import Path

from imgverify.store.layout import LayoutSink
from tests.unit.store.images import Image

WORKER = (sys.executable, "-m", "tests.unit.store.worker")
REF_NAME = "org.opencontainers.image.ref.name"


def index(path: Path) -> list[dict[str, object]]:
    entries = json.loads((path / "index.json").read_bytes())["manifests"]
    assert isinstance(entries, list)
    return entries


def names(path: Path) -> list[object]:
    found = [each.get("annotations", {}) for each in index(path)]
    return [each.get(REF_NAME) if isinstance(each, dict) else each for each in found]


def blob(path: Path, made: Image, position: int = 0) -> Path:
    return path / "blobs" / "sha256" / made.layers[position].digest.encoded


def assert_sound(path: Path, *images: Image) -> None:
    assert sorted(each.name for each in path.iterdir()) == ["blobs", "index.json", "oci-layout"]
    for made in images:
        for digest, data in made.content.items():
            assert (path / "blobs" / "sha256" / digest.encoded).read_bytes() == data


def begun(path: Path, made: Image, ref_name: str | None = None) -> LayoutSink:
    sink = LayoutSink(path, ref_name)
    sink.begin(made.blobs)
    return sink


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
