"""What a certificate log promised about a certificate (RFC 6962, section 3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509

from imgverify.errors import Reason, SignatureRejected
from imgverify.oci.digest import Algorithm
from imgverify.signature.chain import find_extension
from imgverify.signature.keys import PublicKey
from imgverify.signature.message import Message

if TYPE_CHECKING:
    from cryptography.x509.certificate_transparency import SignedCertificateTimestamp

    from imgverify.signature.trusted import TransparencyLog, TrustedRoot

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def verify_scts(
    leaf: x509.Certificate, issuer: x509.Certificate, root: TrustedRoot, needed: int
) -> tuple[TransparencyLog, ...]:
    """Return the certificate logs that promised to list the certificate, each once.

    What an unknown log promised counts for nothing; what a known one did not promise is refused.
    """
    extension = find_extension(leaf, x509.PrecertificateSignedCertificateTimestamps)
    scts = [] if extension is None else list(extension.value)
    found: dict[PublicKey, TransparencyLog] = {}
    for each in scts:
        log = root.ct_log(each.log_id)
        if log is not None and log.key is not None:
            _verify(each, _signed(each, leaf, issuer), log, log.key)
            found[log.key] = log
    if len(found) < needed:
        who = f"certificate log of {root.name}"
        msg = f"too few promises to list the certificate: {len(found)} by a {who}, {needed} needed"
        unknown = len(scts) > len(found)
        raise SignatureRejected(msg, Reason.SCT_UNKNOWN if unknown else Reason.SCT_MISSING)
    return tuple(found.values())


def _verify(
    sct: SignedCertificateTimestamp, signed: bytes, log: TransparencyLog, key: PublicKey
) -> None:
    if not key.verifies(sct.signature, signed):
        msg = f"the certificate log {log.name} did not sign what the certificate says it did"
        raise SignatureRejected(msg, Reason.SCT_INVALID)
    time = _time(sct)
    if time not in log.window:
        msg = f"the certificate log {log.name} is not trusted for {time.isoformat()}"
        raise SignatureRejected(msg, Reason.LOG_TIME)


def _time(sct: SignedCertificateTimestamp) -> datetime:
    return sct.timestamp.replace(tzinfo=UTC)


def _signed(
    sct: SignedCertificateTimestamp, leaf: x509.Certificate, issuer: x509.Certificate
) -> bytes:
    """Return the digitally-signed struct of section 3.2, for a precertificate."""
    spki = PublicKey.of(issuer.public_key()).spki
    precertificate = leaf.tbs_precertificate_bytes
    extensions = sct.extension_bytes
    return b"".join(
        (
            b"\0\0",  # v1, certificate_timestamp
            ((_time(sct) - _EPOCH) // timedelta(milliseconds=1)).to_bytes(8, "big"),
            b"\0\1",  # precert_entry
            Message.of(spki).hashed(Algorithm.SHA256) or b"",
            len(precertificate).to_bytes(3, "big"),
            precertificate,
            len(extensions).to_bytes(2, "big"),
            extensions,
        )
    )
