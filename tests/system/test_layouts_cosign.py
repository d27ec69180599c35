"""Copies that cosign saved with what it signed, or that it signed and others copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgverify.serve.shelf import Shelf
from tests.support import copies
from tests.support.cosign import Cosign, new_keys
from tests.support.image import put
from tests.support.processes import running_registry
from tests.support.push import push_shelf
from tests.system.commands import Done, copy, imgverify
from tests.unit.verify.world import NEW, NEW_AMD64, OLD, TAG

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgverify.oci.digest import Digest

pytestmark = pytest.mark.system("skopeo", "olareg", "docker-registry", "cosign", "cosign-2")

NAME = "team/app"
BUNDLES = 3
ALONE = ("--yes", "--tlog-upload=false")


class Stage:
    """A registry with an image, signed by one version of cosign."""

    def __init__(self, host: str, folder: Path, version: int) -> None:
        self.host, self.folder = host, folder
        self.cosign = Cosign(version, folder)
        self.keys = new_keys(folder / "keys", self.cosign)
        shelf = Shelf()
        put(shelf, NAME, NEW, TAG)
        put(shelf, NAME, OLD, "old")
        push_shelf(host, shelf)
        words = ALONE if version == 2 else (*ALONE, "--use-signing-config=false")
        private = self.keys["p256"].with_suffix(".key")
        self.cosign.do("sign", *words, "--key", private, self.reference(NEW.digest))

    def reference(self, digest: Digest) -> str:
        return f"{self.host}/{NAME}@{digest}"

    def save(self, name: str, digest: Digest = NEW.digest) -> Path:
        folder = self.folder / name
        self.cosign.do("save", "--dir", folder, self.reference(digest))
        return folder

    def verify(self, mirror: object, key: str = "p256") -> Done:
        upstream = f"{self.host}/{NAME}:{TAG}"
        words = ("--key", self.keys[key], "--insecure-ignore-tlog", "--format", "json")
        return imgverify("verify", upstream, "--mirror", mirror, "--offline", *words)


@pytest.fixture(scope="module", params=[("olareg", 2), ("olareg", 3), ("docker-registry", 3)])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    kind, version = request.param
    folder = tmp_path_factory.mktemp("cosign")
    with running_registry(kind, folder / "registry") as host:
        yield Stage(host, folder, version)


def test_what_cosign_saves_is_vouched_for(stage: Stage) -> None:
    folder = stage.save("saved")
    done = stage.verify(f"oci:{folder}")
    assert done.status == 0, done.out + done.err
    assert done.image["upstream"]["resolvedFrom"] == "signature"
    assert done.image["evidence"][0]["subjectDigest"] == str(NEW.digest)
    assert stage.verify(f"oci:{folder}", "other").status == 1
    archive = copies.pack(stage.folder / "saved.tar", folder)
    assert stage.verify(f"oci-archive:{archive}").status == 0


def test_a_manifest_changed_after_it_was_saved_is_denied(stage: Stage) -> None:
    """A digest in `index.json` is no proof of the bytes that lie under it."""
    folder = stage.save("changed")
    for manifest in (NEW_AMD64, NEW):
        file = copies.blob_file(folder, manifest.digest)
        sound = file.read_bytes()
        file.write_bytes(sound.replace(b'"schemaVersion": 2', b'"schemaVersion":  2'))
        assert file.read_bytes() != sound
        done = stage.verify(f"oci:{folder}")
        assert done.status == 1
        (finding,) = done.image["mirrors"][0]["findings"]
        assert finding["rule"] == "digest-mismatch"
        assert str(file) in finding["message"]
        file.write_bytes(sound)
    assert stage.verify(f"oci:{folder}").status == 0


def test_another_image_beside_a_genuine_signature_is_denied(stage: Stage) -> None:
    folder, other = stage.save("grafted"), stage.save("other", OLD.digest)
    for file in (other / "blobs" / "sha256").iterdir():
        (folder / "blobs" / "sha256" / file.name).write_bytes(file.read_bytes())
    entries = copies.index_of(folder)
    (old,) = [each for each in copies.index_of(other) if each["digest"] == str(OLD.digest)]
    entries = [old if each["digest"] == str(NEW.digest) else each for each in entries]
    copies.write_index(folder, entries)
    done = stage.verify(f"oci:{folder}")
    assert done.status == 1
    assert done.image["pinned"] is done.image["upstream"]["digest"] is None


def test_what_skopeo_copies_tag_by_tag_is_vouched_for(stage: Stage) -> None:
    folder, tag = stage.folder / "tags", f"sha256-{NEW.digest.encoded}.sig"
    whole = ("--all", "--preserve-digests")
    source = f"docker://{stage.host}/{NAME}"
    copy(f"{source}:{TAG}", f"oci:{folder}:{TAG}", *whole)
    assert stage.verify(f"oci:{folder}:{TAG}").status == 1
    if stage.cosign.version == BUNDLES:
        return  # A bundle has no tag of its own, so skopeo has no name to copy it by.
    copy(f"{source}:{tag}", f"oci:{folder}:{tag}", *whole)
    assert stage.verify(f"oci:{folder}:{TAG}").status == 0
