"""Signed images: a whole verification against cosign's, by key and without a log."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import make
from tests.benchmarks.scenarios import IMGVERIFY, plain
from tests.support import components
from tests.support.image import put, release
from tests.support.push import push_shelf
from tests.support.registry import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.measure import Contender

REPOSITORY = "library/app"
IMAGES = 40
_KEYED = ("--insecure-ignore-tlog",)
_LOOP = (
    'for each in "$@"; do'
    ' {} verify --key {} --insecure-ignore-tlog --offline "$each" || exit 1; done'
)


@dataclass(frozen=True, slots=True)
class Signed:
    """A registry with images that cosign signed, and the key."""

    host: str
    key: Path
    cosign: str
    names: tuple[str, ...]


def found_cosign() -> str | None:
    """Return cosign as `make peers` built it, or as $IMGVERIFY_BENCH_PEERS names it."""
    for item in os.environ.get("IMGVERIFY_BENCH_PEERS", "").split(","):
        name, _, program = item.partition("=")
        if name == "cosign":
            return program
    found = make.find_peer("cosign", os.environ) if "cosign" in components.names() else None
    return str(found) if found else None


def sign_images(host: str, folder: Path, cosign: str) -> Signed:
    """Push images, and sign each with a key of its own making."""
    shelf = Shelf()
    digests = [
        put(shelf, REPOSITORY, release("app", f"1.0.{number}"), str(number))
        for number in range(IMAGES)
    ]
    push_shelf(host, shelf)
    names = tuple(f"{host}/{REPOSITORY}@{each}" for each in digests)
    surroundings = os.environ | {"COSIGN_PASSWORD": "none"}
    for words in (
        ("generate-key-pair",),
        (
            "sign",
            "--yes",
            "--key",
            "cosign.key",
            "--tlog-upload=false",
            "--use-signing-config=false",
            *names,
        ),
    ):
        subprocess.run(
            [cosign, *words], cwd=folder, env=surroundings, check=True, capture_output=True
        )
    return Signed(host, folder / "cosign.pub", cosign, names)


def pairs(signed: Signed) -> Iterator[tuple[Contender, Contender, float]]:
    """Give one image, and many in one call held against a loop, with the goals."""
    key = ("--key", str(signed.key), *_KEYED)
    ours = (*IMGVERIFY, "verify", *key, "--insecure-http", signed.host)
    theirs = (signed.cosign, "verify", *key, "--offline")
    yield (
        plain("imgverify verify, one signed image", (*ours, signed.names[0])),
        plain("cosign verify", (*theirs, signed.names[0])),
        2.5,
    )
    loop = ("sh", "-c", _LOOP.format(signed.cosign, signed.key), "sh", *signed.names)
    yield (
        plain(f"imgverify verify, {IMAGES} signed images", (*ours, *signed.names)),
        plain(f"a loop of {IMAGES} cosign verify", loop),
        0.5,
    )
