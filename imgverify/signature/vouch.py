"""Who made a signature, and when: the part that all of Sigstore's formats have in common.

A signature holds within one trusted root. First comes what needs no trust (is it the key's?), then
what logs and authorities say, then whether the certificate was good at every time they vouch for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.errors import Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.signature.entrybody import Signature
from imgverify.signature.identity import Identity
from imgverify.signature.trusted import TrustedKey
from imgverify.verdict import Clock, SignerIdentity

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from imgverify.oci.digest import Digest
    from imgverify.signature.certificate import Certificate
    from imgverify.signature.chain import Path
    from imgverify.signature.demand import Demand
    from imgverify.signature.dsse import Envelope
    from imgverify.signature.identity import Subject
    from imgverify.signature.keys import PublicKey
    from imgverify.signature.material import Material
    from imgverify.signature.message import Message
    from imgverify.signature.trusted import (
        CertificateAuthority,
        Thresholds,
        TransparencyLog,
        TrustedRoot,
    )

_ELSEWHERE: Final = {
    Reason.CERTIFICATE_UNTRUSTED,
    Reason.LOG_UNKNOWN,
    Reason.SCT_UNKNOWN,
    Reason.TIMESTAMP_UNTRUSTED,
}


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature with what came along; `stamped` is what its timestamps have to be over."""

    message: Message
    value: bytes
    material: Material
    stamped: bytes
    envelope: Envelope | None = None
    documents: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, and whose word it is."""

    time: datetime
    clock: Clock
    witness: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """Who signed and when, as far as somebody who is trusted says so."""

    identity: SignerIdentity | None
    key: Digest | None
    moment: Moment | None
    verified_with: tuple[str, ...]


def vouch(signed: Signed, demand: Demand, now: datetime) -> Vouched:
    """Say who made the signature; raises `SignatureRejected`, or `Malformed` and its like."""
    signer, certificate = demand.signer, signed.material.certificate
    if isinstance(signer, TrustedKey):
        if certificate is not None:
            msg = "the signature was made with a certificate, and a key is asked for"
            raise SignatureRejected(msg, Reason.SIGNER_KIND)
        signature = _check_signature(signed, signer.key, "the key")
        judge = partial(_Trial.by_key, signer=signer)
    elif certificate is None:
        msg = "the signature was made with a bare key, and a certificate is asked for"
        raise SignatureRejected(msg, Reason.SIGNER_KIND)
    else:
        signature = _check_signature(signed, certificate.key, "the certificate's key")
        judge = partial(_Trial.by_certificate, certificate=certificate, signer=signer)
    errors = []
    for root in demand.roots:
        try:
            return judge(_Trial(signed, signature, root, demand.thresholds(root), now))
        except SignatureRejected as error:
            errors.append(error)
    # The root that knows the signer tells more than those that do not.
    raise next((each for each in errors if each.reason not in _ELSEWHERE), errors[0])


def _check_signature(signed: Signed, key: PublicKey, whose: str) -> Signature:
    scheme = key.scheme_of(signed.value, signed.message)
    if scheme is None and key.needs_data(signed.message):
        msg = f"a signature by {whose} can be checked only with the bytes that were signed"
        raise SignatureRejected(msg, Reason.UNSUPPORTED)
    if scheme is None:
        msg = f"{whose} did not make this signature"
        raise SignatureRejected(msg, Reason.SIGNATURE_INVALID)
    return Signature(
        value=signed.value,
        message=signed.message,
        key=key,
        scheme=scheme,
        certificate=signed.material.certificate,
        envelope=signed.envelope,
        documents=signed.documents,
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    """One signature held against one root, of which `needed` many have to vouch."""

    signed: Signed
    signature: Signature
    root: TrustedRoot
    needed: Thresholds
    now: datetime

    def by_key(self, signer: TrustedKey) -> Vouched:
        """Check what vouches for a signature by a key, and the key at those times."""
        moments, witnesses = self._moments()
        for time in [each.time for each in moments] or [self.now]:
            if time not in signer.window:
                msg = f"the key is not trusted for {time.isoformat()}"
                raise SignatureRejected(msg, Reason.KEY_TIME)
        verified_with = (f"key {self.signature.scheme}", *witnesses)
        return Vouched(None, signer.key.fingerprint, _earliest(moments), verified_with)

    def by_certificate(self, certificate: Certificate, signer: Identity | Subject) -> Vouched:
        """Check what vouches for a certificate, that it was valid then, and whom it names."""
        from imgverify.signature.chain import check_usage  # noqa: PLC0415 - loads X.509

        check_usage(certificate.x509, for_code=isinstance(signer, Identity))
        authorities = self._authorities(certificate)
        moments, witnesses = self._moments()
        if not moments:
            witnesses = (*witnesses, self._present())
        times = [(each.time, each.witness) for each in moments] or [(self.now, "now")]
        paths = [self._path(certificate, authorities, *each) for each in times]
        authority, path = paths[0]
        promised = self._check_scts(certificate, path)
        verified_with = (f"certificate authority {authority.name}", *promised, *witnesses)
        identity = _identify(certificate, signer)
        return Vouched(identity, None, _earliest(moments), verified_with)

    def _moments(self) -> tuple[tuple[Moment, ...], tuple[str, ...]]:
        """Return the times that logs and authorities vouch for, and who does."""
        logged, stamps = self._logged(), self._stamped()
        moments = (*stamps, *(moment for _, moment in logged if moment is not None))
        for each in moments:
            self._check_future(each)
        self._check_log_times(logged, stamps)
        witnesses = [f"transparency log {log.name}" for log, _ in logged]
        witnesses += [f"timestamp authority {each.witness}" for each in stamps]
        return moments, tuple(dict.fromkeys(witnesses))

    def _authorities(self, certificate: Certificate) -> tuple[CertificateAuthority, ...]:
        from imgverify.signature.chain import is_issued_within  # noqa: PLC0415 - as above

        found = tuple(
            each
            for each in self.root.authorities
            if is_issued_within(each, certificate.x509, self.signed.material.along)
        )
        if not found:
            msg = f"no certificate authority of {self.root.name} issued the signer's certificate"
            raise SignatureRejected(msg, Reason.CERTIFICATE_UNTRUSTED)
        return found

    def _logged(self) -> list[tuple[TransparencyLog, Moment | None]]:
        found: list[tuple[TransparencyLog, Moment | None]] = []
        for each in self.signed.material.entries:
            log = self.root.log(each.log_id)
            if log is not None and log.key is not None:
                time = each.check(log, log.key, self.signature)
                moment = None if time is None else Moment(time, Clock.LOG, log.name)
                found.append((log, moment))
        # Counted by key: a log that is known under two names is still one log.
        if len({log.key for log, _ in found}) < self.needed.logs:
            unknown = len(self.signed.material.entries) > len(found)
            amount = "too few" if found else "no"
            msg = (
                f"the signature is in a log, but not in one of {self.root.name}"
                if unknown
                else f"the signature is in {amount} transparency logs: {self.needed.logs} needed"
            )
            raise SignatureRejected(msg, Reason.LOG_UNKNOWN if unknown else Reason.LOG_MISSING)
        return found

    def _stamped(self) -> list[Moment]:
        found = []
        for each in self.signed.material.timestamps:
            from imgverify.signature.timestamp import verify_timestamp  # noqa: PLC0415 - if needed

            stamp = verify_timestamp(each, self.signed.stamped, self.root.timestamp_authorities)
            if stamp is not None:
                found.append(stamp)
        if len({each.authority.chain[0] for each in found}) < self.needed.timestamps:
            what = f"timestamps of too few authorities: {self.needed.timestamps} needed"
            raise self._without_time(what, known=len(found))
        return [Moment(each.time, Clock.TIMESTAMP_AUTHORITY, each.authority.name) for each in found]

    def _without_time(self, what: str, *, known: int = 0) -> SignatureRejected:
        if len(self.signed.material.timestamps) > known:
            msg = f"a timestamp of the signature is not by an authority of {self.root.name}"
            return SignatureRejected(msg, Reason.TIMESTAMP_UNTRUSTED)
        return SignatureRejected(f"the signature has {what}", Reason.TIME_MISSING)

    def _check_future(self, moment: Moment) -> None:
        if moment.time > self.now + timedelta(seconds=limits.CLOCK_SKEW):
            msg = f"{moment.witness} says that it is {moment.time.isoformat()}, which is to come"
            raise SignatureRejected(msg, Reason.TIME_FUTURE, hint="is this machine's clock right?")

    def _check_log_times(
        self, logged: list[tuple[TransparencyLog, Moment | None]], stamps: list[Moment]
    ) -> None:
        """A log that tells no time has to be trusted for the times that others tell."""
        for log, moment in logged:
            told = stamps if moment is None else [moment]
            for time in [each.time for each in told] or [self.now]:
                if time not in log.window:
                    msg = f"the transparency log {log.name} is not trusted for {time.isoformat()}"
                    raise SignatureRejected(msg, Reason.LOG_TIME)

    def _present(self) -> str:
        """Allow for the present where the deployment has nobody who could tell the time."""
        if self.needed.logs or self.needed.timestamps:
            raise self._without_time("no time that anybody vouches for")
        return "this machine's clock"

    def _path(
        self,
        certificate: Certificate,
        authorities: tuple[CertificateAuthority, ...],
        time: datetime,
        witness: str,
    ) -> tuple[CertificateAuthority, Path]:
        from imgverify.signature.chain import find_path  # noqa: PLC0415 - as above

        leaf = certificate.x509
        for each in authorities:
            path = find_path(leaf, each, self.signed.material.along, time)
            if path is not None:
                return each, path
        if not leaf.not_valid_before_utc <= time <= leaf.not_valid_after_utc:
            msg = f"the signer's certificate was not valid at {time.isoformat()} ({witness})"
            raise SignatureRejected(msg, Reason.CERTIFICATE_TIME)
        if any(_is_expired(each, self.signed.material.along, time) for each in authorities):
            msg = f"the certificate authority is not trusted for {time.isoformat()}"
            raise SignatureRejected(msg, Reason.AUTHORITY_TIME)
        msg = f"the signer's certificate does not lead to an authority of {self.root.name}"
        raise SignatureRejected(msg, Reason.CERTIFICATE_UNTRUSTED)

    def _check_scts(self, certificate: Certificate, path: Path) -> tuple[str, ...]:
        from imgverify.signature.sct import verify_scts  # noqa: PLC0415 - as above

        issuer = path[1] if len(path) > 1 else path[0]
        logs = verify_scts(certificate.x509, issuer, self.root, self.needed.scts)
        return tuple(f"certificate log {each.name}" for each in logs)


def _identify(certificate: Certificate, signer: Identity | Subject) -> SignerIdentity:
    name = signer.chosen(certificate.names)
    if name is None:
        shown = ", ".join(map(str, certificate.names)) or "nobody"
        msg = f"the signer is {shown}, and {signer.name} is asked for"
        raise SignatureRejected(msg, Reason.IDENTITY_MISMATCH)
    if isinstance(signer, Identity):
        _check_login(signer, certificate)
    elif certificate.issuer:
        msg = f"the signer logged in with {certificate.issuer}, and no issuer is asked for"
        raise SignatureRejected(msg, Reason.ISSUER_MISMATCH)
    return SignerIdentity(name.value, certificate.issuer)


def _check_login(signer: Identity, certificate: Certificate) -> None:
    if not certificate.issuer or not signer.issuer.accepts(certificate.issuer):
        found = certificate.issuer or "nobody"
        msg = f"{found} vouches for the signer's login, and {signer.issuer} is asked for"
        raise SignatureRejected(msg, Reason.ISSUER_MISMATCH)
    claims = dict(certificate.claims)
    for extension, rule in signer.claims:
        value = claims.get(extension)
        if not value or not rule.accepts(value):
            msg = f"{extension.label} of the certificate is {value!r}, and {rule} is asked for"
            raise SignatureRejected(msg, Reason.CLAIM_MISMATCH)


def _is_expired(
    authority: CertificateAuthority, along: tuple[x509.Certificate, ...], time: datetime
) -> bool:
    certificates = (*authority.chain, *along)
    return time not in authority.window or any(
        not each.not_valid_before_utc <= time <= each.not_valid_after_utc for each in certificates
    )


def _earliest(moments: tuple[Moment, ...]) -> Moment | None:
    return min(moments, key=lambda each: each.time, default=None)
