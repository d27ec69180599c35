"""Mirrors that are examined as `imgverify doctor` does, and what was found out about them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from imgverify.doctor.check import Check, Topic
from imgverify.doctor.gather import gather
from imgverify.doctor.judgement import MirrorReport, judge
from imgverify.doctor.observation import Place
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry.client import Network
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.serve.loopback import Request, Response
from tests.support.fault import Call, Fault, When
from tests.support.faults import Custom, Redirect, Status
from tests.support.image import Image, ImageIndex, multi_platform, put
from tests.support.registry import FakeRegistry

NOW = datetime(2026, 3, 20, 8, 30, tzinfo=UTC)
PATH = "library/app"
TAG = "1.4"
OLD, NEW = multi_platform("app", "1.4.1"), multi_platform("app", "1.4.2")
ANYBODY = CredentialStore()
#: The most requests that a mirror is asked for one image, unless it redirects every one.
FEW = 15

Item = Image | ImageIndex


@dataclass(frozen=True, slots=True)
class Clinic:
    """An upstream and a mirror; both hold the current image under the tag at first."""

    upstream: FakeRegistry
    mirror: FakeRegistry

    def holds(self, tagged: Item, *untagged: Item) -> None:
        """Give the mirror one image under the tag, and others without."""
        for item in untagged:
            put(self.mirror.shelf, PATH, item)
        put(self.mirror.shelf, PATH, tagged, TAG)

    def publishes(self, tagged: Item, *earlier: Item) -> None:
        """Give upstream one image under the tag, and others without."""
        for item in earlier:
            put(self.upstream.shelf, PATH, item)
        put(self.upstream.shelf, PATH, tagged, TAG)

    def examine(self, *images: Reference, credentials: CredentialStore = ANYBODY) -> MirrorReport:
        """Ask the mirror for the image, or for others."""
        wanted = images or (self.image(),)
        places = (place(self.mirror, *wanted),)
        (report,) = examine(places, wanted, self.upstream, self.mirror, credentials=credentials)
        return report

    def examine_without_image(self, credentials: CredentialStore = ANYBODY) -> MirrorReport:
        """Ask the mirror only what it is."""
        (report,) = examine((place(self.mirror),), (), self.mirror, credentials=credentials)
        return report

    def image(self, tag: str | None = TAG, path: str = PATH) -> Reference:
        """Name an image of upstream's."""
        return Reference(Repository(Registry.parse(self.upstream.host), path), tag)


def place(registry: FakeRegistry, *images: Reference) -> Place:
    """Name a mirror that has the images under upstream's own paths."""
    host = Registry.parse(registry.host)
    named = (each.at(replace(each.repository, registry=host)) for each in images)
    return Place(registry.host, host, tuple(named))


def examine(
    places: tuple[Place, ...],
    images: tuple[Reference, ...],
    *plain: FakeRegistry,
    seconds: float = 20,
    credentials: CredentialStore = ANYBODY,
) -> tuple[MirrorReport, ...]:
    settings = NetworkSettings(frozenset(Registry.parse(each.host) for each in plain))
    with Network(settings, credentials, Deadline.after(seconds)) as network:
        return judge(gather(network, places, images), NOW)


@contextmanager
def clinic() -> Iterator[Clinic]:
    with FakeRegistry() as upstream, FakeRegistry() as mirror:
        yield Clinic(upstream, mirror)


def check(report: MirrorReport, topic: Topic) -> Check:
    (found,) = [each for each in report.checks if each.topic is topic]
    return found


def where(matches: Callable[[Request], bool], fault: Fault) -> Custom:
    """Play a fault for the requests that a function chooses."""

    def answer(call: Call) -> Response:
        return fault.apply(call) if matches(call.request) else call.response

    return Custom(answer)


def at_root(fault: Fault) -> Custom:
    """Play a fault for `/v2/` itself and for nothing below it."""
    return where(lambda request: request.path == "/v2/", fault)


def with_ns(fault: Fault) -> Custom:
    """Play a fault for requests that name the upstream's host."""
    return where(lambda request: request.parameter("ns") is not None, fault)


def with_narrow_accept(fault: Fault) -> Custom:
    """Play a fault for manifest requests that accept a single type."""
    return where(
        lambda request: (
            "/manifests/" in request.path and "," not in (request.header("Accept") or "")
        ),
        fault,
    )


def hopping(times: int) -> Custom:
    """Send every caller round the same path a few times before the answer."""

    def answer(call: Call) -> Response:
        hops = int(call.request.parameter("hop") or 0)
        if call.request.path == "/v2/" or hops >= times:
            return call.response
        return Redirect(f"{{path}}?hop={hops + 1}").apply(call)

    return Custom(answer)


def only_with_ns() -> Custom:
    """Know manifests only to who names the upstream's host."""

    def answer(call: Call) -> Response:
        if "/manifests/" not in call.request.path or call.request.parameter("ns"):
            return call.response
        return Status(404).apply(call)

    return Custom(answer)


HEADS = When("HEAD", "/manifests/")
BY_TAG = When(path=f"/manifests/{TAG}")
