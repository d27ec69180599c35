"""What a mirror claims by listing, labelling and annotating: nothing of it is evidence."""

import json
import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest

from imgverify.oci import limits
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import Compression
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry.client import Network
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.verdict import Coverage, Decision, Grade, Rule, Verdict
from imgverify.verify import Question, verify, verify_for_pull
from tests.support.certificate import self_signed
from tests.support.faults import (
    MANIFESTS,
    Body,
    Redirect,
    ServeOther,
    When,
)
from tests.support.image import (
    AMD64,
    ARM64,
    PLATFORMS,
    Image,
    ImageIndex,
    assemble,
    index,
    list_with,
    put,
    recompressed,
    reserialised,
    tamper,
    to_json,
    trimmed,
)
from tests.support.registry import FakeRegistry, Shelf
from tests.unit.verify.world import (
    FORGED,
    NEW,
    NEW_AMD64,
    NOW,
    PATH,
    SAME_CONTENT,
    TAG,
    World,
    grade,
    only,
    rules,
)

# --- which image ------------------------------------------------------------------------------


def listing(*entries: tuple[Image, dict[str, str] | None]) -> ImageIndex:
    """An index that offers images under these platforms, as a document writes them."""
    document = json.loads(NEW.manifest)
    document["manifests"] = [
        to_json(image.descriptor) | ({} if platform is None else {"platform": platform})
        for image, platform in entries
    ]
    images = tuple(image for image, _ in entries)
    return ImageIndex(json.dumps(document).encode(), NEW.media_type, images)


LINUX_ARM64 = {"os": "linux", "architecture": "arm64"}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "twin",
    [
        LINUX_ARM64,
        LINUX_ARM64 | {"variant": "v8"},
        LINUX_ARM64 | {"variant": ""},
        {"os": "linux", "architecture": "aarch64"},
    ],
    ids=["same", "v8", "empty", "alias"],
)
def test_platform_choice_another_spelling_is_the_same_platform(
    pair: World, twin: dict[str, str], order: int
) -> None:
    ours, forged = NEW.images[1], FORGED.images[1]
    both = ((ours, LINUX_ARM64), (forged, twin))[::order]
    pair.holds(NEW, listing((NEW.images[0], {"os": "linux", "architecture": "amd64"}), *both))
    for wanted in ((), (ARM64,), (AMD64,)):
        verdict = pair.ask(*wanted, deep=True, policy=SAME_CONTENT)
        assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)


def test_platform_choice_unknown_is_nobodys_platform(pair: World) -> None:
    unknown = {"os": "unknown", "architecture": "unknown"}
    pair.holds(NEW, listing((NEW.images[0], unknown)), NEW)
    for wanted in ((), (AMD64,)):
        verdict = pair.ask(*wanted, deep=True, policy=SAME_CONTENT)
        assert verdict.decision is Decision.DENY


def test_platform_choice_an_index_that_is_served_for_its_own_child_is_a_mismatch(
    pair: World,
) -> None:
    inner = Image(NEW.manifest, NEW.media_type, b"{}", (), AMD64)
    outer = replace(index((inner,)), images=())
    for each in pair.registries:
        put(each.shelf, PATH, outer, TAG)
    itself = ServeOther(outer.digest, when=When("GET", str(inner.digest)))
    pair.play("mirror", itself)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.DIVERGED)
    assert pair.mirror.count() <= 3


def test_pagination_fanout_indexes_of_indexes_end_after_few_requests(pair: World) -> None:
    inners = []
    for number in range(40):
        crowd = [
            replace(NEW.images[0].descriptor, digest=Digest.of(b"%d-%d" % (number, each)))
            for each in range(40)
        ]
        inner = replace(list_with(NEW, *crowd), images=())
        put(pair.mirror.shelf, PATH, inner)
        inners.append(Image(inner.manifest, inner.media_type, b"{}", (), AMD64))
    outer = replace(index(tuple(inners)), images=())
    pair.holds(outer, outer)
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert rules(verdict) == {Rule.MALFORMED}
    assert pair.mirror.count() + pair.upstream.count() < limits.INDEX_CHILDREN


@pytest.mark.parametrize("count", [limits.INDEX_ENTRIES + 1, 100_000])
def test_pagination_fanout_an_index_of_many_entries_is_not_read(pair: World, count: int) -> None:
    entry = json.dumps({"mediaType": "a/b", "digest": str(Digest.of(b"")), "size": 0})
    head = f'{{"schemaVersion":2,"mediaType":"{NEW.media_type}","manifests":['
    body = head + ",".join([entry] * min(count, limits.MANIFEST_SIZE // len(entry) - 10)) + "]}"
    pair.holds(NEW, NEW)
    pair.play("mirror", Body(body.encode(), when=MANIFESTS))
    started = time.thread_time()
    verdict = pair.ask()
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert time.thread_time() - started < 1
    assert pair.mirror.count() == 1


# --- how much of it ---------------------------------------------------------------------------


def test_partial_coverage_each_difference_has_a_class_of_its_own(pair: World) -> None:
    bare = index(NEW.images[:3])
    seen: dict[str, tuple[object, ...]] = {}

    def look(name: str, upstream: ImageIndex, mirror: ImageIndex, *, deep: bool) -> None:
        for each in pair.registries:
            each.shelf = Shelf()
        pair.holds(upstream, mirror)
        if name.startswith("falsified"):
            tamper(pair.mirror.shelf, NEW.images[0])
        verdict = pair.ask(deep=deep)
        found = only(verdict)
        seen[name] = (verdict.decision, found.grade, found.coverage, found.explanation.summary)

    look("same", NEW, NEW, deep=False)
    look("same-deep", NEW, NEW, deep=True)
    look("falsified-layer", NEW, NEW, deep=True)
    look("one-platform-missing", NEW, trimmed(NEW, AMD64), deep=False)
    look("attestations-stripped", NEW, trimmed(NEW, *PLATFORMS), deep=False)
    packed = index(tuple(recompressed(each, Compression.ZSTD) for each in bare.images))
    look("recompressed", bare, packed, deep=False)
    look("changed", NEW, FORGED, deep=False)
    assert len(set(seen.values())) == len(seen)
    decisions = {name: decision for name, (decision, *_) in seen.items()}
    allowed = {name for name, decision in decisions.items() if decision is Decision.ALLOW}
    # Without --deep a falsified layer is not seen, and the coverage says that it was not read.
    assert allowed == {"same", "same-deep", "attestations-stripped"}
    assert seen["same"][2] is Coverage.MANIFESTS
    assert seen["same-deep"][2] is Coverage.LAYERS


@pytest.mark.parametrize("deep", [False, True])
def test_partial_coverage_hash_raw_bytes_a_config_that_is_equal_is_not_enough(
    pair: World, *, deep: bool
) -> None:
    # The very same config and layers, and an entrypoint in an annotation.
    document = json.loads(NEW_AMD64.manifest) | {"annotations": {"run": "/evil"}}
    pair.holds(NEW_AMD64, replace(NEW_AMD64, manifest=json.dumps(document).encode()))
    verdict = pair.ask(deep=deep, policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.REPACKAGED)


# --- what layers claim ------------------------------------------------------------------------

CHUNKED = {
    "io.github.containers.zstd-chunked.manifest-checksum": str(Digest.of(b"toc")),
    "io.github.containers.zstd-chunked.manifest-position": "1:2:3:4",
}
STARGZ = {"containerd.io/snapshot/stargz/toc.digest": str(Digest.of(b"toc"))}


@pytest.mark.parametrize(
    "claims", [CHUNKED, STARGZ, CHUNKED | STARGZ], ids=["zstd", "gzip", "both"]
)
@pytest.mark.parametrize("layers", ["equal", "recompressed"])
def test_diffid_claims_a_table_of_contents_proves_nothing(
    pair: World, claims: dict[str, str], layers: str
) -> None:
    packed = recompressed(NEW_AMD64, Compression.ZSTD)
    mirrored = reserialised(NEW_AMD64) if layers == "equal" else packed
    pair.holds(NEW_AMD64, mirrored)
    assert pair.ask(deep=True, policy=SAME_CONTENT).decision is Decision.ALLOW
    document = json.loads(mirrored.manifest)
    document["layers"][1]["annotations"] = claims
    pair.holds(NEW_AMD64, replace(mirrored, manifest=json.dumps(document).encode()))
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.DENY, Grade.REPACKAGED)
    assert not only(verdict).explanation.proven


def diff_ids(*ids: Digest) -> Image:
    """The image with these digests in its config, and every layer as it was."""
    document = json.loads(NEW_AMD64.config)
    document["rootfs"]["diff_ids"] = list(map(str, ids))
    return assemble(json.dumps(document).encode(), NEW_AMD64.layers, NEW_AMD64.platform)


FIRST, SECOND = (each.diff_id for each in NEW_AMD64.layers)


@pytest.mark.parametrize(
    "ids",
    [
        (FIRST, FIRST),
        (SECOND, FIRST),
        (FIRST, Digest.of(b"")),
        (FIRST,),
        (),
        (FIRST, SECOND, FIRST),
    ],
    ids=["twice", "swapped", "wrong", "missing", "none", "extra"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_diffid_claims_of_a_config_are_never_believed(
    pair: World, ids: tuple[Digest, ...], *, packed: bool
) -> None:
    claiming = diff_ids(*ids)
    mirrored = recompressed(claiming, Compression.ZSTD) if packed else claiming
    pair.holds(NEW_AMD64, mirrored)
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert verdict.decision is not Decision.ALLOW
    assert grade(verdict) in (Grade.DIVERGED, Grade.INCONCLUSIVE)


# --- who answers ------------------------------------------------------------------------------


def under(host: str, path: str = PATH) -> Reference:
    return Reference(Repository(Registry.parse(host), path), TAG)


def judged(
    upstream: Reference, mirror: Reference, *, insecure_tls: bool = False, pulling: bool = False
) -> Verdict:
    """Ask, with every host over plain HTTP or, if it is to be, without a check of certificates."""
    hosts = frozenset({upstream.registry, mirror.registry})
    settings = NetworkSettings(*((frozenset(), hosts) if insecure_tls else (hosts, frozenset())))
    ask = verify_for_pull if pulling else verify
    with Network(settings, CredentialStore(), Deadline.after(5)) as network:
        return ask(Question("app", upstream, (mirror,)), network, SAME_CONTENT, NOW)


@pytest.mark.parametrize("pulling", [False, True])
@pytest.mark.parametrize("upstream", ["localhost", "LOCALHOST", "127.1", "0x7f000001"])
def test_compare_via_same_path_one_server_under_two_names(
    pair: World, upstream: str, *, pulling: bool
) -> None:
    pair.holds(NEW, NEW)
    here, there = f"{upstream}:{pair.mirror.port}", pair.mirror.host
    for one, other in ((here, there), (there, here)):
        verdict = judged(under(one), under(other), pulling=pulling)
        assert verdict.decision is Decision.INCONCLUSIVE
        assert rules(verdict) == {Rule.NOT_INDEPENDENT}


def test_compare_via_same_path_two_repositories_of_one_server_under_two_names(
    pair: World,
) -> None:
    put(pair.mirror.shelf, PATH, NEW, TAG)
    put(pair.mirror.shelf, "copies/app", NEW, TAG)
    verdict = judged(under(f"localhost:{pair.mirror.port}"), under(pair.mirror.host, "copies/app"))
    assert verdict.decision is Decision.ALLOW


def test_compare_via_same_path_upstream_redirects_to_another_name_of_the_mirror(
    pair: World,
) -> None:
    pair.holds(NEW, FORGED)
    name = f"localhost:{pair.mirror.port}"
    pair.upstream.play(Redirect(f"http://{name}{{path}}", when=MANIFESTS))
    hosts = frozenset(map(Registry.parse, (pair.upstream.host, pair.mirror.host, name)))
    with Network(NetworkSettings(hosts), CredentialStore(), Deadline.after(5)) as network:
        verdict = verify(pair.question(), network, SAME_CONTENT, NOW)
    assert verdict.decision is Decision.INCONCLUSIVE
    assert rules(verdict) == {Rule.NOT_INDEPENDENT}


def test_compare_via_same_path_one_address_may_serve_two_names_that_certificates_prove(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path)
    paths = ssl.DefaultVerifyPaths("", "", "", str(certificate[0]), "", "/nonexistent")
    with FakeRegistry(certificate=certificate) as shared:
        put(shared.shelf, PATH, NEW, TAG)
        names = under(f"localhost:{shared.port}"), under(shared.host)
        verdict = judged(*names, insecure_tls=True)
        assert rules(verdict) == {Rule.NOT_INDEPENDENT}
        # A front that several registries share, as the big ones do.
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
        with Network(NetworkSettings(), CredentialStore(), Deadline.after(5)) as network:
            verdict = verify(Question("app", names[0], (names[1],)), network, SAME_CONTENT, NOW)
        assert verdict.decision is Decision.ALLOW
