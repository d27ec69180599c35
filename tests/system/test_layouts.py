"""Copies that real tools made, judged with no network at all."""

from __future__ import annotations

import gzip
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import copies
from tests.support.attach import Place, attach
from tests.support.authorities import public_pem
from tests.support.image import AMD64, docker, put
from tests.support.registry import FakeRegistry
from tests.support.runtimes import running_dockerd
from tests.support.signer import NAME, Deployment
from tests.system.commands import TIMEOUT, Done, copy, imgverify, skopeo
from tests.unit.verify.world import NEW, NEW_AMD64, OLD, PATH, TAG

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system("skopeo")

SIGSTORE = Deployment()
UPSTREAM = f"{NAME}:{TAG}"
# A namespace of its own has no way out, not even to loopback; a user's own where root is missing.
NO_NETWORK = (("unshare", "--net"), ("unshare", "--user", "--map-root-user", "--net"))


@pytest.fixture(scope="session")
def without_network() -> tuple[str, ...]:
    """What a command is put after to run with no network."""
    for words in NO_NETWORK:
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
            return words
    pytest.skip("this machine lets nobody make a network namespace")


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """An image with cosign's signature under its tag."""
    with FakeRegistry() as built:
        put(built.shelf, PATH, NEW, TAG)
        put(built.shelf, PATH, NEW_AMD64, "amd64")
        yield built


@pytest.fixture
def key(registry: FakeRegistry, tmp_path: Path) -> tuple[str, ...]:
    made = SIGSTORE.make("cosign, key alone", NEW.manifest)
    attach(registry.shelf, PATH, NEW, made, place=Place.TAG)
    file = tmp_path / "key.pub"
    file.write_bytes(public_pem(made.signer.key))
    return ("--key", str(file), "--insecure-ignore-tlog")


def skopeo_layout(registry: FakeRegistry, folder: Path) -> Path:
    """Copy the image and its signature as skopeo's users do: each under its tag."""
    source = f"docker://{registry.host}/{PATH}"
    signature = f"sha256-{NEW.digest.encoded}.sig"
    whole = ("--all", "--preserve-digests")
    copy(f"{source}:{TAG}", f"oci:{folder}:{TAG}", *whole)
    copy(f"{source}:{signature}", f"oci:{folder}:{signature}", *whole)
    return folder


def run(words: tuple[str, ...], *command: object) -> Done:
    program = [*words, sys.executable, "-m", "imgverify", *map(str, command)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_a_signed_copy_needs_no_network_and_a_changed_one_is_denied(
    registry: FakeRegistry,
    key: tuple[str, ...],
    without_network: tuple[str, ...],
    tmp_path: Path,
    *,
    kind: str,
) -> None:
    folder = skopeo_layout(registry, tmp_path / "copy")
    place = folder if kind == "oci" else copies.pack(tmp_path / "copy.tar", folder)
    words = ("verify", UPSTREAM, "--mirror", f"{kind}:{place}:{TAG}", "--offline", *key)
    done = run(without_network, *words, "--format", "json")
    assert done.status == 0, done.out + done.err
    assert done.image["upstream"]["resolvedFrom"] == "signature"
    assert done.image["pinned"] == f"{NAME}@{NEW.digest}"
    file = copies.blob_file(folder, NEW.digest)
    file.write_bytes(file.read_bytes().replace(b"linux", b"Linux", 1))
    if kind == "oci-archive":
        copies.pack(place, folder)
    done = run(without_network, *words, "--format", "json")
    assert done.status == 1
    (finding,) = done.image["mirrors"][0]["findings"]
    assert finding["rule"] == "digest-mismatch"
    assert NEW.digest.encoded in finding["message"]


def test_without_a_network_there_really_is_none(
    registry: FakeRegistry, key: tuple[str, ...], without_network: tuple[str, ...], tmp_path: Path
) -> None:
    """The proof above proves something: the same copy cannot be compared with upstream there."""
    folder = skopeo_layout(registry, tmp_path / "copy")
    name = f"{registry.host}/{PATH}:{TAG}"
    words = ("verify", name, "--mirror", f"oci:{folder}:{TAG}", "--insecure-http", registry.host)
    assert run((), *words).status == 0
    assert run(without_network, *words, *key).status == 3


def test_what_skopeo_copies_is_identical_or_proven_the_same(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    source = f"docker://{registry.host}/{PATH}:amd64"
    upstream = f"{registry.host}/{PATH}:amd64"
    expected = {"oci": "identical", "oci-archive": "identical", "docker-archive": "repackaged"}
    for kind, wanted in expected.items():
        place = f"{kind}:{tmp_path / kind}"
        copy(source, f"{place}:team/app:1")
        for name in (place, f"{place}:team/app:1"):
            done = imgverify("compare", upstream, name, "--format", "json", plain=(registry.host,))
            (mirror,) = done.image["mirrors"]
            assert mirror["grade"] == wanted, done.out
            assert mirror["reference"] == name
            assert mirror["explanation"]["proven"] is (wanted == "repackaged")


@pytest.mark.system("docker.io")
def test_what_docker_saves_is_proven_the_same(registry: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text("{}")
    with running_dockerd(tmp_path / "docker", tmp_path / "daemon.json") as dockerd:
        saved = dockerd.save(f"{registry.host}/{PATH}", "amd64")
    name, file = f"{registry.host}/{PATH}:amd64", tmp_path / "saved.tar"
    for data in (saved, gzip.compress(saved)):
        file.write_bytes(data)
        for copied in (f"docker-archive:{file}", f"docker-archive:{file}:{name}"):
            done = imgverify("compare", name, copied, "--format", "json", plain=(registry.host,))
            (mirror,) = done.image["mirrors"]
            assert mirror["grade"] == "repackaged", done.out
            assert mirror["explanation"]["proven"] is True


def test_what_skopeo_converts_is_told(registry: FakeRegistry, tmp_path: Path) -> None:
    put(registry.shelf, PATH, docker(NEW_AMD64), "docker")
    name = f"{registry.host}/{PATH}:docker"
    copy(f"docker://{name}", f"oci:{tmp_path / 'copy'}:1")
    done = imgverify(
        "compare", name, f"oci:{tmp_path / 'copy'}:1", "--format", "json", plain=(registry.host,)
    )
    assert done.image["mirrors"][0]["grade"] == "repackaged"


def test_an_older_image_that_docker_saved_is_not_upstreams(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    (older,) = [each for each in OLD.images if each.platform == AMD64]
    put(registry.shelf, PATH, older, "old")
    file = tmp_path / "saved.tar"
    copy(f"docker://{registry.host}/{PATH}:old", f"docker-archive:{file}:app:1")
    name = f"{registry.host}/{PATH}:amd64"
    done = imgverify("compare", name, f"docker-archive:{file}", plain=(registry.host,))
    assert done.status == 1
    assert "diverged" in done.out


def test_what_is_pulled_into_a_copy_is_read_from_it_again(
    registry: FakeRegistry, key: tuple[str, ...], without_network: tuple[str, ...], tmp_path: Path
) -> None:
    folder = skopeo_layout(registry, tmp_path / "copy")
    words = ("--mirror", f"oci:{folder}:{TAG}", "--offline", *key, "--platform", "linux/amd64")
    out = tmp_path / "out.tar"
    done = run(without_network, "pull", UPSTREAM, *words, "--to", f"docker-archive:{out}")
    assert done.status == 0, done.err
    found = skopeo("inspect", "--raw", f"oci-archive:{out}").encode()
    assert found == NEW_AMD64.manifest
