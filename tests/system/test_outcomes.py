"""The eight outcomes, between two real registries of each kind, by the real command."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from imgverify.demo.images import Twin, multi_platform, put, release, stage
from imgverify.serve.shelf import Shelf
from tests.support.processes import KINDS, running_registry
from tests.support.push import push_shelf
from tests.system.commands import Done, copy, imgverify

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system("docker-registry", "skopeo", "distribution", "olareg")

PATHS = dict(stage().images)
ORIGINAL = release("single", "1.4.2")


@pytest.fixture(scope="module", params=KINDS)
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("registries")
    with (
        running_registry(request.param, folder / "upstream") as upstream,
        running_registry(request.param, folder / "mirror") as mirror,
    ):
        _fill(upstream, mirror)
        yield upstream, mirror


def _fill(upstream: str, mirror: str) -> None:
    built = stage()
    put(built.upstream, "library/single", ORIGINAL, "1.4")
    push_shelf(upstream, built.upstream)
    others = Shelf()
    for twin in (Twin.TRIMMED, Twin.STALE, Twin.DIVERGED):
        _move(built.mirror, others, PATHS[twin])
    push_shelf(mirror, others)
    path = PATHS[Twin.IDENTICAL]
    copy(f"docker://{upstream}/{path}:1.4", f"docker://{mirror}/{path}:1.4", "--all")
    single = "library/single:1.4"
    recompressing = ("--dest-compress", "--dest-compress-format=zstd")
    target = f"docker://{mirror}/{single}"
    copy(f"docker://{upstream}/{single}", target, *recompressing)


def _move(source: Shelf, target: Shelf, path: str) -> None:
    """Put one repository of a shelf on another."""
    target._repositories[path] = source._repositories[path]
    target._blobs.update(source._blobs)


def verify(hosts: tuple[str, str], path: str, *words: str) -> tuple[Done, Done]:
    upstream, mirror = hosts
    command = ("verify", f"{upstream}/{path}:1.4", "--mirror", mirror, *words)
    return imgverify(*command, "--format", "json", plain=hosts), imgverify(*command, plain=hosts)


def require(answers: tuple[Done, Done], grade: str, decision: str, status: int) -> None:
    """The exit status, the JSON and the text have to say the same."""
    report, text = answers
    assert (report.status, text.status) == (status, status), text.out + text.err
    assert report.image["decision"] == decision
    assert [each["grade"] for each in report.image["mirrors"]] == [grade]
    words = {"allow": "ALLOWED", "deny": "DENIED", "inconclusive": "INCONCLUSIVE"}
    assert text.out.startswith(words[decision])
    assert grade in text.out


def test_identical(hosts: tuple[str, str]) -> None:
    answers = verify(hosts, PATHS[Twin.IDENTICAL])
    require(answers, "identical", "allow", 0)
    digest = multi_platform("app", "1.4.2").digest
    assert answers[0].image["pinned"] == f"{hosts[0]}/{PATHS[Twin.IDENTICAL]}@{digest}"
    assert "layers not read" in answers[1].out
    require(verify(hosts, PATHS[Twin.IDENTICAL], "--deep"), "identical", "allow", 0)


def test_subset(hosts: tuple[str, str]) -> None:
    path = PATHS[Twin.TRIMMED]
    require(verify(hosts, path), "subset", "deny", 1)
    require(verify(hosts, path, "--platform", "linux/amd64"), "subset", "allow", 0)
    require(verify(hosts, path, "--platform", "linux/arm64"), "subset", "deny", 1)


def test_repackaged(hosts: tuple[str, str]) -> None:
    claimed = verify(hosts, "library/single")
    require(claimed, "repackaged", "deny", 1)
    assert not claimed[0].image["mirrors"][0]["explanation"]["proven"]
    proven = verify(hosts, "library/single", "--deep")
    require(proven, "repackaged", "deny", 1)
    assert proven[0].image["mirrors"][0]["explanation"]["proven"]


def test_stale(hosts: tuple[str, str]) -> None:
    require(verify(hosts, PATHS[Twin.STALE]), "stale", "deny", 1)


def test_missing(hosts: tuple[str, str]) -> None:
    require(verify(hosts, PATHS[Twin.REPACKAGED]), "missing", "deny", 1)


def test_diverged(hosts: tuple[str, str]) -> None:
    answers = verify(hosts, PATHS[Twin.DIVERGED])
    require(answers, "diverged", "deny", 1)
    assert "config:Env" in answers[1].out or "layer" in answers[1].out


@pytest.mark.parametrize("down", [0, 1], ids=["upstream", "mirror"])
def test_a_side_that_is_down(hosts: tuple[str, str], down: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    pair = (nobody, hosts[1]) if down == 0 else (hosts[0], nobody)
    answers = verify(pair, PATHS[Twin.IDENTICAL])
    require(answers, "inconclusive", "inconclusive", 3)
    assert "connection refused" in answers[1].out
