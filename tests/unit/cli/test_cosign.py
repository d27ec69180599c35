"""What cosign would be asked for the same: never less, and what it cannot be asked for is said."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from imgverify.cli import app as application
from imgverify.cli.cosign import Asking, with_cosign
from imgverify.cli.signers import Signers, requirements_of
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference, Repository, Route
from imgverify.policy.model import DEFAULT_POLICY, Policy
from imgverify.signature.keys import PublicKey
from imgverify.trust.shipped import public_good
from imgverify.verdict import (
    Equivalent,
    Evidence,
    SignatureFormat,
    SubjectLevel,
    UpstreamResult,
    Verdict,
    Vouched,
)
from imgverify.verify.question import Question
from tests.support.attach import Place, attach
from tests.support.authorities import NOW, public_pem
from tests.support.image import Image, multi_platform, put
from tests.support.signer import ISSUER, RECIPES, WHO, Deployment, Specimen
from tests.unit.cli.conftest import NEW, PATH, TAG, Done, Pair, Run
from tests.unit.report.verdicts import evidence

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

SIGSTORE = Deployment()
KEYLESS, STAMPED, COSIGN, KEY = (
    "keyless, Rekor v1",
    "keyless, Rekor v2",
    "cosign, keyless",
    "key alone",
)
ATTESTED = "cosign takes an attestation by the same signer for a signature"


@pytest.fixture(autouse=True)
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The throw-away deployment's certificates are of its own time."""

    class Clock:
        @staticmethod
        def now(_zone: object) -> datetime:
            return NOW

    monkeypatch.setattr(application, "datetime", Clock)


def root(folder: Path, *recipes: str) -> Path:
    file = folder / "root.json"
    named = [SIGSTORE.trusted_root(RECIPES[each]) for each in recipes]
    file.write_text("\n".join(map(json.dumps, named or [SIGSTORE.trusted_root()])))
    return file


def key_of(made: Specimen, file: Path) -> Path:
    file.write_bytes(public_pem(made.signer.key))
    return file


def ask(run: Run, pair: Pair, *words: object) -> dict[str, Any]:
    done = run("verify", pair.name(), *pair.options, *words, "--show-cosign", "--format", "json")
    found: dict[str, Any] = done.report["images"][0]
    return found


def words_of(image: dict[str, Any]) -> list[str]:
    (command,) = image["cosign"]["commands"]
    return shlex.split(command)


def image_at(host: str, item: Image = NEW) -> str:
    return f"{host}/{PATH}@{item.digest}"


def test_a_key_without_a_log(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = SIGSTORE.make(KEY, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    key = key_of(made, tmp_path / "it's a key.pub")
    told = ask(run, pair, "--key", key, "--insecure-ignore-tlog")
    assert told["decision"] == "allow"
    start = ["cosign", "verify", "--key", str(key), "--insecure-ignore-tlog"]
    assert words_of(told) == [*start, "--allow-http-registry", image_at(pair.upstream.host)]
    assert told["cosign"]["beyond"] == [ATTESTED]


def test_a_log_that_was_not_left_out_is_not_left_out(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = SIGSTORE.make(KEY, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    told = ask(run, pair, "--key", key_of(made, tmp_path / "k"))
    assert told["decision"] == "deny"
    assert "--insecure-ignore-tlog" not in words_of(told)


def test_an_identity_its_issuer_and_the_trusted_root(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = SIGSTORE.make(KEYLESS, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    file = root(tmp_path)
    who = ["--certificate-identity", WHO, "--certificate-oidc-issuer", ISSUER]
    told = ask(run, pair, *who, "--trusted-root", file)
    flags = [*who, "--trusted-root", str(file), "--allow-http-registry"]
    assert words_of(told) == ["cosign", "verify", *flags, image_at(pair.upstream.host)]


def test_patterns_are_tied_to_both_ends(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = SIGSTORE.make(KEYLESS, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    who = ["--certificate-identity-regexp", r"[a-z]+@example\.com|a"]
    who += ["--certificate-oidc-issuer-regexp", "https://.+", "--trusted-root", str(root(tmp_path))]
    words = words_of(ask(run, pair, *who))
    assert words[2:6] == [
        "--certificate-identity-regexp",
        r"^(?:[a-z]+@example\.com|a)$",
        "--certificate-oidc-issuer-regexp",
        "^(?:https://.+)$",
    ]


@pytest.mark.parametrize(
    "pattern",
    [r"a(?!b).+", "(?i)a.+", r"\Aa.+", r"a{,3}b", r"[^\w]+@b", "(?P<a>a.+)"],
)
def test_a_pattern_that_go_could_read_otherwise_is_not_put_into_its_words(
    run: Run, pair: Pair, tmp_path: Path, pattern: str
) -> None:
    who = ["--certificate-identity-regexp", pattern, "--certificate-oidc-issuer", ISSUER]
    told = ask(run, pair, *who, "--trusted-root", root(tmp_path))
    assert told["cosign"]["commands"] == []
    assert "could mean something else" in told["cosign"]["beyond"][0]


def test_a_time_that_an_authority_has_to_tell(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = SIGSTORE.make(STAMPED, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    who = ["--certificate-identity", WHO, "--certificate-oidc-issuer", ISSUER]
    told = ask(run, pair, *who, "--trusted-root", root(tmp_path))
    assert told["decision"] == "allow"
    assert "--use-signed-timestamps" in words_of(told)


def test_a_deployment_without_logs_needs_its_timestamps(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    name = "keyless, timestamp only"
    made = SIGSTORE.make(name, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    who = ["--certificate-identity", WHO, "--certificate-oidc-issuer", ISSUER]
    told = ask(run, pair, *who, "--trusted-root", root(tmp_path, name))
    assert told["decision"] == "allow"
    left_out = {"--insecure-ignore-tlog", "--insecure-ignore-sct", "--use-signed-timestamps"}
    assert left_out <= set(words_of(told))


def test_several_roots_are_more_than_cosign_takes(run: Run, pair: Pair, tmp_path: Path) -> None:
    who = ["--certificate-identity", WHO, "--certificate-oidc-issuer", ISSUER]
    file = root(tmp_path, KEYLESS, "keyless, timestamp only")
    told = ask(run, pair, *who, "--trusted-root", file)
    assert told["cosign"] == {
        "commands": [],
        "beyond": ["cosign takes one trusted root, and 2 are named"],
    }


def test_signatures_of_cosigns_older_form_are_asked_for_as_such(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    made = SIGSTORE.make(COSIGN, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.TAG)
    who = ["--certificate-identity", WHO, "--certificate-oidc-issuer", ISSUER]
    who += ["--trusted-root", str(root(tmp_path)), "--signed-as", "registry.example/team/app"]
    told = ask(run, pair, *who)
    assert told["decision"] == "allow"
    assert "--new-bundle-format=false" in words_of(told)
    (beyond,) = told["cosign"]["beyond"]
    assert beyond.endswith("the name that was signed with registry.example/team/app")


def test_signatures_that_are_kept_elsewhere(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = SIGSTORE.make(KEY, NEW.manifest)
    attach(pair.mirror.shelf, "kept/here", NEW, made, place=Place.REFERRER)
    where = f"{pair.mirror.host}/kept/here"
    key = key_of(made, tmp_path / "k")
    words = ["--key", key, "--insecure-ignore-tlog", "--signature-repository", where]
    told = words_of(ask(run, pair, *words))
    assert told[:2] == [f"COSIGN_REPOSITORY={where}", "cosign"]
    assert told[-1] == image_at(pair.upstream.host)


def test_a_signature_that_only_the_mirror_carries_is_asked_for_there(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    made = SIGSTORE.make(KEY, NEW.manifest)
    attach(pair.mirror.shelf, PATH, NEW, made, place=Place.REFERRER)
    key = key_of(made, tmp_path / "k")
    told = words_of(ask(run, pair, "--key", key, "--insecure-ignore-tlog"))
    assert told[-1] == image_at(pair.mirror.host)


def test_every_platform_that_is_vouched_for_by_itself_is_asked_about(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    whole = multi_platform("app", "1.4.2")
    for each in (pair.upstream, pair.mirror):
        put(each.shelf, PATH, whole, TAG)
    made = SIGSTORE.make(KEY, whole.images[0].manifest)
    for image in whole.images[:3]:
        again = SIGSTORE.make(KEY, image.manifest, made.signer)
        attach(pair.upstream.shelf, PATH, image, again, place=Place.REFERRER)
    told = ask(run, pair, "--key", key_of(made, tmp_path / "k"), "--insecure-ignore-tlog")
    asked = [shlex.split(each)[-1] for each in told["cosign"]["commands"]]
    assert asked == [image_at(pair.upstream.host, each) for each in whole.images[:3]]


def test_what_cannot_stand_on_one_line_is_not_written(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = SIGSTORE.make(KEY, NEW.manifest)
    key = key_of(made, tmp_path / "a\nb")
    told = ask(run, pair, "--key", key, "--insecure-ignore-tlog")
    assert told["cosign"]["commands"] == []
    assert "on one line" in told["cosign"]["beyond"][0]


def test_without_a_digest_there_is_nothing_to_ask_about(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    key = key_of(SIGSTORE.make(KEY, NEW.manifest), tmp_path / "k")
    pair.upstream.shelf = type(pair.upstream.shelf)()
    told = ask(run, pair, "--key", key)
    assert told["cosign"]["commands"] == []
    assert "no digest is known" in told["cosign"]["beyond"][0]


def test_it_is_said_only_where_it_was_asked_for(run: Run, pair: Pair, tmp_path: Path) -> None:
    made = SIGSTORE.make(KEY, NEW.manifest)
    attach(pair.upstream.shelf, PATH, NEW, made, place=Place.REFERRER)
    words = ["--key", key_of(made, tmp_path / "k"), "--insecure-ignore-tlog"]
    plain = run("verify", pair.name(), *pair.options, *words)
    assert "cosign" not in plain.out
    report = run("verify", pair.name(), *pair.options, *words, "--format", "json").report
    assert "cosign" not in report["images"][0]
    shown: Done = run("verify", pair.name(), *pair.options, *words, "--show-cosign")
    assert f"\n    cosign verify --key {tmp_path / 'k'} --insecure-ignore-tlog" in shown.out
    assert f"\n    # {ATTESTED}\n" in shown.out


def test_without_a_signer_there_is_nothing_for_cosign_to_do(run: Run, pair: Pair) -> None:
    done = run("verify", pair.name(), *pair.options, "--show-cosign")
    assert (done.status, done.out) == (2, "")
    assert "no signer is named" in done.err


UPSTREAM = Reference.parse("registry.example/team/app:1")
PINNED = Digest.of(b"image")


def told_of(
    folder: Path, *lay: Repository, others: tuple[Vouched, ...] = (), more: bool = False
) -> Equivalent:
    made = SIGSTORE.make(KEY, NEW.manifest)
    file = key_of(made, folder / "k")
    unsaid: dict[str, Any] = {each.name: None for each in fields(Signers)}
    unsaid |= {"insecure_ignore_sct": False, "attestations": ()}
    signers = Signers(**unsaid | {"key": file, "insecure_ignore_tlog": True})
    requires = requirements_of(signers, public_good)
    policy = DEFAULT_POLICY.also_requiring(requires)
    if more:
        policy = Policy(tuple(replace(each, requires=requires) for each in policy.rules))
    fingerprint = PublicKey.from_pem(file.read_bytes()).fingerprint
    said = Evidence(SignatureFormat.COSIGN, None, fingerprint, PINNED, is_signature=True)
    vouched = Vouched(said, SubjectLevel.PLATFORM, ("registry.example",), lay)
    found = (*others, *((vouched,) if lay else ()))
    verdict = Verdict("app", UpstreamResult(UPSTREAM, PINNED), evidence=found)
    asking = Asking(signers, requires, (frozenset(), frozenset()))
    (told,) = with_cosign(asking, [verdict], [Question("app", UPSTREAM, ())], policy)
    assert told.cosign is not None
    return told.cosign


def test_a_workflow_is_asked_for_in_cosigns_words(run: Run, pair: Pair, tmp_path: Path) -> None:
    who = ["--certificate-identity", WHO, "--certificate-oidc-issuer", ISSUER]
    who += ["--certificate-github-workflow-repository", "team/app", "--trusted-root"]
    words = words_of(ask(run, pair, *who, root(tmp_path)))
    at = words.index("--certificate-github-workflow-repository")
    assert words[at + 1] == "team/app"


def test_attestations_are_not_put_into_the_words_for_signatures(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    key = key_of(SIGSTORE.make(KEY, NEW.manifest), tmp_path / "k")
    told = ask(run, pair, "--key", key, "--attestation", "slsaprovenance1")
    assert told["cosign"]["commands"] == []
    assert "attestations are asked for" in told["cosign"]["beyond"][0]


def test_what_a_policy_requires_beside_is_said_to_be_left_out(tmp_path: Path) -> None:
    assert "the policy asks for further signatures" in told_of(tmp_path, more=True).beyond
    assert "the policy asks for further signatures" not in told_of(tmp_path).beyond


def test_a_mirror_that_only_an_api_path_leads_to_is_not_cosigns(tmp_path: Path) -> None:
    mirror = Repository(UPSTREAM.registry, "team/app", Route("/mirror/v2"))
    told = told_of(tmp_path, mirror)
    assert told.commands == ()
    assert told.beyond[0].startswith("cosign cannot be sent to where ")


def test_what_others_signed_and_what_was_attested_is_not_what_is_asked_for(tmp_path: Path) -> None:
    other = Vouched(evidence("app"), SubjectLevel.PLATFORM, ("elsewhere.example",))
    (command,) = told_of(tmp_path, UPSTREAM.repository, others=(other,)).commands
    assert "--new-bundle-format=false" in command
    (command,) = told_of(tmp_path, others=(other,)).commands
    assert "--new-bundle-format=false" not in command


def test_a_stronger_curve_comes_with_its_hash(run: Run, pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "k"
    file.write_bytes(public_pem(ec.generate_private_key(ec.SECP384R1())))
    words = words_of(ask(run, pair, "--key", file, "--insecure-ignore-tlog"))
    assert "--signature-digest-algorithm=sha384" in words


def test_a_files_name_is_no_address_of_a_key_service(
    run: Run, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key_of(SIGSTORE.make(KEY, NEW.manifest), tmp_path / "pkcs11:k")
    words = words_of(ask(run, pair, "--key", "pkcs11:k", "--insecure-ignore-tlog"))
    assert words[3] == "./pkcs11:k"
