"""Pulling real content from real registries, one of which may falsify it."""

from __future__ import annotations

import gzip
import io
import json
import random
import sysconfig
import tarfile
from typing import TYPE_CHECKING

import pytest

from imgverify.demo.images import AMD64, Image, Layer, assemble, config
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import OCI_LAYER, OCI_LAYER_GZIP
from tests.support.processes import running_registry, storage_of_blob
from tests.support.push import push_blob, push_manifest
from tests.system.commands import Done, imgverify, skopeo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system("docker-registry", "skopeo")

NAME = "library/python"
# An image of real content: the standard library that runs this test, and a block of noise.
NOISE = 40_000_000


def _image() -> Image:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        archive.add(sysconfig.get_path("stdlib"), "lib", filter=_without_packages)
    blob = buffer.getvalue()
    library = Layer(gzip.decompress(blob), blob, OCI_LAYER_GZIP)
    noise = random.Random(1).randbytes(NOISE)  # noqa: S311 - bulk
    layers = (library, Layer(noise, noise, OCI_LAYER))
    document = config(AMD64, layers, created="2026-01-01T00:00:00Z", command="python3")
    return assemble(document, layers, AMD64)


def _without_packages(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "site-packages" in entry.name or "/test/" in entry.name else entry


class Scene:
    """Two registries with the image, whose files a test may spoil."""

    def __init__(self, folder: Path, hosts: tuple[str, str], image: Image) -> None:
        self.folder = folder
        self.hosts = hosts
        self.image = image

    @property
    def name(self) -> str:
        return f"{self.hosts[0]}/{NAME}"

    def run(self, command: str, *words: object) -> Done:
        options = ("--mirror", self.hosts[1], *words)
        return imgverify(command, f"{self.name}:1", *options, plain=self.hosts)

    def spoil(self, side: str, layer: Layer) -> None:
        path = storage_of_blob(self.folder / side, Digest.of(layer.blob).encoded)
        with path.open("r+b") as file:
            file.seek(len(layer.blob) // 2)
            byte = file.read(1)
            file.seek(-1, io.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))

    def mend(self) -> None:
        for side in ("upstream", "mirror"):
            for layer in self.image.layers:
                path = storage_of_blob(self.folder / side, Digest.of(layer.blob).encoded)
                path.write_bytes(layer.blob)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder, image = tmp_path_factory.mktemp("registries"), _image()
    with (
        running_registry("docker-registry", folder / "upstream") as upstream,
        running_registry("docker-registry", folder / "mirror") as mirror,
    ):
        for host in (upstream, mirror):
            for blob in image.blobs:
                push_blob(host, NAME, blob)
            push_manifest(host, NAME, "1", image.manifest, media_type=image.media_type)
        yield Scene(folder, (upstream, mirror), image)


@pytest.fixture
def scene(stand: Scene) -> Iterator[Scene]:
    yield stand
    stand.mend()


def test_skopeo_reads_the_layout_and_converts_it(scene: Scene, tmp_path: Path) -> None:
    done = scene.run("pull", "--to", f"oci:{tmp_path}/out:1")
    assert (done.status, done.out) == (0, f"{scene.name}@{scene.image.digest}\n")
    inspected = json.loads(skopeo("inspect", f"oci:{tmp_path}/out:1"))
    assert inspected["Digest"] == str(scene.image.digest)
    skopeo("copy", "-q", f"oci:{tmp_path}/out:1", f"docker-archive:{tmp_path}/theirs.tar")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_skopeo_reads_the_archives(scene: Scene, tmp_path: Path, kind: str) -> None:
    assert scene.run("pull", "--to", f"{kind}:{tmp_path}/out.tar").status == 0
    inspected = json.loads(skopeo("inspect", f"{kind}:{tmp_path}/out.tar"))
    assert inspected["Architecture"] == "amd64"
    skopeo("copy", "-q", f"{kind}:{tmp_path}/out.tar", f"dir:{tmp_path}/copy")


def test_a_falsified_layer_is_not_seen_without_deep_and_that_is_said(scene: Scene) -> None:
    scene.spoil("mirror", scene.image.layers[0])
    done = scene.run("verify")
    assert done.status == 0
    assert "identical" in done.out
    assert "layers not read" in done.out


def test_a_falsified_layer_is_denied_with_deep(scene: Scene) -> None:
    scene.spoil("mirror", scene.image.layers[0])
    done = scene.run("verify", "--deep")
    assert done.status == 1
    assert f"layer 1 of 2 from {scene.hosts[1]}" in done.out
    assert str(Digest.of(scene.image.layers[0].blob)) in done.out


def test_a_falsified_layer_comes_from_upstream(scene: Scene, tmp_path: Path) -> None:
    scene.spoil("mirror", scene.image.layers[1])
    done = scene.run("pull", "--to", f"oci:{tmp_path}/out:1")
    assert done.status == 0
    assert f"{scene.hosts[1]} served other bytes" in done.err
    assert f"taken from {scene.hosts[0]}" in done.err
    for blob in (tmp_path / "out" / "blobs" / "sha256").iterdir():
        assert Digest.of(blob.read_bytes()).encoded == blob.name


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_a_layer_that_nobody_has_right_leaves_nothing(
    scene: Scene, tmp_path: Path, kind: str
) -> None:
    for side in ("upstream", "mirror"):
        scene.spoil(side, scene.image.layers[0])
    done = scene.run("pull", "--to", f"{kind}:{tmp_path}/out")
    assert done.status == 4
    assert done.out == ""
    assert not (tmp_path / "out" / "index.json").exists()
    assert not (tmp_path / "out").is_file()
