"""Signatures that other projects made, good ones and bad; they stay outside the project."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imgverify.cli.app import execute
from imgverify.errors import InputError, Reason, SignatureRejected
from imgverify.exitcode import ExitCode
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference
from imgverify.signature.certificate import load_certificate, load_chain
from imgverify.signature.claim import Claim
from imgverify.signature.cosign import SIMPLE_SIGNING
from imgverify.signature.demand import Demand, NameMatch, NameRule
from imgverify.signature.identity import Exactly, Identity, Subject
from imgverify.signature.timestamp import verify_timestamp
from imgverify.signature.trusted import CertificateAuthority, TrustedRoot
from imgverify.signature.verify import Verified, verify_cosign
from imgverify.trust.files import private_root, read_key
from imgverify.trust.shipped import read_shipped
from imgverify.trust.trustedroot import parse_trusted_roots
from tests.unit.signature.reasons import CONFORMANCE, COSIGN

if TYPE_CHECKING:
    from cryptography import x509

Row = dict[str, Any]

VECTORS = Path(os.environ.get("IMGVERIFY_VECTORS", "nothing"))
pytestmark = pytest.mark.skipif(
    "IMGVERIFY_VECTORS" not in os.environ, reason="IMGVERIFY_VECTORS names no folder"
)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
BUNDLES = VECTORS / "sigstore-conformance" / "test" / "assets" / "bundle-verify"
IMAGES = VECTORS / "containers-image"
STAMPS = VECTORS / "rfc3161-client"
REPOSITORY = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon"
WORKFLOW = ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"
FRAME = b"\0sigstore-json\n"


def rows(wanted: str) -> list[Row]:
    if not VECTORS.exists():
        return []
    lines = (VECTORS / "EXPECTATIONS.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["format"] == wanted]


def cases() -> list[Path]:
    return sorted(each for each in BUNDLES.glob("*") if each.is_dir())


def content(case: Path, name: str, default: str) -> str:
    file = case / name
    return file.read_text(encoding="utf-8").strip() if file.exists() else default


def words(case: Path, artifact: str) -> list[str]:
    """Return the command line that the conformance suite would use."""
    found = ["verify-bundle", "--bundle", str(case / "bundle.sigstore.json")]
    if (case / "key.pub").exists():
        found += ["--key", str(case / "key.pub")]
    else:
        found += ["--certificate-identity", content(case, "identity", f"{REPOSITORY}/{WORKFLOW}")]
        found += ["--certificate-oidc-issuer", content(case, "issuer", ISSUER)]
    if (case / "trusted_root.json").exists():
        found += ["--trusted-root", str(case / "trusted_root.json")]
    return [*found, artifact]


def test_there_are_as_many_conformance_cases_as_there_should_be() -> None:
    names = {each.name for each in cases()}
    assert len(names) == 70
    assert {each for each in names if each.endswith("_fail")} == CONFORMANCE.keys()


@pytest.mark.parametrize("by", ["file", "digest"])
@pytest.mark.parametrize("case", cases(), ids=lambda each: each.name)
def test_a_conformance_case_ends_as_it_should(
    case: Path, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = case / "artifact" if (case / "artifact").exists() else BUNDLES.parent / "a.txt"
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    status = execute(words(case, str(file) if by == "file" else digest))
    output = capsys.readouterr()
    if not case.name.endswith("_fail"):
        assert (status, output.err) == (ExitCode.ALLOWED, "")
        assert f"subject: {digest}" in output.out
    elif (reason := CONFORMANCE[case.name]) is None:
        assert (status, output.out) == (ExitCode.USAGE, "")
    else:
        assert (status, output.err) == (ExitCode.DENIED, "")
        assert output.out.startswith(f"rejected ({reason}): ")


def test_where_sigstore_python_differs_it_is_known_why() -> None:
    """As recorded with the cases: four valid ones are beyond it, and it refuses all bad ones."""
    differs = [row["case"] for row in rows("sigstore-bundle") if is_refused(row) != is_bad(row)]
    assert sorted(differs) == [
        "intoto-with-custom-trust-root",
        "managed-key-and-trusted-root",
        "managed-key-happy-path",
        "trust-root-tsa-validity-end-inclusive",
    ]


def is_refused(row: Row) -> bool:
    return bool(row["sigstore_python"]["result"] != "pass")


def is_bad(row: Row) -> bool:
    return bool(row["expected"] != "valid")


# --- cosign, as containers/image has it -----------------------------------------------------------


def signatures(row: Row) -> list[Row]:
    """Return the signatures of a `dir:` image, or the one of a file, that are Sigstore's."""
    inputs = row["inputs"]
    files = (
        [IMAGES / inputs["signature"]]
        if "signature" in inputs
        else sorted((IMAGES / inputs["dir"]).glob("signature-*"))
    )
    found = [each.read_bytes() for each in files]
    parsed = [json.loads(each.removeprefix(FRAME)) for each in found if each.startswith(FRAME)]
    # Any other type is an attachment of another kind, and no signature.
    return [each for each in parsed if each["mimeType"] == SIMPLE_SIGNING]


def trusted(trust: Row, folder: Path) -> TrustedRoot:
    names = ("fulcio_ca", "ca_roots", "ca_intermediates")
    authorities = [folder / trust[each] for each in names if each in trust]
    logs = [folder / trust["rekor"]] if "rekor" in trust else []
    return private_root("the case's", authorities=authorities, logs=logs)


def demand(row: Row) -> Demand:
    inputs = row["inputs"]
    trust = inputs["trust"]
    signer: Any = Subject(Exactly("qiwan@redhat.com"))
    if "key" in trust:
        signer = read_key(IMAGES / trust["key"])
    elif "email" in trust or "fulcio_ca" in trust:
        issuer = trust.get("issuer", "https://github.com/login/oauth")
        signer = Identity.exactly(trust.get("email", "mitr@redhat.com"), issuer)
    rule = None
    if "image_ref" in inputs:
        match = NameMatch.EXACT if inputs["identity"] == "matchExact" else NameMatch.REPOSITORY
        rule = NameRule(Reference.parse(inputs["image_ref"]), match)
    return Demand(signer, (trusted(trust, IMAGES),), name=rule)


def first_that_holds(row: Row) -> Verified:
    """Accept an image if one of its signatures holds, as the policy does that wrote the cases."""
    errors = []
    asked = demand(row)
    for each in signatures(row):
        payload = b64decode(each["payload"])
        digest = Claim.parse(payload).digest
        if "dir" in row["inputs"]:
            digest = Digest.of((IMAGES / row["inputs"]["dir"] / "manifest.json").read_bytes())
        try:
            return verify_cosign(payload, each["annotations"], digest, asked, now=NOW)
        except SignatureRejected as error:
            errors.append(error)
    raise errors[0]


def test_there_are_as_many_cosign_cases_as_there_should_be() -> None:
    assert len(rows("cosign-simple-signing")) == 23


@pytest.mark.parametrize("row", rows("cosign-simple-signing"), ids=lambda each: each["case"])
def test_a_cosign_case_ends_as_it_should(row: Row) -> None:
    name = row["case"]
    if name in {"unsigned", "only gpg signatures", "other attachment"}:
        assert (row["expected"], signatures(row)) == ("invalid", [])
    elif name == "no manifest":
        assert row["expected"] == "invalid"
        with pytest.raises(FileNotFoundError):
            first_that_holds(row)
    elif row["expected"] == "valid":
        assert first_that_holds(row).evidence.is_signature
    else:
        with pytest.raises(SignatureRejected) as caught:
            first_that_holds(row)
        assert caught.value.reason is COSIGN[name]


# --- timestamps -----------------------------------------------------------------------------------


def message(text: str) -> bytes:
    return (STAMPS / "test/fixtures" / text).read_bytes() if "/" in text else b"hello"


def certificates(file: Path) -> tuple[x509.Certificate, ...]:
    data = file.read_bytes()
    return load_chain(data) if b"BEGIN" in data else (load_certificate(data),)


@pytest.mark.parametrize("row", rows("rfc3161"), ids=lambda each: each["case"])
def test_a_timestamp_ends_as_it_should(row: Row) -> None:
    inputs = row["inputs"]
    chain = certificates(STAMPS / inputs["chain"])
    data = (STAMPS / inputs["response"]).read_bytes()
    authority = CertificateAuthority("the case's", chain)
    stamped = message(inputs["message"].partition(" ")[0])
    # Certificates that somebody added to the token change nothing where none of them is believed;
    # the case is about a verifier that takes one of them for the signer's.
    if row["expected"] == "valid" or row["case"].endswith("injected-certs.tsr"):
        found = verify_timestamp(data, stamped, (authority,))
        assert found is not None
        assert found.authority is authority
    else:
        with pytest.raises(SignatureRejected) as caught:
            verify_timestamp(data, stamped, (authority,))
        assert caught.value.reason is Reason.TIMESTAMP_INVALID


# --- trusted roots --------------------------------------------------------------------------------


def test_every_trusted_root_that_sigstore_published_is_read_or_refused_for_a_reason() -> None:
    files = sorted((VECTORS / "sigstore-root-signing" / "trusted_root_history").glob("*.json"))
    assert len(files) > 10
    refused = {}
    for each in files:
        try:
            (root,) = parse_trusted_roots(each.read_bytes(), each.name)
            assert root.authorities
            assert root.logs
            assert root.ct_logs
        except InputError as error:
            refused[each.name] = error.message
    # The first two were published without a type.
    assert sorted(refused) == ["2023-01-06_c6f8fb8f95.json", "2023-01-10_9e13684af9.json"]
    assert all("'mediaType'" in each for each in refused.values())


def test_the_shipped_trusted_root_is_the_current_one_of_the_public_instance() -> None:
    file = VECTORS / "sigstore-root-signing" / "targets" / "trusted_root.json"
    assert file.read_bytes() == read_shipped("sigstore-public-good.trusted_root.json")
