"""Which answer is changed, how, and when: all follows from the number of a case and a seed."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from imgverify.oci.digest import Digest
from tests.fuzz.campaign import document, graft, reply, transfer
from tests.fuzz.campaign.reply import Reply
from tests.fuzz.campaign.scenarios import SCENARIOS
from tests.fuzz.campaign.wire import Play

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.fuzz.campaign.hosts import Site
    from tests.fuzz.campaign.scenarios import Scenario

_GRAFTED: Final = 0.3
_TWO_CHANGES: Final = 0.2
_CLEVER: Final = 0.5
_GRAFT_SIZE: Final = 400_000
#: Kinds that take time by their nature, per thousand changes.
_SLOW: Final = 10
_DOCUMENT: Final = "document"
_FAMILIES: Final = {
    "document": {_DOCUMENT: 44, "header": 16, "status": 10, "body": 14, "wire": 14},
    "blob": {"header": 20, "status": 14, "body": 40, "wire": 26},
    "head": {"header": 50, "status": 28, "wire": 22},
    "signpost": {"header": 60, "status": 20, _DOCUMENT: 6, "wire": 14},
}
#: The kinds of each family.
KINDS: Final = {
    "header": [each for each in reply.CHANGES if each.startswith("header.")],
    "status": [each for each in reply.CHANGES if each.startswith("status.")],
    "body": list(transfer.BODY),
    "wire": list(transfer.WIRE),
    "slow": list(transfer.SLOW),
    _DOCUMENT: [_DOCUMENT],
}
_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A question that a host is asked."""

    host: str
    method: str
    target: str

    def __str__(self) -> str:
        """Return it with digests cut short."""
        return f"{self.host} {self.method} {_HEX.sub(lambda found: found[0][:8], self.target)}"


@dataclass(frozen=True, slots=True)
class Change:
    """Changes the answers from the `first` to the `last` of one question."""

    point: Point
    kind: str
    seed: str
    first: int = 1
    last: int | None = None

    def is_due(self, nth: int) -> bool:
        """Tell whether the nth answer is changed."""
        return self.first <= nth and (self.last is None or nth <= self.last)


@dataclass(frozen=True, slots=True)
class Graft:
    """Changes a document or blob where it lies, on all of `hosts`."""

    hosts: tuple[str, ...]
    digest: Digest
    seed: str


@dataclass(frozen=True, slots=True)
class Manner:
    """How the command is asked to talk: options before and after its name."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def of(self, scenario: Scenario) -> Scenario:
        """Return a scenario with these options; what is no command has none."""
        if not scenario.command:
            return scenario
        return replace(scenario, command=(*self.before, *scenario.command, *self.after))


_MANNERS: Final = (
    *(Manner(), Manner(), Manner(("-v",)), Manner(("-q",)), Manner(("-v", "--color", "always"))),
    *(Manner((), ("--format", "json")), Manner(("-v",), ("--format", "json"))),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One run of imgverify."""

    number: int
    scenario: Scenario
    changes: tuple[Change, ...] = ()
    grafts: tuple[Graft, ...] = ()
    manner: Manner = Manner()

    def due(self, point: Point, nth: int) -> tuple[Change, ...]:
        """Return the changes of the nth answer to a question."""
        return tuple(each for each in self.changes if each.point == point and each.is_due(nth))

    @property
    def label(self) -> str:
        """Say in a line what is done."""
        done = [f"{each.point} {each.kind}" for each in self.changes]
        done += [
            f"{'+'.join(each.hosts)} holds another {each.digest.short}" for each in self.grafts
        ]
        options = " ".join((*self.manner.before, *self.manner.after))
        return f"{self.scenario.name}: {'; '.join(done)} {options}".rstrip()


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What each scenario asks while nothing is changed, and all that is answered."""

    asked: Mapping[str, Mapping[Point, Reply]]
    values: Mapping[str, Sequence[Any]]
    headers: Mapping[str, Sequence[str]]
    bodies: Sequence[bytes]


def learn(asked: Mapping[str, Mapping[Point, Reply]]) -> Knowledge:
    """Build the knowledge from unchanged runs; the same runs in any order give the same."""
    answers = [answer for each in asked.values() for answer in each.values()]
    bodies = sorted({each.body for each in answers if b"token" not in each.body})
    headers: dict[str, set[str]] = {}
    for each in answers:
        for name, value in each.headers:
            headers.setdefault(name.lower(), set()).add(value)
    held = {id(site.shelf): site.shelf for one in SCENARIOS.values() for site in one.sites.values()}
    documents = {data for shelf in held.values() for data in graft.content(shelf).values()}
    return Knowledge(
        {name: dict(sorted(found.items())) for name, found in asked.items()},
        document.values_of(sorted({*bodies, *documents})),
        {name: sorted(values) for name, values in sorted(headers.items())},
        bodies,
    )


def _shape(point: Point, answer: Reply) -> str:
    if any(map(answer.has, ("Location", "WWW-Authenticate", "Retry-After", "Link"))):
        return "signpost"
    if point.method == "HEAD":
        return "head"
    return "document" if transfer.is_json(answer.body) else "blob"


def case(number: int, seed: int, known: Knowledge) -> Case:
    """Return a case: the same number and seed give the same one."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311 - repeatable, and no secret
    every = list(SCENARIOS.values())
    (scenario,) = rng.choices(every, [each.weight for each in every])
    changes: list[Change] = []
    grafts: list[Graft] = []
    for at in range(2 if rng.random() < _TWO_CHANGES else 1):
        one = f"{seed}:{number}:{at}"
        if rng.random() < _GRAFTED:
            grafts.append(_graft(scenario, one, rng))
        else:
            changes.append(_change(known.asked[scenario.name], one, rng))
    return Case(number, scenario, tuple(changes), tuple(grafts), rng.choice(_MANNERS))


def _change(asked: Mapping[Point, Reply], seed: str, rng: random.Random) -> Change:
    point = rng.choice(list(asked))
    weights = _FAMILIES[_shape(point, asked[point])]
    family = rng.choices(list(weights), list(weights.values()))[0]
    if rng.randrange(1000) < _SLOW:
        family = "slow"
    first, last = rng.choices(((1, None), (1, 1), (2, None)), (6, 3, 1))[0]
    return Change(point, rng.choice(KINDS[family]), seed, first, last)


def _graft(scenario: Scenario, seed: str, rng: random.Random) -> Graft:
    sites = {host: site for host, site in scenario.sites.items() if graft.content(site.shelf)}
    host = rng.choice(sorted(sites))
    digest = rng.choice(sorted(graft.content(sites[host].shelf)))
    # What both sides hold is often changed on both: then it is upstream's own, and odd.
    everywhere = rng.random() < 0.4
    same = [each for each, site in sites.items() if site.shelf is sites[host].shelf]
    fitting = [each for each, site in sites.items() if digest in graft.content(site.shelf)]
    return Graft(tuple(sorted(fitting if everywhere else same)), digest, seed)


def grafted_sites(one: Case, known: Knowledge) -> tuple[dict[str, Site], tuple[str, ...]]:
    """Return the hosts of a case with what was put into the place of their content, and how."""
    sites = dict(one.scenario.sites)
    done: list[str] = []
    for each in one.grafts:
        rng = random.Random(each.seed)  # noqa: S311 - as above
        found: tuple[str, bytes] | None = None
        for host in each.hosts:
            held = graft.content(sites[host].shelf)
            if each.digest not in held:
                continue
            found = found or _other(held[each.digest], rng, known)
            shelf = graft.grafted(sites[host].shelf, each.digest, found[1])
            sites[host] = replace(sites[host], shelf=shelf)
        if found is not None:
            done.append(f"{'+'.join(each.hosts)} {each.digest.short} graft.{found[0]}")
    return sites, tuple(done)


def _other(data: bytes, rng: random.Random, known: Knowledge) -> tuple[str, bytes]:
    if transfer.is_json(data):
        # Less than elsewhere: a registry that lists referrers reads all that it holds.
        return document.change(data, rng, known.values, most=_GRAFT_SIZE)
    name = rng.choice(("body.truncate", "body.flip", "body.insert", "body.exchange"))
    changed = transfer.BODY[name](Reply("", (), data), rng, known.bodies)
    return name, changed.body if isinstance(changed, Reply) else data


def prepared(
    one: Case, known: Knowledge
) -> dict[tuple[Point, tuple[Change, ...]], tuple[Reply, tuple[Play, tuple[str, ...]]]]:
    """Return what is sent in the place of the answers that are expected."""
    asked = known.asked[one.scenario.name]
    combinations = {
        (each.point, one.due(each.point, nth)) for each in one.changes for nth in (1, 2)
    }
    return {
        (point, due): (asked[point], play(asked[point], point.target, due, known))
        for point, due in combinations
        if due
    }


def play(
    answer: Reply, target: str, changes: Sequence[Change], known: Knowledge
) -> tuple[Play, tuple[str, ...]]:
    """Return what is sent instead of `answer`, and what was done to it."""
    done: list[str] = []
    for each in changes:
        rng = random.Random(each.seed)  # noqa: S311 - as above
        what, changed = _apply(each.kind, answer, rng, known)
        done.append(what)
        if isinstance(changed, Play):
            return changed, tuple(done)
        answer = _aimed(changed, target)
    return answer.play, tuple(done)


def _apply(
    kind: str, answer: Reply, rng: random.Random, known: Knowledge
) -> tuple[str, Reply | Play]:
    if kind in reply.CHANGES:
        return kind, reply.CHANGES[kind](answer, rng, known.headers)
    if kind in transfer.WIRE:
        return kind, transfer.WIRE[kind](answer, rng)
    if kind in transfer.SLOW:
        return kind, transfer.SLOW[kind](answer, rng)
    what, changed = _apply_to_body(kind, answer, rng, known)
    clever = rng.random() < _CLEVER
    if isinstance(changed, Reply) and clever and changed.has("Docker-Content-Digest"):
        return what, changed.with_header("Docker-Content-Digest", str(Digest.of(changed.body)))
    return what, changed


def _apply_to_body(
    kind: str, answer: Reply, rng: random.Random, known: Knowledge
) -> tuple[str, Reply | Play]:
    if kind == _DOCUMENT and transfer.is_json(answer.body):
        what, data = document.change(answer.body, rng, known.values)
        return what, answer.with_body(data)
    name = kind if kind in transfer.BODY else "body.flip"
    return name, transfer.BODY[name](answer, rng, known.bodies)


def _aimed(answer: Reply, target: str) -> Reply:
    """Let a URL among the headers lead to where this question was about."""
    headers = tuple((name, value.replace("{target}", target)) for name, value in answer.headers)
    return replace(answer, headers=headers)
