"""Real container runtimes, each with everything of its own below one folder."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.support import components

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READY_WITHIN = 20.0
_TIMEOUT = 30


@contextlib.contextmanager
def running_containerd(folder: Path) -> Iterator[Path]:
    """Run containerd; gives its socket."""
    folder.mkdir(parents=True)
    # Unix sockets have short names, whatever a test's folder is called.
    with _short_folder() as short:
        address = short / "containerd.sock"
        config = folder / "config.toml"
        config.write_text(
            f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{address}"
[debug]
address = "{short}/debug.sock"
""",
            encoding="utf-8",
        )
        command = [str(components.locate("containerd")), "--config", str(config)]
        with _running(command, folder / "log.txt", address.exists):
            yield address


def ctr_pull(address: Path, hosts_dir: Path, reference: str) -> str:
    """Have containerd's own client pull, which has to fail; returns what it says in detail."""
    ctr = components.locate("containerd").with_name("ctr")
    command = [str(ctr), "--debug", "--address", str(address), "images", "pull"]
    command += ["--hosts-dir", str(hosts_dir), reference]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    assert done.returncode != 0
    return done.stderr


@contextlib.contextmanager
def running_dockerd(folder: Path, daemon_json: Path) -> Iterator[Dockerd]:
    """Run dockerd with a configuration file."""
    folder.mkdir(parents=True)
    with _short_folder() as short:
        dockerd = Dockerd(short / "docker.sock", folder / "log.txt", short / "pid")
        command = [
            *(str(components.locate("docker.io")), "--debug", "--config-file", str(daemon_json)),
            *("--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"),
            *("--data-root", f"{folder}/data", "--exec-root", f"{short}/exec"),
            *("--host", f"unix://{dockerd.address}", "--pidfile", str(dockerd.pidfile)),
        ]
        try:
            with _running(command, dockerd.log, dockerd.answers):
                yield dockerd
        finally:
            # It mounts its own folder over itself, and leaves that where it ends in haste.
            undone = ["umount", "--quiet", f"{folder}/data"]
            subprocess.run(undone, capture_output=True, check=False, timeout=_TIMEOUT)


class Dockerd:
    """A running dockerd, asked over its socket."""

    def __init__(self, address: Path, log: Path, pidfile: Path) -> None:
        self.address = address
        self.log = log
        self.pidfile = pidfile

    def answers(self) -> bool:
        """Tell whether it is ready."""
        try:
            return self._ask("GET", "/_ping")[0] == http.client.OK
        except OSError:
            return False

    def pull(self, repository: str, tag: str) -> list[str]:
        """Pull, which has to fail; returns the endpoints that it says it tries, in order."""
        before = len(self.log.read_text(encoding="utf-8"))
        query = urlencode({"fromImage": repository, "tag": tag})
        status, body = self._ask("POST", f"/images/create?{query}")
        assert status != http.client.OK or b"errorDetail" in body, body
        said = self.log.read_text(encoding="utf-8")[before:].splitlines()
        tried = [each for each in said if "Trying to pull " in each]
        return [each.partition(" from ")[2].partition(" v2")[0] for each in tried]

    def save(self, repository: str, tag: str) -> bytes:
        """Pull, which has to succeed, and return what `docker save` writes."""
        query = urlencode({"fromImage": repository, "tag": tag})
        status, body = self._ask("POST", f"/images/create?{query}")
        assert status == http.client.OK, body
        assert b"errorDetail" not in body, body
        status, body = self._ask("GET", f"/images/{repository}:{tag}/get")
        assert status == http.client.OK, body[:500]
        return body

    def reload(self) -> str:
        """Have it read its configuration again; returns what it logs about that."""
        before = len(self.log.read_text(encoding="utf-8"))
        os.kill(int(self.pidfile.read_text(encoding="ascii")), signal.SIGHUP)
        until, said = time.monotonic() + _READY_WITHIN, ""
        while time.monotonic() < until:
            said = self.log.read_text(encoding="utf-8")[before:]
            if "Reloaded configuration" in said or "level=error" in said:
                return said
            time.sleep(0.05)
        message = f"it says nothing of its configuration: {said}"
        raise RuntimeError(message)

    def _ask(self, method: str, target: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost", timeout=_TIMEOUT)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(_TIMEOUT)
            connection.sock.connect(str(self.address))
            connection.request(method, target)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def skopeo_tries(home: Path, reference: str) -> list[str]:
    """Have skopeo inspect an image, which has to fail; returns what it tries, in order."""
    command = [str(components.skopeo()), "--debug", "inspect", f"docker://{reference}"]
    environ = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_TIMEOUT, env=environ
    )
    assert done.returncode != 0
    tried = [each for each in done.stderr.splitlines() if "Trying to access" in each]
    return [json.loads(f'"{each.partition("access ")[2][2:-3]}"') for each in tried]


@contextlib.contextmanager
def _running(command: list[str], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + _READY_WITHIN
        while not is_ready():
            if process.poll() is not None or time.monotonic() > until:
                message = f"it did not start: {log.read_text(errors='replace')[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="iv-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
