"""Who may pull from a real registry: by a password, or by a token that the tests issue."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Login:
    """A user, and the bcrypt hash of the password that registries keep."""

    user: str
    password: str
    hashed: str


ALICE = Login(
    "alice", "upstream-pa55", "$2b$04$UnXig1zlmJyiDCyg5wDFaOWJKUqhe7MlvHbr25n7iKWk.QegOzXty"
)
MALLORY = Login(
    "mallory", "mirror-pa55", "$2b$04$2kpkX3rG/ExzuA092QgG4.aCtxJq0GnmifRIhpN6/PbKJkZ/5sQWG"
)


@dataclass(frozen=True, slots=True)
class ByPassword:
    """One user may do everything, and nobody else anything.

    `own_tokens` has olareg give tokens for the password, at its own `/token`.
    """

    login: Login
    own_tokens: bool = False

    def htpasswd(self, folder: Path) -> Path:
        """Write the file that distribution registries read."""
        path = folder / "htpasswd"
        path.write_text(f"{self.login.user}:{self.login.hashed}\n", encoding="ascii")
        return path

    def olareg(self, folder: Path) -> Path:
        """Write the file that olareg reads."""
        user = self.login.user
        document = {
            "users": {user: {"cred": self.login.hashed}},
            "acls": [{"repo": each, "members": [user], "access": ["*"]} for each in ("", "*")],
        }
        path = folder / "access.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(document), encoding="ascii")
        return path


class Signer:
    """Issues JSON web tokens as distribution registries want them, signed with a throw-away key.

    `algorithm` is RS256 or ES256; `certificate` is what the registry has to trust.
    """

    issuer = "tests"

    def __init__(self, folder: Path, algorithm: str, service: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = folder / "tokens.crt", folder / "tokens.key"
        self._algorithm = algorithm
        self._service = service
        kind = (
            ["rsa:2048"] if algorithm == "RS256" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        )
        command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=tokens"]
        command += ["-newkey", *kind, "-keyout", str(self._key), "-out", str(self.certificate)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def sign(self, user: str, scopes: frozenset[str]) -> str:
        """Make a token that lives for a minute."""
        now = int(time.time())
        parts = [each.rsplit(":", 2) for each in sorted(scopes)]
        claims = {
            "iss": self.issuer,
            "sub": user,
            "aud": self._service,
            "exp": now + 60,
            "nbf": now - 10,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": [
                {"type": kind.split(":")[0], "name": name, "actions": actions.split(",")}
                for kind, name, actions in parts
            ],
        }
        chain = "".join(self.certificate.read_text(encoding="ascii").splitlines()[1:-1])
        header = {"typ": "JWT", "alg": self._algorithm, "x5c": [chain]}
        text = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{text}.{_encoded(self._signature(text.encode()))}"

    def _signature(self, data: bytes) -> bytes:
        command = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        done = subprocess.run(command, input=data, check=True, capture_output=True, timeout=60)
        return done.stdout if self._algorithm == "RS256" else _raw(done.stdout)


@dataclass(frozen=True, slots=True)
class ByToken:
    """Whoever has a token of `signer` may do what it allows; `realm` is where it is had."""

    signer: Signer
    realm: str
    service: str

    def options(self) -> dict[str, str]:
        """The settings of distribution registries."""
        return {
            "realm": self.realm,
            "service": self.service,
            "issuer": self.signer.issuer,
            "rootcertbundle": str(self.signer.certificate),
        }


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _raw(der: bytes) -> bytes:
    """Turn a DER sequence of two short integers into the two, of 32 bytes each (RFC 7518 §3.4)."""
    length = der[3]
    numbers = der[4 : 4 + length], der[6 + length :]
    return b"".join(int.from_bytes(each, "big").to_bytes(32, "big") for each in numbers)
