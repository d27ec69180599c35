"""What a question costs, and several mirrors."""

from dataclasses import replace

import pytest

from imgverify.errors import InputError, Side
from imgverify.oci.mediatype import Compression
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.policy.model import DEFAULT_POLICY
from imgverify.registry.client import Network
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.verdict import Decision, Grade, Level, Rule
from imgverify.verify import Question, verify
from tests.support.fault import MANIFESTS
from tests.support.faults import (
    Redirect,
    Status,
    When,
)
from tests.support.image import (
    AMD64,
    index,
    put,
    recompressed,
    reserialised,
    tamper,
    trimmed,
)
from tests.support.registry import FakeRegistry
from tests.unit.verify.world import (
    FORGED,
    NEW,
    NEW_AMD64,
    NOW,
    OLD,
    PATH,
    SAME_CONTENT,
    TAG,
    Item,
    World,
    grade,
    is_allowed,
    pinned,
    rules,
    world,
)

BARE = index(NEW.images[:3])
PACKED = index(tuple(recompressed(each, Compression.GZIP) for each in BARE.images))
#: Upstream's, the mirror's, an earlier one, and what that costs: HEAD, manifests and configs.
Case = tuple[Item, Item, Item | None, tuple[int, int, int]]
COSTS: dict[str, Case] = {
    "identical": (NEW, NEW, None, (2, 0, 0)),
    "identical-single": (NEW_AMD64, NEW_AMD64, None, (2, 0, 0)),
    "subset": (NEW, trimmed(NEW, AMD64), None, (2, 1, 0)),
    "subset-single": (NEW, NEW.images[0], None, (2, 1, 0)),
    "repackaged-index-alone": (NEW, reserialised(NEW), None, (2, 1, 0)),
    "repackaged": (BARE, PACKED, None, (3, 4, 3)),
    "repackaged-trimmed": (BARE, index(PACKED.images[:1]), None, (3, 2, 1)),
    "repackaged-single": (BARE.images[0], PACKED.images[0], None, (3, 1, 1)),
    "stale": (NEW, OLD, OLD, (3, 4, 3)),
    "stale-trimmed": (NEW, trimmed(OLD, AMD64), OLD, (4, 2, 1)),
    "stale-single": (NEW, OLD.images[0], OLD, (3, 2, 1)),
    "diverged": (NEW, FORGED, None, (6, 4, 3)),
    "diverged-single": (NEW_AMD64, FORGED.images[0], None, (3, 1, 1)),
}


def _cost(registry: FakeRegistry) -> tuple[int, int, int]:
    counts = (
        registry.count("HEAD"),
        registry.count("GET", "/manifests/"),
        registry.count("GET", "/blobs/"),
    )
    assert sum(counts) == registry.count()
    return counts


@pytest.mark.parametrize("name", COSTS)
def test_what_a_grade_costs_upstream(pair: World, name: str) -> None:
    upstream, mirrored, earlier, costs = COSTS[name]
    pair.holds(upstream, mirrored, *(() if earlier is None else (earlier,)))
    for deep in (False, True):
        pair.upstream.forget()
        assert name.startswith(grade(pair.ask(deep=deep)))
        assert _cost(pair.upstream) == costs


def test_what_a_mirror_without_the_image_costs_upstream(pair: World) -> None:
    put(pair.upstream.shelf, PATH, NEW, TAG)
    assert grade(pair.ask()) is Grade.MISSING
    assert _cost(pair.upstream) == (1, 0, 0)


def test_several_mirrors_cost_upstream_no_more() -> None:
    with world(3) as built:
        built.holds(NEW, NEW)
        for each in built.others:
            put(each.shelf, PATH, NEW, TAG)
        assert is_allowed(built.ask())
        assert (built.upstream.count("HEAD"), built.upstream.count()) == (2, 2)


def test_compare_via_same_path_upstream_redirects_to_the_mirror(pair: World) -> None:
    pair.holds(NEW, FORGED)
    pair.upstream.play(Redirect(f"{pair.mirror.url}{{path}}", when=MANIFESTS))
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert rules(verdict) == {Rule.NOT_INDEPENDENT}
    pulled = pair.put_question(pair.question(), pulling=True)
    assert (pulled.decision, pulled.pinned) == (Decision.INCONCLUSIVE, None)


def test_compare_via_same_path_the_mirror_cannot_vouch_for_itself(pair: World) -> None:
    pair.holds(NEW, FORGED)
    digest = When(path=f"/manifests/{FORGED.digest}")
    pair.upstream.play(Redirect(f"{pair.mirror.url}{{path}}", when=digest))
    verdict = pair.ask()
    assert pair.upstream.count("HEAD", str(FORGED.digest)) == 1
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)


def test_compare_via_same_path_upstream_redirects_elsewhere() -> None:
    with world(2) as built:
        built.holds(NEW, NEW)
        (other,) = built.others
        built.upstream.play(Redirect(f"{other.url}{{path}}", when=MANIFESTS))
        put(other.shelf, PATH, NEW, TAG)
        upstream, mirror, _ = (built.name(each) for each in built.registries)
        verdict = built.put_question(Question("app", upstream, (mirror,)))
        assert is_allowed(verdict)
        assert verdict.upstream.served_by == (built.upstream.host, other.host)


def test_compare_via_same_path_two_repositories_of_one_registry(pair: World) -> None:
    put(pair.upstream.shelf, PATH, NEW, TAG)
    put(pair.upstream.shelf, "copies/app", NEW, TAG)
    upstream = pair.name(pair.upstream)
    copy = Reference(Repository(upstream.registry, "copies/app"), TAG)
    assert is_allowed(pair.put_question(Question("app", upstream, (copy,))))
    with pytest.raises(InputError):
        Question("app", upstream, (upstream,))
    with pytest.raises(InputError, match="nothing to hold app against"):
        pair.put_question(Question("app", upstream, ()))


def test_fallback_inherits_ok_every_mirror_is_judged_by_its_own_bytes() -> None:
    with world(4) as built:
        good, forged, down, absent = built.registries[1:]
        put(built.upstream.shelf, PATH, NEW, TAG)
        put(good.shelf, PATH, NEW, TAG)
        put(forged.shelf, PATH, FORGED, TAG)
        down.play(Status(500))
        verdict = built.ask()
        assert [each.grade for each in verdict.mirrors] == [
            Grade.IDENTICAL,
            Grade.DIVERGED,
            Grade.INCONCLUSIVE,
            Grade.MISSING,
        ]
        assert [each.decision for each in verdict.mirrors] == [
            Decision.ALLOW,
            Decision.DENY,
            Decision.INCONCLUSIVE,
            Decision.DENY,
        ]
        assert verdict.decision is Decision.DENY
        names = [built.name(each) for each in (built.upstream, good, down)]
        undecided = built.put_question(Question("app", names[0], tuple(names[1:])))
        assert undecided.decision is Decision.INCONCLUSIVE
        assert absent.count() > 0


def test_one_falsified_mirror_of_two_is_named() -> None:
    with world(2) as built:
        for each in built.registries:
            put(each.shelf, PATH, NEW_AMD64, TAG)
        tamper(built.others[0].shelf, NEW_AMD64)
        verdict = built.ask(deep=True)
        assert [each.grade for each in verdict.mirrors] == [Grade.IDENTICAL, Grade.DIVERGED]
        assert built.others[0].host in verdict.mirrors[1].findings[0].message


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_layer_that_cannot_be_read_is_inconclusive(pair: World, status: int) -> None:
    pair.holds(NEW_AMD64, NEW_AMD64)
    pair.play("mirror", Status(status, when=When(path=str(NEW_AMD64.layers[1].descriptor.digest))))
    verdict = pair.ask(deep=True)
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert Rule.UNREACHABLE in rules(verdict)


def test_pulling_goes_on_without_mirrors_that_are_behind_or_down(pair: World) -> None:
    question = pair.question()
    pair.holds(NEW, OLD, OLD)
    assert is_allowed(pair.put_question(question, pulling=True))
    pair.play("mirror", Status(503))
    verdict = pair.put_question(question, pulling=True)
    assert (is_allowed(verdict), pinned(verdict)) == (True, NEW.digest)
    pair.mirror.heal()
    pair.holds(NEW, FORGED)
    assert pair.put_question(question, pulling=True).decision is Decision.DENY
    pair.play("upstream", Status(503))
    assert pair.put_question(question, pulling=True).decision is Decision.INCONCLUSIVE


def test_pulling_asks_a_mirror_for_the_tag_alone(pair: World) -> None:
    pair.holds(NEW, NEW)
    assert is_allowed(pair.put_question(pair.question(deep=True), pulling=True))
    assert (pair.mirror.count(), pair.upstream.count()) == (1, 2)


def test_insecure_settings_are_said_once_for_each_host(pair: World) -> None:
    pair.holds(NEW, NEW)
    notes = [each for each in pair.ask().findings if each.rule is Rule.INSECURE]
    assert {each.level for each in notes} == {Level.NOTE}
    assert len(notes) == 2


def test_an_insecure_host_behind_a_redirect_is_said_too(pair: World) -> None:
    elsewhere = Registry.parse("cdn.example:5000")
    pair.holds(NEW, NEW)
    settings = pair.network().settings
    settings = replace(settings, insecure_http=settings.insecure_http | {elsewhere})
    with Network(settings, CredentialStore(), Deadline.after(5)) as network:
        verdict = verify(pair.question(), network, DEFAULT_POLICY, NOW)
    assert verdict.findings[-1].message == f"{elsewhere} may have been reached over plain HTTP"
    assert verdict.findings[-1].side is Side.LOCAL


def test_no_space_for_a_layer_is_inconclusive(pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    pair.holds(NEW_AMD64, recompressed(NEW_AMD64, Compression.GZIP))
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)


def test_registries_that_are_not_checked_for_their_certificate_are_said(pair: World) -> None:
    host = Registry.parse(pair.upstream.host)
    settings = NetworkSettings(insecure_tls=frozenset({host}))
    with Network(settings, CredentialStore(), Deadline.after(5)) as network:
        verdict = verify(pair.question(), network, DEFAULT_POLICY, NOW)
    assert verdict.decision is Decision.INCONCLUSIVE
    (note,) = (each for each in verdict.findings if each.rule is Rule.INSECURE)
    assert "certificate" in note.message
