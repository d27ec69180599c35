"""The gate on 300 references to 100 images: against one after another, and a loop of processes."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Contender, InvalidRunError
from tests.benchmarks.scenarios import IMGVERIFY
from tests.support.fault import Call, Fault
from tests.support.image import put, release
from tests.support.registry import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgverify.serve.loopback import Response

IMAGES, EACH = 100, 3
DELAY = 0.1
DELAYED_GOAL = 1 / 15
LOOP_GOAL = 1 / 10

# What the gate does for each image, in one process, without anything side by side.
_IN_TURN = """
import sys
from datetime import UTC, datetime
from imgverify.oci.reference import Reference, Registry
from imgverify.policy.model import DEFAULT_POLICY
from imgverify.registry.client import Network
from imgverify.registry.credentials import Credentials
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.verify import Question, verify

upstream, mirror, *images = sys.argv[1:]
hosts = frozenset(map(Registry.parse, (upstream, mirror)))
with Network(NetworkSettings(hosts), Credentials(), Deadline.after(3600)) as network:
    for image in images:
        reference = Reference.parse(f"{upstream}/{image}")
        copy = Reference.parse(f"{mirror}/{image}")
        verdict = verify(
            Question(image, reference, (copy,)), network, DEFAULT_POLICY, datetime.now(UTC)
        )
        if verdict.decision != "allow":
            sys.exit(f"{image}: {verdict}")
"""


@dataclass(frozen=True, slots=True)
class Late(Fault):
    """Answers as it should, after a while."""

    seconds: float

    def apply(self, call: Call) -> Response:
        call.stopping.wait(self.seconds)
        return call.response


@dataclass(frozen=True, slots=True)
class Scene:
    """An upstream and a mirror with the same images, and files that name them."""

    upstream: FakeRegistry
    mirror: FakeRegistry
    folder: Path

    @property
    def hosts(self) -> tuple[str, str]:
        """Where they are."""
        return self.upstream.host, self.mirror.host

    @property
    def options(self) -> tuple[str, ...]:
        """What tells imgverify of them."""
        upstream, mirror = self.hosts
        return ("--mirror", mirror, "--insecure-http", upstream, "--insecure-http", mirror)

    def delay(self, seconds: float) -> None:
        """Have both answer late from now on."""
        for each in (self.upstream, self.mirror):
            each.heal()
            each.play(Late(seconds=seconds))


def names() -> list[str]:
    """Return the images' names."""
    return [f"library/app{number}:1.{number}" for number in range(IMAGES)]


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Serve the images from this process, and write the files."""
    with FakeRegistry() as upstream, FakeRegistry() as mirror:
        for name in names():
            path, _, tag = name.partition(":")
            image = release(path, tag)
            for each in (upstream, mirror):
                put(each.shelf, path, image, tag)
        built = Scene(upstream, mirror, folder)
        _write(built)
        yield built


def _write(built: Scene) -> None:
    references = [f"{built.upstream.host}/{name}" for name in names()]
    services = "".join(f"  s{at}: {{image: '{each}'}}\n" for at, each in enumerate(references))
    (built.folder / "compose.yaml").write_text(f"services:\n{services}")
    (built.folder / "images.txt").write_text("\n".join(references))
    (built.folder / "Dockerfile").write_text("".join(f"FROM {each}\n" for each in references))


def contenders(built: Scene) -> tuple[Contender, Contender, Contender]:
    """Give the gate, the same in turn, and a shell's loop of `imgverify verify`."""
    upstream, mirror = built.hosts
    options = " ".join(built.options)
    report = built.folder / "report.json"
    loop = f'for each; do "$0" -q verify {upstream}/$each {options} || exit; done'
    gate = (*IMGVERIFY, "gate", str(built.folder), *built.options, "--format", "json")
    return (
        _contender("imgverify gate", (*gate, "-o", str(report)), built),
        _contender(
            "one after another", (sys.executable, "-c", _IN_TURN, upstream, mirror, *names()), built
        ),
        _contender("a loop of imgverify verify", ("sh", "-c", loop, *IMGVERIFY, *names()), built),
    )


def _contender(name: str, command: tuple[str, ...], built: Scene) -> Contender:
    def forget() -> None:
        for each in (built.upstream, built.mirror):
            each.forget()

    def require_all_asked() -> None:
        for each in (built.upstream, built.mirror):
            asked = {request.path for request in each.requests if "/manifests/1." in request.path}
            if len(asked) != IMAGES:
                message = f"{name} asked {each.host} for {len(asked)} images of {IMAGES}"
                raise InvalidRunError(message)

    return Contender(name, command, forget, require_all_asked)
