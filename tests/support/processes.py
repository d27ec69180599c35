"""Real registries, started for a test and stopped after it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support import components
from tests.support.access import ByPassword, ByToken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Access = ByPassword | ByToken

KINDS = ("docker-registry", "distribution", "olareg")
_READY_WITHIN = 20.0


@contextlib.contextmanager
def running_registry(
    kind: str, folder: Path, *options: str, access: Access | None = None
) -> Iterator[str]:
    """Run a registry of that kind with its storage below `folder`; gives `127.0.0.1:PORT`.

    `options` are for olareg's command line.  Without `access` everybody may do everything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    log = folder / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*_command(kind, folder, port, access), *options],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_ready(process, port, log)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def storage_of_blob(folder: Path, digest_hex: str) -> Path:
    """Return the file in which a distribution registry keeps a blob."""
    (found,) = (folder / "data").glob(f"docker/registry/v2/blobs/sha256/*/{digest_hex}/data")
    return found


def _command(kind: str, folder: Path, port: int, access: Access | None) -> list[str]:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    if kind == "olareg":
        options = ["--store-type", "dir", "--dir", str(data), "--api-sparse-index"]
        if isinstance(access, ByPassword):
            option = "--auth-token-opaque" if access.own_tokens else "--auth-basic"
            options += [option, str(access.olareg(folder))]
            options += ["--external-url", f"http://127.0.0.1:{port}"]
        return [
            str(components.olareg()),
            *("serve", "--addr", "127.0.0.1", "--port", str(port)),
            *options,
        ]
    config = folder / "config.yml"
    document: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if isinstance(access, ByPassword):
        htpasswd = {"realm": "registry", "path": str(access.htpasswd(folder))}
        document["auth"] = {"htpasswd": htpasswd}
    elif isinstance(access, ByToken):
        document["auth"] = {"token": access.options()}
    # JSON is YAML.
    config.write_text(json.dumps(document), encoding="utf-8")
    program = components.distribution() if kind == "distribution" else components.docker_registry()
    return [str(program), "serve", str(config)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/v2/")
            if connection.getresponse().status in (http.client.OK, http.client.UNAUTHORIZED):
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    message = f"the registry did not start: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)
