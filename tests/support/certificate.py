"""A self-signed certificate for 127.0.0.1 and localhost, made anew by `openssl` for each run."""

import ssl
import subprocess
from pathlib import Path


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write certificate and key into `folder`; the certificate is also its own root."""
    certificate, key = folder / "server.crt", folder / "server.key"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=loopback"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts nothing but `certificate`."""
    return ssl.create_default_context(cafile=certificate)
