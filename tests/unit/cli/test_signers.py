"""Who has to have signed, as it is typed."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from imgverify.cli import app as application
from imgverify.signature.identity import Extension
from tests.support.attach import Place, attach
from tests.support.authorities import NOW, email, public_pem
from tests.support.fault import When
from tests.support.faults import Status
from tests.support.signer import ISSUER, NAME, SLSA, WHO, Deployment, Specimen
from tests.unit.cli.conftest import NEW, PATH, Done, Pair, Run

SIGSTORE = Deployment()
KEYLESS, COSIGN, KEY = "keyless, Rekor v1", "cosign, keyless", "key alone"
SOMEBODY = ("--certificate-identity", "a", "--certificate-oidc-issuer", "b")


@pytest.fixture(autouse=True)
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The throw-away deployment's certificates are of its own time."""

    class Clock:
        @staticmethod
        def now(_zone: object) -> datetime:
            return NOW

    monkeypatch.setattr(application, "datetime", Clock)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    file = tmp_path / "root.json"
    file.write_text(json.dumps(SIGSTORE.trusted_root()), encoding="utf-8")
    return file


def signed(pair: Pair, name: str, place: Place = Place.REFERRER) -> Specimen:
    made = SIGSTORE.make(name, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=place)
    return made


def whom(root: Path, *, name: str = WHO, issuer: str = ISSUER) -> list[str]:
    said = ["--certificate-identity", name, "--certificate-oidc-issuer", issuer]
    return [*said, "--trusted-root", str(root)]


def verify(run: Run, pair: Pair, *words: str) -> Done:
    return run("verify", pair.name(), *pair.options, *words)


def test_a_signature_by_the_one_who_is_named_is_told(run: Run, pair: Pair, root: Path) -> None:
    signed(pair, KEYLESS)
    done = verify(run, pair, *whom(root))
    assert done.status == 0
    assert f"signed by {WHO} (login by {ISSUER})" in done.out
    assert f"at {pair.upstream.host}" in done.out
    report = verify(run, pair, *whom(root), "--format", "json").report
    (evidence,) = report["images"][0]["evidence"]
    assert (evidence["identity"], evidence["issuer"]) == (WHO, ISSUER)
    assert evidence["subjectDigest"] == str(NEW.digest)
    assert evidence["subjectLevel"] == "platform"


def test_patterns_match_the_whole_name(run: Run, pair: Pair, root: Path) -> None:
    signed(pair, KEYLESS)
    rest = ["--certificate-oidc-issuer-regexp", "https://.+", "--trusted-root", str(root)]
    whole = ["--certificate-identity-regexp", r"[a-z]+@example\.com", *rest]
    assert verify(run, pair, *whole).status == 0
    part = ["--certificate-identity-regexp", r"@example\.com", *rest]
    assert verify(run, pair, *part).status == 1


@pytest.mark.parametrize(
    "change", [{"name": "other@example.com"}, {"issuer": "https://login.evil.example"}]
)
def test_identity_regex_another_signer_is_denied(
    run: Run, pair: Pair, root: Path, change: dict[str, str]
) -> None:
    signed(pair, KEYLESS)
    done = verify(run, pair, *whom(root, **change))
    assert done.status == 1
    assert "signature-rejected" in done.out
    assert "mismatch" in done.out


def test_a_key_is_named_by_its_file(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = signed(pair, KEY)
    key = tmp_path / "key.pub"
    key.write_bytes(public_pem(made.signer.key))
    done = verify(run, pair, "--key", str(key), "--insecure-ignore-tlog")
    assert done.status == 0
    assert "the check of a transparency log was left out" in done.out
    # Without the option the public instance's log has to have it.
    assert verify(run, pair, "--key", str(key)).status == 1


def test_the_name_that_was_signed_may_be_another(run: Run, pair: Pair, root: Path) -> None:
    signed(pair, COSIGN, Place.TAG)
    denied = verify(run, pair, *whom(root))
    assert denied.status == 1
    assert "name-mismatch" in denied.out
    # The repository is what has to be the same, so nothing else of the image's name is told.
    assert f"and {pair.upstream.host}/{PATH} is asked for" in denied.out
    assert "--signed-as" in denied.out
    assert verify(run, pair, *whom(root), "--signed-as", NAME).status == 0


def attested(pair: Pair, kind: str) -> Specimen:
    made = SIGSTORE.make(KEYLESS, NEW.manifest, predicateType=kind)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    return made


@pytest.mark.parametrize("word", ["trigger", "sha", "name", "repository", "ref"])
def test_identity_regex_a_workflow_is_named_by_cosigns_options(
    run: Run, pair: Pair, root: Path, word: str
) -> None:
    number = Extension[f"WORKFLOW_{word.upper()}"].value
    signer = SIGSTORE.log_in(email(WHO).but(claims=((number, "right"),)))
    made = SIGSTORE.make(KEYLESS, NEW.manifest, signer)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    option = f"--certificate-github-workflow-{word}"
    assert verify(run, pair, *whom(root), option, "right").status == 0
    done = verify(run, pair, *whom(root), option, "righ")
    assert done.status == 1
    assert f"claim-mismatch: github-workflow-{word} of the certificate is 'right'" in done.out


def test_attestation_type_an_attestation_is_asked_for_by_its_type(
    run: Run, pair: Pair, root: Path
) -> None:
    attested(pair, SLSA)
    assert verify(run, pair, *whom(root)).status == 1
    done = verify(run, pair, *whom(root), "--attestation", "slsaprovenance1")
    assert done.status == 0
    assert "signatures:" not in done.out
    line = " ".join(done.out.partition("attestations:")[2].split())
    assert line.startswith(
        f"attested ({SLSA}) by {WHO} (login by {ISSUER}), 2026-03-01 12:00:00 UTC by a"
        f" transparency log; over the manifest {NEW.digest.short}; at {pair.upstream.host}"
    )
    report = verify(run, pair, *whom(root), "--attestation", SLSA, "--format", "json").report
    (evidence,) = report["images"][0]["evidence"]
    assert (evidence["predicateType"], evidence["isSignature"]) == (SLSA, False)
    assert (evidence["time"], evidence["clock"]) == ("2026-03-01T12:00:00Z", "transparency-log")


def test_attestation_type_each_that_is_asked_for_is_needed(
    run: Run, pair: Pair, root: Path
) -> None:
    attested(pair, SLSA)
    both = ["--attestation", SLSA, "--attestation", "https://x.example/v1"]
    done = verify(run, pair, *whom(root), *both)
    assert done.status == 1
    assert "unattested" in done.out
    attested(pair, "https://x.example/v1")
    assert verify(run, pair, *whom(root), *both).status == 0


def test_nothing_found_exit_an_unsigned_image_is_denied(run: Run, pair: Pair, root: Path) -> None:
    done = verify(run, pair, *whom(root))
    assert done.status == 1
    assert "unsigned" in done.out
    assert run("pull", pair.name(), *pair.options, *whom(root), "--to", "oci:x").status == 1


def test_a_lookup_that_fails_decides_nothing(run: Run, pair: Pair, root: Path) -> None:
    pair.upstream.play(Status(500, when=When(path=".sig")))
    assert verify(run, pair, *whom(root)).status == 3


def test_a_signed_image_is_pulled(run: Run, pair: Pair, root: Path, tmp_path: Path) -> None:
    signed(pair, KEYLESS)
    words = [*pair.options, *whom(root), "--to", f"oci:{tmp_path}/out:1"]
    assert run("pull", pair.name(), *words).status == 0


def test_an_image_needs_no_mirror_where_its_signer_is_known(
    run: Run, pair: Pair, root: Path
) -> None:
    signed(pair, KEYLESS)
    done = run("verify", pair.name(), *pair.options[2:], *whom(root))
    assert done.status == 0
    assert "no mirror was compared" in done.out


@pytest.mark.parametrize(
    "words",
    [
        ("--certificate-identity", "a"),
        ("--certificate-oidc-issuer", "https://a"),
        ("--trusted-root", "/nonexistent"),
        ("--key", "/nonexistent"),
        ("--key", "k", "--certificate-identity", "a", "--certificate-oidc-issuer", "b"),
        ("--certificate-identity", "a", "--certificate-identity-regexp", "a"),
        ("--certificate-identity-regexp", "(", "--certificate-oidc-issuer", "b"),
        ("--insecure-ignore-tlog",),
        ("--insecure-ignore-tlog", "--insecure-ignore-sct"),
        ("--signed-as", "a b"),
        ("--certificate-github-workflow-ref", "refs/heads/main"),
        ("--key", "k", "--certificate-github-workflow-sha", "a"),
        ("--attestation", "vuln"),
        ("--attestation", ""),
        (*SOMEBODY, "--attestation", "slsa"),
        (*SOMEBODY, "--attestation", "https://sigstore.dev/cosign/sign/v1"),
        (*SOMEBODY, "--attestation", "vuln", "--signed-as", "a/b"),
        (*SOMEBODY, "--certificate-github-workflow-name", ""),
    ],
    ids=" ".join,
)
def test_issuer_required_words_that_name_nobody_are_refused(
    run: Run, pair: Pair, words: tuple[str, ...]
) -> None:
    done = verify(run, pair, *words)
    assert (done.status, done.out) == (2, "")
    assert pair.upstream.requests == ()


def test_signatures_may_lie_in_a_repository_of_their_own(
    run: Run, pair: Pair, root: Path, tmp_path: Path
) -> None:
    made = SIGSTORE.make(KEYLESS, NEW.manifest)
    attach(pair.mirror.shelf, "kept/here", NEW, made, place=Place.REFERRER)
    assert verify(run, pair, *whom(root)).status == 1
    there = ["--signature-repository", f"{pair.mirror.host}/kept/here"]
    assert verify(run, pair, *whom(root), *there).status == 0
    to = ["--to", f"oci:{tmp_path}/out:1"]
    assert run("pull", pair.name(), *pair.options, *whom(root), *there, *to).status == 0


@pytest.mark.parametrize("name", ["kept/here:1", "kept/here@sha256:" + "0" * 64, "", "Kept"])
def test_a_signature_repository_is_the_name_of_a_repository(
    run: Run, pair: Pair, root: Path, name: str
) -> None:
    done = verify(run, pair, *whom(root), "--signature-repository", name)
    assert (done.status, done.out) == (2, "")
    assert pair.upstream.requests == ()
