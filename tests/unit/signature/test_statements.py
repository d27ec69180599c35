"""What is signed: envelopes, statements and simple-signing payloads, read strictly."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import ContentError, LimitExceeded, Malformed, Reason
from imgverify.oci.digest import Algorithm, Digest
from imgverify.oci.reference import Reference
from imgverify.signature.claim import Claim
from imgverify.signature.demand import Kind, NameMatch, NameRule
from imgverify.signature.dsse import Envelope
from imgverify.signature.message import Message
from imgverify.signature.statement import COSIGN_SIGN, Statement
from imgverify.signature.verify import verify_bundle
from tests.support.authorities import NOW
from tests.support.signer import (
    IN_TOTO,
    NAME,
    SLSA,
    Deployment,
    Specimen,
    claim,
    pae,
    statement,
)
from tests.support.translog import Document, compact, text
from tests.unit.signature.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = b'{"schemaVersion":2}'
OTHER = b'{"schemaVersion":2,"other":true}'
SHA256 = hashlib.sha256(IMAGE).hexdigest()


def signing(deployment: Deployment, payload: bytes, kind: str = IN_TOTO) -> Specimen:
    """Return a bundle in which a key signed this payload of this type."""
    specimen = deployment.make("key alone", IMAGE)
    value = specimen.signer.sign(pae(payload, kind))
    document = specimen.copy()
    document["dsseEnvelope"] = {
        "payload": text(payload),
        "payloadType": kind,
        "signatures": [{"sig": text(value)}],
    }
    return specimen.having(document)


def about(*subjects: Document, predicate_type: str = COSIGN_SIGN) -> bytes:
    return statement(IMAGE, predicate_type, subject=list(subjects))


# --- envelopes ------------------------------------------------------------------------------------


def test_the_message_is_the_pre_authentication_encoding() -> None:
    envelope = Envelope(b"hello world", "http://example.com/HelloWorld", b"s")
    # The example of the specification.
    assert envelope.message.data == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert Envelope(b"\xff", "t\u00e9", b"s").message.data == b"DSSEv1 3 t\xc3\xa9 1 \xff"
    assert envelope.message_of_payload == Message.of(b"hello world")


def envelope(**changes: object) -> bytes:
    document: Document = {
        "payload": text(b"p"),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": text(b"s"), "keyid": "k"}],
    }
    return compact({k: v for k, v in (document | changes).items() if v is not ...})


def test_an_envelope_is_read() -> None:
    assert Envelope.parse(envelope()) == Envelope(b"p", IN_TOTO, b"s", "k")
    unnamed = envelope(signatures=[{"sig": text(b"s")}])
    assert Envelope.parse(unnamed) == Envelope(b"p", IN_TOTO, b"s")
    safe = envelope(payload="_-__", signatures=[{"sig": "-_-_", "keyid": None}])
    assert Envelope.parse(safe) == Envelope(b"\xff\xef\xff", IN_TOTO, b"\xfb\xff\xbf")


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": ...},
        {"payload": ""},
        {"payload": "!"},
        {"payload": "QR=="},
        {"payload": "_+__"},
        {"payload": 7},
        {"payloadType": ...},
        {"payloadType": ["x"]},
        {"signatures": ...},
        {"signatures": []},
        {"signatures": {}},
        {"signatures": ["x"]},
        {"signatures": [{"sig": "czE="}, {"sig": "czI="}]},
        {"signatures": [{}]},
        {"signatures": [{"sig": "czE=", "keyid": 5}]},
        {"signatures": [{"sig": "czE=", "Sig": "czI="}]},
        {"PayloadType": "other"},
        {"payload_type": "other"},
    ],
)
def test_what_is_no_envelope_is_refused(changes: Document) -> None:
    with pytest.raises(Malformed):
        Envelope.parse(envelope(**changes))


def test_an_envelope_has_few_signatures() -> None:
    with pytest.raises(LimitExceeded, match="17 entries"):
        Envelope.parse(envelope(signatures=[{"sig": "czE="}] * 17))


@pytest.mark.parametrize("kind", ["application/json", f"{IN_TOTO} ", IN_TOTO.upper(), "text/plain"])
def test_an_envelope_holds_a_statement(deployment: Deployment, kind: str) -> None:
    signing(deployment, statement(IMAGE)).check()
    with refused(Reason.UNSUPPORTED, "no in-toto statement"):
        signing(deployment, statement(IMAGE), kind).check()


# --- statements -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v0.1", "v1"])
def test_a_statement_is_about_one_of_its_subjects(deployment: Deployment, version: str) -> None:
    ours, other = {"digest": {"sha256": SHA256}}, {"digest": {"sha256": "00" * 32}, "name": "x"}
    kind = {"_type": f"https://in-toto.io/Statement/{version}"}
    for subjects in ([ours], [other, ours], [ours, other], [{**ours, "name": NAME}]):
        signing(deployment, statement(IMAGE, subject=subjects, **kind)).check()
    extra = {"digest": {"sha1": "00" * 20, "sha256": SHA256}, "uri": "pkg:oci/app"}
    signing(deployment, statement(IMAGE, subject=[extra], **kind)).check()


@pytest.mark.parametrize(
    "subjects",
    [
        [{"digest": {"sha256": "00" * 32}}],
        [{"digest": {"sha1": "00" * 20}}],
        [{"digest": {"sha512": SHA256}}],
        [{"digest": {"sha256": SHA256.upper()}}],
        [{"digest": {"sha256": SHA256[:-1]}}],
        [{"digest": {"sha256": f"sha256:{SHA256}"}}],
        [{"digest": {}}],
        [{"name": SHA256}],
        [{"name": "x", "digest": None}],
    ],
)
def test_dsse_strict_a_statement_about_something_else_is_refused(
    deployment: Deployment, subjects: list[Document]
) -> None:
    with refused(Reason.ARTIFACT_MISMATCH):
        signing(deployment, about(*subjects)).check()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"garbage", Reason.MALFORMED),
        (b"[]", Reason.MALFORMED),
        (about(), Reason.MALFORMED),
        (statement(IMAGE, subject=None), Reason.MALFORMED),
        (statement(IMAGE, subject="x"), Reason.MALFORMED),
        (about({"digest": {"sha256": 7}}), Reason.MALFORMED),
        (about({"digest": ["sha256"]}), Reason.MALFORMED),
        (statement(IMAGE, ""), Reason.MALFORMED),
        (statement(IMAGE, predicateType=None), Reason.MALFORMED),
        (statement(IMAGE, PredicateType=SLSA), Reason.MALFORMED),
        (statement(IMAGE, _type=""), Reason.MALFORMED),
        (statement(IMAGE, _type="https://in-toto.io/Statement/v2"), Reason.UNSUPPORTED),
        (statement(IMAGE, _type="https://in-toto.io/Link/v1"), Reason.UNSUPPORTED),
        (statement(IMAGE)[:-1], Reason.MALFORMED),
        (statement(IMAGE) + b"x", Reason.MALFORMED),
        (statement(IMAGE).replace(b"{", b'{"_type":"x",', 1), Reason.MALFORMED),
        (about(*[{"digest": {}}] * 4097), Reason.TOO_LARGE),
    ],
)
def test_dsse_strict_what_is_no_statement_is_refused(
    deployment: Deployment, payload: bytes, reason: Reason
) -> None:
    with refused(reason):
        signing(deployment, payload).check()


def test_a_predicate_is_other_people_s_json(deployment: Deployment) -> None:
    predicate = {"environment": {"PATH": "a", "Path": "b"}, "n": 1.5}
    found = signing(deployment, statement(IMAGE, predicate=predicate)).check()
    assert found.statement is not None
    assert found.statement.predicate == predicate
    annotations = [{"digest": {"sha256": SHA256}, "annotations": {"A": 1, "a": {"B": 1, "b": 2}}}]
    signing(deployment, statement(IMAGE, subject=annotations)).check()
    with pytest.raises(Malformed, match="duplicate"):
        Statement.parse(b'{"predicate":{"a":1,"a":2}}')


def test_a_statement_may_have_no_predicate() -> None:
    found = Statement.parse(statement(IMAGE, predicate=None))
    assert (found.predicate, found.is_signature) == (None, True)
    assert found.is_about(Digest.of(IMAGE))
    assert not found.is_about(Digest.of(IMAGE, Algorithm.SHA512))


def test_a_statement_may_be_about_a_sha512(deployment: Deployment) -> None:
    digest = Digest.of(IMAGE, Algorithm.SHA512)
    specimen = signing(deployment, about({"digest": {"sha512": digest.encoded}}))
    data = compact(specimen.document)
    found = verify_bundle(data, Message(digest), specimen.demand, now=NOW)
    assert found.evidence.subject == digest


# --- signatures and attestations ------------------------------------------------------------------


def test_attestation_type_an_attestation_is_no_signature(deployment: Deployment) -> None:
    specimen = signing(deployment, statement(IMAGE, SLSA))
    with refused(Reason.PREDICATE_MISMATCH, "a signature is asked for"):
        specimen.check()
    evidence = specimen.asking(kind=Kind.ANYTHING).check().evidence
    assert (evidence.is_signature, evidence.predicate_type) == (False, SLSA)
    assert specimen.asking(predicate_type=SLSA).check().statement is not None


@pytest.mark.parametrize("wanted", ["https://spdx.dev/Document", SLSA.upper(), f"{SLSA}/", ""])
def test_attestation_type_it_has_to_be_the_one_asked_for(
    deployment: Deployment, wanted: str
) -> None:
    specimen = signing(deployment, statement(IMAGE, SLSA))
    for kind in Kind:
        with refused(Reason.PREDICATE_MISMATCH):
            specimen.asking(predicate_type=wanted, kind=kind).check()


def test_a_signature_is_no_attestation(deployment: Deployment) -> None:
    for name in ("key, Rekor v1", "key, artifact", "cosign, key alone"):
        specimen = deployment.make(name, IMAGE)
        assert specimen.check().evidence.is_signature
        with refused(Reason.PREDICATE_MISMATCH):
            specimen.asking(predicate_type=SLSA).check()


# --- simple signing -------------------------------------------------------------------------------


def signing_claim(deployment: Deployment, payload: bytes) -> Specimen:
    specimen = deployment.make("cosign, key alone", IMAGE)
    document = specimen.copy()
    annotation = "dev.cosignproject.cosign/signature"
    document["annotations"][annotation] = text(specimen.signer.sign(payload))
    document["payload"] = payload.decode()
    return specimen.having(document)


def changed(change: Callable[[Document], object]) -> bytes:
    document = json.loads(claim(IMAGE))
    change(document)
    return compact(document)


def test_a_claim_is_read() -> None:
    assert Claim.parse(claim(IMAGE)) == Claim(
        "cosign container image signature", Digest.of(IMAGE), NAME
    )
    optional = changed(lambda d: d.update(optional={"creator": "x", "Creator": 5, "a": {"b": []}}))
    assert Claim.parse(optional) == Claim.parse(claim(IMAGE))
    absent = changed(lambda d: d.pop("optional"))
    assert Claim.parse(absent) == Claim.parse(claim(IMAGE))
    nameless = changed(lambda d: d["critical"]["identity"].update({"docker-reference": ""}))
    assert Claim.parse(nameless).docker_reference == ""


DIGEST = "docker-manifest-digest"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.pop("critical"), Reason.MALFORMED),
        (lambda d: d.update(critical=[]), Reason.MALFORMED),
        (lambda d: d.update(more=1), Reason.MALFORMED),
        (lambda d: d.update(optional=[]), Reason.MALFORMED),
        (lambda d: d.update(Critical={}), Reason.MALFORMED),
        (lambda d: d["critical"].update(more=1), Reason.MALFORMED),
        (lambda d: d["critical"].pop("type"), Reason.MALFORMED),
        (lambda d: d["critical"].pop("image"), Reason.MALFORMED),
        (lambda d: d["critical"].pop("identity"), Reason.MALFORMED),
        (lambda d: d["critical"]["image"].pop(DIGEST), Reason.MALFORMED),
        (lambda d: d["critical"]["image"].update({DIGEST: ""}), Reason.MALFORMED),
        (lambda d: d["critical"]["image"].update({DIGEST: SHA256}), Reason.MALFORMED),
        (lambda d: d["critical"]["image"].update({DIGEST: f"md5:{'0' * 32}"}), Reason.MALFORMED),
        (lambda d: d["critical"]["image"].update(more=1), Reason.MALFORMED),
        (lambda d: d["critical"]["identity"].update(more=1), Reason.MALFORMED),
        (lambda d: d["critical"].update(type="atomic container signature"), Reason.UNSUPPORTED),
        (
            lambda d: d["critical"]["image"].update({DIGEST: str(Digest.of(OTHER))}),
            Reason.ARTIFACT_MISMATCH,
        ),
        (
            lambda d: d["critical"]["image"].update(
                {DIGEST: str(Digest.of(IMAGE, Algorithm.SHA512))}
            ),
            Reason.ARTIFACT_MISMATCH,
        ),
    ],
)
def test_payload_binding_a_claim_that_is_none_is_refused(
    deployment: Deployment, change: Callable[[Document], object], reason: Reason
) -> None:
    with refused(reason):
        signing_claim(deployment, changed(change)).check()


@pytest.mark.parametrize("wrong", ["\ufeff{}", "{}x", "{} {}", '{"a":1,"a":2}', ""])
def test_a_claim_is_one_json_document(deployment: Deployment, wrong: str) -> None:
    with refused(Reason.MALFORMED):
        signing_claim(deployment, wrong.encode()).check()


def test_the_digest_has_to_stand_in_its_place(deployment: Deployment) -> None:
    """Not under `optional`, and not with a capital letter."""
    for wrong in (
        changed(lambda d: d.update(optional=d["critical"]["image"], critical={})),
        claim(IMAGE).replace(b"docker-manifest", b"Docker-manifest"),
    ):
        with refused(Reason.MALFORMED):
            signing_claim(deployment, wrong).check()


@pytest.mark.parametrize(
    ("signed", "wanted", "match", "fits"),
    [
        (NAME, f"{NAME}:1.0", NameMatch.REPOSITORY, True),
        (f"{NAME}:1.0", f"{NAME}:2.0", NameMatch.REPOSITORY, True),
        (f"{NAME}:1.0", f"{NAME}@{Digest.of(IMAGE)}", NameMatch.REPOSITORY, True),
        ("nginx", "docker.io/library/nginx:1", NameMatch.REPOSITORY, True),
        ("registry.example/team/other", f"{NAME}:1.0", NameMatch.REPOSITORY, False),
        ("mirror.example/team/app", f"{NAME}:1.0", NameMatch.REPOSITORY, False),
        ("registry.example/team/app/x", f"{NAME}:1.0", NameMatch.REPOSITORY, False),
        ("", f"{NAME}:1.0", NameMatch.REPOSITORY, False),
        ("Registry Example", f"{NAME}:1.0", NameMatch.REPOSITORY, False),
        (f"{NAME}:1.0", f"{NAME}:1.0", NameMatch.EXACT, True),
        (f"{NAME}:1.0", f"{NAME}:2.0", NameMatch.EXACT, False),
        (NAME, f"{NAME}:latest", NameMatch.EXACT, False),
        (f"{NAME}:latest", NAME, NameMatch.EXACT, True),
        (f"{NAME}@{Digest.of(IMAGE)}", f"{NAME}@{Digest.of(IMAGE)}", NameMatch.EXACT, True),
    ],
)
def test_name_binding_an_image_is_signed_under_its_name(
    deployment: Deployment, signed: str, wanted: str, match: NameMatch, *, fits: bool
) -> None:
    rule = NameRule(Reference.parse(wanted), match)
    specimen = signing_claim(deployment, claim(IMAGE, signed)).asking(name=rule)
    if fits:
        assert specimen.check().evidence.docker_reference == signed
    else:
        with refused(Reason.NAME_MISMATCH):
            specimen.check()


def test_without_a_rule_the_name_is_told(deployment: Deployment) -> None:
    found = signing_claim(deployment, claim(IMAGE, "any name at all")).check()
    assert found.evidence.docker_reference == "any name at all"


# --- messages -------------------------------------------------------------------------------------


def test_a_message_hashes_to_its_digest() -> None:
    message = Message(Digest.of(IMAGE, Algorithm.SHA512), IMAGE)
    assert message.hashed(Algorithm.SHA256) == hashlib.sha256(IMAGE).digest()
    assert message.hashed(Algorithm.SHA512) == hashlib.sha512(IMAGE).digest()
    bare = Message(Digest.of(IMAGE))
    assert bare.hashed(Algorithm.SHA256) == hashlib.sha256(IMAGE).digest()
    assert bare.hashed(Algorithm.SHA384) is None
    with pytest.raises(ContentError, match="do not hash to"):
        Message(Digest.of(OTHER), IMAGE)
