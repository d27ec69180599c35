import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgverify.oci.reference import Reference
from imgverify.report.explain import Occasion
from imgverify.report.text import render_text
from imgverify.verdict import (
    Coverage,
    Decision,
    Explanation,
    Grade,
    Level,
    MirrorResult,
    UpstreamResult,
    Verdict,
)
from tests.unit.report.harm import commands, unseen
from tests.unit.report.verdicts import (
    CHANGED,
    DIVERGED,
    DIVERGED_MIRROR,
    HOSTILE,
    IDENTICAL,
    IDENTICAL_MIRROR,
    MIXED,
    NGINX,
    NO_MIRROR,
    REPACKED,
    UNREACHABLE,
    VERDICTS,
    at,
    digest,
    finding,
    hostile,
    verdict,
)

A = f"docker.io/library/nginx:1.27@{digest('a')}"

IDENTICAL_TEXT = """\
ALLOWED  {A}
  SOURCE                  DIGEST               GRADE      NOTE
  upstream  docker.io     sha256:aaaaaaaaaaaa  -          asked directly
  mirror    m.example.cn  sha256:aaaaaaaaaaaa  identical  the digests are equal
  coverage: manifests read; layers not read (add --deep)
"""

DIVERGED_TEXT = """\
DENIED  docker.io/library/nginx:1.27
  {a}
  SOURCE                  DIGEST               GRADE     NOTE
  upstream  docker.io     sha256:aaaaaaaaaaaa  -         asked directly
  mirror    m.example.cn  sha256:bbbbbbbbbbbb  diverged  as far as can be known, upstream
                                                         never published this; served by
                                                         cdn.example.net

  upstream → m.example.cn:
    linux/amd64 changed: sha256:111111111111 → sha256:222222222222
      layers 1–7 equal (70.0 MiB)
      layer 8 changed: 51.2 MiB sha256:333333333333 → 51.9 MiB sha256:444444444444
      layer 9 added: 1.1 KiB sha256:555555555555
      layer 10 dropped: 512 B sha256:666666666666
      config changed: config:Cmd, config:Env
    equal: linux/arm64
    not on the mirror: linux/s390x
    only on the mirror: windows/amd64:10.0
    not on the mirror: 2 attestations

  errors:
    malformed (mirror m.example.cn): the mirror's image is not upstream's
      hint: take another mirror, and tell the keeper of this one

  coverage: manifests read; layers not read
"""  # noqa: RUF001 - an en dash is how a range is written

MIXED_TEXT = """\
ALLOWED  {A}
  requested as nginx:1.27
  SOURCE                              DIGEST               GRADE      NOTE
  upstream  docker.io                 sha256:aaaaaaaaaaaa  -          asked directly
  mirror    m.example.cn              sha256:aaaaaaaaaaaa  identical  the digests are equal
  mirror    mirror.example/docker.io  sha256:cccccccccccc  stale      {why}

  upstream → mirror.example/docker.io:
    the image is an earlier one: sha256:111111111111 → sha256:222222222222
      layers 1–2 equal (20.0 MiB)
      config equal
    behind by at least 1 d 12 h
    hint: have the mirror synchronised, use another, or imgverify pull, which takes from upstream \
what the mirror lacks

  warnings:
    malformed (mirror mirror.example/docker.io): about malformed
      hint: look at it
  notes:
    insecure (local): m.example.cn was asked without TLS

  coverage of m.example.cn: manifests read; layers not read (add --deep)
  coverage of mirror.example/docker.io: manifests and layers read
"""  # noqa: RUF001 - an en dash is how a range is written

REPACKED_TEXT = """\
DENIED  docker.io/library/nginx:1.27
  {a}
  SOURCE                  DIGEST               GRADE
  upstream  docker.io     sha256:aaaaaaaaaaaa  -
    asked directly
  mirror    m.example.cn  sha256:bbbbbbbbbbbb  repackaged
    other bytes that claim the same configuration and layers

  upstream → m.example.cn:
    linux/amd64 repackaged: sha256:111111111111 → sha256:222222222222
      layer 1 equal (10.0 MiB)
      layer 2 recompressed: 51.2 MiB gzip sha256:333333333333 → 40.0 MiB
        zstd sha256:444444444444
      config rewritten, and says the same but for container_config
    claimed by the configs only: the recompressed layers were not read
      (add --deep)
    hint: no signature or pin of upstream's digest holds for it; use a
      mirror that copies unchanged, or imgverify pull, which takes
      upstream's own bytes

  coverage: manifests read; layers not read (add --deep)
"""

UNREACHABLE_TEXT = """\
INCONCLUSIVE  docker.io/library/nginx:1.27
  SOURCE                  DIGEST               GRADE         NOTE
  upstream  docker.io     -                    -             its digest could not be learned
  mirror    m.example.cn  sha256:bbbbbbbbbbbb  inconclusive  upstream's digest is not known

  errors:
    unreachable (upstream): no connection to registry-1.docker.io within 15 s
      hint: check the network, or name a lock file

  coverage: manifests read; layers not all read
"""

NO_MIRROR_TEXT = """\
ALLOWED  {A}
  SOURCE               DIGEST               GRADE  NOTE
  upstream  docker.io  sha256:aaaaaaaaaaaa  -      asked directly
  coverage: no mirror was compared
"""


def plain(*verdicts: Verdict, width: int | None = None) -> str:
    return render_text(verdicts, colour=False, width=width)


@pytest.mark.parametrize(
    ("given_verdict", "width", "text"),
    [
        (IDENTICAL, None, IDENTICAL_TEXT),
        (DIVERGED, 90, DIVERGED_TEXT),
        (MIXED, None, MIXED_TEXT),
        (REPACKED, 72, REPACKED_TEXT),
        (UNREACHABLE, None, UNREACHABLE_TEXT),
        (NO_MIRROR, None, NO_MIRROR_TEXT),
    ],
    ids=["identical", "diverged", "mixed", "repackaged", "unreachable", "no-mirror"],
)
def test_golden(given_verdict: Verdict, width: int | None, text: str) -> None:
    why = "denied; an earlier image of upstream's"
    assert plain(given_verdict, width=width) == text.format(A=A, a=digest("a"), why=why)


def test_several_images_end_with_a_count() -> None:
    text = plain(IDENTICAL, DIVERGED, NO_MIRROR, UNREACHABLE)
    assert text.endswith("\n\n4 images: 2 allowed, 1 denied, 1 inconclusive\n")
    assert text.count("\n\nDENIED  ") == 1
    assert plain(IDENTICAL, NO_MIRROR).endswith("\n\n2 images: 2 allowed\n")


def test_no_image_is_said_in_a_sentence() -> None:
    assert plain() == "No image was checked.\n"


@pytest.mark.parametrize("given_verdict", VERDICTS.values(), ids=VERDICTS)
def test_colour_adds_nothing_but_colour(given_verdict: Verdict) -> None:
    for width in (None, 80):
        coloured = render_text([given_verdict], colour=True, width=width)
        assert coloured.startswith("\x1b[1;3")
        assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain(given_verdict, width=width)
        assert "\x1b" not in plain(given_verdict, width=width)


def test_only_decisions_and_grades_are_coloured() -> None:
    coloured = render_text(list(VERDICTS.values()), colour=True, width=None)
    words = set(re.findall(r"\x1b\[[0-9;]+m(.*?)\x1b\[0m", coloured))
    decisions = {"ALLOWED", "DENIED", "INCONCLUSIVE"}
    assert words == decisions | {each.value for each in Grade}


@pytest.mark.parametrize("given_verdict", VERDICTS.values(), ids=VERDICTS)
def test_the_decision_is_said_and_the_digest_whole_and_once(given_verdict: Verdict) -> None:
    word = {Decision.ALLOW: "ALLOWED", Decision.DENY: "DENIED"}.get(
        given_verdict.decision, "INCONCLUSIVE"
    )
    for width in (None, 60, 80, 120):
        text = plain(given_verdict, width=width)
        assert text.startswith(f"{word}  docker.io/library/nginx")
        known = given_verdict.upstream.digest is not None
        assert text.count(str(digest("a"))) == known
        assert not re.search(r"\bverified\b", text, re.IGNORECASE)
        assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("width", [1, 40, 60, 80, 100, 200])
def test_prose_keeps_to_the_width(width: int) -> None:
    words = replace(DIVERGED_MIRROR, explanation=Explanation("word " * 99, (CHANGED,)))
    for line in plain(verdict(Decision.DENY, words), width=width).splitlines():
        # What cannot be broken is a row of the table, or a digest in its own line.
        unbroken = line.startswith(("  SOURCE", "  upstream ", "  mirror ", "  sha256:"))
        assert unbroken or len(line) <= max(width, 40)


def test_a_digest_in_the_reference_is_not_said_twice() -> None:
    pinned = UpstreamResult(Reference.parse(A), digest("a"))
    text = plain(verdict(Decision.DENY, upstream=pinned, requested=A))
    assert text.startswith(f"DENIED  {A}\n  SOURCE")
    unknown = UpstreamResult(Reference.parse(A))
    text = plain(verdict(Decision.INCONCLUSIVE, upstream=unknown, requested=A))
    assert text.startswith(f"INCONCLUSIVE  {A}\n  SOURCE")


def test_a_name_without_a_tag_is_broken_before_the_digest() -> None:
    pinned = UpstreamResult(NGINX.pinned(digest("a")), digest("a"))
    text = plain(verdict(Decision.DENY, upstream=pinned, requested="nginx"), width=60)
    assert text.startswith(
        f"DENIED  docker.io/library/nginx\n  {digest('a')}\n  requested as nginx"
    )


@pytest.mark.parametrize(
    ("mirror", "label"),
    [
        (at("m.example:5000"), "m.example:5000"),
        (Reference.parse("m.example/hub/library/nginx:1.27"), "m.example/hub"),
        (Reference.parse("m.example/library/nginx:1.28"), "m.example/library/nginx:1.28"),
        (Reference.parse("m.example/mynginx:1.27"), "m.example/mynginx"),
        (at("m.example", NGINX.pinned(digest("b"))), "m.example/library/nginx"),
    ],
)
def test_a_mirror_is_named_by_what_differs(mirror: Reference, label: str) -> None:
    text = plain(verdict(Decision.DENY, replace(IDENTICAL_MIRROR, reference=mirror)))
    assert f"\n  mirror    {label}  " in text


def test_a_finding_is_said_once() -> None:
    same = finding(Level.NOTE)
    mirrors = [
        replace(IDENTICAL_MIRROR, reference=at(host), findings=(same,))
        for host in ("a.example", "b.example")
    ]
    text = plain(verdict(Decision.ALLOW, *mirrors, findings=(same,)))
    assert text.count("about malformed") == 1
    assert "malformed (mirror a.example, mirror b.example): about malformed" in text


def test_findings_come_by_level() -> None:
    text = plain(VERDICTS["every-state"])
    places = [text.index(f"\n  {each}:\n") for each in ("errors", "warnings", "notes")]
    assert places == sorted(places)
    assert "malformed (upstream, for all.example" in text


def test_every_coverage_has_words() -> None:
    for coverage in Coverage:
        mirror = replace(IDENTICAL_MIRROR, coverage=coverage)
        assert "coverage: " in plain(verdict(Decision.ALLOW, mirror))


def test_a_pull_calls_nothing_denied_that_it_takes_bytes_from() -> None:
    text = render_text([MIXED], colour=False, width=None, occasion=Occasion.PULL)
    assert "denied" not in text
    assert "hint: have the mirror" not in text
    assert "coverage of m.example.cn: manifests read; layers are hashed when they are" in text
    assert "--deep" not in render_text([REPACKED], colour=False, width=60, occasion=Occasion.PULL)


def test_a_pull_that_is_stopped_says_what_to_do() -> None:
    diverged = verdict(Decision.DENY, replace(DIVERGED_MIRROR, findings=()))
    text = render_text([diverged], colour=False, width=None, occasion=Occasion.PULL)
    assert "hint: do not pull this image from this mirror" in text
    assert "coverage: manifests read; layers not read\n" in text


def test_a_comparison_forbids_nothing_and_gives_no_advice_on_mirrors() -> None:
    same = render_text([IDENTICAL], colour=False, width=None, occasion=Occasion.COMPARE)
    assert same.startswith("IDENTICAL  ")
    text = render_text([REPACKED], colour=False, width=None, occasion=Occasion.COMPARE)
    assert text.startswith("DIFFERENT  ")
    assert "hint" not in text
    assert "layers not read (add --deep)" in text


@pytest.mark.parametrize("grade", [Grade.MISSING, Grade.STALE, Grade.REPACKAGED, Grade.DIVERGED])
def test_who_is_denied_is_told_what_to_do(grade: Grade) -> None:
    denied = MirrorResult(at("m.example"), grade, Explanation("why"), decision=Decision.DENY)
    assert "\n  upstream → m.example:\n" in plain(verdict(Decision.DENY, denied))
    assert "\n    hint: " in plain(verdict(Decision.DENY, denied))
    undecided = replace(denied, decision=Decision.INCONCLUSIVE)
    assert "hint: " not in plain(verdict(Decision.INCONCLUSIVE, undecided))


def assert_harmless(text: str) -> None:
    for width in (None, 40, 80):
        rendered = plain(hostile(text), hostile(text), width=width)
        assert not unseen(rendered.replace("\n", ""))
        assert not [line for line in rendered.splitlines() if commands(line)]
        assert rendered.split("\n") == [*rendered.splitlines(), ""]
    # Not a line more than friendly text would make.
    friendly = plain(hostile("x"), hostile("x"))
    assert plain(hostile(text), hostile(text)).count("\n") == friendly.count("\n")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_known_attacks_are_harmless(text: str) -> None:
    assert_harmless(text)


@settings(max_examples=30)
@given(st.text(min_size=1))
def test_whatever_comes_is_harmless(text: str) -> None:
    assert_harmless(text)
