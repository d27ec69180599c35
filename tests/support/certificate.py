"""Certificates for tests, made anew by `openssl` for each run."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "DNS:localhost,IP:127.0.0.1,IP:::1"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write certificate and key for loopback into `folder`; it is also its own root."""
    certificate, key = folder / "server.crt", folder / "server.key"
    names = ["-addext", f"subjectAltName={LOOPBACK}"]
    _openssl("req", "-x509", "-days", "2", *_new_key(key), *names, "-out", certificate)
    return certificate, key


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts nothing but `certificate`."""
    return ssl.create_default_context(cafile=certificate)


@dataclass(frozen=True)
class Authority:
    """A certificate authority that keeps its files, and what it issues, in a folder."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder)
        _openssl("req", "-x509", "-days", "2", *_new_key(made._key), "-out", made.certificate)
        return made

    @property
    def certificate(self) -> Path:
        return self.folder / "authority.crt"

    @property
    def _key(self) -> Path:
        return self.folder / "authority.key"

    def issue(self, name: str, *, names: str = LOOPBACK, days: int = 2) -> tuple[Path, Path]:
        """Write `NAME.cert` and `NAME.key`; a certificate of negative `days` has expired."""
        certificate, key = self.folder / f"{name}.cert", self.folder / f"{name}.key"
        wish, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n", encoding="ascii")
        _openssl("req", "-new", *_new_key(key), "-out", wish)
        signing: list[str | Path] = [
            "-CA",
            self.certificate,
            "-CAkey",
            self._key,
            "-CAcreateserial",
        ]
        lasting: list[str | Path] = ["-days", str(days), "-extfile", extensions]
        _openssl("x509", "-req", "-in", wish, *signing, *lasting, "-out", certificate)
        return certificate, key


def encrypted(key: Path, password: str) -> Path:
    """Write a copy of a key that asks for a password."""
    target = key.with_suffix(".encrypted")
    _openssl("pkey", "-in", key, "-aes256", "-passout", f"pass:{password}", "-out", target)
    return target


def _new_key(target: Path) -> list[str | Path]:
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    return ["-nodes", "-subj", f"/CN={target.stem}", *kind, "-keyout", target]


def _openssl(*words: str | Path) -> None:
    command = ["openssl", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
