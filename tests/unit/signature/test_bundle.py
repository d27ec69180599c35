"""Bundles and layers: their shapes, and nothing that two readers could read differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from imgverify.errors import LimitExceeded, Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.oci.digest import Algorithm, Digest
from imgverify.signature.bundle import Bundle
from imgverify.signature.cosign import Layer
from imgverify.signature.demand import Demand, Kind
from imgverify.signature.document import Fields, decode_base64
from imgverify.signature.keys import PublicKey
from imgverify.signature.message import Message
from imgverify.signature.trusted import TrustedKey, TrustedRoot
from imgverify.signature.verify import verify_bundle, verify_cosign
from imgverify.verdict import Evidence, SignatureFormat
from tests.support.authorities import NOW, new_key, pem_of, public_pem, spki
from tests.support.signer import MEDIA_TYPES, RECIPES, Deployment, Signer
from tests.support.translog import Document, compact, text
from tests.unit.signature.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = b'{"schemaVersion":2}'
MATERIAL = "verificationMaterial"


def at(document: Document, *path: str | int) -> Any:  # noqa: ANN401 - JSON
    value: Any = document
    for step in path:
        value = value[step]
    return value


# --- bundles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", [*MEDIA_TYPES.values(), MEDIA_TYPES[1][:-1] + "3"])
def test_every_version_is_read(deployment: Deployment, media_type: str) -> None:
    old = media_type in {MEDIA_TYPES[1], MEDIA_TYPES[2]}
    specimen = deployment.make("keyless, v0.2" if old else "keyless, Rekor v1", IMAGE)
    document = {**specimen.document, "mediaType": media_type}
    specimen.having(document).check()


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.dev.sigstore.bundle+json;version=0.4",
        "application/vnd.dev.sigstore.bundle.v0.4+json",
        "application/vnd.dev.sigstore.bundle+json",
        "application/vnd.dev.sigstore.bundle+json; version=0.1",
        "application/json",
    ],
)
def test_other_versions_are_refused(deployment: Deployment, media_type: str) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    with refused(Reason.UNSUPPORTED, "not supported"):
        specimen.having({**specimen.document, "mediaType": media_type}).check()


ENTRY = (MATERIAL, "tlogEntries", 0)
SHAPES: list[tuple[str, Callable[[Document], object], Reason]] = [
    ("no type", lambda d: d.pop("mediaType"), Reason.MALFORMED),
    ("type is no text", lambda d: d.update(mediaType=5), Reason.MALFORMED),
    ("no material", lambda d: d.pop(MATERIAL), Reason.MALFORMED),
    ("material is a list", lambda d: d.update({MATERIAL: []}), Reason.MALFORMED),
    ("no content", lambda d: d.pop("dsseEnvelope"), Reason.MALFORMED),
    ("two contents", lambda d: d.update(messageSignature={}), Reason.MALFORMED),
    ("no signer", lambda d: d[MATERIAL].pop("certificate"), Reason.MALFORMED),
    ("two signers", lambda d: d[MATERIAL].update(publicKey={}), Reason.MALFORMED),
    (
        "a chain in v0.3",
        lambda d: d[MATERIAL].update(
            x509CertificateChain={"certificates": [d[MATERIAL].pop("certificate")]}
        ),
        Reason.MALFORMED,
    ),
    (
        "a certificate in v0.2",
        lambda d: d.update(mediaType=MEDIA_TYPES[2]),
        Reason.MALFORMED,
    ),
    ("no bytes", lambda d: d[MATERIAL]["certificate"].pop("rawBytes"), Reason.MALFORMED),
    ("other bytes", lambda d: d[MATERIAL]["certificate"].update(rawBytes="eA=="), Reason.MALFORMED),
    ("no log ID", lambda d: at(d, *ENTRY).pop("logId"), Reason.MALFORMED),
    ("no kind", lambda d: at(d, *ENTRY).pop("kindVersion"), Reason.MALFORMED),
    ("no body", lambda d: at(d, *ENTRY).pop("canonicalizedBody"), Reason.MALFORMED),
    ("body is no JSON", lambda d: at(d, *ENTRY).update(canonicalizedBody="eA=="), Reason.MALFORMED),
    ("negative index", lambda d: at(d, *ENTRY).update(logIndex="-1"), Reason.MALFORMED),
    ("padded index", lambda d: at(d, *ENTRY).update(logIndex="01"), Reason.MALFORMED),
    ("signed index", lambda d: at(d, *ENTRY).update(logIndex="+1"), Reason.MALFORMED),
    ("other digits", lambda d: at(d, *ENTRY).update(logIndex="\u0663"), Reason.MALFORMED),
    ("huge index", lambda d: at(d, *ENTRY).update(logIndex="9" * 30), Reason.MALFORMED),
    ("too large an index", lambda d: at(d, *ENTRY).update(logIndex="9" * 19), Reason.MALFORMED),
    ("no proof", lambda d: at(d, *ENTRY).pop("inclusionProof"), Reason.PROOF_MISSING),
    (
        "an empty promise",
        lambda d: at(d, *ENTRY).update(inclusionPromise={}),
        Reason.MALFORMED,
    ),
    (
        "hashes are text",
        lambda d: at(d, *ENTRY, "inclusionProof").update(hashes="x"),
        Reason.MALFORMED,
    ),
    (
        "many hashes",
        lambda d: at(d, *ENTRY, "inclusionProof").update(hashes=["x"] * 65),
        Reason.TOO_LARGE,
    ),
    ("entries are an object", lambda d: d[MATERIAL].update(tlogEntries={}), Reason.MALFORMED),
    ("many entries", lambda d: d[MATERIAL].update(tlogEntries=[{}] * 33), Reason.TOO_LARGE),
    (
        "many timestamps",
        lambda d: d[MATERIAL].update(
            timestampVerificationData={"rfc3161Timestamps": [{"signedTimestamp": "eA=="}] * 33}
        ),
        Reason.TOO_LARGE,
    ),
    (
        "an empty timestamp",
        lambda d: d[MATERIAL].update(timestampVerificationData={"rfc3161Timestamps": [{}]}),
        Reason.MALFORMED,
    ),
    ("another case", lambda d: d.update(MediaType="x"), Reason.MALFORMED),
    ("snake case", lambda d: d.update(verification_material={}), Reason.MALFORMED),
    (
        "the long s",
        lambda d: d.update({"dsseEnvelope".replace("ss", "\u017fs"): {}}),
        Reason.MALFORMED,
    ),
]


@pytest.mark.parametrize(
    ("change", "reason"), [each[1:] for each in SHAPES], ids=[each[0] for each in SHAPES]
)
def test_what_is_no_bundle_is_refused(
    deployment: Deployment, change: Callable[[Document], object], reason: Reason
) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    document = specimen.copy()
    change(document)
    with refused(reason):
        specimen.having(document).check()


def test_what_nobody_knows_is_passed_over(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    document = specimen.copy()
    document["later"] = document[MATERIAL]["later"] = {"x": [1]}
    at(document, *ENTRY)["later"] = None
    specimen.having(document).check()


@pytest.mark.parametrize("field", ["TlogEntries", "tlog_entries", "tlogentries", "publickey"])
def test_a_field_that_others_would_read_is_refused(deployment: Deployment, field: str) -> None:
    """Alone, too: Go's decoder takes it for the field that is not there."""
    specimen = deployment.make("key alone", IMAGE)
    document = specimen.copy()
    del document[MATERIAL]["tlogEntries"]
    specimen.having(document).check()
    document[MATERIAL][field] = []
    with refused(Reason.MALFORMED):
        specimen.having(document).check()


def test_absent_null_and_zero_are_one(deployment: Deployment) -> None:
    """protobuf's JSON leaves out what is zero."""
    deployment.tiles.leaves.clear()
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    assert at(specimen.document, *ENTRY)["logIndex"] == "0"
    for value in (..., None, 0, "0"):
        document = specimen.copy()
        for holder in (at(document, *ENTRY), at(document, *ENTRY, "inclusionProof")):
            holder["logIndex"] = value
            if value is ...:
                del holder["logIndex"]
        document[MATERIAL]["publicKey"] = None
        document["messageSignature"] = None
        specimen.having(document).check()


def test_integers_may_be_numbers(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    document = specimen.copy()
    for field in ("logIndex", "integratedTime"):
        at(document, *ENTRY)[field] = int(at(document, *ENTRY)[field])
    specimen.having(document).check()


def test_base64_may_be_broken_into_lines(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    document = specimen.copy()
    stamp = at(document, MATERIAL, "timestampVerificationData", "rfc3161Timestamps", 0)
    whole = stamp["signedTimestamp"]
    stamp["signedTimestamp"] = whole[:76] + "\n" + whole[76:152] + "\r\n" + whole[152:] + "\n"
    specimen.having(document).check()


def test_a_bundle_has_bounds(deployment: Deployment) -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        Bundle.parse(b" " * (limits.BUNDLE_SIZE + 1))
    specimen = deployment.make("keyless, v0.2", IMAGE)
    chain = at(specimen.document, MATERIAL, "x509CertificateChain", "certificates")
    chain += chain[1:] * 16
    with refused(Reason.TOO_LARGE):
        specimen.check()


def test_a_chain_is_not_empty(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, v0.2", IMAGE)
    specimen.document[MATERIAL]["x509CertificateChain"] = {"certificates": []}
    with refused(Reason.MALFORMED, "chain is empty"):
        specimen.check()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"\xef\xbb\xbf{}", b"{}{}"])
def test_what_is_no_json_is_refused(deployment: Deployment, data: bytes) -> None:
    demand = deployment.make("keyless, Rekor v1", IMAGE).demand
    with refused(Reason.MALFORMED):
        verify_bundle(data, Message.of(IMAGE), demand, now=NOW)


# --- keys and certificates ------------------------------------------------------------------------


def test_a_key_and_a_certificate_are_not_taken_for_each_other(deployment: Deployment) -> None:
    keyed = deployment.make("key, Rekor v1", IMAGE)
    keyless = deployment.make("keyless, Rekor v1", IMAGE)
    with refused(Reason.SIGNER_KIND, "a certificate is asked for"):
        keyed.asking(signer=keyless.demand.signer, roots=deployment.roots()).check()
    own = TrustedKey(PublicKey.from_der(spki(keyless.signer.key)))
    with refused(Reason.SIGNER_KIND, "a key is asked for"):
        keyless.asking(signer=own).check()


def test_a_key_has_one_name(deployment: Deployment) -> None:
    """The hint is signed by nobody; two different hints are a mistake all the same."""
    specimen = deployment.make("key, Rekor v1", IMAGE)
    signature = at(specimen.document, "dsseEnvelope", "signatures", 0)
    for hint, key_id, fits in (
        ("a", "", True),
        ("a", "a", True),
        ("", "b", True),
        ("a", "b", False),
    ):
        specimen.document[MATERIAL]["publicKey"] = {"hint": hint}
        signature["keyid"] = key_id
        if fits:
            specimen.check()
        else:
            with refused(Reason.MALFORMED, "two names"):
                specimen.check()


def test_a_key_needs_a_log_where_one_of_the_roots_has_one(deployment: Deployment) -> None:
    """A second root without logs must not make the first one's demand go away."""
    specimen = deployment.make("key alone", IMAGE)
    bare = TrustedRoot("bare")
    specimen.asking(roots=(bare,)).check()
    for roots in ((bare, *deployment.roots()), (*deployment.roots(), bare)):
        with refused(Reason.LOG_MISSING):
            specimen.asking(roots=roots).check()
    logged = deployment.make("key, Rekor v1", IMAGE)
    logged.asking(roots=(bare, *deployment.roots())).check()


# --- artifacts ------------------------------------------------------------------------------------


def by_digest(deployment: Deployment, name: str, digest: Digest) -> Evidence:
    specimen = deployment.make(name, IMAGE)
    data = compact(specimen.document)
    return verify_bundle(data, Message(digest), specimen.demand, now=NOW).evidence


@pytest.mark.parametrize("name", [name for name, each in RECIPES.items() if each.form == "bundle"])
def test_a_digest_is_as_good_as_the_bytes(deployment: Deployment, name: str) -> None:
    digest = Digest.of(IMAGE)
    assert by_digest(deployment, name, digest).subject == digest
    with refused(Reason.ARTIFACT_MISMATCH):
        by_digest(deployment, name, Digest.of(IMAGE, Algorithm.SHA512))


def test_a_signature_over_bytes_needs_the_bytes(deployment: Deployment) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    specimen = deployment.make("key, artifact", IMAGE, Signer(key))
    assert isinstance(specimen.demand.signer, TrustedKey)
    assert specimen.demand.signer.key == PublicKey.from_der(spki(key))
    specimen.check()
    data = compact(specimen.document)
    with refused(Reason.UNSUPPORTED, "only with the bytes"):
        verify_bundle(data, Message(Digest.of(IMAGE)), specimen.demand, now=NOW)


def test_a_bundle_may_not_say_what_it_is_about(deployment: Deployment) -> None:
    specimen = deployment.make("key, artifact", IMAGE)
    del specimen.document["messageSignature"]["messageDigest"]
    specimen.check()
    with refused(Reason.SIGNATURE_INVALID):
        data = compact(specimen.document)
        verify_bundle(data, Message.of(b"other"), specimen.demand, now=NOW)


@pytest.mark.parametrize("algorithm", ["SHA2_384", "SHA2_512"])
def test_a_bundle_may_say_it_by_another_hash(deployment: Deployment, algorithm: str) -> None:
    specimen = deployment.make("key, artifact", IMAGE)
    digest = Digest.of(IMAGE, Algorithm(algorithm.replace("SHA2_", "sha")))
    said = {"algorithm": algorithm, "digest": text(bytes.fromhex(digest.encoded))}
    specimen.document["messageSignature"]["messageDigest"] = said
    specimen.check()
    with refused(Reason.ARTIFACT_MISMATCH):
        data = compact(specimen.document)
        verify_bundle(data, Message(Digest.of(IMAGE)), specimen.demand, now=NOW)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"algorithm": "SHA3_256", "digest": text(b"x" * 32)}, Reason.UNSUPPORTED),
        ({"algorithm": "", "digest": text(b"x" * 32)}, Reason.MALFORMED),
        ({"algorithm": "SHA2_256", "digest": text(b"x" * 31)}, Reason.MALFORMED),
        ({"algorithm": "SHA2_256"}, Reason.MALFORMED),
        ("SHA2_256", Reason.MALFORMED),
    ],
)
def test_what_is_no_digest_is_refused(deployment: Deployment, said: object, reason: Reason) -> None:
    specimen = deployment.make("key, artifact", IMAGE)
    specimen.document["messageSignature"]["messageDigest"] = said
    with refused(reason):
        specimen.check()


# --- layers ---------------------------------------------------------------------------------------

SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (SIGNATURE, "!"),
        (SIGNATURE, "QR=="),
        (CERTIFICATE, "x"),
        (CERTIFICATE, PEM := public_pem(new_key()).decode()),
        (CHAIN, "x"),
        (CHAIN, PEM),
        ("dev.sigstore.cosign/bundle", "null"),
        ("dev.sigstore.cosign/bundle", "{}"),
        ("dev.sigstore.cosign/rfc3161timestamp", "x"),
        ("dev.sigstore.cosign/rfc3161timestamp", "{}"),
        ("dev.sigstore.cosign/rfc3161timestamp", '{"SignedRFC3161Timestamp":"!"}'),
    ],
)
def test_an_annotation_that_is_none_is_refused(
    deployment: Deployment, annotation: str, value: str
) -> None:
    specimen = deployment.make("cosign, keyless", IMAGE)
    specimen.document["annotations"][annotation] = value
    with refused(Reason.MALFORMED):
        specimen.check()


def test_a_layer_has_one_certificate(deployment: Deployment) -> None:
    specimen = deployment.make("cosign, keyless", IMAGE)
    annotations = specimen.document["annotations"]
    annotations[CERTIFICATE] += annotations[CHAIN]
    with refused(Reason.MALFORMED):
        specimen.check()


def test_a_layer_without_a_signature_is_none(deployment: Deployment) -> None:
    for name in ("cosign, keyless", "cosign, key alone"):
        specimen = deployment.make(name, IMAGE)
        for value in ("", None):
            annotations = dict(specimen.document["annotations"])
            annotations[SIGNATURE] = value
            if value is None:
                del annotations[SIGNATURE]
            with refused(Reason.SIGNATURE_INVALID):
                specimen.having({**specimen.document, "annotations": annotations}).check()


def test_without_a_certificate_a_layer_is_by_a_key(deployment: Deployment) -> None:
    specimen = deployment.make("cosign, keyless", IMAGE)
    del specimen.document["annotations"][CERTIFICATE]
    with refused(Reason.SIGNER_KIND):
        specimen.check()


def test_with_a_key_asked_for_a_certificate_beside_it_is_passed_over(
    deployment: Deployment,
) -> None:
    specimen = deployment.make("cosign, key, promise", IMAGE)
    other = deployment.log_in()
    assert other.certificate is not None
    specimen.document["annotations"][CERTIFICATE] = pem_of(other.certificate).decode()
    assert specimen.check().evidence.key is not None


def test_a_layer_has_bounds(deployment: Deployment) -> None:
    demand = deployment.make("cosign, key alone", IMAGE).demand
    large = b" " * (limits.PAYLOAD_SIZE + 1)
    with refused(Reason.TOO_LARGE):
        verify_cosign(large, {}, Digest.of(IMAGE), demand, now=NOW)
    chain = pem_of(*deployment.authority.chain).decode() * 9
    with pytest.raises(LimitExceeded, match="18 blocks"):
        Layer.parse(b"", {CHAIN: chain}, most=1)


# --- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", ["!", "a", "aa", "aa=", "QR==", "QQ", "QQ==QQ==", "Q Q=", "-_-_", 5]
)
def test_base64_is_written_one_way(wrong: object) -> None:
    with pytest.raises(Malformed, match=r"it is not (base64|text)"):
        decode_base64(wrong, "it")


def test_base64_may_be_url_safe_where_that_is_allowed() -> None:
    assert decode_base64("-_-_", "it", url_safe=True) == b"\xfb\xff\xbf"
    assert decode_base64("+/+/", "it", url_safe=True) == b"\xfb\xff\xbf"
    assert decode_base64("", "it") == b""
    with pytest.raises(Malformed):
        decode_base64("-_+/", "it", url_safe=True)


def test_fields_are_read_by_type() -> None:
    fields = Fields({"a": "x", "b": 5, "c": None, "d": "", "e": [1, 2], "f": True}, "it")
    assert (fields.text("a"), fields.optional_text("c"), fields.optional_text("d")) == ("x", "", "")
    assert (fields.integer("b"), fields.integer("c"), fields.integer("z")) == (5, 0, 0)
    assert (fields.array("e", 2), fields.array("c", 2)) == ((1, 2), ())
    for read in (
        lambda: fields.text("b"),
        lambda: fields.text("d"),
        lambda: fields.optional_text("b"),
        lambda: fields.integer("a"),
        lambda: fields.integer("f"),
        lambda: fields.fields("a", frozenset()),
        lambda: fields.objects("e", frozenset(), 2),
        lambda: fields.array("a", 2),
    ):
        with pytest.raises(Malformed):
            read()
    with pytest.raises(LimitExceeded, match="2 entries, 1 are the most"):
        fields.array("e", 1)


# --- evidence -------------------------------------------------------------------------------------


def test_evidence_names_one_signer_and_one_clock() -> None:
    digest = Digest.of(IMAGE)
    Evidence(SignatureFormat.BUNDLE, None, digest, digest)
    with pytest.raises(ValueError, match="by somebody"):
        Evidence(SignatureFormat.BUNDLE, None, None, digest)
    with pytest.raises(ValueError, match="somebody's word"):
        Evidence(SignatureFormat.BUNDLE, None, digest, digest, time=NOW)


def test_evidence_says_what_a_signature_is(deployment: Deployment) -> None:
    formats = {
        "bundle": SignatureFormat.BUNDLE,
        "layer": SignatureFormat.COSIGN,
        "attestation": SignatureFormat.COSIGN_ATTESTATION,
    }
    for name, recipe in RECIPES.items():
        specimen = deployment.make(name, IMAGE)
        found = specimen.check()
        assert found.evidence.format is formats[recipe.form]
        assert (found.statement is None) is (recipe.content != "statement")
        if recipe.content == "statement":
            assert found.evidence.predicate_type == recipe.predicate_type


def test_anything_will_do_where_anything_is_asked_for(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, v0.2", IMAGE)
    loose = Demand(specimen.demand.signer, specimen.demand.roots, kind=Kind.ANYTHING)
    data = compact(specimen.document)
    assert not verify_bundle(data, Message.of(IMAGE), loose, now=NOW).evidence.is_signature
    with pytest.raises(SignatureRejected):
        verify_bundle(data, Message.of(b"x"), loose, now=NOW)
