"""Real runtimes with what the doctor says closes a gap: they look nowhere else any more."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from imgverify.doctor.host.gather import gather_host
from imgverify.doctor.host.model import Gap
from imgverify.doctor.host.report import report_host
from imgverify.registry.hostconfig.model import Runtime
from imgverify.registry.hostconfig.read import HostPlaces
from tests.support import components
from tests.support.endpoints import Endpoints
from tests.support.runtimes import ctr_pull, running_containerd, skopeo_tries
from tests.unit.doctor.hosts import Host, bypass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgverify.doctor.host.model import Lookup


@pytest.fixture
def listening() -> Iterator[Endpoints]:
    """A mirror, and the registry that it stands before."""
    with Endpoints(2) as made:
        yield made


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_containerd(tmp_path_factory.mktemp("containerd") / "own") as address:
        yield address


def lookup(runtime: Runtime, places: HostPlaces, image: str) -> Lookup:
    reports = report_host(image, gather_host(places)).runtimes
    (found,) = [each for each in reports if each.runtime is runtime]
    (one,) = found.lookups
    return one


@pytest.mark.system("containerd")
@pytest.mark.parametrize("gap", [Gap.FALLS_THROUGH, Gap.MIRROR_RESOLVES])
def test_containerd_asks_only_whom_the_closing_leaves(
    listening: Endpoints, containerd: Path, tmp_path: Path, gap: Gap
) -> None:
    mirror, upstream = listening.hosts
    image, host = f"{upstream}/library/nginx:1", Host(tmp_path)
    folder = tmp_path / "etc/containerd/certs.d"
    text = f'server = "http://{upstream}"\n\n[host."http://{mirror}"]\n'
    host.write(f"etc/containerd/certs.d/{upstream}/hosts.toml", text)

    def asked() -> list[str]:
        listening.forget()
        ctr_pull(containerd, folder, image)
        return list(dict.fromkeys(each for each, _ in listening.asked_for_manifests))

    assert asked() == [mirror, upstream]
    found = lookup(Runtime.CONTAINERD, HostPlaces(tmp_path), image)
    (closing,) = bypass(found, gap).closings
    host.apply(closing)
    # By tag; a mirror that may not say what it means is not asked for it.
    assert asked() == ([mirror] if gap is Gap.FALLS_THROUGH else [upstream])


@pytest.mark.system("skopeo")
@pytest.mark.parametrize("gap", [Gap.FALLS_THROUGH, Gap.MIRROR_RESOLVES])
def test_skopeo_asks_only_whom_the_closing_leaves(
    listening: Endpoints, tmp_path: Path, gap: Gap
) -> None:
    mirror, upstream = listening.hosts
    image, host = f"{upstream}/library/nginx:1", Host(tmp_path)
    host.write(
        ".config/containers/registries.conf",
        f'[[registry]]\nlocation = "{upstream}"\ninsecure = true\n'
        f'[[registry.mirror]]\nlocation = "{mirror}/hub"\ninsecure = true\n',
    )
    places = HostPlaces(tmp_path / "root", tmp_path)
    there = f"{mirror}/hub/library/nginx:1"
    assert skopeo_tries(tmp_path, image) == [there, image]
    (closing,) = bypass(lookup(Runtime.CONTAINERS, places, image), gap).closings
    host.apply(closing)
    assert skopeo_tries(tmp_path, image) == ([there] if gap is Gap.FALLS_THROUGH else [image])


@pytest.mark.system("skopeo")
def test_skopeo_is_kept_from_another_name(listening: Endpoints, tmp_path: Path) -> None:
    mirror, host = listening.hosts[0], Host(tmp_path)
    host.write(
        ".config/containers/registries.conf",
        '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n'
        f'[[registry.mirror]]\nlocation = "{mirror}"\ninsecure = true\n',
    )
    places = HostPlaces(tmp_path / "root", tmp_path)
    other = "registry-1.docker.io/library/nginx:1"
    assert skopeo_tries(tmp_path, other) == [other]
    found = lookup(Runtime.CONTAINERS, places, "docker.io/library/nginx:1")
    (closing,) = bypass(found, Gap.OTHER_NAME).closings
    host.apply(closing)
    said = skopeo("inspect", f"docker://{other}", home=tmp_path)
    assert "registry registry-1.docker.io is blocked" in said
    assert f"{mirror}/library/nginx:1" in skopeo_tries(tmp_path, "docker.io/library/nginx:1")


def skopeo(*words: str, home: Path) -> str:
    """Return what skopeo says as it fails."""
    environ = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    command = [str(components.skopeo()), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environ
    )
    assert done.returncode != 0
    return done.stderr
