"""Copies on this machine, and no network, as they are typed."""

import json
import socket
from datetime import datetime
from pathlib import Path

import pytest

from imgverify.cli import app as application
from tests.support import copies
from tests.support.attach import Place
from tests.support.authorities import NOW, public_pem
from tests.support.copies import archive_of, pack, saved, shelved, write_layout
from tests.support.signer import ISSUER, WHO, Deployment
from tests.unit.cli.conftest import FORGED, NEW, OLD, TAG, Done, Pair, Run

SIGSTORE = Deployment()
MADE = SIGSTORE.make("keyless, Rekor v1", NEW.manifest)
KEYED = SIGSTORE.make("key alone", NEW.manifest)
NAME = f"docker.io/team/app:{TAG}"


@pytest.fixture(autouse=True)
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The throw-away deployment's certificates are of its own time."""

    class Clock:
        @staticmethod
        def now(_zone: object) -> datetime:
            return NOW

    monkeypatch.setattr(application, "datetime", Clock)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    signatures = ((NEW, MADE, Place.REFERRER), (NEW, KEYED, Place.REFERRER))
    return write_layout(tmp_path / "copy", shelved(NEW, TAG, *signatures))


@pytest.fixture
def signer(tmp_path: Path) -> list[str]:
    file = tmp_path / "root.json"
    file.write_text(json.dumps(SIGSTORE.trusted_root()), encoding="utf-8")
    who = ["--certificate-identity", WHO, "--certificate-oidc-issuer", ISSUER]
    return [*who, "--trusted-root", str(file)]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked up and nobody is called; the system tests take the network away."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def offline(run: Run, mirror: str, *words: str) -> Done:
    return run("verify", NAME, "--mirror", mirror, "--offline", *words)


@pytest.mark.usefixtures("no_network")
def test_a_signed_layout_is_verified_without_a_network(
    run: Run, layout: Path, signer: list[str]
) -> None:
    done = offline(run, f"oci:{layout}:{TAG}", *signer)
    assert done.status == 0, done.out
    assert "not asked: signatures vouch for this digest" in done.out
    assert "whether there is a newer one" in done.out
    assert f"at oci:{layout}:{TAG}" in done.out
    (image,) = offline(run, f"oci:{layout}", *signer, "--format", "json").report["images"]
    assert image["upstream"]["resolvedFrom"] == "signature"
    assert image["upstream"]["servedBy"] == []
    (mirror,) = image["mirrors"]
    assert (mirror["reference"], mirror["servedBy"]) == (f"oci:{layout}", [])
    assert image["pinned"] == f"docker.io/team/app@{NEW.digest}"


@pytest.mark.usefixtures("no_network")
def test_a_key_is_enough_and_a_stranger_s_is_not(run: Run, layout: Path, tmp_path: Path) -> None:
    keys = {"own": KEYED.signer.key, "other": Deployment().make("key alone", b"").signer.key}
    for name, status in (("own", 0), ("other", 1)):
        file = tmp_path / f"{name}.pub"
        file.write_bytes(public_pem(keys[name]))
        words = ("--key", str(file), "--insecure-ignore-tlog")
        assert offline(run, f"oci:{layout}", *words).status == status


@pytest.mark.usefixtures("no_network")
def test_a_changed_manifest_is_denied_and_its_file_is_named(
    run: Run, layout: Path, signer: list[str]
) -> None:
    file = copies.blob_file(layout, NEW.digest)
    file.write_bytes(file.read_bytes() + b"\n")
    done = offline(run, f"oci:{layout}", *signer)
    assert done.status == 1
    assert "digest-mismatch" in done.out
    assert str(file) in done.out
    assert "not asked, and no signatures say what it published" in done.out


@pytest.mark.usefixtures("no_network")
def test_an_archive_is_verified_without_a_network(
    run: Run, layout: Path, signer: list[str], tmp_path: Path
) -> None:
    for mode in ("w", "w:gz"):
        file = pack(tmp_path / "x.tar", layout, mode)
        assert offline(run, f"oci-archive:{file}", *signer).status == 0


@pytest.mark.usefixtures("no_network")
def test_a_signed_layout_is_delivered_without_a_network(
    run: Run, layout: Path, signer: list[str], tmp_path: Path
) -> None:
    words = ("--mirror", f"oci:{layout}", "--offline", *signer)
    done = run("pull", NAME, *words, "--to", f"docker-archive:{tmp_path}/out.tar")
    assert done.status == 0
    assert done.out == f"docker.io/team/app@{NEW.digest}\n"
    assert f"from oci:{layout}" in done.err


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((NAME, "--mirror", "oci:{}", "--offline"), "nothing to hold"),
        ((NAME, "--offline", "--key", "k"), "upstream is not asked"),
        ((NAME, "--mirror", "oci:{}/none"), "cannot be read"),
        ((NAME, "--mirror", "oci:"), "lacks a path"),
        ((NAME, "b", "--mirror", "oci:{}"), "goes with one IMAGE only"),
        (("oci:{}", "--mirror", "m.example"), "does not say what upstream calls it"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    run: Run, layout: Path, words: tuple[str, ...], said: str
) -> None:
    key = layout.parent / "k"
    key.write_bytes(public_pem(KEYED.signer.key))
    there = [str(key) if each == "k" else each.format(layout) for each in words]
    done = run("verify", *there)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_a_copy_is_compared_with_upstream(run: Run, pair: Pair, tmp_path: Path) -> None:
    expected = {
        "new": (NEW, 0, "IDENTICAL"),
        "old": (OLD, 1, "stale"),
        "x": (FORGED, 1, "diverged"),
    }
    for name, (item, status, word) in expected.items():
        folder = write_layout(tmp_path / name, shelved(item))
        done = run("compare", pair.name(), f"oci:{folder}", *pair.options[2:])
        assert (done.status, word in done.out) == (status, True)
    for one in ("docker-archive:x", "oci:x"):
        done = run("compare", one, pair.name())
        assert done.status == 2
        assert "as B" in done.err


def test_a_saved_image_is_told_from_a_registry_s(run: Run, pair: Pair, tmp_path: Path) -> None:
    file = archive_of(tmp_path / "x.tar", saved(NEW))
    done = run("compare", pair.name(), f"docker-archive:{file}", *pair.options[2:])
    assert done.status == 1
    assert "repackaged" in done.out
    assert "proven: the layers' uncompressed bytes are upstream's" in done.out
    assert "manifest-rebuilt" in done.out


def test_a_path_is_shown_so_that_it_does_nothing(run: Run, pair: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31m\nALLOWED"
    write_layout(folder, shelved(FORGED))
    words = ("verify", pair.name(), "--mirror", f"oci:{folder}", *pair.options[2:])
    text, data = run(*words), run(*words, "--format", "json")
    assert (text.status, data.status) == (1, 1)
    assert "\x1b" not in text.out
    assert "\\x1b[31m\\nALLOWED" in text.out
    assert data.report["images"][0]["mirrors"][0]["reference"].endswith("\\x1b[31m\\nALLOWED")
