"""A private Sigstore deployment of the real programs, on loopback: all that keyless signing needs.

Fulcio with a file CA, Rekor v2 on files, Rekor v1 on Trillian and a database, and a timestamp
authority. A certificate log it has not: `cosign` is told so where it asks.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from tests.support import components
from tests.support.database import running_log_database
from tests.support.oidc import Issuer
from tests.support.processes import free_port, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_LOOPBACK = "127.0.0.1"
_PASSWORD = "throw-away"
_AUDIENCE = "sigstore"
_DAY = timedelta(days=1)
_ATTEMPTS = 3
# Where timestamp-server shows its metrics, whatever it is told, or ends. Others are waited for,
# which are there as long as it takes to sign all images.
_METRICS = 2112
_WITHIN = 900.0

T = TypeVar("T")

#: The name in Rekor v2's checkpoints, which is no address.
LOG_NAME = "rekor.local"


@dataclass(frozen=True)
class Deployment:
    """The services by their addresses, and the files that say whom to believe."""

    folder: Path
    issuer: Issuer
    fulcio: str
    timestamps: str
    rekor: str
    old_rekor: str
    started: datetime

    @property
    def authority(self) -> Path:
        """Fulcio's certificate."""
        return self.folder / "ca.crt"

    @property
    def timestamp_chain(self) -> Path:
        return self.folder / "tsa.crt"

    @property
    def log_key(self) -> Path:
        """The public key of Rekor v2."""
        return self.folder / "rekor.pub"

    @property
    def old_log_key(self) -> Path:
        """The public key of Rekor v1."""
        return self.folder / "old-rekor.pub"


@contextlib.contextmanager
def running_deployment(folder: Path) -> Iterator[Deployment]:
    """Run all services, each with its files below `folder`."""
    folder.mkdir(parents=True)
    now = datetime.now(UTC).replace(microsecond=0)
    _make_authority(folder, now)
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(Issuer(_AUDIENCE))
        database = _entered(stack, running_log_database, folder / "database")
        trillian = _entered(stack, _running_trillian, folder, database)
        deployment = Deployment(
            folder=folder,
            issuer=issuer,
            fulcio=_entered(stack, _running_fulcio, folder, issuer),
            timestamps=_entered(stack, _running_timestamps, folder),
            rekor=_entered(stack, _running_rekor, folder),
            old_rekor=_entered(stack, _running_old_rekor, folder, trillian),
            started=now - _DAY,
        )
        chain = ask(f"{deployment.timestamps}/api/v1/timestamp/certchain")
        deployment.timestamp_chain.write_bytes(chain)
        deployment.old_log_key.write_bytes(ask(f"{deployment.old_rekor}/api/v1/log/publicKey"))
        yield deployment


def _entered(
    stack: contextlib.ExitStack,
    start: Callable[..., AbstractContextManager[T]],
    *words: object,
) -> T:
    """Start a service; once more where something else took its port before it could."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(RuntimeError):
            return stack.enter_context(start(*words))
    return stack.enter_context(start(*words))


def ask(url: str) -> bytes:
    """Get a document of a service, which has to have it."""
    status, body = _get(url)
    assert status == http.client.OK, (url, status, body[:500])
    return body


def _get(url: str) -> tuple[int, bytes]:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _has(url: str) -> bool:
    try:
        return _get(url)[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def _await_free(port: int) -> None:
    """Wait until nobody listens on a port."""
    until = time.monotonic() + _WITHIN
    while time.monotonic() < until:
        try:
            socket.create_connection((_LOOPBACK, port), 2).close()
        except OSError:
            return
        time.sleep(0.1)
    message = f"something else listens on port {port}, which timestamp-server needs for its metrics"
    raise TimeoutError(message)


@contextlib.contextmanager
def _serving(folder: Path, name: str, command: list[str], ready: str) -> Iterator[None]:
    """Run a service until the block ends; it is there when `ready` answers."""
    with running(command, folder / f"{name}.log", lambda: _has(ready), keeps_nothing=True):
        yield


@contextlib.contextmanager
def _running_fulcio(folder: Path, issuer: Issuer) -> Iterator[str]:
    ports = [free_port() for _ in range(3)]
    url = f"http://{_LOOPBACK}:{ports[0]}"
    config = folder / "fulcio.yaml"
    lines = (
        "oidc-issuers:",
        f"  {issuer.url}:",
        f"    issuer-url: {issuer.url}",
        f"    client-id: {_AUDIENCE}",
        "    type: email",
        "",
    )
    config.write_text("\n".join(lines), encoding="utf-8")
    command = [
        *(str(components.locate("fulcio")), "serve", f"--config-path={config}"),
        *(f"--host={_LOOPBACK}", f"--port={ports[0]}"),
        *(f"--grpc-host={_LOOPBACK}", f"--grpc-port={ports[1]}", f"--metrics-port={ports[2]}"),
        *("--ca=fileca", f"--fileca-cert={folder}/ca.crt", f"--fileca-key={folder}/ca.pem"),
        *(f"--fileca-key-passwd={_PASSWORD}", "--fileca-watch=false", "--ct-log-url="),
        # Else two on one machine would be in each other's way.
        f"--legacy-unix-domain-socket=@{folder.name}-fulcio-{ports[0]}",
    ]
    with _serving(folder, "fulcio", command, f"{url}/api/v2/configuration"):
        yield url


@contextlib.contextmanager
def _running_timestamps(folder: Path) -> Iterator[str]:
    _await_free(_METRICS)
    port = free_port()
    url = f"http://{_LOOPBACK}:{port}"
    command = [
        *(str(components.locate("timestamp-server")), "serve"),
        *(f"--host={_LOOPBACK}", f"--port={port}"),
        *("--timestamp-signer=memory", "--disable-ntp-monitoring"),
    ]
    with _serving(folder, "timestamps", command, f"{url}/api/v1/timestamp/certchain"):
        yield url


@contextlib.contextmanager
def _running_rekor(folder: Path) -> Iterator[str]:
    """Run Rekor v2."""
    ports = [free_port() for _ in range(3)]
    url = f"http://{_LOOPBACK}:{ports[0]}"
    key = ed25519.Ed25519PrivateKey.generate()
    signer = folder / "rekor.pem"
    signer.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "rekor.pub").write_bytes(public)
    command = [
        *(str(components.locate("rekor-tiles")), "serve", f"--hostname={LOG_NAME}"),
        *(f"--http-address={_LOOPBACK}", f"--http-port={ports[0]}"),
        *(f"--grpc-address={_LOOPBACK}", f"--grpc-port={ports[1]}"),
        f"--http-metrics-port={ports[2]}",
        *(f"--signer-filepath={signer}", f"--storage-dir={folder}/rekor-{ports[0]}"),
        "--checkpoint-interval=200ms",
    ]
    with _serving(folder, "rekor", command, f"{url}/healthz"):
        yield url


@contextlib.contextmanager
def _running_trillian(folder: Path, database: str) -> Iterator[int]:
    """Run the log that Rekor v1 writes to; gives its port."""
    ports = {}
    with contextlib.ExitStack() as stack:
        for name, options in (("server", []), ("signer", ["--force_master"])):
            ports[name], metrics = free_port(), free_port()
            command = [
                str(components.locate(f"trillian-log-{name}")),
                *(f"--mysql_uri={database}", "--quota_system=noop"),
                *(f"--rpc_endpoint={_LOOPBACK}:{ports[name]}", "--logtostderr"),
                *(f"--http_endpoint={_LOOPBACK}:{metrics}", *options),
            ]
            ready = f"http://{_LOOPBACK}:{metrics}/healthz"
            stack.enter_context(_serving(folder, f"trillian-{name}", command, ready))
        yield ports["server"]


@contextlib.contextmanager
def _running_old_rekor(folder: Path, trillian: int) -> Iterator[str]:
    """Run Rekor v1, which makes itself a tree."""
    port = free_port()
    url = f"http://{_LOOPBACK}:{port}"
    command = [
        *(str(components.locate("rekor")), "serve"),
        *(f"--rekor_server.address={_LOOPBACK}", f"--port={port}"),
        *(f"--trillian_log_server.address={_LOOPBACK}", f"--trillian_log_server.port={trillian}"),
        *("--rekor_server.signer=memory", "--enable_retrieve_api=false"),
        "--rekor_server.hostname=old-rekor.local",
    ]
    with _serving(folder, "old-rekor", command, f"{url}/api/v1/log"):
        yield url


def _make_authority(folder: Path, now: datetime) -> None:
    """Make the certificate and the key that Fulcio issues with."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "throw-away"),
            x509.NameAttribute(NameOID.COMMON_NAME, "throw-away authority"),
        ]
    )
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "key_agreement"),
            *("data_encipherment", "encipher_only", "decipher_only"),
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 365 * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    protected = BestAvailableEncryption(_PASSWORD.encode())
    (folder / "ca.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protected))
