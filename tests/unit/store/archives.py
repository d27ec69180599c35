"""What tests ask of an archive."""

import json
import sys
import tarfile
from pathlib import Path

from imgverify.oci.reference import Reference
from imgverify.store.archive import ArchiveSink, DockerStyle, OciStyle
from tests.unit.store.images import Image

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
WORKER = (sys.executable, "-m", "tests.unit.store.worker")


def oci(path: Path, ref_name: str | None = None) -> ArchiveSink:
    return ArchiveSink(path, OciStyle(ref_name))


def docker(path: Path, name: str | None = None) -> ArchiveSink:
    return ArchiveSink(path, DockerStyle(Reference.parse(name) if name else None))


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        files = {each.name: archive.extractfile(each) for each in members if each.isfile()}
        assert len(members) == len({each.name for each in members})
        return {name: file.read() for name, file in files.items() if file}


def blobs_of(made: Image) -> dict[str, bytes]:
    return {f"blobs/sha256/{each.encoded}": data for each, data in made.content.items()}


def entry(path: Path) -> dict[str, object]:
    (found,) = json.loads(contents(path)["index.json"])["manifests"]
    assert isinstance(found, dict)
    return found


def parts_in(folder: Path) -> list[Path]:
    return list(folder.glob(".*.part"))
