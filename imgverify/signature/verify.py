"""Bytes, trust and the time in; evidence or `SignatureRejected` out.

A signature is bound to one digest. `artifact` or `digest` is what it has to be about: an image's
manifest, or the digest of one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgverify.errors import Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.signature.bundle import Bundle, MessageSignature
from imgverify.signature.claim import COSIGN, Claim
from imgverify.signature.cosign import Layer
from imgverify.signature.demand import Kind
from imgverify.signature.document import rejecting
from imgverify.signature.dsse import IN_TOTO, Envelope
from imgverify.signature.entrybody import documents_of
from imgverify.signature.message import Message
from imgverify.signature.statement import Statement
from imgverify.signature.trusted import TrustedKey
from imgverify.signature.vouch import Signed, vouch
from imgverify.verdict import Evidence, SignatureFormat

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imgverify.oci.digest import Digest
    from imgverify.signature.demand import Demand
    from imgverify.signature.material import Material


@dataclass(frozen=True, slots=True)
class Verified:
    """Evidence, and the statement that it rests on where that is one."""

    evidence: Evidence
    statement: Statement | None = None


def verify_bundle(data: bytes, artifact: Message, demand: Demand, *, now: datetime) -> Verified:
    """Verify a Sigstore bundle; raises `SignatureRejected`."""
    with rejecting("the bundle"):
        bundle = Bundle.parse(data)
        content, statement = bundle.content, None
        if isinstance(content, MessageSignature):
            _check_artifact(content, artifact, demand)
            signed = Signed(artifact, content.signature, bundle.material, content.signature)
        else:
            statement = _read_statement(content, artifact.digest, demand)
            _check_hint(content, bundle)
            documents = documents_of(content)
            signed = Signed(
                content.message,
                content.signature,
                bundle.material,
                stamped=content.signature,
                envelope=content,
                documents=documents,
            )
        about = _About(SignatureFormat.BUNDLE, artifact.digest, statement)
        return _judge(signed, about, demand, now)


def verify_cosign(
    payload: bytes, annotations: Mapping[str, str], digest: Digest, demand: Demand, *, now: datetime
) -> Verified:
    """Verify a layer of a `.sig` tag; raises `SignatureRejected`."""
    with rejecting("the signature"):
        layer = Layer.parse(payload, annotations, most=limits.PAYLOAD_SIZE)
        claim = Claim.parse(payload)
        _check_claim(claim, digest, demand)
        material = _material(layer, demand)
        signed = Signed(Message.of(payload), layer.signature, material, layer.signature)
        about = _About(SignatureFormat.COSIGN, digest, name=claim.docker_reference)
        return _judge(signed, about, demand, now)


def verify_cosign_attestation(
    envelope: bytes,
    annotations: Mapping[str, str],
    digest: Digest,
    demand: Demand,
    *,
    now: datetime,
) -> Verified:
    """Verify a layer of an `.att` tag; raises `SignatureRejected`."""
    with rejecting("the attestation"):
        layer = Layer.parse(envelope, annotations, most=limits.BUNDLE_SIZE)
        content = Envelope.parse(envelope)
        statement = _read_statement(content, digest, demand)
        signed = Signed(
            content.message,
            content.signature,
            _material(layer, demand),
            stamped=envelope,
            envelope=content,
            documents=(envelope,),
        )
        about = _About(SignatureFormat.COSIGN_ATTESTATION, digest, statement)
        return _judge(signed, about, demand, now)


@dataclass(frozen=True, slots=True)
class _About:
    """What a signature says, once it has been held against the digest."""

    format: SignatureFormat
    digest: Digest
    statement: Statement | None = None
    name: str = ""


def _judge(signed: Signed, about: _About, demand: Demand, now: datetime) -> Verified:
    statement = about.statement
    vouched = vouch(signed, demand, now)
    if statement is not None:
        _check_predicate(statement, demand)
    moment = vouched.moment
    evidence = Evidence(
        format=about.format,
        identity=vouched.identity,
        key=vouched.key,
        subject=about.digest,
        time=None if moment is None else moment.time,
        clock=None if moment is None else moment.clock,
        predicate_type=None if statement is None else statement.predicate_type,
        is_signature=statement is None or statement.is_signature,
        docker_reference=about.name,
        verified_with=vouched.verified_with,
        skipped=demand.skipped,
    )
    return Verified(evidence, statement)


def _check_artifact(content: MessageSignature, artifact: Message, demand: Demand) -> None:
    if demand.predicate_type is not None:
        msg = f"a bare signature is no attestation of the type {demand.predicate_type!r}"
        raise SignatureRejected(msg, Reason.PREDICATE_MISMATCH)
    if content.digest is None:
        return
    hashed = artifact.hashed(content.digest.algorithm)
    if hashed is None or hashed.hex() != content.digest.encoded:
        msg = f"the bundle is about {content.digest}, and not about {artifact.digest}"
        raise SignatureRejected(msg, Reason.ARTIFACT_MISMATCH)


def _check_hint(envelope: Envelope, bundle: Bundle) -> None:
    if bundle.hint and envelope.key_id not in {"", bundle.hint}:
        msg = "the bundle calls its key by two names"
        raise Malformed(msg)


def _read_statement(envelope: Envelope, digest: Digest, demand: Demand) -> Statement:
    if envelope.payload_type != IN_TOTO:
        msg = f"the envelope holds {envelope.payload_type!r}, which is no in-toto statement"
        raise SignatureRejected(msg, Reason.UNSUPPORTED)
    statement = Statement.parse(envelope.payload)
    if not statement.is_about(digest):
        msg = f"the statement is about other digests than {digest}"
        raise SignatureRejected(msg, Reason.ARTIFACT_MISMATCH)
    wanted, found = demand.predicate_type, statement.predicate_type
    if wanted is None:
        accepted = statement.is_signature or demand.kind is Kind.ANYTHING
    else:
        accepted = found == wanted
    if not accepted:
        msg = f"the statement is of the type {found!r}, and {wanted or 'a signature'} is asked for"
        raise SignatureRejected(msg, Reason.PREDICATE_MISMATCH)
    return statement


def _check_predicate(statement: Statement, demand: Demand) -> None:
    """Hold a predicate against conditions, once it is known whose word it is."""
    predicate = statement.predicate if demand.where else None
    for each in demand.where:
        objection = each.objection(predicate)
        if objection is not None:
            raise SignatureRejected(objection, Reason.CONDITION_UNMET)


def _check_claim(claim: Claim, digest: Digest, demand: Demand) -> None:
    if demand.predicate_type is not None:
        msg = f"a bare signature is no attestation of the type {demand.predicate_type!r}"
        raise SignatureRejected(msg, Reason.PREDICATE_MISMATCH)
    if claim.kind != COSIGN:
        msg = f"the payload is a {claim.kind!r}, which is no signature of cosign's"
        raise SignatureRejected(msg, Reason.UNSUPPORTED)
    if claim.digest != digest:
        msg = f"the signature is about {claim.digest}, and not about {digest}"
        raise SignatureRejected(msg, Reason.ARTIFACT_MISMATCH)
    if demand.name is not None and not demand.name.accepts(claim.docker_reference):
        msg = f"the image was signed as {claim.docker_reference!r}, and {demand.name} is asked for"
        hint = "if its publisher signs it under another name, say which with --signed-as"
        raise SignatureRejected(msg, Reason.NAME_MISMATCH, hint=hint)


def _material(layer: Layer, demand: Demand) -> Material:
    """With a key asked for, a certificate that lies beside the signature is beside the point."""
    if isinstance(demand.signer, TrustedKey):
        return replace(layer.material, certificate=None, along=())
    return layer.material
