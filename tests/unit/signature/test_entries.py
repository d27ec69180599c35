"""Log entries: what they are about, and how logs vouch for them."""

from __future__ import annotations

import copy
import hashlib
import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from imgverify.errors import Malformed, Reason, SignatureRejected
from imgverify.oci.digest import Digest
from imgverify.signature.checkpoint import Checkpoint
from imgverify.signature.dsse import Envelope
from imgverify.signature.entrybody import Signature, check_body
from imgverify.signature.keys import PublicKey, Scheme
from imgverify.signature.logentry import LogEntry
from imgverify.signature.merkle import InclusionProof
from imgverify.signature.message import Message
from imgverify.signature.trusted import TransparencyLog
from tests.support import translog
from tests.support.authorities import SIGNED, new_key, public_pem, sign, spki
from tests.support.signer import RECIPES, Deployment, Specimen
from tests.support.translog import Document, Log, compact, text, tree_path, tree_root
from tests.unit.signature.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGE = b'{"schemaVersion":2}'
LOGGED = [name for name, each in RECIPES.items() if each.entry]


def relogged(deployment: Deployment, specimen: Specimen, body: Document) -> Specimen:
    """Return the signature with another entry that the log took up all the same."""
    recipe, document = specimen.recipe, specimen.copy()
    log = deployment.tiles if recipe.tiled else deployment.rekor
    entry = log.add(body)
    if recipe.form == "bundle":
        document["verificationMaterial"]["tlogEntries"] = [entry]
    else:
        document["annotations"]["dev.sigstore.cosign/bundle"] = json.dumps(
            {
                "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                "Payload": {
                    "body": entry["canonicalizedBody"],
                    "integratedTime": int(entry["integratedTime"]),
                    "logIndex": int(entry["logIndex"]),
                    "logID": log.log_id.hex(),
                },
            }
        )
    return specimen.having(document)


def body_of(specimen: Specimen) -> Document:
    document = specimen.document
    if specimen.recipe.form == "bundle":
        encoded = document["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"]
    else:
        promise = json.loads(document["annotations"]["dev.sigstore.cosign/bundle"])
        encoded = promise["Payload"]["body"]
    body: Document = json.loads(b64decode(encoded))
    return body


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    """Yield the path of every text in a body."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from places(item, (*path, key))
    else:
        yield path


def with_text(body: Document, path: tuple[Any, ...], value: object) -> Document:
    changed = copy.deepcopy(body)
    *steps, last = path
    target: Any = changed
    for step in steps:
        target = target[step]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return changed


# Hashes of an envelope as it was written down, which a bundle does not keep.
UNKNOWABLE = {"spec.envelopeHash.algorithm", "spec.envelopeHash.value"}


def is_unread(name: str, path: tuple[Any, ...]) -> bool:
    joined = ".".join(map(str, path))
    if RECIPES[name].entry == "intoto_2" and joined.startswith("spec.content.hash."):
        return True
    return joined in UNKNOWABLE or (
        RECIPES[name].entry == "intoto_1" and joined.startswith("spec.content.payloadHash.")
    )


@pytest.mark.parametrize("name", LOGGED)
def test_rekor_entry_binding_everything_that_an_entry_says_is_compared(
    deployment: Deployment, name: str
) -> None:
    """The log took up entries that are about something else in one place; none of them helps."""
    one, other = (deployment.make(name, image) for image in (IMAGE, b"{}"))
    body, strange = body_of(one), body_of(other)
    relogged(deployment, one, body).check()
    tried = 0
    for path in places(body):
        theirs: Any = strange
        for step in path:
            theirs = theirs[step]
        for value in (theirs, "", "x", None, "!"):
            changed = with_text(body, path, value)
            if changed == body or is_unread(name, path):
                continue
            with pytest.raises(SignatureRejected) as caught:
                relogged(deployment, one, changed).check()
            assert caught.value.reason in {
                Reason.ENTRY_MISMATCH,
                Reason.MALFORMED,
                Reason.UNSUPPORTED,
            }, path
            tried += 1
    assert tried > 15


@pytest.mark.parametrize("name", ["keyless, Rekor v1", "keyless, Rekor v2", "cosign, keyless"])
def test_rekor_entry_binding_an_entry_of_another_kind_is_refused(
    deployment: Deployment, name: str
) -> None:
    specimen = deployment.make(name, IMAGE)
    for kind, version in (
        ("alpine", "0.0.1"),
        ("hashedrekord", "0.0.3"),
        ("hashedrekord", "1.0.0"),
        ("Hashedrekord", "0.0.1"),
        ("intoto", "0.0.3"),
    ):
        body = {**body_of(specimen), "kind": kind, "apiVersion": version}
        with refused(Reason.UNSUPPORTED, "not supported"):
            relogged(deployment, specimen, body).check()


def test_an_entry_for_envelopes_is_about_no_artifact(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, artifact, Rekor v1", IMAGE)
    value = b64decode(specimen.document["messageSignature"]["signature"])
    pem = specimen.signer.pem
    for body in (
        translog.dsse(value, IMAGE, pem),
        translog.intoto_1(IMAGE, IMAGE, pem),
        translog.intoto_2(value, IMAGE, pem),
    ):
        with refused(Reason.ENTRY_MISMATCH, "kind"):
            relogged(deployment, specimen, body).check()
    tiled = deployment.make("keyless, artifact, Rekor v2", IMAGE)
    value = b64decode(tiled.document["messageSignature"]["signature"])
    with refused(Reason.ENTRY_MISMATCH, "kind"):
        body = translog.dsse_2(value, IMAGE, tiled.signer.verifier)
        relogged(deployment, tiled, body).check()


def test_the_bundle_says_of_which_kind_its_entry_is(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    document = specimen.copy()
    kind = document["verificationMaterial"]["tlogEntries"][0]["kindVersion"]
    kind["version"] = "0.0.2"
    with refused(Reason.ENTRY_MISMATCH, "its kind"):
        specimen.having(document).check()


def test_several_signers_of_one_entry_are_too_many(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    body = body_of(specimen)
    body["spec"]["signatures"] *= 2
    with refused(Reason.ENTRY_MISMATCH, "number of signatures"):
        relogged(deployment, specimen, body).check()


def test_an_entry_holds_the_certificate_and_not_its_key_alone(deployment: Deployment) -> None:
    for name in ("keyless, Rekor v1", "cosign, keyless"):
        specimen = deployment.make(name, IMAGE)
        body = body_of(specimen)
        bare = text(public_pem(specimen.signer.key))
        if name == "cosign, keyless":
            body["spec"]["signature"]["publicKey"]["content"] = bare
        else:
            body["spec"]["signatures"][0]["verifier"] = bare
        with refused(Reason.ENTRY_MISMATCH, "key or certificate"):
            relogged(deployment, specimen, body).check()
    tiled = deployment.make("keyless, Rekor v2", IMAGE)
    body = body_of(tiled)
    verifier = body["spec"]["hashedRekordV002"]["signature"]["verifier"]
    verifier["publicKey"] = {"rawBytes": text(spki(tiled.signer.key))}
    with refused(Reason.ENTRY_MISMATCH, "key or certificate"):
        relogged(deployment, tiled, body).check()
    del verifier["x509Certificate"]
    with refused(Reason.ENTRY_MISMATCH, "key or certificate"):
        relogged(deployment, tiled, body).check()


def test_a_signature_that_was_written_once_is_none(deployment: Deployment) -> None:
    """In these entries it is base64 of base64; what is not is another signature."""
    specimen = deployment.make("keyless, v0.2", IMAGE)
    body = body_of(specimen)
    signature = body["spec"]["content"]["envelope"]["signatures"][0]
    signature["sig"] = b64decode(signature["sig"]).decode()
    with refused(Reason.ENTRY_MISMATCH, "its signature"):
        relogged(deployment, specimen, body).check()


def test_an_algorithm_has_to_be_the_one_that_was_used(deployment: Deployment) -> None:
    tiled = deployment.make("keyless, Rekor v2", IMAGE)
    body = body_of(tiled)
    verifier = body["spec"]["hashedRekordV002"]["signature"]["verifier"]
    for details in ("PKIX_ED25519", "PKIX_ECDSA_P384_SHA_384", "PKIX_RSA_PSS_2048_SHA256", "new"):
        verifier["keyDetails"] = details
        with refused(Reason.ENTRY_MISMATCH, "algorithm"):
            relogged(deployment, tiled, body).check()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512", "SHA2_384", "SHA2_512"])
def test_an_entry_may_have_a_longer_hash(deployment: Deployment, algorithm: str) -> None:
    tiled = algorithm.startswith("SHA2")
    name = "keyless, artifact, Rekor v2" if tiled else "keyless, artifact, Rekor v1"
    specimen = deployment.make(name, IMAGE)
    body = body_of(specimen)
    hashed = hashlib.new(algorithm.replace("SHA2_", "sha"), IMAGE)
    if tiled:
        body["spec"]["hashedRekordV002"]["data"] = {
            "algorithm": algorithm,
            "digest": text(hashed.digest()),
        }
    else:
        body["spec"]["data"]["hash"] = {"algorithm": algorithm, "value": hashed.hexdigest()}
    relogged(deployment, specimen, body).check()


def key_signature(value: bytes, message: bytes, key: PublicKey) -> Signature:
    return Signature(value, Message.of(message), key, Scheme.ECDSA_SHA256)


def test_a_rekord_entry_has_its_format() -> None:
    key = new_key()
    value = sign(key, b"m")
    signature = key_signature(value, b"m", PublicKey.from_der(spki(key)))
    body = translog.rekord(value, b"m", public_pem(key))
    assert check_body(compact(body), None, signature) == ("rekord", "0.0.1")
    body["spec"]["signature"]["format"] = "pgp"
    with refused(Reason.ENTRY_MISMATCH, "format"):
        check_body(compact(body), None, signature)


# --- promises -------------------------------------------------------------------------------------


def test_a_promise_is_over_what_the_entry_says(deployment: Deployment) -> None:
    specimen = deployment.make("cosign, keyless", IMAGE)
    annotation = "dev.sigstore.cosign/bundle"
    for field, value in (("integratedTime", 1), ("logIndex", 1), ("logIndex", 0)):
        document = specimen.copy()
        promise = json.loads(document["annotations"][annotation])
        promise["Payload"][field] = value
        document["annotations"][annotation] = json.dumps(promise)
        with refused(Reason.PROMISE_INVALID):
            specimen.having(document).check()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.pop("SignedEntryTimestamp"), Reason.MALFORMED),
        (lambda d: d.pop("Payload"), Reason.MALFORMED),
        (lambda d: d["Payload"].pop("body"), Reason.MALFORMED),
        (lambda d: d["Payload"].update(body={}), Reason.MALFORMED),
        (lambda d: d["Payload"].update(logID="zz"), Reason.MALFORMED),
        (lambda d: d["Payload"].update(logID=d["Payload"]["logID"].upper()), Reason.MALFORMED),
        (lambda d: d["Payload"].update(logID=""), Reason.MALFORMED),
        (lambda d: d["Payload"].update(logID="00" * 32), Reason.LOG_UNKNOWN),
        (lambda d: d["Payload"].update(logIndex=-1), Reason.MALFORMED),
        (lambda d: d["Payload"].update(logIndex=1.5), Reason.MALFORMED),
        (lambda d: d["Payload"].update(logIndex=True), Reason.MALFORMED),
        (lambda d: d["Payload"].update(logIndex=2**53), Reason.MALFORMED),
        (lambda d: d["Payload"].update(integratedTime=2**60), Reason.MALFORMED),
    ],
)
def test_a_promise_that_is_none_is_refused(
    deployment: Deployment, change: Callable[[Document], object], reason: Reason
) -> None:
    specimen = deployment.make("cosign, keyless", IMAGE)
    document = specimen.copy()
    annotation = "dev.sigstore.cosign/bundle"
    promise = json.loads(document["annotations"][annotation])
    change(promise)
    document["annotations"][annotation] = json.dumps(promise)
    with refused(reason):
        specimen.having(document).check()


def test_a_promise_may_be_for_a_time_that_no_calendar_has(deployment: Deployment) -> None:
    specimen = deployment.make("key, Rekor v1", IMAGE)
    document = specimen.copy()
    entry = document["verificationMaterial"]["tlogEntries"][0]
    entry["integratedTime"] = str(2**52)
    promise = deployment.rekor.promise(
        b64decode(entry["canonicalizedBody"]), 2**52, int(entry["logIndex"])
    )
    entry["inclusionPromise"]["signedEntryTimestamp"] = text(promise)
    with refused(Reason.MALFORMED, "no calendar"):
        specimen.having(document).check()


def test_an_entry_without_promise_and_proof_is_no_entry(deployment: Deployment) -> None:
    specimen = deployment.make("key, Rekor v1", IMAGE)
    key = specimen.demand.signer
    entry = specimen.document["verificationMaterial"]["tlogEntries"][0]
    bare = LogEntry(deployment.rekor.log_id, 1, b64decode(entry["canonicalizedBody"]))
    log = specimen.demand.roots[0].logs[0]
    envelope = specimen.document["dsseEnvelope"]
    content = Envelope.parse(compact(envelope))
    signature = Signature(
        content.signature,
        content.message,
        key.key,  # type: ignore[union-attr] # a key's recipe
        Scheme.ECDSA_SHA256,
        envelope=content,
    )
    assert log.key is not None
    with refused(Reason.PROOF_MISSING, "neither"):
        bare.check(log, log.key, signature)
    promised = replace(bare, promise=b"x")
    with refused(Reason.PROMISE_INVALID):
        promised.check(log, log.key, signature)


def test_rekor_v2_has_proofs_alone(deployment: Deployment) -> None:
    """A promise where none can be is not taken for one."""
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    document = specimen.copy()
    entry = document["verificationMaterial"]["tlogEntries"][0]
    entry["inclusionPromise"] = {"signedEntryTimestamp": text(b"anything")}
    specimen.having(document).check()
    del entry["inclusionProof"]
    document["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"
    chain = [document["verificationMaterial"].pop("certificate")]
    document["verificationMaterial"]["x509CertificateChain"] = {"certificates": chain}
    with refused(Reason.PROOF_MISSING, "no proof"):
        specimen.having(document).check()


def test_rekor_v2_says_one_place(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    document = specimen.copy()
    document["verificationMaterial"]["tlogEntries"][0]["logIndex"] = "1"
    with refused(Reason.PROOF_INVALID, "another place"):
        specimen.having(document).check()


# --- proofs ---------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.data())
def test_a_proof_leads_to_the_root(size: int, data: st.DataObject) -> None:
    leaves = [b"%d" % number for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    proof = InclusionProof(index, size, tree_root(leaves), tuple(tree_path(leaves, index)), "")
    proof.check(leaves[index])
    with refused(Reason.PROOF_INVALID):
        proof.check(b"another leaf")
    for wrong in (
        replace(proof, index=index + 1),
        replace(proof, index=size),
        replace(proof, size=0),
        replace(proof, size=index),
        replace(proof, root=b"\0" * 32),
        replace(proof, hashes=(*proof.hashes, b"\0" * 32)),
        replace(proof, hashes=proof.hashes[:-1]),
    ):
        if wrong != proof:
            with refused(Reason.PROOF_INVALID):
                wrong.check(leaves[index])


@settings(max_examples=30)
@given(st.integers(2, 40), st.data())
def test_a_proof_of_another_place_or_size_leads_elsewhere(size: int, data: st.DataObject) -> None:
    leaves = [b"%d" % number for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda each: each != index))
    proof = InclusionProof(index, size, tree_root(leaves), tuple(tree_path(leaves, other)), "")
    with refused(Reason.PROOF_INVALID):
        proof.check(leaves[index])


def test_a_hash_has_its_length() -> None:
    with pytest.raises(Malformed, match="32 bytes"):
        InclusionProof(0, 1, b"\0" * 31, (), "")
    with pytest.raises(Malformed, match="32 bytes"):
        InclusionProof(0, 1, b"\0" * 32, (b"x",), "")


@pytest.mark.parametrize("name", ["keyless, Rekor v1", "keyless, Rekor v2"])
def test_a_proof_without_a_checkpoint_proves_nothing(deployment: Deployment, name: str) -> None:
    specimen = deployment.make(name, IMAGE)
    for checkpoint in (None, {}, {"envelope": ""}, {"envelope": None}):
        document = specimen.copy()
        proof = document["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
        proof["checkpoint"] = checkpoint
        with refused(Reason.CHECKPOINT_INVALID, "no checkpoint"):
            specimen.having(document).check()


# --- checkpoints ----------------------------------------------------------------------------------

LEAVES = [b"a", b"b", b"c"]
WITNESS = f"\u2014 witness.example {text(b'1234' + b'x' * 64)}\n"


def trusted(log: Log) -> tuple[TransparencyLog, PublicKey]:
    key = PublicKey.from_der(spki(log.key))
    return TransparencyLog(log.host, log.log_id, key), key


@pytest.fixture(params=[True, False], ids=["tiled", "v1"])
def log(request: pytest.FixtureRequest) -> Log:
    if request.param:
        return Log("log.example", tiled=True, key=ed25519.Ed25519PrivateKey.generate())
    return Log("log.example")


def test_a_checkpoint_is_signed_by_its_log(log: Log) -> None:
    known, key = trusted(log)
    for note in (log.checkpoint(LEAVES), log.checkpoint(LEAVES, WITNESS, WITNESS)):
        checkpoint = Checkpoint.parse(note)
        assert (checkpoint.size, checkpoint.root) == (3, tree_root(LEAVES))
        checkpoint.check(known, key, tiled=log.tiled)
    body, _, lines = log.checkpoint(LEAVES).rpartition("\n\n")
    Checkpoint.parse(f"{body}\n\n{WITNESS}{lines}").check(known, key, tiled=log.tiled)
    other, other_key = trusted(Log("log.example", tiled=log.tiled))
    with refused(Reason.CHECKPOINT_INVALID, "did not sign"):
        Checkpoint.parse(log.checkpoint(LEAVES)).check(other, other_key, tiled=log.tiled)
    # The log's hint before somebody else's signature.
    forged = f"{body}\n\n\u2014 {log.host} {text(log.log_id[:4] + b'x' * 64)}\n"
    with refused(Reason.CHECKPOINT_INVALID, "signed another"):
        Checkpoint.parse(forged).check(known, key, tiled=log.tiled)


def test_a_log_signs_under_its_own_name(log: Log) -> None:
    known, key = trusted(log)
    body = f"other.example\n3\n{text(tree_root(LEAVES))}\n"
    line = f"\u2014 {log.host} {text(log.log_id[:4] + sign(log.key, body.encode()))}\n"
    with refused(Reason.CHECKPOINT_INVALID, "did not sign"):
        Checkpoint.parse(f"{body}\n{line}").check(known, key, tiled=log.tiled)


def test_a_tree_s_number_belongs_to_the_old_logs() -> None:
    tiled = Log("log.example", tiled=True)
    body = f"log.example - 1\n3\n{text(tree_root(LEAVES))}\n"
    line = f"\u2014 log.example {text(tiled.log_id[:4] + sign(tiled.key, body.encode()))}\n"
    known, key = trusted(tiled)
    Checkpoint.parse(f"{body}\n{line}").check(known, key, tiled=False)
    with refused(Reason.CHECKPOINT_INVALID):
        Checkpoint.parse(f"{body}\n{line}").check(known, key, tiled=True)


def test_a_log_may_mark_its_checkpoints_by_another_id(log: Log) -> None:
    known, key = trusted(log)
    note = Checkpoint.parse(log.checkpoint(LEAVES))
    renamed = replace(known, log_id=b"\0" * 32, note_id=log.log_id)
    note.check(renamed, key, tiled=log.tiled)


def test_a_checkpoint_may_say_more_than_it_has_to(log: Log) -> None:
    known, key = trusted(log)
    body = f"{log.origin}\n3\n{text(tree_root(LEAVES))}\nTimestamp: 5\n\nmore\n"
    line = f"\u2014 {log.host} {text(log.log_id[:4] + sign(log.key, body.encode()))}\n"
    checkpoint = Checkpoint.parse(f"{body}\n{line}")
    checkpoint.check(known, key, tiled=log.tiled)
    assert checkpoint.signed == body.encode()


ROOT = text(b"\0" * 32)
LINE = f"\u2014 log.example {text(b'1234x')}\n"


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        f"log.example\n3\n{ROOT}\n",
        f"log.example\n3\n{ROOT}\n\n",
        f"log.example\n3\n{ROOT}\n{LINE}",
        f"log.example\n3\n{ROOT}\n\n{LINE[:-1]}",
        f"log.example\n3\n\n{LINE}",
        f"3\n{ROOT}\n\n{LINE}",
        f"\n3\n{ROOT}\n\n{LINE}",
        f"log.example\n{ROOT}\n\n{LINE}",
        f"log.example\n03\n{ROOT}\n\n{LINE}",
        f"log.example\n-3\n{ROOT}\n\n{LINE}",
        f"log.example\n3 \n{ROOT}\n\n{LINE}",
        f"log.example\n\u0663\n{ROOT}\n\n{LINE}",
        f"log.example\n{'9' * 30}\n{ROOT}\n\n{LINE}",
        f"log.example\n3\n!\n\n{LINE}",
        f"log.example\n3\n{ROOT}\n\n- log.example {text(b'1234x')}\n",
        f"log.example\n3\n{ROOT}\n\n\u2014 log.example {text(b'1234')}\n",
        f"log.example\n3\n{ROOT}\n\n\u2014 log.example !\n",
        f"log.example\n3\n{ROOT}\n\n\u2014 log example {text(b'1234x')}\n",
        f"log.example\n3\n{ROOT}\n\n\u2014  {text(b'1234x')}\n",
        f"log.example\n3\n{ROOT}\n\n{LINE * 65}",
    ],
)
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    with refused(Reason.CHECKPOINT_INVALID, "cannot be read"):
        Checkpoint.parse(note)


def test_a_checkpoint_has_bounds() -> None:
    with refused(Reason.TOO_LARGE):
        Checkpoint.parse("x" * 100_000)


def test_the_time_of_an_entry_is_that_of_the_log(deployment: Deployment) -> None:
    seconds = int(SIGNED.timestamp())
    assert datetime.fromtimestamp(seconds, UTC) == SIGNED
    specimen = deployment.make("key, Rekor v1", IMAGE)
    assert specimen.check().evidence.time == SIGNED
    assert specimen.check().evidence.subject == Digest.of(IMAGE)
