"""Running the real commands, as a user does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

TIMEOUT = 120


@dataclass(frozen=True)
class Done:
    """What a command did."""

    status: int
    out: str
    err: str

    @cached_property
    def image(self) -> dict[str, Any]:
        """The one image of a JSON report."""
        report = json.loads(self.out)
        (image,) = report["images"]
        assert report["decision"] == image["decision"]
        found: dict[str, Any] = image
        return found


def imgverify(*words: object, plain: tuple[str, ...] = ()) -> Done:
    """Run imgverify; `plain` are the hosts to be reached over plain HTTP."""
    options = [word for host in plain for word in ("--insecure-http", host)]
    command = [sys.executable, "-m", "imgverify", *map(str, words), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def skopeo(*words: object) -> str:
    """Run skopeo, which has to succeed."""
    command = ["skopeo", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy(source: str, target: str, *options: str) -> None:
    """Copy an image between registries on loopback with skopeo."""
    plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
    skopeo("copy", "-q", *plain, *options, source, target)
