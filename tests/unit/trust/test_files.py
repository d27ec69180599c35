"""Files that users name, and what comes with imgverify."""

from __future__ import annotations

import hashlib
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import imgverify
from imgverify.errors import InputError
from imgverify.oci import limits
from imgverify.oci.digest import Digest
from imgverify.signature.trusted import Thresholds, Window
from imgverify.trust import files, shipped
from imgverify.trust.files import (
    private_root,
    read_artifact,
    read_file,
    read_key,
    read_trusted_roots,
)
from imgverify.trust.shipped import PUBLIC_GOOD, PUBLIC_GOOD_TUF, public_good, read_shipped
from tests.support.authorities import SIGNED, Issuer, new_key, pem_of, public_pem, spki
from tests.support.translog import compact

if TYPE_CHECKING:
    from tests.support.signer import Deployment

IMAGE = b'{"schemaVersion":2}'
KEYS = Path(imgverify.__file__).resolve().parents[1] / "keys"


def written(folder: Path, name: str, data: bytes) -> Path:
    file = folder / name
    file.write_bytes(data)
    return file


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    file = written(tmp_path, "a", b"12345")
    assert read_file(file, 5, "the file") == b"12345"
    with pytest.raises(InputError, match=r"the file .*a has more than 4 bytes"):
        read_file(file, 4, "the file")
    with pytest.raises(InputError, match=r"the file .* cannot be read: No such file"):
        read_file(tmp_path / "none", 5, "the file")
    with pytest.raises(InputError, match=r"cannot be read: Is a directory"):
        read_file(tmp_path, 5, "the file")


def test_a_key_is_read_with_its_window(tmp_path: Path) -> None:
    key = new_key()
    file = written(tmp_path, "a.pub", public_pem(key))
    assert read_key(file).key.spki == spki(key)
    assert SIGNED in read_key(file).window
    assert read_key(file, Window(None, SIGNED)).window == Window(None, SIGNED)
    with pytest.raises(InputError, match="cannot be used") as caught:
        read_key(written(tmp_path, "b.pub", b"no key"))
    assert "PEM" in caught.value.hint


def test_a_trusted_root_is_read(tmp_path: Path, deployment: Deployment) -> None:
    file = written(tmp_path, "root.json", compact(deployment.trusted_root()))
    (root,) = read_trusted_roots(file)
    assert root.name == str(file)
    deployment.make("keyless, Rekor v1", IMAGE).asking(roots=(root,)).check()
    with pytest.raises(InputError, match="is not a trusted root"):
        read_trusted_roots(written(tmp_path, "bad.json", b"{}"))


def test_a_deployment_is_put_together_from_pem_files(
    tmp_path: Path, deployment: Deployment
) -> None:
    authority, above = deployment.authority.chain
    stamps = written(tmp_path, "tsa.pem", pem_of(*deployment.tsa.chain))
    rekor = written(tmp_path, "rekor.pub", public_pem(deployment.rekor.key))
    ct_log = written(tmp_path, "ct.pub", public_pem(deployment.ct_log.key))
    together = [written(tmp_path, "all.pem", pem_of(above, authority))]
    apart = [
        written(tmp_path, "a.pem", pem_of(authority)),
        written(tmp_path, "b.pem", pem_of(above)),
    ]
    for authorities in (together, apart):
        root = private_root(
            "private",
            authorities=authorities,
            logs=[rekor],
            ct_logs=[ct_log],
            timestamp_authorities=[stamps],
        )
        assert root.thresholds == Thresholds(1, 1, 0)
        assert (root.logs[0].name, root.authorities[0].name) == (
            "rekor.pub",
            "O=throw-away,CN=root",
        )
        for name in ("keyless, Rekor v1", "keyless, Rekor v1, timestamp", "cosign, keyless"):
            deployment.make(name, IMAGE).asking(roots=(root,)).check()
    two = written(tmp_path, "two.pem", pem_of(above, authority, Issuer.root("other").certificate))
    assert len(private_root("private", authorities=[two]).authorities) == 2
    assert private_root("nothing").thresholds == Thresholds()


def test_a_deployment_needs_a_root(tmp_path: Path, deployment: Deployment) -> None:
    alone = written(tmp_path, "a.pem", pem_of(deployment.authority.certificate))
    with pytest.raises(InputError, match="none of the certificates"):
        private_root("private", authorities=[alone])
    with pytest.raises(InputError, match="cannot be used") as caught:
        private_root("private", timestamp_authorities=[written(tmp_path, "b.pem", b"x")])
    assert "root last" in caught.value.hint


def test_an_artifact_is_hashed_and_kept_if_it_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = read_artifact(written(tmp_path, "small", IMAGE))
    assert (small.digest, small.data) == (Digest.of(IMAGE), IMAGE)
    assert read_artifact(written(tmp_path, "empty", b"")).data == b""
    monkeypatch.setattr(limits, "ARTIFACT_SIZE", 10)
    monkeypatch.setattr(files, "_CHUNK", 7)
    for size in (10, 11, 12, 25, 50):
        data = bytes(range(size))
        message = read_artifact(written(tmp_path, "large", data))
        assert message.digest == Digest.of(data)
        assert (message.data is None) is (size > 10)
    with pytest.raises(InputError, match=r"the artifact .* cannot be read"):
        read_artifact(tmp_path / "none")


# --- what comes along -----------------------------------------------------------------------------


def test_the_public_instance_comes_along() -> None:
    (root,) = public_good()
    assert root.thresholds == Thresholds(1, 1, 0)
    assert "https://rekor.sigstore.dev" in {each.name for each in root.logs}
    assert all(each.key is not None for each in (*root.logs, *root.ct_logs))


def test_what_comes_along_is_what_sigstore_published() -> None:
    """The bytes are those in Sigstore's own package, which took them over TUF."""
    store = resources.files("sigstore") / "_store" / "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"
    assert read_shipped(PUBLIC_GOOD) == (store / "trusted_root.json").read_bytes()
    assert read_shipped(PUBLIC_GOOD_TUF) == (store / "root.json").read_bytes()


def test_every_shipped_file_is_described() -> None:
    page = (KEYS / "README.md").read_text(encoding="utf-8")
    shipped_files = [each for each in KEYS.iterdir() if each.name != "README.md"]
    assert {each.name for each in shipped_files} == {PUBLIC_GOOD, PUBLIC_GOOD_TUF}
    for each in shipped_files:
        digest = hashlib.sha256(each.read_bytes()).hexdigest()
        assert f"`{each.name}`" in page
        assert f"`{digest}`" in page
    assert "PRIVATE KEY" not in "".join(each.read_text() for each in shipped_files)


def test_an_installed_package_has_the_files_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_keys").mkdir()
    shutil.copy(KEYS / PUBLIC_GOOD, tmp_path / "_keys")
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "nowhere" / "a" / "b" / "c.py"))
    monkeypatch.setattr(resources, "files", lambda _name: tmp_path)
    assert read_shipped(PUBLIC_GOOD) == (KEYS / PUBLIC_GOOD).read_bytes()
    assert public_good()
