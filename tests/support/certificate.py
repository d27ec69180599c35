"""Certificates for tests, made anew for each run.

By the package, since a fresh Debian has no `openssl` command.
"""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LOOPBACK = "DNS:localhost,IP:127.0.0.1,IP:::1"
_PEM = serialization.Encoding.PEM
_PLAIN = serialization.NoEncryption()

Key = ec.EllipticCurvePrivateKey


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write certificate and key for loopback into `folder`; it is also its own root."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate, private = folder / "server.crt", folder / "server.key"
    made = _builder("server", key, key, "server", days=2).add_extension(
        _names(LOOPBACK), critical=False
    )
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    _write(certificate, made.sign(key, hashes.SHA256()), private, key)
    return certificate, private


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts nothing but `certificate`."""
    return ssl.create_default_context(cafile=certificate)


@dataclass(frozen=True)
class Authority:
    """A certificate authority that keeps its files, and what it issues, in a folder."""

    folder: Path
    key: Key

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder, ec.generate_private_key(ec.SECP256R1()))
        root = _builder(made._name, made.key, made.key, made._name, days=2).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        signed = root.sign(made.key, hashes.SHA256())
        _write(made.certificate, signed, folder / "authority.key", made.key)
        return made

    @property
    def certificate(self) -> Path:
        return self.folder / "authority.crt"

    @property
    def _name(self) -> str:
        return f"authority {self.folder.name}"

    def issue(self, name: str, *, names: str = LOOPBACK, days: int = 2) -> tuple[Path, Path]:
        """Write `NAME.cert` and `NAME.key`; a certificate of negative `days` has expired."""
        certificate, private = self.folder / f"{name}.cert", self.folder / f"{name}.key"
        key = ec.generate_private_key(ec.SECP256R1())
        wish = _builder(name, key, self.key, self._name, days=days)
        wish = wish.add_extension(_names(names), critical=False)
        _write(certificate, wish.sign(self.key, hashes.SHA256()), private, key)
        return certificate, private


def encrypted(key: Path, password: str) -> Path:
    """Write a copy of a key that asks for a password."""
    target = key.with_suffix(".encrypted")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    asking = serialization.BestAvailableEncryption(password.encode())
    target.write_bytes(private.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, asking))
    return target


def _builder(
    subject: str, key: Key, issuer_key: Key, issuer: str, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    start = now - timedelta(days=max(-days, 0) + 1)
    identifier = x509.SubjectKeyIdentifier.from_public_key
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder(
            _called(issuer), _called(subject), key.public_key(), x509.random_serial_number()
        )
        .not_valid_before(start)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(identifier(key.public_key()), critical=False)
        .add_extension(above, critical=False)
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _names(text: str) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for each in text.split(","):
        kind, _, value = each.partition(":")
        if kind == "IP":
            found.append(x509.IPAddress(ipaddress.ip_address(value)))
        elif kind == "email":
            found.append(x509.RFC822Name(value))
        else:
            found.append(x509.DNSName(value))
    return x509.SubjectAlternativeName(found)


def _write(target: Path, certificate: x509.Certificate, private: Path, key: Key) -> None:
    target.write_bytes(certificate.public_bytes(_PEM))
    private.write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, _PLAIN))
