"""What is measured: a pull, and how long it takes to start."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Contender, InvalidRunError, settle
from tests.support import components

if TYPE_CHECKING:
    from collections.abc import Iterator

IMGVERIFY = (str(Path(sys.executable).parent / "imgverify"),)
REPOSITORY = "library/bench"
# Like a machine-learning image: one layer is half of it.
_SHARES = (0.5, 0.2, 0.12, 0.08, 0.05, 0.03, 0.02)
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stand:
    """Two registries with the same image, and a folder to pull into."""

    upstream: str
    mirror: str
    folder: Path

    @property
    def reference(self) -> str:
        """The image's name at upstream."""
        return f"{self.upstream}/{REPOSITORY}:1"

    @property
    def options(self) -> tuple[str, ...]:
        """What tells imgverify where the mirror is, and that both are plain HTTP."""
        hosts = ("--insecure-http", self.upstream, "--insecure-http", self.mirror)
        return ("--mirror", self.mirror, *hosts)


def make_layout(folder: Path, size: int) -> None:
    """Write an image of about `size` bytes of layers that do not compress."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = [_layer(blobs, int(size * share), seed) for seed, share in enumerate(_SHARES)]
    diff_ids = [each["digest"] for each in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _document(blobs, config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers,
    }
    entry = _document(blobs, manifest, "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def fill(layout: Path, host: str) -> None:
    """Push a layout into a registry with skopeo."""
    target = f"docker://{host}/{REPOSITORY}:1"
    command = [str(components.skopeo()), "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:1"]
    subprocess.run([*command, target], check=True, timeout=600)


def pulls(stand: Stand, peers: dict[str, str]) -> Iterator[Contender]:
    """Give imgverify and its peers pulling the image into a fresh OCI layout."""
    ours = stand.folder / "imgverify"
    yield Contender(
        "imgverify",
        (*IMGVERIFY, "-q", "pull", stand.reference, *stand.options, "--to", f"oci:{ours}:1"),
        lambda: _fresh(ours),
        lambda: _require_right(ours),
    )
    for name, program in peers.items():
        theirs = stand.folder / name.replace(" ", "-")
        source = f"{stand.mirror}/{REPOSITORY}:1"
        if "crane" in name:
            command = (program, "pull", "--insecure", "--format=oci", source, str(theirs))
        else:
            plain = ("copy", "-q", "--src-tls-verify=false")
            command = (program, *plain, f"docker://{source}", f"oci:{theirs}:1")
        yield Contender(
            name,
            command,
            lambda theirs=theirs: _fresh(theirs),  # type: ignore[misc] # bound now, not later
            lambda theirs=theirs: _require_right(theirs),  # type: ignore[misc] # as above
        )


def starts() -> Iterator[tuple[Contender, Contender, float]]:
    """Give pairs of a start and the bare import that it is held against, with the goal."""
    python = sys.executable
    yield (
        plain("imgverify --version", (*IMGVERIFY, "--version")),
        plain("import click", (python, "-c", "import click")),
        1.5,
    )


def small_verify(stand: Stand) -> tuple[Contender, Contender, float]:
    """Give a whole verification on loopback, and the imports that it cannot do without."""
    command = (*IMGVERIFY, "verify", stand.reference, *stand.options)
    bare = (sys.executable, "-c", "import httpx, click")
    return plain("imgverify verify", command), plain("import httpx, click", bare), 2.0


def plain(name: str, command: tuple[str, ...]) -> Contender:
    """Return a command that leaves nothing behind, and whose exit status says it all."""
    return Contender(name, command, lambda: None, lambda: None)


def _layer(blobs: Path, size: int, seed: int) -> dict[str, object]:
    source, hasher, aside = random.Random(seed), hashlib.sha256(), blobs / "aside"  # noqa: S311 - bulk
    left = size
    with aside.open("wb") as file:
        while left:
            chunk = source.randbytes(min(left, _CHUNK))
            hasher.update(chunk)
            file.write(chunk)
            left -= len(chunk)
    aside.rename(blobs / hasher.hexdigest())
    media_type = "application/vnd.oci.image.layer.v1.tar"
    return {"mediaType": media_type, "digest": f"sha256:{hasher.hexdigest()}", "size": size}


def _document(blobs: Path, value: object, media_type: str) -> dict[str, object]:
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    settle(folder.parent)


def _require_right(folder: Path) -> None:
    """Hash every blob that was written, whoever wrote it."""
    blobs = list((folder / "blobs" / "sha256").iterdir())
    for blob in blobs:
        with blob.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != blob.name:
                message = f"{blob} is not what its name says"
                raise InvalidRunError(message)
    if len(blobs) != len(_SHARES) + 2:
        message = f"{folder} has {len(blobs)} blobs"
        raise InvalidRunError(message)


def version_of(program: str) -> str:
    """Return what a program says of its version, on one line."""
    for word in ("--version", "version"):
        done = subprocess.run(
            [program, word], capture_output=True, text=True, check=False, timeout=30
        )
        if done.returncode == 0:
            return (done.stdout + done.stderr).strip().splitlines()[0]
    return "unknown version"


def found_peers() -> dict[str, str]:
    """Return Debian's skopeo, and what $IMGVERIFY_BENCH_PEERS adds as NAME=PROGRAM,…"""
    peers = {"skopeo (Debian)": str(components.skopeo())}
    for item in filter(None, os.environ.get("IMGVERIFY_BENCH_PEERS", "").split(",")):
        name, _, program = item.partition("=")
        if name != "cosign":
            peers[name] = program
    return peers
