"""An upstream and a mirror, asked as a user would ask them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.policy.model import DEFAULT_POLICY, Policy
from imgverify.policy.model import Rule as PolicyRule
from imgverify.registry.client import Network
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.verdict import Decision, Grade, MirrorResult, PlatformState, Rule, Verdict
from imgverify.verify import Question, verify, verify_for_pull
from tests.support.fault import Fault
from tests.support.image import Image, ImageIndex, index, put, release
from tests.support.image import multi_platform as whole
from tests.support.registry import FakeRegistry

NOW = datetime(2026, 3, 20, 8, 30, tzinfo=UTC)
PATH = "library/app"
TAG = "1.4"
SAME_CONTENT = Policy(
    (PolicyRule(accept=frozenset({Grade.IDENTICAL, Grade.SUBSET, Grade.REPACKAGED})),)
)

OLD, NEW = whole("app", "1.4.1"), whole("app", "1.4.2")
OLD_AMD64, NEW_AMD64 = release("app", "1.4.1"), release("app", "1.4.2")
FORGED = index(tuple(release("app", "1.4.2-x.9", each.platform) for each in NEW.images[:3]))
FORGED_AMD64 = FORGED.images[0]

Item = Image | ImageIndex


@dataclass(frozen=True, slots=True)
class World:
    upstream: FakeRegistry
    mirror: FakeRegistry
    others: tuple[FakeRegistry, ...] = ()

    @property
    def registries(self) -> tuple[FakeRegistry, ...]:
        return (self.upstream, self.mirror, *self.others)

    def holds(self, upstream: Item, mirror: Item, *earlier: Item) -> None:
        """Put the images under the tag; `earlier` ones stay at upstream without it."""
        for item in earlier:
            put(self.upstream.shelf, PATH, item)
        put(self.upstream.shelf, PATH, upstream, TAG)
        put(self.mirror.shelf, PATH, mirror, TAG)

    def name(
        self, registry: FakeRegistry, tag: str | None = TAG, digest: Digest | None = None
    ) -> Reference:
        return Reference(Repository(Registry.parse(registry.host), PATH), tag, digest)

    def question(
        self,
        *platforms: Platform,
        deep: bool = False,
        tag: str | None = TAG,
        digest: Digest | None = None,
    ) -> Question:
        names = [self.name(each, tag, digest) for each in self.registries]
        return Question("app", names[0], tuple(names[1:]), platforms, deep)

    def ask(
        self,
        *platforms: Platform,
        deep: bool = False,
        policy: Policy = DEFAULT_POLICY,
        seconds: float = 10,
    ) -> Verdict:
        return self.put_question(
            self.question(*platforms, deep=deep), policy=policy, seconds=seconds
        )

    def put_question(
        self,
        question: Question,
        *,
        policy: Policy = DEFAULT_POLICY,
        seconds: float = 10,
        pulling: bool = False,
        now: datetime = NOW,
    ) -> Verdict:
        ask = verify_for_pull if pulling else verify
        with self.network(seconds) as network:
            return ask(question, network, policy, now)

    def network(self, seconds: float = 10) -> Network:
        hosts = frozenset(Registry.parse(each.host) for each in self.registries)
        return Network(NetworkSettings(hosts), CredentialStore(), Deadline.after(seconds))

    def play(self, side: str, *faults: Fault) -> None:
        (self.upstream if side == "upstream" else self.mirror).play(*faults)


@contextmanager
def world(mirrors: int = 1) -> Iterator[World]:
    with ExitStack() as stack:
        every = [stack.enter_context(FakeRegistry()) for _ in range(mirrors + 1)]
        yield World(every[0], every[1], tuple(every[2:]))


def only(verdict: Verdict) -> MirrorResult:
    (mirror,) = verdict.mirrors
    return mirror


def grade(verdict: Verdict) -> Grade:
    return only(verdict).grade


def states(verdict: Verdict) -> list[tuple[str, PlatformState]]:
    return [(str(each.platform), each.state) for each in only(verdict).explanation.platforms]


def rules(verdict: Verdict) -> set[Rule]:
    """What is said about the mirror, and about the image; of plain HTTP it is always said."""
    said = {each.rule for each in (*only(verdict).findings, *verdict.findings)}
    return said - {Rule.INSECURE}


def pinned(verdict: Verdict) -> Digest | None:
    return verdict.pinned.digest if verdict.pinned else None


def is_allowed(verdict: Verdict) -> bool:
    return verdict.decision is Decision.ALLOW
