"""Evidence in words."""

from datetime import UTC, datetime

from imgverify.errors import Reason, SignatureRejected
from imgverify.oci.digest import Digest
from imgverify.report.evidence import evidence_line, evidence_lines, rejection_line
from imgverify.verdict import Clock, Evidence, SignatureFormat, SignerIdentity, Skipped

DIGEST = Digest.of(b"x")
WHO = SignerIdentity("signer@example.com", "https://login.example.com")
TIME = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


def test_one_line_says_who_and_when() -> None:
    evidence = Evidence(
        SignatureFormat.BUNDLE, WHO, None, DIGEST, TIME, Clock.LOG, is_signature=True
    )
    assert evidence_line(evidence) == (
        "signed by signer@example.com (login by https://login.example.com), "
        "2026-03-01 12:00:05 UTC by a transparency log"
    )


def test_a_key_is_told_by_its_fingerprint() -> None:
    evidence = Evidence(SignatureFormat.COSIGN, None, DIGEST, DIGEST, is_signature=True)
    assert evidence_line(evidence) == f"signed by key {DIGEST}"


def test_an_attestation_is_not_called_a_signature() -> None:
    bare = SignerIdentity("team@example.com", "")
    kind = "https://slsa.dev/provenance/v1"
    evidence = Evidence(SignatureFormat.COSIGN_ATTESTATION, bare, None, DIGEST, predicate_type=kind)
    assert evidence_line(evidence) == f"attested ({kind}) by team@example.com"
    unnamed = Evidence(SignatureFormat.COSIGN_ATTESTATION, bare, None, DIGEST)
    assert evidence_line(unnamed) == "attested (no type) by team@example.com"


def test_a_check_that_was_left_out_is_told() -> None:
    evidence = Evidence(
        SignatureFormat.BUNDLE, None, DIGEST, DIGEST, is_signature=True, skipped=(Skipped.LOG,)
    )
    assert evidence_line(evidence).endswith(", without the check of a transparency log")


def test_the_rest_stands_below() -> None:
    evidence = Evidence(
        SignatureFormat.BUNDLE, None, DIGEST, DIGEST, verified_with=("key ecdsa-sha256", "a log")
    )
    assert evidence_lines(evidence)[1:] == (
        f"  subject: {DIGEST}",
        "  format: sigstore-bundle",
        "  verified with: key ecdsa-sha256",
        "  verified with: a log",
    )


def test_remote_text_is_made_harmless() -> None:
    bad = SignerIdentity("a\x1b[31m\n ::error::", "b\u202e")
    evidence = Evidence(
        SignatureFormat.BUNDLE,
        bad,
        None,
        DIGEST,
        predicate_type="c\r",
        verified_with=("d\0",),
    )
    text = "".join(evidence_lines(evidence))
    text += rejection_line(SignatureRejected("e\x1b\n", Reason.MALFORMED))
    assert text.isprintable()
    assert " ::error" not in text


def test_a_rejection_says_why() -> None:
    error = SignatureRejected("the key did not make it", Reason.SIGNATURE_INVALID)
    assert rejection_line(error) == "rejected (signature-invalid): the key did not make it"
