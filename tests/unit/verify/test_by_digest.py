"""Mirrors that nobody asks what a tag means are held against the digest that upstream names."""

from dataclasses import replace

import pytest

from imgverify.errors import Side
from imgverify.verdict import Decision, Grade, Verdict
from tests.support.fault import MANIFESTS
from tests.support.faults import Status
from tests.support.image import put
from tests.unit.verify.world import FORGED, NEW, OLD, PATH, TAG, World, grade, only, world


def ask(world: World, *, pulling: bool = False) -> Verdict:
    question = world.question()
    places = frozenset(each.repository for each in question.mirrors)
    return world.put_question(replace(question, by_digest=places), pulling=pulling)


@pytest.mark.parametrize("pulling", [False, True], ids=["verify", "pull"])
def test_what_its_tag_names_is_nobody_s_concern(pair: World, *, pulling: bool) -> None:
    pair.holds(NEW, FORGED, OLD)
    put(pair.mirror.shelf, PATH, NEW)
    verdict = ask(pair, pulling=pulling)
    assert (verdict.decision, grade(verdict)) == (Decision.ALLOW, Grade.IDENTICAL)
    assert str(only(verdict).reference) == f"{pair.mirror.host}/{PATH}@{NEW.digest}"
    assert pair.mirror.count(path=f"/manifests/{TAG}") == 0


def test_one_that_lacks_the_digest_lacks_the_image(pair: World) -> None:
    pair.holds(NEW, FORGED)
    verdict = ask(pair)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.MISSING)


def test_nothing_is_asked_of_it_while_upstream_names_nothing(pair: World) -> None:
    pair.holds(NEW, NEW)
    pair.upstream.play(Status(500, when=MANIFESTS))
    verdict = ask(pair)
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert {each.side for each in verdict.findings if each.rule != "insecure"} == {Side.UPSTREAM}
    assert pair.mirror.requests == ()


def test_others_are_asked_for_the_tag_beside_it() -> None:
    with world(2) as three:
        three.holds(NEW, NEW)
        put(three.others[0].shelf, PATH, NEW, TAG)
        question = three.question()
        place = frozenset({question.mirrors[0].repository})
        verdict = three.put_question(replace(question, by_digest=place))
        assert verdict.decision is Decision.ALLOW
        assert three.mirror.count(path=f"/manifests/{TAG}") == 0
        assert three.others[0].count(path=f"/manifests/{TAG}") == 1
