"""What one image may take of memory: what an index lists is added up before it is read."""

import json
from dataclasses import replace

import pytest

from imgverify.oci import limits
from imgverify.oci.descriptor import Descriptor
from imgverify.verdict import Decision, Grade, Rule
from tests.support.faults import Endless, Longer, When
from tests.support.image import ImageIndex, list_with
from tests.unit.verify.world import FORGED, NEW, World, grade, only, rules

CHILD = NEW.images[0]
MIRRORED = When("GET", str(CHILD.digest))


def _sizes(*parts: bytes) -> int:
    return sum(map(len, parts))


def test_descriptor_size_manifests_that_are_too_large_together_are_not_read(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.holds(NEW, NEW)
    together = _sizes(*(each.manifest for each in NEW.images if each.annotations == ()))
    monkeypatch.setattr(limits, "MANIFESTS_SIZE", together)
    assert pair.ask().decision is Decision.ALLOW
    monkeypatch.setattr(limits, "MANIFESTS_SIZE", together - 1)
    pair.mirror.forget()
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert "bytes together" in only(verdict).findings[0].message
    assert pair.mirror.count() == 1


def test_descriptor_size_configs_that_are_too_large_together_are_not_read(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.holds(NEW, FORGED)
    together = _sizes(*{each.config for each in FORGED.images if each.annotations == ()})
    monkeypatch.setattr(limits, "CONFIGS_SIZE", together)
    assert grade(pair.ask()) is Grade.DIVERGED
    monkeypatch.setattr(limits, "CONFIGS_SIZE", together - 1)
    pair.mirror.forget()
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert pair.mirror.count(path="/blobs/") == 0


@pytest.mark.parametrize("fault", [Longer(b"\n", chunked=True), Endless()])
def test_descriptor_size_a_manifest_longer_than_it_is_listed_is_another(
    pair: World, fault: Longer | Endless
) -> None:
    pair.holds(NEW, NEW)
    pair.mirror.play(replace(fault, when=MIRRORED))
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    assert rules(verdict) == {Rule.DIGEST_MISMATCH}


def _listing_other_size(size: int) -> ImageIndex:
    children = [each.descriptor for each in NEW.images]
    first = children[0]
    other = Descriptor(first.media_type, first.digest, size, first.platform)
    return list_with(NEW, other, *children[1:])


@pytest.mark.parametrize("size", [0, 1, len(CHILD.manifest) - 1])
def test_descriptor_size_an_index_that_lists_too_little_is_never_allowed(
    pair: World, size: int
) -> None:
    whole = _listing_other_size(size)
    assert json.loads(whole.manifest)["manifests"][0]["size"] == size
    pair.holds(whole, whole)
    assert pair.ask().decision is Decision.DENY


def test_descriptor_size_an_index_that_lists_too_much_is_never_allowed(pair: World) -> None:
    whole = _listing_other_size(len(CHILD.manifest) + 1)
    pair.holds(whole, whole)
    verdict = pair.ask()
    assert verdict.decision is Decision.INCONCLUSIVE
    assert rules(verdict) == {Rule.MALFORMED}
