"""Documents that are small on the wire and large in memory: no run takes 100 MB for them."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import pytest

from imgverify.exitcode import ExitCode
from imgverify.oci import limits
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from imgverify.serve.shelf import Shelf
from tests.support.image import PLATFORMS, index, put, release
from tests.support.registry import FakeRegistry
from tests.unit.test_memory import peak_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgverify.oci.mediatype import MediaType

MOST = 100_000_000
FITTING, TOO_MANY = 2, 12
#: Each character costs Python four bytes once there is one like this.
WIDE = "\U0001f600"
NAME, TAG = "library/app", "1.4"


def _descriptor(data: bytes, media_type: MediaType, **more: object) -> dict[str, object]:
    about = {"mediaType": str(media_type), "digest": str(Digest.of(data)), "size": len(data)}
    return about | more


def _manifest(config: bytes, filling: str) -> bytes:
    """An image without layers, filled up to what a manifest may have."""
    document = {
        "schemaVersion": 2,
        "mediaType": str(OCI_MANIFEST),
        "config": _descriptor(config, OCI_CONFIG),
        "layers": [],
        "annotations": {"a": filling},
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _config(architecture: str, filling: str) -> bytes:
    document = {
        "architecture": architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
        "author": filling,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _put_index(shelf: Shelf, images: list[tuple[bytes, bytes]]) -> None:
    listed = []
    for number, (manifest, config) in enumerate(images):
        shelf.put_blob(config)
        shelf.put_manifest(NAME, manifest, OCI_MANIFEST)
        platform = {"os": "linux", "architecture": f"a{number}"}
        listed.append(_descriptor(manifest, OCI_MANIFEST, platform=platform))
    document = {"schemaVersion": 2, "mediaType": str(OCI_INDEX), "manifests": listed}
    shelf.put_manifest(NAME, json.dumps(document).encode(), OCI_INDEX, tag=TAG)


def large_manifests(shelf: Shelf, count: int = TOO_MANY) -> None:
    images = []
    for number in range(count):
        config = _config(f"a{number}", "")
        images.append((_manifest(config, WIDE * (limits.MANIFEST_SIZE // 4 - 200)), config))
    _put_index(shelf, images)


def large_configs(shelf: Shelf, count: int = TOO_MANY) -> None:
    images = []
    for number in range(count):
        config = _config(f"a{number}", WIDE * (limits.CONFIG_SIZE // 4 - 200))
        images.append((_manifest(config, str(number)), config))
    _put_index(shelf, images)


def fitting_manifests(shelf: Shelf) -> None:
    large_manifests(shelf, FITTING)


def fitting_configs(shelf: Shelf) -> None:
    large_configs(shelf, FITTING)


def many_values(shelf: Shelf) -> None:
    text = '{"schemaVersion":2,"x":[' + ",".join(['{"":1}'] * 590_000) + "]}"
    shelf.put_manifest(NAME, text.encode(), OCI_INDEX, tag=TAG)


def many_values_in_parallel(shelf: Shelf) -> None:
    config = _config("amd64", "")
    images = []
    for number in range(TOO_MANY):
        filling = json.dumps({"x": [{"": 1}] * 30_000})
        document = json.loads(_manifest(config, str(number))) | json.loads(filling)
        images.append((json.dumps(document, separators=(",", ":")).encode(), config))
    _put_index(shelf, images)


@functools.cache
def filled(fill: Callable[[Shelf], None]) -> Shelf:
    """Take long to build, and once."""
    shelf = Shelf()
    fill(shelf)
    return shelf


@pytest.mark.slow
@pytest.mark.parametrize(
    "fill",
    [
        *(large_manifests, large_configs, fitting_manifests, fitting_configs),
        *(many_values, many_values_in_parallel),
    ],
)
@pytest.mark.parametrize("command", ["verify", "pull"])
def test_split_parse_alloc_documents_of_a_mirror_do_not_fill_memory(
    fill: Callable[[Shelf], None], command: str, tmp_path: Path
) -> None:
    ordinary = Shelf()
    put(ordinary, NAME, index(tuple(release("app", "1.4.2", each) for each in PLATFORMS)), TAG)
    upstream = FakeRegistry(filled(fill) if command == "pull" else ordinary)
    with upstream, FakeRegistry(filled(fill)) as mirror:
        hosts = [word for each in (upstream, mirror) for word in ("--insecure-http", each.host)]
        words = [command, f"{upstream.host}/{NAME}:{TAG}", "--mirror", mirror.host, *hosts]
        words += ["--to", f"oci:{tmp_path}/out"] if command == "pull" else []
        peak, status = peak_of(words)
    assert peak < MOST
    # What both have in the same form may be pulled, however odd it is.
    assert command == "pull" or status != ExitCode.ALLOWED
