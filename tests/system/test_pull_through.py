"""A real pull-through mirror: docker-registry in proxy mode, with and without its upstream."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.image import put, release
from tests.support.processes import running_registry
from tests.support.push import push_shelf
from tests.support.registry import Shelf
from tests.support.relay import Relay
from tests.system.commands import Done, imgverify, skopeo

if TYPE_CHECKING:
    from pathlib import Path

    from imgverify.demo.images import Image

pytestmark = pytest.mark.system("docker-registry", "distribution", "skopeo")

PATH, TAG = "library/app", "1.4"
OLD, NEW = release("app", "1.4.1"), release("app", "1.4.2")


def publish(host: str, image: Image) -> None:
    shelf = Shelf()
    put(shelf, PATH, image, TAG)
    push_shelf(host, shelf)


def verify(upstream: str, mirror: str, *words: str) -> Done:
    command = ("verify", f"{upstream}/{PATH}:{TAG}", "--mirror", mirror, *words)
    return imgverify(*command, "--format", "json", plain=(upstream, mirror))


def graded(done: Done) -> tuple[int, str]:
    (mirror,) = done.image["mirrors"]
    return done.status, mirror["grade"]


def pull(upstream: str, mirror: str, layout: Path) -> Done:
    name = f"{upstream}/{PATH}:{TAG}"
    return imgverify(
        *("pull", name, "--mirror", mirror, "--to", f"oci:{layout}:1"), plain=(upstream, mirror)
    )


@pytest.mark.parametrize("kind", ["docker-registry", "distribution"])
def test_a_mirror_that_fetches_what_it_is_asked_for(kind: str, tmp_path: Path) -> None:
    with running_registry("docker-registry", tmp_path / "upstream") as upstream:
        publish(upstream, OLD)
        # The mirror's own way to upstream, which can be cut without upstream being down.
        with Relay(("127.0.0.1", int(upstream.rpartition(":")[2]))) as line:
            remote = {"proxy": {"remoteurl": f"http://{line.host}"}}
            with running_registry(kind, tmp_path / "mirror", remote) as mirror:
                assert graded(verify(upstream, mirror, "--deep")) == (0, "identical")
                done = pull(upstream, mirror, tmp_path / "layout")
                assert done.status == 0, done.err
                assert f"from {mirror}" in done.err
                entry = json.loads((tmp_path / "layout" / "index.json").read_bytes())
                assert entry["manifests"][0]["digest"] == str(OLD.digest)

                # A new image upstream, which the mirror asks for again and again…
                publish(upstream, NEW)
                assert graded(verify(upstream, mirror)) == (0, "identical")
                publish(upstream, OLD)
                assert graded(verify(upstream, mirror)) == (0, "identical")

                # …until it cannot, and goes on with what it has.
                line.__exit__()
                publish(upstream, NEW)
                stale = verify(upstream, mirror)
                assert graded(stale) == (1, "stale")
                assert stale.image["mirrors"][0]["digest"] == str(OLD.digest)


def test_a_mirror_alone_decides_nothing_when_upstream_is_down(tmp_path: Path) -> None:
    with ExitStack() as running:
        with running_registry("docker-registry", tmp_path / "upstream") as upstream:
            publish(upstream, NEW)
            remote = {"proxy": {"remoteurl": f"http://{upstream}"}}
            mirror = running.enter_context(
                running_registry("docker-registry", tmp_path / "mirror", remote)
            )
            assert graded(verify(upstream, mirror, "--deep")) == (0, "identical")
        # It still serves what it has, and nobody can tell whether that is what the tag names.
        layout = tmp_path / "kept"
        skopeo(
            "copy", "--src-tls-verify=false", f"docker://{mirror}/{PATH}:{TAG}", f"oci:{layout}:1"
        )
        down = verify(upstream, mirror)
        assert graded(down) == (3, "inconclusive")
        (error,) = (each for each in down.image["findings"] if each["level"] == "error")
        assert (error["rule"], error["side"]) == ("unreachable", "upstream")
        assert f"{upstream}: connection refused" in error["message"]
        done = pull(upstream, mirror, tmp_path / "layout")
        assert done.status == 3
        assert "nothing was pulled" in done.err
        assert not (tmp_path / "layout" / "index.json").exists()
