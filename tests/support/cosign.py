"""cosign, versions 2 and 3, as somebody has it who trusts a private deployment and no other."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support import components

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.authorities import SigningKey
    from tests.support.deployment import Deployment

_PASSWORD = "throw-away"
_TIMEOUT = 300


@dataclass(frozen=True)
class Said:
    """What cosign answered."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Cosign:
    """One version of cosign; `home` is where it keeps what it wants to keep."""

    version: int
    home: Path
    variables: tuple[tuple[str, str], ...] = ()

    def run(self, *words: object, **more: str) -> Said:
        """Run a command, with more environment variables if named."""
        program = components.locate("cosign" if self.version == 3 else "cosign-2")
        environment = {
            "HOME": str(self.home),
            "COSIGN_PASSWORD": _PASSWORD,
            # Nothing is fetched from the public deployment, which is not asked.
            "TUF_ROOT": str(self.home / "tuf"),
            "TUF_MIRROR": "http://127.0.0.1:9",
            **dict(self.variables),
            **more,
        }
        done = subprocess.run(
            [str(program), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def do(self, *words: object, **more: str) -> Said:
        """Run a command that has to succeed."""
        said = self.run(*words, **more)
        assert said.status == 0, f"cosign {' '.join(map(str, words))}: {said.err}"
        return said


def new_keys(folder: Path, cosign: Cosign) -> dict[str, Path]:
    """Make a key of each kind that cosign can sign with; gives the public ones by kind.

    The private one lies beside it, named `.key`.
    """
    folder.mkdir(parents=True)
    made: dict[str, SigningKey] = {
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "other": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    for kind, key in made.items():
        pem = folder / f"{kind}.pem"
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        prefix = folder / kind
        cosign.do("import-key-pair", "--key", pem, "--output-key-prefix", prefix)
    return {kind: folder / f"{kind}.pub" for kind in made}


def write_trusted_root(cosign: Cosign, deployment: Deployment, out: Path, *, logs: bool) -> None:
    """Write down whom to believe, with the deployment's logs or without any."""
    start = f"start-time={deployment.started.isoformat().replace('+00:00', 'Z')}"
    stamps = f"{deployment.timestamps}/api/v1/timestamp"
    words = [
        f"--fulcio=url={deployment.fulcio},certificate-chain={deployment.authority},{start}",
        f"--tsa=url={stamps},certificate-chain={deployment.timestamp_chain},{start}",
    ]
    if logs:
        new, old = deployment.log_key, deployment.old_log_key
        words += [
            f"--rekor=url=http://rekor.local,public-key={new},{start},origin=rekor.local",
            f"--rekor=url={deployment.old_rekor},public-key={old},{start}",
        ]
    cosign.do("trusted-root", "create", *words, "--out", out)


def write_signing_config(
    cosign: Cosign, deployment: Deployment, out: Path, *, log: int, stamped: bool
) -> None:
    """Write down what to sign with: a version of Rekor (0: none), and timestamps or not."""
    more = f"start-time={deployment.started.isoformat().replace('+00:00', 'Z')},operator=test"
    words = [
        f"--fulcio=url={deployment.fulcio},api-version=1,{more}",
        f"--oidc-provider=url={deployment.issuer.url},api-version=1,{more}",
    ]
    if log:
        url = {1: deployment.old_rekor, 2: deployment.rekor}[log]
        words += [f"--rekor=url={url},api-version={log},{more}", "--rekor-config=ANY"]
    if stamped:
        url = f"{deployment.timestamps}/api/v1/timestamp"
        words += [f"--tsa=url={url},api-version=1,{more}", "--tsa-config=ANY"]
    cosign.do("signing-config", "create", *words, "--out", out)


def predicates() -> dict[str, object]:
    """Return something to attest for each type that cosign has a name for."""
    slsa = {
        "builder": {"id": "https://builder.test"},
        "buildType": "https://builder.test/v1",
        "invocation": {},
        "materials": [],
    }
    slsa1 = {
        "buildDefinition": {"buildType": "https://builder.test/v1", "externalParameters": {}},
        "runDetails": {"builder": {"id": "https://builder.test"}},
    }
    spdx = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "app",
        "documentNamespace": "https://builder.test/app",
        "packages": [],
    }
    vulnerabilities = {
        "invocation": {"uri": "", "event_id": "", "builder.id": ""},
        "scanner": {"uri": "scanner", "version": "1", "db": {}, "result": {}},
        "metadata": {
            "scanStartedOn": "2026-01-01T00:00:00Z",
            "scanFinishedOn": "2026-01-01T00:00:01Z",
        },
    }
    openvex = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://builder.test/vex",
        "author": "test",
        "timestamp": "2026-01-01T00:00:00Z",
        "version": 1,
        "statements": [],
    }
    return {
        "slsaprovenance": slsa,
        "slsaprovenance1": slsa1,
        "spdxjson": spdx,
        "cyclonedx": {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1},
        "vuln": vulnerabilities,
        "openvex": openvex,
        "custom": {"anything": "at all"},
    }


def write_predicates(folder: Path) -> dict[str, Path]:
    """Write them to files, by type."""
    folder.mkdir(parents=True)
    files = {}
    for kind, predicate in predicates().items():
        files[kind] = folder / f"{kind}.json"
        files[kind].write_text(json.dumps(predicate), encoding="utf-8")
    return files
