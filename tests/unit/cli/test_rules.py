"""A policy file on the command line."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from imgverify.cli import app as application
from imgverify.cli.rules import policy_from
from imgverify.errors import InputError
from imgverify.trust.shipped import public_good
from tests.support.attach import Place, attach
from tests.support.authorities import NOW, public_pem
from tests.support.image import multi_platform, put
from tests.support.signer import ISSUER, SLSA, WHO, Deployment, Specimen
from tests.unit.cli.conftest import FORGED, NEW, OLD, PATH, TAG, Pair, Run


def policy(folder: Path, *lines: str) -> Path:
    file = folder / "policy.yaml"
    file.write_text("\n".join(["version: 1", *lines]) + "\n", encoding="utf-8")
    return file


def rule(pair: Pair, *more: str) -> list[str]:
    return ["rules:", f"  - match: '{pair.upstream.host}/library/**'", *(f"    {e}" for e in more)]


def verify(run: Run, pair: Pair, file: Path, *words: str) -> int:
    return run("--policy", file, "verify", pair.name(), *pair.options, *words).status


def test_a_file_decides_in_place_of_the_built_in_policy(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    put(pair.mirror.shelf, PATH, OLD, TAG)
    assert verify(run, pair, policy(tmp_path, *rule(pair))) == 1
    assert verify(run, pair, policy(tmp_path, *rule(pair, "stale: {max-age: 9999d}"))) == 0
    assert verify(run, pair, policy(tmp_path, *rule(pair, "stale: {max-age: 1s}"))) == 1
    assert verify(run, pair, policy(tmp_path, *rule(pair, "level: warn"))) == 0


def test_an_image_that_no_rule_is_for_is_denied_unasked(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    file = policy(tmp_path, "rules: [{match: quay.io/**}]")
    done = run("--policy", file, "verify", pair.name(), *pair.options)
    assert done.status == 1
    assert "no-matching-rule" in done.out
    assert pair.upstream.requests == pair.mirror.requests == ()


def test_platforms_and_exceptions_count(run: Run, pair: Pair, tmp_path: Path) -> None:
    assert verify(run, pair, policy(tmp_path, *rule(pair, "platforms: [linux/amd64]"))) == 0
    assert verify(run, pair, policy(tmp_path, *rule(pair, "platforms: [linux/s390x]"))) == 1
    put(pair.mirror.shelf, PATH, FORGED, TAG)
    assert verify(run, pair, policy(tmp_path, *rule(pair))) == 1
    exception = [
        "exceptions:",
        f"  - match: '{pair.upstream.host}/{PATH}'",
        f"    digest: {FORGED.digest}",
        "    reason: patched",
        "    owner: ops",
        "    expires: 2999-12-31",
    ]
    file = policy(tmp_path, *rule(pair), *exception)
    done = run("--policy", file, "verify", pair.name(), *pair.options, "--format", "json")
    assert done.status == 0
    assert done.report["images"][0]["mirrors"][0]["exempted"]
    assert done.report["images"][0]["pinned"].endswith(str(FORGED.digest))


def test_a_pull_takes_the_mirrors_earlier_image_where_that_is_accepted(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    put(pair.mirror.shelf, PATH, OLD, TAG)
    words = ["pull", pair.name(), *pair.options, "--to"]
    done = run(*words, f"oci:{tmp_path}/new:1")
    assert done.out.endswith(f"@{NEW.digest}\n")
    file = policy(tmp_path, *rule(pair, "stale: {max-age: 9999d}"))
    done = run("--policy", file, *words, f"oci:{tmp_path}/old:1")
    assert (done.status, done.out) == (0, f"{pair.upstream.host}/{PATH}@{OLD.digest}\n")


def test_every_mistake_of_a_file_is_told_with_its_place(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    file = policy(tmp_path, "rules:", "  - match: nginx", "    level: off")
    done = run("--policy", file, "verify", pair.name(), *pair.options)
    assert (done.status, done.out) == (2, "")
    lines = done.err.splitlines()
    assert lines[0].startswith(f"{file}:3:12: 'nginx' is not a pattern")
    assert lines[1].startswith(f"{file}:4:12: 'off' is none of enforce, warn")
    assert pair.upstream.requests == ()


def test_config_provenance_a_policy_that_everybody_may_write_is_refused(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    file = policy(tmp_path, *rule(pair))
    file.chmod(0o666)
    done = run("--policy", file, "verify", pair.name(), *pair.options)
    assert done.status == 2
    assert f"chmod o-w {file}" in done.err


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_policy_that_cannot_be_read_is_no_policy(
    run: Run, pair: Pair, tmp_path: Path, name: str
) -> None:
    done = run("--policy", tmp_path / name, "verify", pair.name(), *pair.options)
    assert (done.status, done.out) == (2, "")


def test_a_pull_delivers_only_the_platforms_that_the_rule_decides_on(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    whole = multi_platform("app", "2.0")
    for each in (pair.upstream, pair.mirror):
        put(each.shelf, PATH, whole, TAG)
    file = policy(tmp_path, *rule(pair, "platforms: [linux/amd64]"))
    words = ["--policy", file, "pull", pair.name(), *pair.options]
    assert run(*words, "--to", f"oci:{tmp_path}/one:1").status == 0
    names = {each.name for each in (tmp_path / "one/blobs/sha256").iterdir()}
    amd64, *others = (str(each.digest).partition(":")[2] for each in whole.images)
    assert amd64 in names
    assert not names & set(others)


# --- signers --------------------------------------------------------------------------------------

SIGSTORE = Deployment()


@pytest.fixture
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The throw-away deployment's certificates are of its own time."""

    class Clock:
        @staticmethod
        def now(_zone: object) -> datetime:
            return NOW

    monkeypatch.setattr(application, "datetime", Clock)


def signing(folder: Path, pair: Pair, *more: str) -> Path:
    """Return a policy that names a key and a trusted root, in a folder beside it."""
    (folder / "trust").mkdir(exist_ok=True)
    root = folder / "trust" / "root.json"
    root.write_text(json.dumps(SIGSTORE.trusted_root()), encoding="utf-8")
    return policy(
        folder,
        *rule(
            pair,
            "signatures:",
            "  any-of:",
            "    - cosign: {key: trust/signer.pub, insecure-ignore-tlog: true}",
            "attestations:",
            f"  - predicate-type: {SLSA}",
            f"    cosign: {{identity: {WHO}, issuer: '{ISSUER}', trusted-root: trust/root.json}}",
            "    where: [{field: /branch, equals: main}]",
            *more,
        ),
    )


def beside(pair: Pair, *specimens: Specimen) -> None:
    for each in specimens:
        attach(pair.upstream.shelf, PATH, NEW, each, place=Place.REFERRER)


@pytest.mark.usefixtures("then")
def test_a_file_says_who_has_to_have_signed_and_what_is_attested(
    run: Run, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SIGSTORE.make("key alone", NEW.manifest)
    stating = {"predicateType": SLSA, "predicate": {"branch": "main"}}
    attestation = SIGSTORE.make("keyless, Rekor v1", NEW.manifest, None, **stating)
    file = signing(tmp_path, pair)
    (tmp_path / "trust" / "signer.pub").write_bytes(public_pem(made.signer.key))
    # Names in the file are of files beside it, wherever one stands.
    monkeypatch.chdir("/")
    assert verify(run, pair, file) == 1
    beside(pair, made)
    assert verify(run, pair, file) == 1
    beside(pair, attestation)
    done = run("--policy", file, "verify", pair.name(), *pair.options)
    assert done.status == 0
    assert f"signed by key {made.check().evidence.key}" in " ".join(done.out.split())
    assert f"attested ({SLSA}) by {WHO}" in done.out
    assert "the check of a transparency log was left out" in done.out
    pulled = run(
        *("--policy", file, "pull", pair.name(), *pair.options, "--to", f"oci:{tmp_path}/out:1")
    )
    assert pulled.status == 0
    # The caller's requirement comes on top.
    assert verify(run, pair, file, "--key", str(tmp_path / "trust" / "signer.pub")) == 1


@pytest.mark.usefixtures("then")
def test_a_level_of_warn_does_not_reach_the_command_line(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    made = SIGSTORE.make("key alone", NEW.manifest)
    file = signing(tmp_path, pair, "level: warn")
    key = tmp_path / "trust" / "signer.pub"
    key.write_bytes(public_pem(made.signer.key))
    done = run("--policy", file, "verify", pair.name(), *pair.options)
    assert done.status == 0
    for each in ("unsigned", "unattested", "not-enforced"):
        assert f"{each} (" in done.out
    assert verify(run, pair, file, "--key", str(key), "--insecure-ignore-tlog") == 1


def test_a_file_that_cannot_be_used_is_a_mistake_of_the_line_that_names_it(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    file = signing(tmp_path, pair)
    (tmp_path / "trust" / "root.json").write_text("{}", encoding="utf-8")
    done = run("--policy", file, "verify", pair.name(), *pair.options)
    assert (done.status, done.out) == (2, "")
    first, second, *_ = done.err.splitlines()
    assert first.startswith(f"{file}:6:25: the file {tmp_path}/trust/signer.pub cannot be read")
    assert first.endswith("No such file or directory")
    assert second.startswith(f"{file}:9:")
    assert "root.json" in second
    assert pair.upstream.requests == ()


NO_KEYS = {"trust": "Is a directory", '"a\\0b"': "is no name of a file", "policy.yaml": "PEM"}


@pytest.mark.parametrize("name", NO_KEYS)
def test_what_is_no_key_is_a_mistake(run: Run, pair: Pair, tmp_path: Path, name: str) -> None:
    file = signing(tmp_path, pair)
    text = file.read_text(encoding="utf-8").replace("trust/signer.pub", name)
    file.write_text(text, encoding="utf-8")
    done = run("--policy", file, "verify", pair.name(), *pair.options)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"{file}:6:25: ")
    assert NO_KEYS[name] in done.err.splitlines()[0]


@pytest.mark.parametrize("name", ["signer.pub", "root.json"])
def test_config_provenance_a_key_that_everybody_may_write_is_refused(
    run: Run, pair: Pair, tmp_path: Path, name: str
) -> None:
    file = signing(tmp_path, pair)
    made = SIGSTORE.make("key alone", NEW.manifest)
    (tmp_path / "trust" / "signer.pub").write_bytes(public_pem(made.signer.key))
    (tmp_path / "trust" / name).chmod(0o646)
    done = run("--policy", file, "verify", pair.name(), *pair.options)
    assert done.status == 2
    assert f"everybody may write to the file {tmp_path}/trust/{name}" in done.err


def test_a_policy_that_is_gone_when_it_is_read_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        policy_from(tmp_path / "gone.yaml", (), public_good)
