"""A self-signed certificate for 127.0.0.1 and localhost, made anew for each run.

By the package, since a fresh Debian has no `openssl` command.
"""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write certificate and key into `folder`; the certificate is also its own root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "server.crt", folder / "server.key"
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    certificate.write_bytes(made.public_bytes(encoding))
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(encoding, form, plain))
    return certificate, private


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts nothing but `certificate`."""
    return ssl.create_default_context(cafile=certificate)
