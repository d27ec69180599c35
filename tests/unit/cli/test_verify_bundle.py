"""`imgverify verify-bundle`, from its words to its exit status."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from imgverify.cli.app import execute
from imgverify.exitcode import ExitCode
from tests.support.authorities import public_pem
from tests.support.signer import ISSUER, SLSA, WHO, Deployment, Signer
from tests.support.translog import compact

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = b'{"schemaVersion":2}'
DIGEST = f"sha256:{hashlib.sha256(IMAGE).hexdigest()}"
NAMED = ["--certificate-identity", WHO, "--certificate-oidc-issuer", ISSUER]


class Scene:
    """Files of a throw-away deployment, and commands about them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.deployment = folder, Deployment()
        self.root = self.write("root.json", compact(self.deployment.trusted_root()))
        self.artifact = self.write("artifact", IMAGE)

    def write(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def bundle(self, recipe: str, signer: Signer | None = None) -> str:
        specimen = self.deployment.make(recipe, IMAGE, signer)
        self.write("key.pub", public_pem(specimen.signer.key))
        return self.write("bundle.json", compact(specimen.document))

    def run(self, *words: str, artifact: str = "") -> int:
        command = ["verify-bundle", "--bundle", str(self.folder / "bundle.json")]
        return execute([*command, *words, artifact or self.artifact])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_good_bundle_is_told(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.bundle("keyless, Rekor v1")
    for artifact in (scene.artifact, DIGEST):
        assert scene.run(*NAMED, "--trusted-root", scene.root, artifact=artifact) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"signed by {WHO} (login by {ISSUER}), 2026-03-01 12:00:00 UTC")
        assert f"\n  subject: {DIGEST}\n" in out
        assert "\n  verified with: transparency log https://rekor.example\n" in out


def test_a_statement_of_any_type_will_do(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.bundle("keyless, v0.2")
    assert scene.run(*NAMED, "--trusted-root", scene.root) == ExitCode.ALLOWED
    assert capsys.readouterr().out.startswith(f"attested ({SLSA}) by {WHO}")


def test_a_key_is_enough_where_there_is_no_log(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.bundle("key, Rekor v1")
    key = ["--key", str(scene.folder / "key.pub")]
    assert scene.run(*key, "--trusted-root", scene.root) == ExitCode.ALLOWED
    assert capsys.readouterr().out.startswith("signed by key sha256:")
    # The public instance knows nothing of this log.
    assert scene.run(*key) == ExitCode.DENIED
    assert capsys.readouterr().out.startswith("rejected (log-unknown): ")


@pytest.mark.parametrize("staging", [[], ["--staging"]])
def test_a_bad_bundle_is_denied(
    scene: Scene, capsys: pytest.CaptureFixture[str], staging: list[str]
) -> None:
    scene.bundle("keyless, Rekor v1")
    other = scene.write("other", b"other")
    words = [*staging, *NAMED, "--trusted-root", scene.root]
    assert scene.run(*words, artifact=other) == ExitCode.DENIED
    output = capsys.readouterr()
    assert output.out.startswith("rejected (artifact-mismatch): ")
    assert output.err == ""
    assert scene.run(*words, artifact=f"sha256:{'0' * 64}") == ExitCode.DENIED
    wrong = ["--certificate-identity", "other@example.com", *NAMED[2:]]
    assert scene.run(*wrong, "--trusted-root", scene.root) == ExitCode.DENIED
    assert capsys.readouterr().out.splitlines()[-1].startswith("rejected (identity-mismatch): ")


@pytest.mark.parametrize(
    "words",
    [
        [],
        NAMED[:2],
        NAMED[2:],
        [*NAMED, "--key", "key.pub"],
        [*NAMED[:2], "--key", "key.pub"],
        ["--certificate-identity", "", *NAMED[2:]],
        [*NAMED[:3], ""],
    ],
)
def test_somebody_has_to_be_asked_for(
    scene: Scene, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    scene.bundle("keyless, Rekor v1")
    assert scene.run(*words, "--trusted-root", scene.root) == ExitCode.USAGE
    output = capsys.readouterr()
    assert output.out == ""
    assert "an identity" in output.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*NAMED, "--trusted-root", "missing"], "the trusted root missing cannot be read"),
        (["--key", "missing"], "the key missing cannot be read"),
        ([*NAMED, "--staging"], "does not come with imgverify"),
    ],
)
def test_files_have_to_be_there(
    scene: Scene, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    scene.bundle("keyless, Rekor v1")
    assert scene.run(*words) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_a_bundle_has_to_be_there(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert scene.run(*NAMED) == ExitCode.USAGE
    assert "the bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["sha256:", "sha256:00", f"sha256:{'0' * 63}g", f"SHA256:{'0' * 64}", f"sha512:{'0' * 128}"],
)
def test_what_is_no_digest_is_a_file(
    scene: Scene, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    scene.bundle("keyless, Rekor v1")
    assert scene.run(*NAMED, "--trusted-root", scene.root, artifact=text) == ExitCode.USAGE
    assert "the artifact" in capsys.readouterr().err


def test_a_file_called_like_a_digest_is_a_file(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.bundle("keyless, Rekor v1")
    monkeypatch.chdir(scene.folder)
    words = [*NAMED, "--trusted-root", scene.root]
    assert scene.run(*words, artifact=DIGEST) == ExitCode.ALLOWED
    scene.write(DIGEST, b"other")
    assert scene.run(*words, artifact=DIGEST) == ExitCode.DENIED


def test_no_connection_is_made(scene: Scene) -> None:
    """Not even where a socket cannot be made at all."""
    bundle = scene.bundle("keyless, Rekor v2")
    words = ["--bundle", bundle, *NAMED, "--trusted-root", scene.root, scene.artifact]
    code = (
        "import socket, sys; socket.socket = None;"
        "from imgverify.cli.app import execute;"
        f"sys.exit(execute({['verify-bundle', *words]!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_program_has_the_command(scene: Scene) -> None:
    bundle = scene.bundle("keyless, Rekor v1")
    words = ["--bundle", bundle, *NAMED, "--trusted-root", scene.root, scene.artifact]
    done = subprocess.run(
        [sys.executable, "-m", "imgverify", "verify-bundle", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"signed by {WHO}")
