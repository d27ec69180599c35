"""The doctor among real registries: by themselves, and as pull-through mirrors of one another."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from imgverify.doctor.jsonreport import schema_text
from imgverify.oci.digest import Digest
from tests.support.image import AMD64, artifact, docker, index, multi_platform, put, release
from tests.support.processes import KINDS, running_registry, storage_of_blob
from tests.support.push import push_shelf
from tests.support.registry import Shelf
from tests.system.commands import imgverify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system("docker-registry", "distribution", "olareg")

PATH = "library/app"
NEW, OLD = multi_platform("app", "1.4.2"), multi_platform("app", "1.4.1")
SINGLE = docker(release("single", "1.4.2", AMD64))
SIGNATURE = artifact(NEW)
VALIDATOR = Draft202012Validator(json.loads(schema_text()))
FEW = 15

#: What each registry does with who accepts one type only, and with who asks for referrers.
ACCEPT = {
    "docker-registry": ("followed", "schema1"),
    "distribution": ("ignored", "ignored"),
    "olareg": ("followed", "followed"),
}
REFERRERS = {"docker-registry": "absent", "distribution": "absent", "olareg": "real"}


def _shelf(kind: str) -> Shelf:
    shelf = Shelf()
    put(shelf, PATH, OLD)
    put(shelf, PATH, NEW, "1.4")
    put(shelf, "library/single", SINGLE, "1.4")
    put(shelf, PATH, SIGNATURE)
    if kind != "olareg":
        put(shelf, PATH, index((SIGNATURE,)), f"sha256-{NEW.digest.encoded}")
    return shelf


@pytest.fixture(scope="module", params=KINDS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    kind: str = request.param
    with running_registry(kind, tmp_path_factory.mktemp(kind)) as host:
        push_shelf(host, _shelf(kind))
        yield kind, host


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry("olareg", tmp_path_factory.mktemp("upstream")) as host:
        push_shelf(host, _shelf("olareg"))
        yield host


@contextlib.contextmanager
def proxy(kind: str, folder: Path, upstream: str) -> Iterator[str]:
    """Run a pull-through mirror; distribution takes any setting from its environment as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGISTRY_PROXY_REMOTEURL", f"http://{upstream}")
        with running_registry(kind, folder) as host:
            yield host


def doctor(*words: str, plain: tuple[str, ...]) -> tuple[dict[str, Any], int]:
    """Return what is said of the one mirror, which the text says as well."""
    report = imgverify("doctor", *words, "--format", "json", plain=plain)
    found = json.loads(report.out)
    VALIDATOR.validate(found)
    (mirror,) = found["mirrors"]
    text = imgverify("doctor", *words, plain=plain)
    assert (text.status, text.err) == (report.status, "")
    assert text.out.startswith(f"{mirror['mirror']}: {mirror['sentence']}\n")
    assert mirror["requests"] <= FEW
    return mirror, report.status


def answers(mirror: dict[str, Any]) -> dict[str, str]:
    return {each["topic"]: each["answer"] for each in mirror["checks"]}


def test_a_registry_by_itself(running: tuple[str, str], upstream: str) -> None:
    kind, host = running
    image = f"{upstream}/{PATH}:1.4"
    mirror, status = doctor(host, "--image", image, plain=(host, upstream))
    assert (mirror["use"], status) == ("tags-and-digests", 0)
    assert answers(mirror) == {
        "api": "v2",
        "login": "none",
        "head": "honest",
        "by-digest": "served",
        "accept": ACCEPT[kind][0],
        "referrers": REFERRERS[kind],
        "range": "honoured",
        "namespace": "ignored",
        "redirects": "none",
        "rate-limit": "untold",
    }


def test_a_single_image_in_dockers_types(running: tuple[str, str], upstream: str) -> None:
    kind, host = running
    image = f"{upstream}/library/single:1.4"
    mirror, status = doctor(host, "--image", image, plain=(host, upstream))
    assert (mirror["use"], status) == ("tags-and-digests", 0)
    assert answers(mirror)["accept"] == ACCEPT[kind][1]


def test_an_unsigned_image_proves_nothing(running: tuple[str, str], upstream: str) -> None:
    kind, host = running
    image = f"{upstream}/library/single:1.4"
    mirror, _ = doctor(host, "--image", image, plain=(host, upstream))
    # olareg has a real API, and answers for what is no digest as for any other.
    assert answers(mirror)["referrers"] == ("unproven" if kind == "olareg" else "absent")


def test_without_an_image(running: tuple[str, str]) -> None:
    kind, host = running
    mirror, status = doctor(host, plain=(host,))
    assert (mirror["use"], status, mirror["requests"]) == ("unasked", 0, 2)
    assert answers(mirror)["referrers"] == ("unproven" if kind == "olareg" else "absent")


@pytest.mark.parametrize("kind", ["docker-registry", "distribution"])
def test_a_pull_through_mirror(kind: str, upstream: str, tmp_path: Path) -> None:
    with proxy(kind, tmp_path, upstream) as host:
        image = f"{upstream}/{PATH}:1.4"
        mirror, status = doctor(host, "--image", image, plain=(host, upstream))
        assert (mirror["use"], status) == ("tags-and-digests", 0)
        found = answers(mirror)
        # It passes on what upstream has, and not the API by which that would be found.
        assert (found["by-digest"], found["referrers"]) == ("served", "absent")
        # What it does not hold yet it passes on whole.
        assert found["range"] == "ignored"
        assert _becomes(host, image, upstream, "honoured")


def _becomes(host: str, image: str, upstream: str, answer: str) -> bool:
    for _ in range(20):
        mirror, _ = doctor(host, "--image", image, plain=(host, upstream))
        if answers(mirror)["range"] == answer:
            return True
    return False


def test_a_pull_through_mirror_of_another_upstream(upstream: str, tmp_path: Path) -> None:
    with running_registry("olareg", tmp_path / "other") as other:
        push_shelf(other, _shelf("olareg"))
        with proxy("distribution", tmp_path / "proxy", other) as host:
            image = f"{upstream}/{PATH}:1.4"
            doctor(host, "--image", image, plain=(host, upstream))
            push_shelf(other, _later())
            mirror, status = doctor(host, "--image", image, plain=(host, upstream))
    # A tag is asked upstream each time: the mirror's upstream has moved on, ours has not.
    assert status == 3
    assert mirror["images"][0]["grade"] == "inconclusive"
    assert mirror["use"] == "digests-only"


def _later() -> Shelf:
    shelf = Shelf()
    put(shelf, PATH, multi_platform("app", "1.4.3"), "1.4")
    return shelf


def test_a_mirror_that_lags(running: tuple[str, str], upstream: str, tmp_path: Path) -> None:
    kind, _ = running
    shelf = Shelf()
    put(shelf, PATH, OLD, "1.4")
    with running_registry(kind, tmp_path) as host:
        push_shelf(host, shelf)
        image = f"{upstream}/{PATH}:1.4"
        mirror, status = doctor(host, "--image", image, plain=(host, upstream))
    assert (mirror["use"], status) == ("nothing", 0)
    assert "its tag lags by at least" in mirror["sentence"]
    (found,) = mirror["images"]
    assert (found["grade"], found["isCurrent"]) == ("stale", False)
    assert found["ageSeconds"] > 0


def test_a_blob_that_was_falsified_on_disk(upstream: str, tmp_path: Path) -> None:
    with running_registry("docker-registry", tmp_path) as host:
        push_shelf(host, _shelf("docker-registry"))
        first = NEW.images[0]
        for blob in (first.config, *(each.blob for each in first.layers)):
            file = storage_of_blob(tmp_path, Digest.of(blob).encoded)
            file.write_bytes(bytes((*blob[:-1], blob[-1] ^ 1)))
        image = f"{upstream}/{PATH}:1.4"
        mirror, status = doctor(host, "--image", image, plain=(host, upstream))
    assert (mirror["use"], status) == ("do-not-use", 1)
    assert answers(mirror)["range"] == "falsified"
