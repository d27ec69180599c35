"""Finds the real registries and tools that system tests run against.

``tests/peers/peers.json`` lists them; ``make peers`` installs or builds them.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import make


class MissingComponentError(LookupError):
    """A real component is not on this machine."""


def docker_registry() -> Path:
    """Distribution 2.8, as Debian packages it."""
    return locate("docker-registry")


def skopeo() -> Path:
    """Skopeo, as Debian packages it."""
    return locate("skopeo")


def distribution() -> Path:
    """Distribution 3, built here."""
    return locate("distribution")


def olareg() -> Path:
    """Olareg: a registry with the referrers API, built here."""
    return locate("olareg")


def locate(name: str) -> Path:
    """Return the program of one component, or say how to get it."""
    path = make.find_peer(name, os.environ)
    if path is None:
        message = f"{name} is not on this machine; next: make peers"
        raise MissingComponentError(message)
    return path


def names() -> list[str]:
    """Name every component that system tests may need."""
    return list(make.peer_table())


def missing(wanted: Iterable[str]) -> list[str]:
    """Return those of the wanted components that this machine lacks, in the table's order."""
    chosen = set(wanted)
    unknown = chosen.difference(names())
    if unknown:
        message = f"not in tests/peers/peers.json: {', '.join(sorted(unknown))}"
        raise ValueError(message)
    return [name for name in names() if name in chosen and make.find_peer(name, os.environ) is None]


def nothing_may_be_left_out(environment: Mapping[str, str]) -> bool:
    """Tell whether a missing component is a failure: in CI, and for `make system`."""
    return "true" in (environment.get("CI"), environment.get("IMGVERIFY_REQUIRE_PEERS"))
