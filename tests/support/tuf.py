"""A throw-away TUF repository, made with python-tuf's own metadata, on a real HTTP server."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined] # as below
from tuf.api.metadata import (  # type: ignore[attr-defined] # python-tuf tells to take them there
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET: Final = "trusted_root.json"
_ROLES: Final = ("root", "timestamp", "snapshot", "targets")
_LATER: Final = timedelta(days=30)


@dataclass
class Repository:
    """Four roles with a key each, root with three of which two have to sign.

    `publish` writes a whole new state into `files`, of which every name may then be spoilt.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    signers: dict[str, list[CryptoSigner]] = field(
        default_factory=lambda: {
            each: [CryptoSigner.generate_ed25519() for _ in range(3 if each == "root" else 1)]
            for each in _ROLES
        }
    )
    version: int = 0

    def __post_init__(self) -> None:
        self.root = Root(expires=_expiry(_LATER), consistent_snapshot=True)
        for role in _ROLES:
            for signer in self.signers[role]:
                self.root.add_key(signer.public_key, role)
        self.root.roles["root"] = Role(self.root.roles["root"].keyids, 2)
        self.files["1.root.json"] = self.sign("root", self.root)
        self.first = self.files["1.root.json"]

    def sign(self, role: str, signed: Root | Timestamp | Snapshot | Targets) -> bytes:
        metadata: Metadata[Any] = Metadata(signed)
        for each in self.signers[role]:
            metadata.sign(each, append=True)
        return metadata.to_bytes()

    def rotate(self, **changes: object) -> None:
        """Publish the next root; `changes` are set on it."""
        self.root.version += 1
        for name, value in changes.items():
            setattr(self.root, name, value)
        self.files[f"{self.root.version}.root.json"] = self.sign("root", self.root)

    def publish(
        self, data: bytes, *, name: str = TARGET, lasts: timedelta = _LATER, length: int = 0
    ) -> None:
        """Publish a target in a new state; `length` is what is said of its size, if not so."""
        self.version += 1
        number, expires = self.version, _expiry(lasts)
        target = TargetFile.from_data(name, data, ["sha256"])
        target.length = length or target.length
        targets = Targets(number, expires=_expiry(_LATER), targets={name: target})
        self.files[f"{number}.targets.json"] = self.sign("targets", targets)
        self.files[f"targets/{target.hashes['sha256']}.{name}"] = data
        meta = {"targets.json": MetaFile(number)}
        snapshot = Snapshot(number, expires=_expiry(_LATER), meta=meta)
        raw = self.sign("snapshot", snapshot)
        self.files[f"{number}.snapshot.json"] = raw
        about = MetaFile.from_data(number, raw, ["sha256"])
        timestamp = Timestamp(number, expires=expires, snapshot_meta=about)
        self.files["timestamp.json"] = self.sign("timestamp", timestamp)

    def target(self) -> str:
        """Return the name under which the last target lies."""
        return [each for each in self.files if each.startswith("targets/")][-1]


@dataclass
class Served:
    """A repository behind a server: what is asked, and what is answered instead of a file."""

    url: str
    repository: Repository
    instead: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    endless: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").partition("/")[0]


class _Handler(BaseHTTPRequestHandler):
    """Answers for the repository that its server has."""

    served: Served

    def do_GET(self) -> None:
        name = self.path.removeprefix("/tuf/")
        self.served.asked.append(name)
        self.served.headers.append(dict(self.headers))
        if name in self.served.endless:
            self._endless()
            return
        files = self.served.repository.files
        if name in self.served.instead:
            self._answer(*self.served.instead[name])
        elif name in files:
            self._answer(200, {}, files[name])
        else:
            self._answer(404, {}, b"")

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            while True:
                self.wfile.write(b" " * 65536)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(repository: Repository) -> Iterator[Served]:
    """Serve a repository on loopback."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    served = Served(f"http://127.0.0.1:{server.server_port}/tuf", repository)
    handler.served = served  # type: ignore[attr-defined] # it is made for this server
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _expiry(after: timedelta) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + after
