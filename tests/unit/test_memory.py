"""Memory stays flat, whatever the size of the image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from tests.support.image import big_blob
from tests.support.registry import FakeRegistry

if TYPE_CHECKING:
    from pathlib import Path

MOST = 80_000_000
LONG = pytest.mark.skipif(
    os.environ.get("CI") != "true", reason="takes a minute and 5 GB of disk; runs in CI"
)


def _fill(registries: tuple[FakeRegistry, ...], size: int) -> None:
    digest, blob = big_blob(size)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [str(digest)]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": str(OCI_MANIFEST),
        "config": {
            "mediaType": str(OCI_CONFIG),
            "digest": str(Digest.of(config)),
            "size": len(config),
        },
        "layers": [{"mediaType": str(OCI_LAYER), "digest": str(digest), "size": size}],
    }
    for registry in registries:
        registry.shelf.put_blob(config)
        registry.shelf.replace_blob(digest, blob)
        registry.shelf.put_manifest("big", json.dumps(manifest).encode(), OCI_MANIFEST, tag="1")


# A new process starts with the peak of the one that made it: let a small one make it.
SMALL = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, status)
"""


def peak_of(command: list[str]) -> tuple[int, int]:
    """Run imgverify and return its largest resident size in bytes, and its exit status."""
    words = [sys.executable, "-S", "-c", SMALL, sys.executable, "-m", "imgverify", *command]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
    peak, status = map(int, done.stdout.split())
    return peak, status


def _peak(command: list[str]) -> int:
    """Run what has to succeed, and return its largest resident size in bytes."""
    peak, status = peak_of(command)
    assert status == 0
    return peak


@pytest.mark.parametrize(
    "size", [500_000_000, pytest.param(5_000_000_000, marks=LONG)], ids=["0.5GB", "5GB"]
)
def test_memory_is_flat(size: int, tmp_path: Path) -> None:
    with FakeRegistry() as upstream, FakeRegistry() as mirror:
        _fill((upstream, mirror), size)
        hosts = ["--insecure-http", upstream.host, "--insecure-http", mirror.host]
        options = [f"{upstream.host}/big:1", "--mirror", mirror.host, *hosts]
        assert _peak(["-q", "pull", *options, "--to", f"oci:{tmp_path}/out:1"]) < MOST
        assert _peak(["-q", "verify", *options, "--deep"]) < MOST
