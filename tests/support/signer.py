"""A throw-away Sigstore deployment that signs in every form that imgverify reads."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ed25519

from imgverify.oci.digest import Digest
from imgverify.signature.demand import Demand
from imgverify.signature.identity import Identity
from imgverify.signature.keys import PublicKey
from imgverify.signature.message import Message
from imgverify.signature.statement import COSIGN_SIGN
from imgverify.signature.trusted import TrustedKey, TrustedRoot
from imgverify.signature.verify import (
    Verified,
    verify_bundle,
    verify_cosign,
    verify_cosign_attestation,
)
from imgverify.trust.trustedroot import parse_trusted_roots
from tests.support import translog
from tests.support.authorities import (
    NOW,
    SIGNED,
    YEAR,
    CertificateLog,
    Issuer,
    Login,
    SigningKey,
    TimestampAuthority,
    der_of,
    email,
    log_in,
    new_key,
    pem_of,
    public_pem,
    sign,
    spki,
)
from tests.support.translog import Document, Log, compact, text

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

MEDIA_TYPES = {
    1: "application/vnd.dev.sigstore.bundle+json;version=0.1",
    2: "application/vnd.dev.sigstore.bundle+json;version=0.2",
    3: "application/vnd.dev.sigstore.bundle.v0.3+json",
}
IN_TOTO = "application/vnd.in-toto+json"
NAME = "registry.example/team/app"
SLSA = "https://slsa.dev/provenance/v1"
WHO = "signer@example.com"
ISSUER = "https://login.example.com"


@dataclass(frozen=True)
class Signer:
    """Somebody with a key and, mostly, a certificate."""

    key: SigningKey
    certificate: x509.Certificate | None = None
    above: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """What a log is given to check a signature with."""
        return public_pem(self.key) if self.certificate is None else pem_of(self.certificate)

    @property
    def verifier(self) -> Document:
        """The same for Rekor v2."""
        details = "PKIX_ECDSA_P256_SHA_256"
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            details = "PKIX_ED25519"
        if self.certificate is None:
            return {"publicKey": {"rawBytes": text(spki(self.key))}, "keyDetails": details}
        raw = {"rawBytes": text(der_of(self.certificate))}
        return {"x509Certificate": raw, "keyDetails": details}

    def sign(self, data: bytes) -> bytes:
        return sign(self.key, data)


@dataclass(frozen=True)
class Recipe:
    """A form of signature. `entry` is the kind of log entry, empty for none."""

    form: str = "bundle"
    content: str = "statement"
    entry: str = ""
    stamped: bool = False
    keyed: bool = False
    version: int = 3
    sct: bool = True
    predicate_type: str = COSIGN_SIGN

    @property
    def tiled(self) -> bool:
        return self.entry in {"hashedrekord_2", "dsse_2"}


RECIPES = {
    "keyless, Rekor v1": Recipe(entry="dsse"),
    "keyless, Rekor v1, timestamp": Recipe(entry="dsse", stamped=True),
    "keyless, Rekor v2": Recipe(entry="hashedrekord_2", stamped=True),
    "keyless, Rekor v2, dsse": Recipe(entry="dsse_2", stamped=True),
    "keyless, artifact, Rekor v1": Recipe(content="artifact", entry="hashedrekord"),
    "keyless, artifact, Rekor v2": Recipe(content="artifact", entry="hashedrekord_2", stamped=True),
    "keyless, v0.1": Recipe(content="artifact", entry="hashedrekord", version=1),
    "keyless, v0.2": Recipe(entry="intoto_2", version=2, predicate_type=SLSA),
    "keyless, intoto 0.0.1": Recipe(entry="intoto_1", predicate_type=SLSA),
    "keyless, timestamp only": Recipe(stamped=True, sct=False),
    "key, Rekor v1": Recipe(entry="dsse", keyed=True),
    "key, Rekor v2": Recipe(entry="hashedrekord_2", stamped=True, keyed=True),
    "key, artifact": Recipe(content="artifact", entry="hashedrekord", keyed=True),
    "key alone": Recipe(keyed=True),
    "cosign, keyless": Recipe("layer", "claim", "hashedrekord"),
    "cosign, keyless, timestamp": Recipe("layer", "claim", stamped=True, sct=False),
    "cosign, keyless, rekord": Recipe("layer", "claim", "rekord"),
    "cosign, key, promise": Recipe("layer", "claim", "hashedrekord", keyed=True),
    "cosign, key alone": Recipe("layer", "claim", keyed=True),
    "cosign attestation, intoto 0.0.1": Recipe(
        "attestation", entry="intoto_1", predicate_type=SLSA
    ),
    "cosign attestation, intoto 0.0.2": Recipe(
        "attestation", entry="intoto_2", predicate_type=SLSA
    ),
    "cosign attestation, dsse": Recipe("attestation", entry="dsse", predicate_type=SLSA),
    "cosign attestation, timestamp": Recipe(
        "attestation", stamped=True, sct=False, predicate_type=SLSA
    ),
    "cosign attestation, key": Recipe("attestation", keyed=True, predicate_type=SLSA),
}


@dataclass
class Deployment:
    """Fulcio, a certificate log, Rekor in both versions, and a timestamp authority."""

    host: str = "sigstore.example"
    authority: Issuer = field(default_factory=lambda: Issuer.root("root").issuer("intermediate"))
    ct_log: CertificateLog = field(default_factory=CertificateLog)
    rekor: Log = field(default_factory=lambda: Log("rekor.example"))
    tiles: Log = field(
        default_factory=lambda: Log(
            "log2026.example", tiled=True, key=ed25519.Ed25519PrivateKey.generate()
        )
    )
    tsa: TimestampAuthority = field(
        default_factory=lambda: TimestampAuthority.below(Issuer.root("timestamp root"))
    )

    def trusted_root(self, recipe: Recipe | None = None) -> Document:
        """Return the trusted root; for a recipe without logs, that of a deployment without."""
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log(self.rekor), _log(self.tiles)],
            "certificateAuthorities": [_authority(self.authority.chain)],
            "ctlogs": [_log(self.ct_log)],
            "timestampAuthorities": [_authority(self.tsa.chain)],
        }
        if recipe is not None and not recipe.entry:
            del document["tlogs"]
        if recipe is not None and (recipe.keyed or not recipe.sct):
            del document["ctlogs"]
        return document

    def roots(self, recipe: Recipe | None = None) -> tuple[TrustedRoot, ...]:
        return parse_trusted_roots(compact(self.trusted_root(recipe)), self.host)

    def log_in(self, login: Login | None = None, *, sct: bool = True) -> Signer:
        """Return a signer with a certificate of this deployment."""
        key = new_key()
        logs = (self.ct_log,) if sct else ()
        certificate = log_in(self.authority, login or email(WHO), key, logs)
        return Signer(key, certificate, self.authority.chain)

    def make(
        self, name: str, artifact: bytes, signer: Signer | None = None, **stating: object
    ) -> Specimen:
        """Sign an artifact by a recipe; `stating` takes the place of fields of a statement."""
        recipe = RECIPES[name]
        if signer is None:
            signer = Signer(new_key()) if recipe.keyed else self.log_in(sct=recipe.sct)
        document = _Making(self, recipe, signer, artifact, stating).make()
        wanted: TrustedKey | Identity = Identity.exactly(WHO, ISSUER)
        if recipe.keyed:
            wanted = TrustedKey(PublicKey.from_pem(public_pem(signer.key)))
        special = recipe.predicate_type if recipe.content == "statement" else COSIGN_SIGN
        special = str(stating.get("predicateType", special))
        predicate = None if special == COSIGN_SIGN else special
        demand = Demand(wanted, self.roots(recipe), predicate_type=predicate)
        return Specimen(name, artifact, document, demand, signer)


@dataclass(frozen=True)
class Specimen:
    """A genuine signature, in parts; `check` says whether it still is one."""

    name: str
    artifact: bytes
    document: Document
    demand: Demand
    signer: Signer

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.name]

    @property
    def digest(self) -> Digest:
        return Digest.of(self.artifact)

    def check(self, now: datetime = NOW) -> Verified:
        document, demand = self.document, self.demand
        if self.recipe.form == "bundle":
            artifact = Message.of(self.artifact)
            return verify_bundle(compact(document), artifact, demand, now=now)
        payload, annotations = document["payload"].encode(), document["annotations"]
        verify = verify_cosign if self.recipe.form == "layer" else verify_cosign_attestation
        return verify(payload, annotations, self.digest, demand, now=now)

    def asking(self, **changes: object) -> Specimen:
        """Return the specimen under another demand."""
        demand = replace(self.demand, **changes)  # type: ignore[arg-type] # checked by replace()
        return replace(self, demand=demand)

    def having(self, document: Document) -> Specimen:
        return replace(self, document=document)

    def copy(self) -> Document:
        return copy.deepcopy(self.document)


def statement(artifact: bytes, predicate_type: str = COSIGN_SIGN, **others: object) -> bytes:
    """Return a statement about an artifact, with other fields in place of the usual ones."""
    document: Document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": hashlib.sha256(artifact).hexdigest()}}],
        "predicateType": predicate_type,
        "predicate": {},
    }
    return compact(document | others)


def claim(artifact: bytes, name: str = NAME) -> bytes:
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": str(Digest.of(artifact))},
        "type": "cosign container image signature",
    }
    return compact({"critical": critical, "optional": None})


def pae(payload: bytes, kind: str = IN_TOTO) -> bytes:
    """DSSE's pre-authentication encoding, written down a second time."""
    parts = [b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(payload)).encode(), payload]
    return b" ".join(parts)


@dataclass(frozen=True)
class _Making:
    """One signature in the making."""

    deployment: Deployment
    recipe: Recipe
    signer: Signer
    artifact: bytes
    stating: Document

    def make(self) -> Document:
        payload = self._payload()
        message = pae(payload) if self.recipe.content == "statement" else payload
        value = self.signer.sign(message)
        signature = {"keyid": "", "sig": text(value)}
        envelope = {"payloadType": IN_TOTO, "payload": text(payload), "signatures": [signature]}
        entry = self._entry(value, message, payload, compact(envelope))
        if self.recipe.form == "bundle":
            return self._bundle(envelope, value, entry)
        form = self.recipe.form
        content = compact(envelope) if form == "attestation" else payload
        return self._layer(content, b"" if form == "attestation" else value, entry)

    def _payload(self) -> bytes:
        if self.recipe.content == "statement":
            return statement(self.artifact, self.recipe.predicate_type, **self.stating)
        return claim(self.artifact) if self.recipe.content == "claim" else self.artifact

    def _entry(
        self, value: bytes, message: bytes, payload: bytes, envelope: bytes
    ) -> Document | None:
        if not self.recipe.entry:
            return None
        make = getattr(translog, self.recipe.entry)
        if self.recipe.tiled:
            about = message if self.recipe.entry == "hashedrekord_2" else payload
            return self.deployment.tiles.add(make(value, about, self.signer.verifier))
        if self.recipe.entry == "intoto_1":
            return self.deployment.rekor.add(make(envelope, payload, self.signer.pem))
        about = message if self.recipe.entry in {"hashedrekord", "rekord"} else payload
        return self.deployment.rekor.add(make(value, about, self.signer.pem))

    def _bundle(self, envelope: Document, value: bytes, entry: Document | None) -> Document:
        material: Document = {**self._signer(), "tlogEntries": [entry] if entry else []}
        if self.recipe.stamped:
            stamp = {"signedTimestamp": text(self.deployment.tsa.stamp(value))}
            material["timestampVerificationData"] = {"rfc3161Timestamps": [stamp]}
        document = {
            "mediaType": MEDIA_TYPES[self.recipe.version],
            "verificationMaterial": material,
        }
        if self.recipe.content == "statement":
            return document | {"dsseEnvelope": envelope}
        digest = text(hashlib.sha256(self.artifact).digest())
        return document | {
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
                "signature": text(value),
            }
        }

    def _signer(self) -> Document:
        if self.signer.certificate is None:
            hint = text(hashlib.sha256(spki(self.signer.key)).digest())
            return {"publicKey": {"hint": hint}}
        raw = {"rawBytes": text(der_of(self.signer.certificate))}
        if self.recipe.version == 3:
            return {"certificate": raw}
        along = {"rawBytes": text(der_of(self.signer.above[0]))}
        return {"x509CertificateChain": {"certificates": [raw, along]}}

    def _layer(self, content: bytes, value: bytes, entry: Document | None) -> Document:
        annotations = {"dev.cosignproject.cosign/signature": text(value)}
        if self.signer.certificate is not None:
            annotations["dev.sigstore.cosign/certificate"] = self.signer.pem.decode()
            annotations["dev.sigstore.cosign/chain"] = pem_of(*self.signer.above).decode()
        if entry is not None:
            annotations["dev.sigstore.cosign/bundle"] = json.dumps(
                {
                    "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                    "Payload": {
                        "body": entry["canonicalizedBody"],
                        "integratedTime": int(entry["integratedTime"]),
                        "logIndex": int(entry["logIndex"]),
                        "logID": self.deployment.rekor.log_id.hex(),
                    },
                }
            )
        if self.recipe.stamped:
            stamp = self.deployment.tsa.stamp(value or content)
            annotations["dev.sigstore.cosign/rfc3161timestamp"] = json.dumps(
                {"SignedRFC3161Timestamp": text(stamp)}
            )
        return {"payload": content.decode(), "annotations": annotations}


def _log(log: Log | CertificateLog) -> Document:
    edwards = isinstance(log.key, ed25519.Ed25519PrivateKey)
    host = log.host if isinstance(log, Log) else "ct.example"
    return {
        "baseUrl": f"https://{host}",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": text(spki(log.key)),
            "keyDetails": "PKIX_ED25519" if edwards else "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": _written(SIGNED - YEAR)},
        },
        "logId": {"keyId": text(log.log_id)},
    }


def _authority(chain: tuple[x509.Certificate, ...]) -> Document:
    return {
        "subject": {"organization": "throw-away", "commonName": "authority"},
        "uri": "https://authority.example",
        "certChain": {"certificates": [{"rawBytes": text(der_of(each))} for each in chain]},
        "validFor": {"start": _written(SIGNED - YEAR)},
    }


def _written(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.000Z}"
