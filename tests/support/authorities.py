"""A throw-away PKI: authorities like Fulcio, certificate logs, timestamp authorities."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support import der

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

#: When all genuine signatures are made, and when they are looked at.
SIGNED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 6, 1, 0, 0, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
SECOND = timedelta(seconds=1)

FULCIO = "1.3.6.1.4.1.57264.1"
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
TST_INFO = "1.2.840.113549.1.9.16.1.4"
SHA256 = "2.16.840.1.101.3.4.2.1"

_serials = itertools.count(1000)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def spki(key: SigningKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_pem(key: SigningKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def pem_of(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "throw-away"),
        ]
    )


def usage(*, signs_data: bool, signs_certificates: bool) -> x509.KeyUsage:
    names = "content_commitment key_encipherment data_encipherment key_agreement crl_sign"
    others = dict.fromkeys([*names.split(), "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(digital_signature=signs_data, key_cert_sign=signs_certificates, **others)


@dataclass(frozen=True)
class Issuer:
    """A certificate with its key, and what leads from it to a root."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """This certificate first, the root last."""
        return (self.certificate, *self.above)

    @classmethod
    def root(cls, common: str, *, until: datetime = SIGNED + 10 * YEAR) -> Issuer:
        key = new_key()
        subject = name(common)
        builder = _builder((subject, subject), (key, key), (SIGNED - YEAR, until))
        return cls(key, _issuer_extensions(builder).sign(key, hashes.SHA256()))

    def issuer(self, common: str, *, until: datetime = SIGNED + 5 * YEAR) -> Issuer:
        """Issue the certificate of an authority below this one."""
        key = new_key()
        period = SIGNED - YEAR / 2, until
        builder = _builder((name(common), self.certificate.subject), (key, self.key), period)
        certificate = _issuer_extensions(builder).sign(self.key, hashes.SHA256())
        return Issuer(key, certificate, self.chain)

    def sign(
        self,
        key: SigningKey,
        period: tuple[datetime, datetime],
        extensions: list[tuple[x509.ExtensionType, bool]],
        *,
        subject: x509.Name | None = None,
        serial: int | None = None,
    ) -> x509.Certificate:
        subject = x509.Name([]) if subject is None else subject
        names = subject, self.certificate.subject
        builder = _builder(names, (key, self.key), period, serial=serial)
        for each, critical in extensions:
            builder = builder.add_extension(each, critical)
        return builder.sign(self.key, hashes.SHA256())


def _builder(
    names: tuple[x509.Name, x509.Name],
    keys: tuple[SigningKey, SigningKey],
    period: tuple[datetime, datetime],
    *,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    """Begin a certificate; of names and keys the subject's come first, then the issuer's."""
    own, above = (each.public_key() for each in keys)
    return (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(own)
        .serial_number(next(_serials) if serial is None else serial)
        .not_valid_before(period[0])
        .not_valid_after(period[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
    )


def _issuer_extensions(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    ).add_extension(usage(signs_data=False, signs_certificates=True), critical=True)


@dataclass(frozen=True)
class CertificateLog:
    """A certificate log: promises, and no tree."""

    key: SigningKey = field(default_factory=new_key)

    @property
    def log_id(self) -> bytes:
        return hashlib.sha256(spki(self.key)).digest()

    def promise(self, precertificate: bytes, issuer: x509.Certificate, time: datetime) -> bytes:
        """Return a serialised SCT (RFC 6962, section 3.2)."""
        milliseconds = int(time.timestamp() * 1000).to_bytes(8, "big")
        issuer_spki = issuer.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        body = hashlib.sha256(issuer_spki).digest()
        body += len(precertificate).to_bytes(3, "big") + precertificate
        signature = sign(self.key, b"\0\0" + milliseconds + b"\0\1" + body + b"\0\0")
        start = b"\0" + self.log_id + milliseconds + b"\0\0"
        return start + b"\4\3" + len(signature).to_bytes(2, "big") + signature


def sign(key: SigningKey, data: bytes) -> bytes:
    match key:
        case ed25519.Ed25519PrivateKey():
            return key.sign(data)
        case ec.EllipticCurvePrivateKey():
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def sct_list(*scts: bytes) -> x509.UnrecognizedExtension:
    inner = b"".join(len(each).to_bytes(2, "big") + each for each in scts)
    return x509.UnrecognizedExtension(SCT_LIST, der.octets(len(inner).to_bytes(2, "big") + inner))


@dataclass(frozen=True)
class Login:
    """What a Fulcio-like authority puts into a certificate, and how it is bent for tests."""

    san: x509.GeneralName
    issuer: str = "https://login.example.com"
    claims: tuple[tuple[int, str], ...] = ()
    period: tuple[datetime, datetime] = (SIGNED - 60 * SECOND, SIGNED + 540 * SECOND)
    purposes: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CODE_SIGNING,)
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    old_issuer: str | None = None

    def but(self, **changes: object) -> Login:
        return replace(self, **changes)  # type: ignore[arg-type] # checked by replace()


def email(address: str) -> Login:
    return Login(x509.RFC822Name(address))


def uri(text: str) -> Login:
    return Login(x509.UniformResourceIdentifier(text))


def extensions_of(login: Login) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([login.san]), True),
        (usage(signs_data=True, signs_certificates=False), True),
    ]
    if login.purposes:
        found.append((x509.ExtendedKeyUsage(login.purposes), False))
    texts = [(8, der.utf8(login.issuer))] if login.issuer else []
    old = login.issuer if login.old_issuer is None else login.old_issuer
    texts += [(1, old.encode())] if old else []
    texts += [(n, t.encode() if n < 8 else der.utf8(t)) for n, t in login.claims]
    for number, value in texts:
        oid = x509.ObjectIdentifier(f"{FULCIO}.{number}")
        found.append((x509.UnrecognizedExtension(oid, value), False))
    return [*found, *login.extra]


def log_in(
    authority: Issuer, login: Login, key: SigningKey, logs: tuple[CertificateLog, ...]
) -> x509.Certificate:
    """Issue a signer's certificate that the certificate logs promised to list."""
    serial, extensions = next(_serials), extensions_of(login)
    bare = authority.sign(key, login.period, extensions, serial=serial)
    if not logs:
        return bare
    precertificate, time = bare.tbs_certificate_bytes, login.period[0]
    scts = [each.promise(precertificate, authority.certificate, time) for each in logs]
    return authority.sign(key, login.period, [*extensions, (sct_list(*scts), False)], serial=serial)


@dataclass(frozen=True)
class TimestampAuthority:
    """Makes RFC 3161 timestamps, genuine ones and others."""

    key: SigningKey
    chain: tuple[x509.Certificate, ...]

    @classmethod
    def below(
        cls,
        issuer: Issuer,
        *,
        purposes: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,),
        critical: bool = True,
        ca: bool = False,
        period: tuple[datetime, datetime] = (SIGNED - YEAR / 4, SIGNED + YEAR),
    ) -> TimestampAuthority:
        key = new_key()
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=ca, path_length=None), True),
            (usage(signs_data=True, signs_certificates=ca), True),
        ]
        if purposes:
            extensions.append((x509.ExtendedKeyUsage(purposes), critical))
        leaf = issuer.sign(key, period, extensions, subject=name("timestamps"))
        return cls(key, (leaf, *issuer.chain))

    def stamp(
        self,
        data: bytes,
        time: datetime = SIGNED,
        *,
        embedded: tuple[x509.Certificate, ...] = (),
        ordered: bool = True,
        status: int = 0,
        hash_oid: str = SHA256,
    ) -> bytes:
        """Return a TimeStampResp over `data`."""
        algorithm = der.sequence(der.oid(hash_oid))
        imprint = der.sequence(algorithm, der.octets(_HASHES[hash_oid](data).digest()))
        info = der.sequence(
            der.integer(1), der.oid("1.2.3.4.1"), imprint, der.integer(7), der.time(time)
        )
        token = der.sequence(
            der.oid("1.2.840.113549.1.7.2"),
            der.element(der.CONTEXT, self._signed_data(info, embedded, ordered=ordered)),
        )
        return der.sequence(der.sequence(der.integer(status)), token)

    def _signed_data(
        self, info: bytes, embedded: tuple[x509.Certificate, ...], *, ordered: bool
    ) -> bytes:
        sha256 = der.sequence(der.oid(SHA256))
        content = der.sequence(der.oid(TST_INFO), der.element(der.CONTEXT, der.octets(info)))
        certificates = [der_of(each) for each in embedded]
        bag = der.set_of(*certificates, tag=der.CONTEXT, ordered=ordered) if embedded else b""
        return der.sequence(
            der.integer(3), der.set_of(sha256), content, bag, der.set_of(self._signer(info, sha256))
        )

    def _signer(self, info: bytes, sha256: bytes) -> bytes:
        leaf = self.chain[0]
        attributes = (
            der.sequence(der.oid("1.2.840.113549.1.9.3"), der.set_of(der.oid(TST_INFO))),
            der.sequence(
                der.oid("1.2.840.113549.1.9.4"),
                der.set_of(der.octets(hashlib.sha256(info).digest())),
            ),
        )
        signature = sign(self.key, der.set_of(*attributes))
        return der.sequence(
            der.integer(1),
            der.sequence(leaf.issuer.public_bytes(), der.integer(leaf.serial_number)),
            sha256,
            der.set_of(*attributes, tag=der.CONTEXT),
            der.sequence(der.oid("1.2.840.10045.4.3.2")),
            der.octets(signature),
        )


_HASHES = {
    SHA256: hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
    "1.3.14.3.2.26": hashlib.sha1,
}
