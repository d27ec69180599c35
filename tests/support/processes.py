"""Real registries, and what stands before them, started for a test and stopped after it."""

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
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Sections = Mapping[str, Mapping[str, object]]
    Access = ByPassword | ByToken

KINDS = ("docker-registry", "distribution", "olareg")
NO_SECTIONS: Sections = {}
_LOOPBACK = "127.0.0.1"
_READY_WITHIN = 120.0


@contextlib.contextmanager
def running_registry(  # noqa: PLR0913 - what single tests need, all but two by name
    kind: str,
    folder: Path,
    sections: Sections = NO_SECTIONS,
    *,
    storage: Path | None = None,
    options: tuple[str, ...] = (),
    access: Access | None = None,
    address: str = _LOOPBACK,
) -> Iterator[str]:
    """Run a registry of that kind with its files below `folder`; gives `ADDRESS:PORT`.

    `sections` are added to distribution's configuration, `options` to olareg's command line;
    `storage` is another's content.  Without `access` everybody may do everything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port(address)
    host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    data = storage or folder / "data"
    data.mkdir(exist_ok=True)
    if kind == "olareg":
        command = [*_olareg(data, port, access), *options]
    else:
        document = _document(data, host, {**sections, **_auth(folder, access)})
        command = _distribution(kind, folder / "config.yml", document)
    secured = "tls" in sections.get("http", {})
    ready = _listens if secured else _answers
    with running(command, folder / "log.txt", lambda: ready(address, port)):
        yield host


@contextlib.contextmanager
def running_nginx(folder: Path, servers: str) -> Iterator[None]:
    """Run nginx with these `server` blocks, whose ports are the caller's to choose.

    The first `listen` of theirs is waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # One process: nothing has to change its user, whoever runs the tests.
    config = (
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log.txt;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{servers}\n}}\n"
    )
    (folder / "nginx.conf").write_text(config, encoding="utf-8")
    port = int(servers.partition(f"listen {_LOOPBACK}:")[2].partition(";")[0].split()[0])
    program = str(components.locate("nginx"))
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with running(command, folder / "out.txt", lambda: _listens(_LOOPBACK, port)):
        yield


@contextlib.contextmanager
def running_tinyproxy(folder: Path, *, user: str = "") -> Iterator[str]:
    """Run a forward proxy; with `user` (`name:password`) nobody else may use it."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = [f"Port {port}", f"Listen {_LOOPBACK}", "Timeout 30", "MaxClients 50"]
    if user:
        lines.append(f"BasicAuth {user.replace(':', ' ')}")
    config = folder / "tinyproxy.conf"
    config.write_text("\n".join([*lines, ""]), encoding="utf-8")
    command = [str(components.locate("tinyproxy")), "-d", "-c", str(config)]
    with running(command, folder / "log.txt", lambda: _listens(_LOOPBACK, port)):
        yield f"{_LOOPBACK}:{port}"


@contextlib.contextmanager
def running(
    command: list[str], log: Path, ready: Callable[[], bool], *, keeps_nothing: bool = False
) -> Iterator[None]:
    """Run a program from when it is ready to the end of the `with` block.

    One that `keeps_nothing` is not given the time to leave in order, and ends with this process
    however that does.
    """
    if keeps_nothing:
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        _await_ready(process, log, ready)
        yield
    finally:
        if keeps_nothing:
            process.kill()
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


def free_port(address: str = _LOOPBACK) -> int:
    """Return a port that nobody listens on."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def _olareg(data: Path, port: int, access: Access | None) -> list[str]:
    where = ("--addr", _LOOPBACK, "--port", str(port))
    content = ("--store-type", "dir", "--dir", str(data), "--api-sparse-index")
    command = [str(components.olareg()), "serve", *where, *content]
    if isinstance(access, ByPassword):
        option = "--auth-token-opaque" if access.own_tokens else "--auth-basic"
        command += [option, str(access.olareg(data.parent))]
        command += ["--external-url", f"http://{_LOOPBACK}:{port}"]
    return command


def _auth(folder: Path, access: Access | None) -> Sections:
    if isinstance(access, ByPassword):
        htpasswd = {"realm": "registry", "path": str(access.htpasswd(folder))}
        return {"auth": {"htpasswd": htpasswd}}
    return {"auth": {"token": access.options()}} if access is not None else {}


def _document(data: Path, host: str, sections: Sections) -> dict[str, object]:
    return {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        **sections,
        "http": {"addr": host, **sections.get("http", {})},
    }


def _distribution(kind: str, config: Path, document: dict[str, object]) -> list[str]:
    # JSON is YAML.
    config.write_text(json.dumps(document), encoding="utf-8")
    program = components.distribution() if kind == "distribution" else components.docker_registry()
    return [str(program), "serve", str(config)]


def _await_ready(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until and process.poll() is None:
        if ready():
            return
        time.sleep(0.05)
    message = f"it did not start: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)


def _listens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 2):
        return True
    return False


def _answers(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status in (http.client.OK, http.client.UNAUTHORIZED)
    except OSError:
        return False
    finally:
        connection.close()
