"""Kill -9 at any moment of a pull: nothing partial has its final name; a second run completes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from imgverify.oci.digest import Digest
from tests.support.fault import BLOBS
from tests.support.faults import Drip
from tests.support.image import AMD64, Image, assemble, config, layer, put
from tests.support.registry import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

MOMENTS = 50
LAYERS = 16
# Forks a child for each pull, so that fifty of them do not pay fifty times for imports.
ZYGOTE = """
import json, os, sys
from imgverify.cli.app import execute
import imgverify.cli.deliver, imgverify.cli.pull, zlib
for line in sys.stdin:
    words = json.loads(line)
    child = os.fork()
    if child == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os._exit(execute(words))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def _image() -> Image:
    noise = random.Random(5)  # noqa: S311 - bulk
    layers = tuple(
        layer({f"file-{each}": noise.randbytes(20_000 + 6_000 * each)}) for each in range(LAYERS)
    )
    document = config(AMD64, layers, created="2026-01-01T00:00:00Z", command="true")
    return assemble(document, layers, AMD64)


class Scene:
    """A slow mirror, its upstream, and a program that pulls when told to."""

    def __init__(self, hosts: tuple[str, str], zygote: subprocess.Popen[str], image: Image) -> None:
        self._hosts = hosts
        self._zygote = zygote
        self.image = image

    def start(self, destination: str) -> int:
        upstream, mirror = self._hosts
        plain = ("--insecure-http", upstream, "--insecure-http", mirror)
        words = ["pull", f"{upstream}/app:1", "--mirror", mirror, *plain, "--to", destination]
        assert self._zygote.stdin
        self._zygote.stdin.write(json.dumps(words) + "\n")
        self._zygote.stdin.flush()
        return self._number()

    def status(self) -> int:
        return self._number()

    def _number(self) -> int:
        assert self._zygote.stdout
        return int(self._zygote.stdout.readline())


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    image = _image()
    with FakeRegistry() as upstream, FakeRegistry() as mirror:
        for registry in (upstream, mirror):
            put(registry.shelf, "app", image, "1")
        mirror.play(Drip(16_384, 0.004, when=BLOBS))
        with subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as zygote:
            yield Scene((upstream.host, mirror.host), zygote, image)
            assert zygote.stdin
            zygote.stdin.close()


def _names(image: Image) -> set[str]:
    return {image.digest.encoded, *(Digest.of(each).encoded for each in image.blobs)}


def _check_layout(folder: Path, image: Image, *, complete: bool) -> None:
    blobs = folder / "blobs" / "sha256"
    present = list(blobs.iterdir()) if blobs.is_dir() else []
    for blob in present:
        assert Digest.of(blob.read_bytes()).encoded == blob.name
    if complete or (folder / "index.json").exists():
        (entry,) = json.loads((folder / "index.json").read_bytes())["manifests"]
        assert entry["digest"] == str(image.digest)
        assert {each.name for each in present} == _names(image)
        assert (folder / "oci-layout").exists()


def _check_archive(file: Path, image: Image, *, complete: bool) -> None:
    if not file.exists():
        assert not complete
        return
    with tarfile.open(file) as archive:
        members = {each.name: each for each in archive.getmembers()}
        assert "index.json" in members
        for name in _names(image):
            content = archive.extractfile(members[f"blobs/sha256/{name}"])
            assert content
            assert Digest.of(content.read()).encoded == name


@pytest.mark.kill
def test_killed_at_fifty_moments(scene: Scene, tmp_path: Path) -> None:
    chance = random.Random(2026)  # noqa: S311 - repeatable
    usual = min(_seconds(scene, f"oci:{tmp_path}/whole-{each}:1") for each in range(3))
    killed = 0
    for moment in range(MOMENTS):
        kind = ("oci", "oci", "oci-archive", "docker-archive")[moment % 4]
        place = tmp_path / f"out-{moment}"
        name = f"oci:{place}:1" if kind == "oci" else f"{kind}:{place}"
        child = scene.start(name)
        time.sleep(chance.uniform(0.02, 0.95) * usual)
        _kill(child)
        killed += scene.status() == -signal.SIGKILL
        check = _check_layout if kind == "oci" else _check_archive
        check(place, scene.image, complete=False)
        scene.start(name)
        assert scene.status() == 0
        check(place, scene.image, complete=True)
        left = [each.name for each in tmp_path.iterdir() if each.name.startswith(".")]
        assert left == []
    assert killed > MOMENTS // 4


def _seconds(scene: Scene, destination: str) -> float:
    started = time.monotonic()
    scene.start(destination)
    assert scene.status() == 0
    return time.monotonic() - started


def _kill(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
