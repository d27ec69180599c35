"""The main job, played through on loopback: what each image of the stage has to come to."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imgverify.demo.images import AMD64, TAG, Twin, stage
from imgverify.errors import ImgverifyError
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.policy.model import DEFAULT_POLICY
from imgverify.pull.engine import pull
from imgverify.pull.progress import Silence
from imgverify.registry.client import Network
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.serve.loopback import LoopbackRegistry
from imgverify.store.sink import open_sink
from imgverify.verdict import Decision, Grade
from imgverify.verify import Question, verify, verify_for_pull

if TYPE_CHECKING:
    from datetime import datetime

    from imgverify.oci.platform import Platform
    from imgverify.verdict import Verdict

_TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """A command on one image, and what it has to come to.

    `replaced` is, for a pull, how many blobs have to come from upstream instead of the mirror.
    """

    twin: Twin
    story: str
    command: str
    decision: Decision
    grade: Grade
    platforms: tuple[Platform, ...] = ()
    deep: bool = False
    replaced: int | None = None


STEPS: Final = (
    Step(Twin.IDENTICAL, "as published", "verify", Decision.ALLOW, Grade.IDENTICAL),
    Step(Twin.TRIMMED, "one platform kept", "verify", Decision.DENY, Grade.SUBSET),
    Step(
        Twin.TRIMMED,
        "one platform kept",
        "verify --platform linux/amd64",
        Decision.ALLOW,
        Grade.SUBSET,
        platforms=(AMD64,),
    ),
    Step(Twin.REPACKAGED, "recompressed", "verify", Decision.DENY, Grade.REPACKAGED),
    Step(Twin.STALE, "last week's", "verify", Decision.DENY, Grade.STALE),
    Step(Twin.DIVERGED, "another image", "verify", Decision.DENY, Grade.DIVERGED),
    Step(
        Twin.TAMPERED,
        "one byte of a layer changed",
        "verify --deep",
        Decision.DENY,
        Grade.DIVERGED,
        deep=True,
    ),
    Step(Twin.IDENTICAL, "as published", "pull", Decision.ALLOW, Grade.IDENTICAL, replaced=0),
    Step(
        Twin.TAMPERED,
        "one byte of a layer changed",
        "pull",
        Decision.ALLOW,
        Grade.IDENTICAL,
        replaced=1,
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step came to; `problem` is empty exactly if that was right."""

    step: Step
    repository: str
    verdict: Verdict
    said: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Played:
    """The whole scenario: the two hosts, and every outcome in order."""

    upstream: str
    mirror: str
    outcomes: tuple[Outcome, ...]

    @property
    def is_right(self) -> bool:
        """Whether every step came to what it has to; no steps at all are not right."""
        return bool(self.outcomes) and not any(each.problem for each in self.outcomes)


def play(now: datetime, steps: tuple[Step, ...] = STEPS) -> Played:
    """Start both registries on loopback, and take every step against them."""
    built = stage()
    repositories = dict(built.images)
    with LoopbackRegistry(built.upstream) as upstream, LoopbackRegistry(built.mirror) as mirror:
        hosts = Registry.parse(upstream.host), Registry.parse(mirror.host)
        settings = NetworkSettings(insecure_http=frozenset(hosts))
        outcomes: list[Outcome] = []
        for step in steps:
            question = _question(step, hosts, repositories[step.twin])
            with Network(settings, CredentialStore(), Deadline.after(_TIMEOUT)) as network:
                outcomes.append(_take(step, question, network, now))
        return Played(upstream.host, mirror.host, tuple(outcomes))


def _question(step: Step, hosts: tuple[Registry, Registry], repository: str) -> Question:
    upstream, mirror = (Reference(Repository(host, repository), TAG) for host in hosts)
    return Question(str(upstream), upstream, (mirror,), step.platforms, step.deep)


def _take(step: Step, question: Question, network: Network, now: datetime) -> Outcome:
    ask = verify if step.replaced is None else verify_for_pull
    verdict = ask(question, network, DEFAULT_POLICY, now)
    grade = verdict.mirrors[0].grade
    said = f"{verdict.decision.value}, {grade.value}"
    path = question.upstream.repository.path
    if (verdict.decision, grade) != (step.decision, step.grade):
        problem = f"has to be {step.decision.value}, {step.grade.value}"
        return Outcome(step, path, verdict, said, problem)
    if step.replaced is None:
        return Outcome(step, path, verdict, said)
    try:
        replaced, problem = _store(verdict, question, network, step.replaced)
    except ImgverifyError as error:
        return Outcome(step, path, verdict, "not stored", error.message)
    said = f"stored, {replaced} of its blobs from upstream" if replaced else "stored"
    return Outcome(step, path, verdict, said, problem)


def _store(verdict: Verdict, question: Question, network: Network, wanted: int) -> tuple[int, str]:
    """Pull into a directory that is gone afterwards, and hash what lies there."""
    with tempfile.TemporaryDirectory(prefix="imgverify-demo-") as folder:
        layout = Path(folder) / "image"
        delivery = pull(verdict, network, open_sink(f"oci:{layout}:{TAG}"), progress=Silence())
        upstream = question.upstream.repository
        replaced = sum(each.source == upstream for each in delivery.fetched)
        blobs = list((layout / "blobs" / "sha256").iterdir())
        wrong = [each.name for each in blobs if Digest.of(each.read_bytes()).encoded != each.name]
        if wrong or not (layout / "index.json").is_file():
            return replaced, "what was stored is not what was verified"
        if replaced != wanted:
            return replaced, f"{wanted} blobs have to come from upstream"
        return replaced, ""
