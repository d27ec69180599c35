"""Without upstream: signatures alone say what it published, and nobody else is asked."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import InputError, StoreError
from imgverify.oci.digest import Digest
from imgverify.oci.local import LocalCopy
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference
from imgverify.policy.model import DEFAULT_POLICY, Enforcement, Exemption, Policy
from imgverify.policy.pattern import Pattern
from imgverify.policy.requirement import Requirement
from imgverify.pull.engine import pull
from imgverify.pull.progress import Silence
from imgverify.signature.demand import NameRule
from imgverify.store.sink import open_sink
from imgverify.verdict import Decision, Grade, ResolvedFrom, Rule, Verdict
from imgverify.verify import Question
from tests.support import copies
from tests.support.attach import Place, attach
from tests.support.authorities import NOW
from tests.support.copies import archive_of, saved, saved_layout, shelved, write_layout
from tests.support.fault import When
from tests.support.faults import Status
from tests.support.image import put
from tests.support.signer import NAME, Deployment
from tests.unit.verify.world import NEW, NEW_AMD64, OLD, PATH, TAG, World

if TYPE_CHECKING:
    from pathlib import Path

    from imgverify.oci.local import MirrorName

SIGSTORE = Deployment()
NAMED = NameRule(Reference.parse(NAME))
KEYLESS, COSIGN = "keyless, Rekor v1", "cosign, keyless"
MADE, OLDER, ALONE = (SIGSTORE.make(KEYLESS, each.manifest) for each in (NEW, OLD, NEW_AMD64))
POLICY = DEFAULT_POLICY.also_requiring(
    (Requirement(tuple(replace(each.demand, name=NAMED) for each in (MADE, OLDER, ALONE))),)
)
AMD64 = Platform("linux", "amd64")


def asked(world: World, *mirrors: MirrorName, **fields: object) -> Question:
    question = Question("app", world.name(world.upstream), mirrors, offline=True)
    return replace(question, **fields)  # type: ignore[arg-type] # fields of a Question


def ask(
    world: World, *mirrors: MirrorName | Path, policy: Policy = POLICY, **fields: object
) -> Verdict:
    """Ask, and see to it that upstream is not."""
    world.upstream.forget()
    named = [
        each if isinstance(each, Reference | LocalCopy) else LocalCopy.parse(f"oci:{each}")
        for each in mirrors
    ]
    verdict = world.put_question(asked(world, *named, **fields), policy=policy, now=NOW)
    assert world.upstream.requests == ()
    return verdict


def rules(verdict: Verdict) -> set[Rule]:
    said = [*verdict.findings, *(one for each in verdict.mirrors for one in each.findings)]
    return {each.rule for each in said} - {Rule.INSECURE}


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return write_layout(tmp_path / "copy", shelved(NEW, TAG, (NEW, MADE, Place.REFERRER)))


def test_a_signed_copy_is_allowed_and_nobody_is_asked(pair: World, layout: Path) -> None:
    verdict = ask(pair, layout)
    assert verdict.decision is Decision.ALLOW
    assert verdict.upstream.resolved_from is ResolvedFrom.SIGNATURE
    assert verdict.upstream.digest == NEW.digest
    assert str(verdict.pinned) == f"{pair.name(pair.upstream).repository}@{NEW.digest}"
    (mirror,) = verdict.mirrors
    assert (mirror.grade, mirror.served_by) == (Grade.IDENTICAL, ())
    assert pair.mirror.requests == ()


def test_a_signed_image_of_a_mirror_is_allowed_and_upstream_is_not_asked(pair: World) -> None:
    put(pair.mirror.shelf, PATH, NEW, TAG)
    mirror = pair.name(pair.mirror)
    verdict = ask(pair, mirror)
    assert (verdict.decision, rules(verdict)) == (Decision.DENY, {Rule.UNSIGNED})
    attach(pair.mirror.shelf, PATH, NEW, MADE, place=Place.REFERRER)
    verdict = ask(pair, mirror)
    assert verdict.decision is Decision.ALLOW
    assert verdict.mirrors[0].served_by == (pair.mirror.host,)
    reached = [each.message for each in verdict.findings if " was reached " in each.message]
    assert [each.partition(" ")[0] for each in reached] == [pair.mirror.host]


def test_what_nobody_vouches_for_is_not_said_to_be_upstreams(pair: World, tmp_path: Path) -> None:
    verdict = ask(pair, write_layout(tmp_path / "copy", shelved(NEW)))
    assert (verdict.decision, rules(verdict)) == (Decision.DENY, {Rule.UNSIGNED})
    assert verdict.upstream.digest is None
    assert verdict.upstream.resolved_from is None
    assert verdict.pinned is None
    (mirror,) = verdict.mirrors
    assert (mirror.grade, mirror.decision) == (Grade.INCONCLUSIVE, Decision.DENY)
    assert "nobody who was named" in mirror.explanation.summary


def test_a_genuine_signature_of_another_image_is_rejected(pair: World, tmp_path: Path) -> None:
    """The signature manifest says what it is about; what was signed says otherwise."""
    shelf = shelved(NEW, TAG, (NEW, OLDER, Place.REFERRER))
    verdict = ask(pair, write_layout(tmp_path / "copy", shelf))
    assert (verdict.decision, rules(verdict)) == (Decision.DENY, {Rule.SIGNATURE_REJECTED})


def test_the_name_is_bound_as_upstream_writes_it(pair: World, tmp_path: Path) -> None:
    made = SIGSTORE.make(COSIGN, NEW.manifest)
    folder = write_layout(tmp_path / "copy", shelved(NEW, TAG, (NEW, made, Place.TAG)))
    policy = DEFAULT_POLICY.also_requiring((Requirement((made.demand,)),))
    verdict = ask(pair, folder, policy=policy)
    assert verdict.decision is Decision.DENY
    assert any("name-mismatch" in each.message for each in verdict.findings)
    question = replace(asked(pair, LocalCopy.parse(f"oci:{folder}")), upstream=NAMED.reference)
    assert pair.put_question(question, policy=policy, now=NOW).decision is Decision.ALLOW


def test_images_that_are_signed_one_by_one_do_not_vouch_for_the_index(
    pair: World, tmp_path: Path
) -> None:
    """Else an index could be put together from signed images of different versions."""
    shelf = shelved(NEW, TAG, (NEW_AMD64, ALONE, Place.REFERRER))
    folder = write_layout(tmp_path / "copy", shelf)
    verdict = ask(pair, folder, platforms=(AMD64,))
    assert (verdict.decision, verdict.upstream.digest) == (Decision.DENY, None)
    assert Rule.UNSIGNED in rules(verdict)
    alone = write_layout(
        tmp_path / "alone", shelved(NEW_AMD64, TAG, (NEW_AMD64, ALONE, Place.REFERRER))
    )
    assert ask(pair, alone, platforms=(AMD64,)).decision is Decision.ALLOW


def test_a_manifest_that_was_changed_is_denied(pair: World, layout: Path) -> None:
    file = copies.blob_file(layout, NEW.digest)
    file.write_bytes(file.read_bytes() + b" ")
    verdict = ask(pair, layout)
    assert (verdict.decision, verdict.mirrors[0].grade) == (Decision.DENY, Grade.DIVERGED)
    assert str(file) in verdict.mirrors[0].findings[0].message


def test_an_image_that_was_put_in_its_place_is_denied(pair: World, layout: Path) -> None:
    """With a sound digest of its own, and the signature still beside it."""
    other = write_layout(layout.parent / "other", shelved(OLD))
    for each in (other / "blobs" / "sha256").iterdir():
        (layout / "blobs" / "sha256" / each.name).write_bytes(each.read_bytes())
    (layout / "index.json").write_bytes((other / "index.json").read_bytes())
    verdict = ask(pair, layout)
    assert (verdict.decision, rules(verdict)) == (Decision.DENY, {Rule.UNSIGNED})


def test_a_layer_that_was_changed_is_denied_where_layers_are_read(
    pair: World, layout: Path
) -> None:
    copies.blob_file(layout, NEW_AMD64.layers[0].descriptor.digest).write_bytes(b"other")
    assert ask(pair, layout).decision is Decision.ALLOW
    verdict = ask(pair, layout, deep=True)
    assert (verdict.decision, verdict.mirrors[0].grade) == (Decision.DENY, Grade.DIVERGED)
    assert verdict.upstream.resolved_from is None


def test_a_platform_that_is_not_there_is_denied_before_signatures_are_looked_at(
    pair: World, layout: Path
) -> None:
    assert ask(pair, layout, platforms=(AMD64,)).decision is Decision.ALLOW
    for platform in (Platform("linux", "s390x"), AMD64):
        copies.blob_file(layout, NEW_AMD64.digest).unlink(missing_ok=True)
        verdict = ask(pair, layout, platforms=(platform,))
        assert (verdict.decision, rules(verdict)) == (Decision.DENY, {Rule.PLATFORM_ABSENT})
        assert verdict.upstream.digest is None
        assert verdict.mirrors[0].grade is Grade.INCONCLUSIVE
        assert "not looked for" in verdict.mirrors[0].explanation.summary


def test_a_digest_that_is_written_has_to_be_that_of_the_copy(pair: World, layout: Path) -> None:
    for digest, decision in ((NEW.digest, Decision.ALLOW), (OLD.digest, Decision.DENY)):
        named = pair.name(pair.upstream, TAG, digest)
        assert ask(pair, layout, upstream=named).decision is decision


def test_mirrors_that_do_not_agree_decide_nothing(
    pair: World, layout: Path, tmp_path: Path
) -> None:
    """Both are signed: which is upstream's now, nobody can say."""
    older = write_layout(tmp_path / "older", shelved(OLD, TAG, (OLD, OLDER, Place.REFERRER)))
    put(pair.mirror.shelf, PATH, NEW, TAG)
    assert ask(pair, layout, pair.name(pair.mirror)).decision is Decision.ALLOW
    verdict = ask(pair, layout, older)
    assert verdict.decision is Decision.INCONCLUSIVE
    assert [each.grade for each in verdict.mirrors] == [Grade.INCONCLUSIVE] * 2


def test_a_pull_does_not_choose_between_copies_that_do_not_agree(
    pair: World, layout: Path, tmp_path: Path
) -> None:
    older = write_layout(tmp_path / "older", shelved(OLD, TAG, (OLD, OLDER, Place.REFERRER)))
    named = [LocalCopy.parse(f"oci:{each}") for each in (older, layout)]
    for mirrors, expected in ((named[1:], Decision.ALLOW), (named, Decision.INCONCLUSIVE)):
        question = asked(pair, *mirrors)
        verdict = pair.put_question(question, policy=POLICY, pulling=True, now=NOW)
        assert verdict.decision is expected


def test_a_mirror_that_cannot_be_asked_decides_nothing(pair: World, layout: Path) -> None:
    pair.play("mirror", Status(500))
    mirror = pair.name(pair.mirror)
    assert ask(pair, mirror).decision is Decision.INCONCLUSIVE
    assert ask(pair, layout, mirror).decision is Decision.INCONCLUSIVE


def test_a_mirror_that_does_not_have_it_is_denied(pair: World, layout: Path) -> None:
    verdict = ask(pair, LocalCopy.parse(f"oci:{layout}:other"))
    assert (verdict.decision, verdict.mirrors[0].grade) == (Decision.DENY, Grade.MISSING)
    put(pair.mirror.shelf, PATH, NEW, "other")
    assert ask(pair, pair.name(pair.mirror)).decision is Decision.DENY


def test_a_lookup_that_fails_is_not_an_unsigned_image(pair: World) -> None:
    put(pair.mirror.shelf, PATH, NEW, TAG)
    pair.play("mirror", Status(500, when=When(path=".sig")))
    verdict = ask(pair, pair.name(pair.mirror))
    assert verdict.decision is Decision.INCONCLUSIVE
    assert rules(verdict) == {Rule.SIGNATURE_LOOKUP_FAILED}
    assert verdict.upstream.resolved_from is None


def test_an_exemption_does_not_stand_in_for_a_signature(pair: World, tmp_path: Path) -> None:
    """It says that a digest may be used; whose it is would be nobody's word."""
    exemption = Exemption(Pattern.parse("**"), NEW.digest, "in a hurry", "ops", date.max)
    policy = replace(POLICY, exemptions=(exemption,))
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    assert ask(pair, folder, policy=policy).decision is Decision.DENY


def test_attestation_type_an_attestation_does_not_say_what_upstream_published(
    pair: World, tmp_path: Path
) -> None:
    made = SIGSTORE.make("cosign attestation, dsse", NEW.manifest)
    folder = write_layout(tmp_path / "copy", shelved(NEW, TAG, (NEW, made, Place.TAG)))
    policy = DEFAULT_POLICY.also_requiring((Requirement((made.demand,)),))
    question = asked(pair, LocalCopy.parse(f"oci:{folder}"))
    verdict = pair.put_question(question, policy=policy, now=NOW)
    assert (verdict.decision, verdict.upstream.digest) == (Decision.DENY, None)
    assert [each.evidence.is_signature for each in verdict.evidence] == [False]
    assert Rule.UNSIGNED in rules(verdict)


def test_a_rule_that_only_warns_does_not_give_another_digest_than_was_written(
    pair: World, layout: Path
) -> None:
    (rule,) = POLICY.rules
    warning = Policy((replace(rule, enforcement=Enforcement.WARN),))
    written = pair.name(pair.upstream, TAG, OLD.digest)
    verdict = ask(pair, layout, policy=warning, upstream=written)
    assert verdict.decision is Decision.DENY
    assert Rule.TAG_DIGEST_MISMATCH in rules(verdict)


def test_a_rule_that_only_warns_does_not_say_what_upstream_published(
    pair: World, tmp_path: Path
) -> None:
    (rule,) = POLICY.rules
    warning = Policy((replace(rule, requires=rule.asked, asked=(), enforcement=Enforcement.WARN),))
    unsigned = write_layout(tmp_path / "unsigned", shelved(NEW))
    verdict = ask(pair, unsigned, policy=warning)
    assert (verdict.decision, verdict.upstream.digest) == (Decision.DENY, None)
    signed = write_layout(tmp_path / "signed", shelved(NEW, TAG, (NEW, MADE, Place.REFERRER)))
    assert ask(pair, signed, policy=warning).decision is Decision.ALLOW
    other = pair.name(pair.upstream).pinned(OLD.digest)
    verdict = ask(pair, signed, policy=warning, upstream=other)
    assert (verdict.decision, verdict.pinned) == (Decision.DENY, None)
    assert Rule.TAG_DIGEST_MISMATCH in rules(verdict)


def test_docker_s_archive_can_be_vouched_for_if_it_keeps_the_manifest(
    pair: World, tmp_path: Path
) -> None:
    plain = archive_of(tmp_path / "plain.tar", saved(NEW_AMD64))
    verdict = ask(pair, LocalCopy.parse(f"docker-archive:{plain}"))
    assert verdict.decision is Decision.DENY
    assert rules(verdict) == {Rule.UNSIGNED, Rule.MANIFEST_REBUILT}
    shelf = shelved(NEW_AMD64, None, (NEW_AMD64, ALONE, Place.REFERRER))
    beside = write_layout(tmp_path / "beside", shelf)
    files = saved_layout(NEW_AMD64, "docker.io/team/app", TAG)
    files |= {
        f"blobs/sha256/{each.name}": each.read_bytes()
        for each in (beside / "blobs" / "sha256").iterdir()
    }
    whole = archive_of(tmp_path / "whole.tar", files)
    assert ask(pair, LocalCopy.parse(f"docker-archive:{whole}")).decision is Decision.ALLOW


def test_a_question_that_nobody_is_left_to_answer_is_refused(pair: World, layout: Path) -> None:
    with pytest.raises(InputError, match="upstream is not asked"):
        ask(pair)
    with pytest.raises(InputError, match="nothing to hold"):
        ask(pair, layout, policy=DEFAULT_POLICY)


def test_a_pull_takes_all_from_the_copy_and_is_complete_or_nothing(
    pair: World, layout: Path, tmp_path: Path
) -> None:
    put(pair.upstream.shelf, PATH, NEW, TAG)
    pair.upstream.forget()
    question = asked(pair, LocalCopy.parse(f"oci:{layout}"))
    verdict = pair.put_question(question, policy=POLICY, now=NOW, pulling=True)
    out = tmp_path / "out"
    with pair.network() as network:
        delivery = pull(verdict, network, open_sink(f"oci:{out}:1"), progress=Silence())
        assert str(delivery.pinned) == str(verdict.pinned)
        copies.blob_file(layout, NEW_AMD64.layers[0].descriptor.digest).unlink()
        with pytest.raises(StoreError, match="not complete"):
            pull(verdict, network, open_sink(f"oci:{tmp_path / 'none'}"), progress=Silence())
    assert copies.blob_file(out, NEW.digest).read_bytes() == NEW.manifest
    assert not (tmp_path / "none" / "index.json").exists()
    assert pair.upstream.requests == ()


def flipped(file: Path, rng: random.Random) -> bytes:
    """Change one byte of a file; returns what was there."""
    sound = file.read_bytes()
    at = rng.randrange(len(sound))
    file.write_bytes(sound[:at] + bytes([sound[at] ^ rng.randrange(1, 256)]) + sound[at + 1 :])
    return sound


def test_whatever_byte_of_a_layout_changes_no_other_image_is_allowed(
    pair: World, layout: Path
) -> None:
    """What the image is made of is denied; beside it a change may do harm to a signature only."""
    rng = random.Random(8)  # noqa: S311 - repeatable, and no secret
    digests = (NEW.digest, *(each.digest for each in NEW.images))
    documents = {copies.blob_file(layout, each) for each in digests}
    layers = {
        copies.blob_file(layout, Digest.of(blob)) for each in NEW.images for blob in each.blobs
    }
    files = sorted(each for each in layout.rglob("*") if each.is_file() and each not in layers)
    for _ in range(15):
        for file in files:
            sound = flipped(file, rng)
            verdict = ask(pair, layout)
            if verdict.decision is Decision.ALLOW:
                assert verdict.pinned is not None
                assert verdict.pinned.digest == NEW.digest
            if file in documents:
                assert (verdict.decision, verdict.mirrors[0].grade) == (
                    Decision.DENY,
                    Grade.DIVERGED,
                )
            file.write_bytes(sound)
    assert ask(pair, layout).decision is Decision.ALLOW


def test_whatever_byte_of_an_archive_changes_no_other_image_is_allowed(
    pair: World, layout: Path
) -> None:
    rng = random.Random(9)  # noqa: S311 - repeatable, and no secret
    file = copies.pack(layout.parent / "copy.tar", layout)
    copy = LocalCopy.parse(f"oci-archive:{file}")
    for _ in range(150):
        sound = flipped(file, rng)
        for data in (file.read_bytes(), sound[: rng.randrange(len(sound))]):
            file.write_bytes(data)
            with contextlib.suppress(InputError):
                verdict = ask(pair, copy)
                if verdict.decision is Decision.ALLOW:
                    assert verdict.pinned is not None
                    assert verdict.pinned.digest == NEW.digest
        file.write_bytes(sound)
    assert ask(pair, copy).decision is Decision.ALLOW
