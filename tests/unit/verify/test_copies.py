"""A copy in files takes a mirror's place, and is judged as one."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import DigestMismatch, InputError, Malformed, Side, Unreachable
from imgverify.oci import limits
from imgverify.oci.digest import Content, Digest
from imgverify.oci.local import LocalCopy
from imgverify.oci.manifest import Manifest, parse_manifest
from imgverify.oci.mediatype import Compression
from imgverify.oci.reference import Reference
from imgverify.policy.model import DEFAULT_POLICY, Policy
from imgverify.policy.requirement import Requirement
from imgverify.pull.engine import pull
from imgverify.pull.progress import Silence
from imgverify.registry.deadline import Deadline
from imgverify.signature.demand import NameRule
from imgverify.store.sink import open_sink
from imgverify.verdict import Coverage, Decision, Grade, Rule, Verdict
from imgverify.verify import Question
from imgverify.verify.local import LocalRepository
from tests.support import copies
from tests.support.attach import Place, attach
from tests.support.authorities import NOW as SIGNED_NOW
from tests.support.copies import (
    Manner,
    archive_of,
    pack,
    saved,
    saved_layout,
    shelved,
    write_layout,
)
from tests.support.image import ImageIndex, docker, put, recompressed, trimmed
from tests.support.signer import NAME, Deployment
from tests.unit.verify.world import (
    FORGED,
    NEW,
    NEW_AMD64,
    OLD,
    PATH,
    SAME_CONTENT,
    TAG,
    World,
    grade,
    only,
    rules,
)

if TYPE_CHECKING:
    from pathlib import Path

SIGSTORE = Deployment()
NAMED = NameRule(Reference.parse(NAME))


def asked(world: World, text: str, **fields: object) -> Question:
    question = Question("app", world.name(world.upstream), (LocalCopy.parse(text),))
    return replace(question, **fields)  # type: ignore[arg-type] # fields of a Question


def judge(world: World, text: str, policy: Policy = DEFAULT_POLICY, **fields: object) -> Verdict:
    return world.put_question(asked(world, text, **fields), policy=policy)


@pytest.fixture
def published(pair: World) -> World:
    put(pair.upstream.shelf, PATH, OLD)
    put(pair.upstream.shelf, PATH, NEW, TAG)
    return pair


@pytest.mark.parametrize(
    ("item", "wanted"),
    [(NEW, Grade.IDENTICAL), (OLD, Grade.STALE), (FORGED, Grade.DIVERGED),
     (trimmed(NEW, NEW_AMD64.platform), Grade.SUBSET)],
)  # fmt: skip
def test_a_layout_has_the_grade_that_a_mirror_would_have(
    published: World, tmp_path: Path, item: ImageIndex, wanted: Grade
) -> None:
    folder = write_layout(tmp_path / "copy", shelved(item))
    for text in (f"oci:{folder}", f"oci:{folder}:1.4"):
        verdict = judge(published, text)
        assert grade(verdict) is wanted
        assert only(verdict).digest == item.digest
        assert only(verdict).served_by == ()
        assert str(only(verdict).reference) == text
        assert only(verdict).coverage is Coverage.MANIFESTS


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_is_read_as_the_layout_in_it(
    published: World, tmp_path: Path, mode: str
) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    file = pack(tmp_path / "copy.tar", folder, mode)
    verdict = judge(published, f"oci-archive:{file}", deep=True)
    assert verdict.decision is Decision.ALLOW
    assert only(verdict).coverage is Coverage.LAYERS


def test_docker_s_archive_is_repackaged_and_proven_by_its_layers(
    pair: World, tmp_path: Path
) -> None:
    put(pair.upstream.shelf, PATH, NEW_AMD64, TAG)
    file = archive_of(tmp_path / "saved.tar", saved(NEW_AMD64, "app:1.4"))
    verdict = judge(pair, f"docker-archive:{file}")
    assert grade(verdict) is Grade.REPACKAGED
    assert only(verdict).explanation.proven
    assert only(verdict).coverage is Coverage.LAYERS
    assert rules(verdict) == {Rule.MANIFEST_REBUILT}
    assert verdict.decision is Decision.DENY
    assert judge(pair, f"docker-archive:{file}", SAME_CONTENT).decision is Decision.ALLOW


def test_docker_s_archive_of_another_image_is_diverged(pair: World, tmp_path: Path) -> None:
    put(pair.upstream.shelf, PATH, NEW_AMD64, TAG)
    file = archive_of(tmp_path / "saved.tar", saved(FORGED.images[0]))
    assert grade(judge(pair, f"docker-archive:{file}")) is Grade.DIVERGED


def test_docker_s_archive_with_another_layer_is_diverged_and_names_the_file(
    pair: World, tmp_path: Path
) -> None:
    put(pair.upstream.shelf, PATH, NEW_AMD64, TAG)
    files = saved(NEW_AMD64)
    name = next(each for each in files if each.endswith("layer.tar"))
    files[name] = FORGED.images[0].layers[0].plain + bytes(512)
    file = archive_of(tmp_path / "saved.tar", files)
    verdict = judge(pair, f"docker-archive:{file}", SAME_CONTENT)
    assert (grade(verdict), verdict.decision) == (Grade.DIVERGED, Decision.DENY)
    assert name in only(verdict).findings[0].message


def test_docker_s_archive_with_compressed_layers_is_proven_by_what_is_in_them(
    pair: World, tmp_path: Path
) -> None:
    put(pair.upstream.shelf, PATH, NEW_AMD64, TAG)
    image = recompressed(docker(NEW_AMD64), Compression.GZIP, 1)
    files = saved(image)
    layers = [each for each in files if each.endswith("layer.tar")]
    files |= {name: each.blob for name, each in zip(layers, image.layers, strict=True)}
    file = archive_of(tmp_path / "saved.tar", files)
    assert judge(pair, f"docker-archive:{file}", SAME_CONTENT).decision is Decision.ALLOW


def test_docker_s_archive_over_a_layout_keeps_the_digest(pair: World, tmp_path: Path) -> None:
    put(pair.upstream.shelf, PATH, NEW_AMD64, TAG)
    file = archive_of(tmp_path / "saved.tar", saved_layout(NEW_AMD64, "docker.io/team/app", "1.4"))
    for name in ("", ":team/app:1.4", ":docker.io/team/app:1.4"):
        assert grade(judge(pair, f"docker-archive:{file}{name}")) is Grade.IDENTICAL
    assert grade(judge(pair, f"docker-archive:{file}:other:1.4")) is Grade.MISSING


def test_docker_s_archive_over_a_layout_that_lists_nothing_is_read_by_docker_s_list(
    pair: World, tmp_path: Path
) -> None:
    """So `docker save` writes an image that has no name."""
    put(pair.upstream.shelf, PATH, NEW_AMD64, TAG)
    files = saved_layout(NEW_AMD64, "docker.io/team/app", "1.4")
    files["index.json"] = b'{"schemaVersion": 2, "manifests": null}'
    file = archive_of(tmp_path / "saved.tar", files)
    verdict = judge(pair, f"docker-archive:{file}")
    assert (grade(verdict), only(verdict).explanation.proven) == (Grade.REPACKAGED, True)
    assert grade(judge(pair, f"oci-archive:{file}")) is Grade.MISSING


def test_archive_load_two_lists_of_images_that_differ_are_denied(
    pair: World, tmp_path: Path
) -> None:
    """One loader reads the one list, another the other: each would run another image."""
    put(pair.upstream.shelf, PATH, NEW_AMD64, TAG)
    files = saved_layout(NEW_AMD64, "docker.io/team/app", "1.4")
    forged = saved_layout(FORGED.images[0], "docker.io/team/app", "1.4")
    kept = ("index.json",)
    mixed = forged | {name: data for name, data in files.items() if name != "manifest.json"}
    assert all(mixed[each] == files[each] for each in kept)
    file = archive_of(tmp_path / "saved.tar", mixed)
    verdict = judge(pair, f"docker-archive:{file}")
    assert (grade(verdict), verdict.decision) == (Grade.DIVERGED, Decision.DENY)
    assert "manifest.json" in only(verdict).findings[0].message


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_every_manifest_of_a_layout_is_hashed(published: World, tmp_path: Path, which: int) -> None:
    """Those of other platforms than the wanted one, and attestations, too."""
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    file = copies.blob_file(folder, NEW.images[which].digest)
    file.write_bytes(file.read_bytes().replace(b"schemaVersion", b"schemaversion"))
    verdict = judge(published, f"oci:{folder}", platforms=(NEW_AMD64.platform,))
    assert (grade(verdict), verdict.decision) == (Grade.DIVERGED, Decision.DENY)
    (finding,) = only(verdict).findings
    assert finding.rule is Rule.DIGEST_MISMATCH
    assert str(file) in finding.message
    assert "make it again" in finding.hint


def test_a_manifest_that_grew_beyond_what_is_read_is_denied(
    published: World, tmp_path: Path
) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    copies.blob_file(folder, NEW.digest).write_bytes(NEW.manifest + b" " * limits.MANIFEST_SIZE)
    assert judge(published, f"oci:{folder}").decision is Decision.DENY


def test_a_changed_manifest_is_denied_with_upstream_down_as_well(
    published: World, tmp_path: Path
) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    sound = judge(published, f"oci:{folder}")
    published.upstream.shelf.untag(PATH, TAG)
    assert sound.decision is Decision.ALLOW
    assert judge(published, f"oci:{folder}").decision is Decision.INCONCLUSIVE
    copies.blob_file(folder, NEW.digest).write_bytes(NEW.manifest + b" ")
    assert judge(published, f"oci:{folder}").decision is Decision.DENY


def test_a_changed_layer_is_found_where_layers_are_read(published: World, tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    layer = NEW_AMD64.layers[0]
    file = copies.blob_file(folder, layer.descriptor.digest)
    file.write_bytes(bytes([layer.blob[0] ^ 1]) + layer.blob[1:])
    assert judge(published, f"oci:{folder}").decision is Decision.ALLOW
    verdict = judge(published, f"oci:{folder}", deep=True)
    assert (grade(verdict), verdict.decision) == (Grade.DIVERGED, Decision.DENY)
    assert f"from oci:{folder}" in only(verdict).findings[0].message


def test_a_layer_that_is_not_there_makes_it_incomplete(published: World, tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    copies.blob_file(folder, NEW_AMD64.layers[0].descriptor.digest).unlink()
    assert grade(judge(published, f"oci:{folder}", deep=True)) is Grade.MISSING


def test_a_platform_that_is_not_there_is_told(published: World, tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    copies.blob_file(folder, NEW_AMD64.digest).unlink()
    verdict = judge(published, f"oci:{folder}")
    assert grade(verdict) is Grade.SUBSET
    assert rules(verdict) == {Rule.PLATFORM_ABSENT}


def test_a_name_that_is_not_there_is_missing(published: World, tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    verdict = judge(published, f"oci:{folder}:other")
    assert grade(verdict) is Grade.MISSING
    assert only(verdict).explanation.summary.endswith("called 'other'; it has '1.4'")


def test_several_images_have_to_be_told_apart(published: World, tmp_path: Path) -> None:
    shelf = shelved(NEW, "new")
    put(shelf, copies.PATH, OLD, "old")
    folder = write_layout(tmp_path / "copy", shelf)
    with pytest.raises(InputError, match="'new', 'old'"):
        judge(published, f"oci:{folder}")
    assert published.upstream.requests == ()
    assert grade(judge(published, f"oci:{folder}:new")) is Grade.IDENTICAL


@pytest.mark.parametrize(
    "text", ["oci:{}/none", "oci-archive:{}/none", "docker-archive:{}", "oci:{}"]
)
def test_a_copy_that_is_none_is_the_caller_s_mistake(
    published: World, tmp_path: Path, text: str
) -> None:
    with pytest.raises(InputError):
        judge(published, text.format(tmp_path))
    assert published.upstream.requests == ()


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schemaVersion": 1}', b"\xff"])
def test_a_layout_that_cannot_be_read_decides_nothing(
    published: World, tmp_path: Path, name: str, data: bytes
) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    (folder / name).write_bytes(data)
    verdict = judge(published, f"oci:{folder}")
    assert (grade(verdict), rules(verdict)) == (Grade.INCONCLUSIVE, {Rule.MALFORMED})


def test_tar_extraction_a_link_in_the_place_of_a_blob_is_not_followed(
    published: World, tmp_path: Path
) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    file = copies.blob_file(folder, NEW.digest)
    (tmp_path / "elsewhere").write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    verdict = judge(published, f"oci:{folder}")
    assert (grade(verdict), rules(verdict)) == (Grade.INCONCLUSIVE, {Rule.MALFORMED})


def test_a_pipe_in_the_place_of_a_blob_keeps_nobody_waiting(
    published: World, tmp_path: Path
) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    file = copies.blob_file(folder, NEW.digest)
    file.unlink()
    os.mkfifo(file)
    assert grade(judge(published, f"oci:{folder}")) is Grade.INCONCLUSIVE


def requiring(made: object) -> Policy:
    demand = replace(made.demand, name=NAMED)  # type: ignore[attr-defined] # a Specimen
    return DEFAULT_POLICY.also_requiring((Requirement((demand,)),))


@pytest.mark.parametrize(
    "kept",
    [
        ("keyless, Rekor v1", Place.REFERRER, Manner.TAGS),
        ("keyless, Rekor v1", Place.REFERRER, Manner.LISTED),
        ("keyless, Rekor v1", Place.FALLBACK, Manner.TAGS),
        ("keyless, Rekor v1", Place.DOWNGRADED, Manner.TAGS),
        ("cosign, keyless", Place.TAG, Manner.TAGS),
        ("cosign, keyless", Place.TAG, Manner.COSIGN),
        ("cosign, keyless", Place.REFERRER, Manner.TAGS),
    ],
)
@pytest.mark.parametrize("offline", [False, True])
def test_a_signature_is_found_wherever_tools_keep_it(
    published: World, tmp_path: Path, kept: tuple[str, Place, Manner], *, offline: bool
) -> None:
    name, place, manner = kept
    made = SIGSTORE.make(name, NEW.manifest)
    folder = write_layout(tmp_path / "copy", shelved(NEW, TAG, (NEW, made, place)), manner)
    published.upstream.forget()
    for text in (f"oci:{folder}", f"oci:{folder}:{TAG}"):
        question = asked(published, text, offline=offline)
        verdict = published.put_question(question, policy=requiring(made), now=SIGNED_NOW)
        assert verdict.decision is Decision.ALLOW, verdict
        assert verdict.evidence[0].found_at == (text,)
        assert bool(published.upstream.requests) is not offline


def test_a_signature_with_other_bytes_than_its_name_says_counts_for_nothing(
    published: World, tmp_path: Path
) -> None:
    made = SIGSTORE.make("keyless, Rekor v1", NEW.manifest)
    shelf = shelved(NEW, TAG)
    carrier = attach(shelf, copies.PATH, NEW, made, place=Place.REFERRER)
    folder = write_layout(tmp_path / "copy", shelf)
    file = copies.blob_file(folder, carrier)
    file.write_bytes(file.read_bytes() + b" ")
    question = asked(published, f"oci:{folder}")
    verdict = published.put_question(question, policy=requiring(made), now=SIGNED_NOW)
    assert verdict.decision is Decision.DENY
    assert any(str(file) in each.message for each in verdict.findings)


def test_what_only_looks_like_a_signature_is_passed_over(published: World, tmp_path: Path) -> None:
    made = SIGSTORE.make("keyless, Rekor v1", NEW.manifest)
    folder = write_layout(tmp_path / "copy", shelved(NEW, TAG, (NEW, made, Place.REFERRER)))
    statement = json.dumps({"subject": [str(NEW.digest)]}).encode()
    plain = json.loads(NEW_AMD64.manifest) | {"annotations": {"subject": str(NEW.digest)}}
    for data in (statement, json.dumps(plain).encode()):
        copies.blob_file(folder, Digest.of(data)).write_bytes(data)
    (folder / "blobs" / "sha256" / "notes.txt").write_text('{"subject"')
    question = asked(published, f"oci:{folder}")
    verdict = published.put_question(question, policy=requiring(made), now=SIGNED_NOW)
    assert verdict.decision is Decision.ALLOW


def local(text: str) -> LocalRepository:
    return LocalRepository(LocalCopy.parse(text), Side.MIRROR, Deadline.after(10))


def test_what_is_listed_with_another_size_is_not_it(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW_AMD64))
    (entry,) = copies.index_of(folder)
    copies.write_index(folder, [entry | {"size": len(NEW_AMD64.manifest) + 1}])
    copy = local(f"oci:{folder}")
    with pytest.raises(Malformed, match="listed with"):
        copy.image()
    config = parse_manifest(Content.of(NEW_AMD64.manifest))
    assert isinstance(config, Manifest)
    assert copy.document(config.config, 10_000).data == NEW_AMD64.config
    with pytest.raises(DigestMismatch, match=r"bytes, not 7"):
        copy.document(replace(config.config, size=7), 10_000)
    copy.close()


def test_what_the_system_cannot_read_decides_nothing(
    published: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    verdict = judge(published, f"oci:{folder}")
    assert (grade(verdict), rules(verdict)) == (Grade.INCONCLUSIVE, {Rule.UNREACHABLE})
    assert "Input/output error" in only(verdict).findings[0].message


def test_a_copy_that_takes_too_long_to_read_decides_nothing(tmp_path: Path) -> None:
    file = pack(tmp_path / "x.tar", write_layout(tmp_path / "copy", shelved(NEW)))
    copy = LocalRepository(LocalCopy.parse(f"oci-archive:{file}"), Side.MIRROR, Deadline.after(-1))
    assert copy.is_late
    with pytest.raises(Unreachable):
        copy.image()


def test_a_pull_takes_from_a_copy_what_is_upstream_s(published: World, tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "copy", shelved(NEW))
    broken = NEW_AMD64.layers[0].descriptor.digest
    copies.blob_file(folder, broken).write_bytes(b"other")
    question = asked(published, f"oci:{folder}")
    verdict = published.put_question(question, pulling=True)
    with published.network() as network:
        sink = open_sink(f"oci:{tmp_path}/out:1")
        delivery = pull(verdict, network, sink, progress=Silence())
    sources = {each.blob.digest: each.source for each in delivery.fetched}
    assert str(sources.pop(broken)) == str(published.name(published.upstream).repository)
    assert set(map(str, sources.values())) == {f"oci:{folder}"}
    assert copies.blob_file(tmp_path / "out", broken).read_bytes() != b"other"
