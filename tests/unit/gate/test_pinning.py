"""Which references get a digest, and which never do."""

import pytest

from imgverify.errors import InputError
from imgverify.gate import pinning
from imgverify.gate.find import find
from imgverify.gate.mention import Location, Trouble
from imgverify.gate.outcome import GateImage, conclude, gather
from imgverify.gate.pinning import is_unpinned, pin
from imgverify.oci.digest import Algorithm, Digest
from imgverify.oci.reference import Reference
from imgverify.verdict import (
    Decision,
    Explanation,
    Grade,
    MirrorResult,
    UpstreamResult,
    Verdict,
)
from tests.unit.gate.test_corpus import CORPUS, EXPECTED, PATHS

DIGEST = Digest(Algorithm.SHA256, "a" * 64)
OTHER = Digest(Algorithm.SHA256, "b" * 64)
UPSTREAM = Reference.parse("docker.io/library/nginx:1.27")
MIRROR = Reference.parse("m.example/docker.io/library/nginx:1.27")


def verdict(digest: Digest, decision: Decision = Decision.ALLOW) -> Verdict:
    grade = Grade.IDENTICAL if digest == DIGEST else Grade.SUBSET
    mirror = MirrorResult(MIRROR, grade, Explanation("x"), digest, decision=Decision.ALLOW)
    pinned = UPSTREAM.pinned(DIGEST) if decision is Decision.ALLOW else None
    return Verdict(str(MIRROR), UpstreamResult(UPSTREAM, DIGEST), (mirror,), (), decision, pinned)


def pinned(text: str, *, answer: Verdict | InputError, path: str = "images.txt") -> tuple[str, str]:
    reading = find(path, text.encode())
    answers = {str(each.reference): answer for each in reading.mentions if each.reference}
    result = pin(text.encode(), reading, answers)
    return result.data.decode(), "; ".join(each.problem for each in result.pins)


def test_a_mirror_s_name_is_pinned_where_the_mirror_has_that_digest() -> None:
    assert pinned(str(MIRROR), answer=verdict(DIGEST)) == (f"{MIRROR}@{DIGEST}", "")


def test_a_mirror_s_name_is_not_pinned_to_what_the_mirror_lacks() -> None:
    text, problem = pinned(str(MIRROR), answer=verdict(OTHER))
    assert text == str(MIRROR)
    assert "other bytes" in problem


@pytest.mark.parametrize("decision", [Decision.DENY, Decision.INCONCLUSIVE])
def test_what_is_not_allowed_is_never_pinned(decision: Decision) -> None:
    assert pinned("nginx:1.27", answer=verdict(DIGEST, decision)) == ("nginx:1.27", "")


def test_what_could_not_be_asked_is_not_pinned() -> None:
    assert pinned("nginx:1.27", answer=InputError("x")) == ("nginx:1.27", "")


def test_a_name_never_grows_longer() -> None:
    assert pinned("nginx:1.27", answer=verdict(DIGEST))[0] == f"nginx:1.27@{DIGEST}"
    assert pinned("nginx", answer=verdict(DIGEST))[0] == f"nginx:latest@{DIGEST}"
    assert pinned("localhost:5000/x", answer=verdict(DIGEST))[1] != ""


def test_a_digest_that_is_there_is_never_replaced() -> None:
    assert pinned(f"nginx:1.27@{OTHER}", answer=verdict(DIGEST))[0] == f"nginx:1.27@{OTHER}"


def test_an_anchor_is_pinned_once() -> None:
    text = "services: {a: {image: &a nginx}, b: {image: *a}}\n"
    after = pinned(text, answer=verdict(DIGEST), path="compose.yaml")[0]
    assert after == text.replace("nginx", f"nginx:latest@{DIGEST}")


def test_a_file_that_would_be_read_in_another_way_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pinning, "_replaced", lambda *_: b"redis\n")
    text, problem = pinned("nginx", answer=verdict(DIGEST))
    assert text == "nginx"
    assert "read in another way" in problem


def test_of_real_files_only_references_change() -> None:
    changed = 0
    for path in EXPECTED:
        data = (CORPUS / path).read_bytes()
        reading = find(path, data, paths=PATHS)
        answers = {
            str(each.reference): Verdict(
                each.text,
                UpstreamResult(each.reference, DIGEST),
                decision=Decision.ALLOW,
                pinned=each.reference.pinned(DIGEST),
            )
            for each in reading.mentions
            if each.reference
        }
        after = pin(data, reading, answers, PATHS).data
        literal = [each for each in reading.mentions if each.span and is_unpinned(each)]
        back = after.replace(f":latest@{DIGEST}".encode(), b"").replace(f"@{DIGEST}".encode(), b"")
        again = find(path, after, paths=PATHS)
        assert not [each for each in again.mentions if each.span and is_unpinned(each)], path
        # What said latest itself, or had this very digest, is all that could differ.
        if not any(each.text.endswith(":latest") for each in literal) and b"a" * 64 not in data:
            assert back == data, path
        changed += after.count(str(DIGEST).encode()) - data.count(str(DIGEST).encode())
        assert after.count(b"\n") == data.count(b"\n")
        assert pin(after, again, answers, PATHS).data == after
    assert changed > 60


def test_an_image_of_a_gate_has_a_place_and_one_answer() -> None:
    mention = find("images.txt", b"nginx").mentions[0]
    for image in ((), None), ((mention,), None):
        with pytest.raises(ValueError, match="has no place"):
            GateImage("nginx", image[0], image[1])


def test_images_come_in_the_order_of_their_first_place() -> None:
    readings = [find("b.list", b"b\n$X\na\n"), find("a.list", b"c\nb\n"), find("none.list", b"")]
    found = gather(readings)
    answers = {name: InputError(name) for name in found.resolvable}
    outcome = conclude(found, answers)
    first = [min(str(each.location) for each in image.mentions) for image in outcome.images]
    assert first == ["a.list:1:1", "a.list:2:1", "b.list:2:1", "b.list:3:1"]
    assert (outcome.files, outcome.references) == (2, 5)
    assert outcome.decision is Decision.INCONCLUSIVE
    assert Trouble(Location("x"), "y").location.line == 1
