"""A delivery in words."""

from dataclasses import replace

from imgverify.errors import DigestMismatch, ImgverifyError, NotFound, Side, Unreachable
from imgverify.oci import mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference
from imgverify.pull.engine import Delivery
from imgverify.pull.fetch import Fetched
from imgverify.pull.summary import details, summarise, with_delivery
from imgverify.verdict import (
    Decision,
    Explanation,
    Grade,
    Level,
    MirrorResult,
    Rule,
    UpstreamResult,
    Verdict,
)

UPSTREAM = Reference.parse("docker.io/library/app:1.4")
MIRROR = Reference.parse("mirror.example/library/app:1.4").repository
PINNED = UPSTREAM.pinned(Digest.of(b"app"))
INDEX = Digest.of(b"index")
VERDICT = Verdict(
    "app",
    UpstreamResult(UPSTREAM, INDEX),
    tuple(
        MirrorResult(UPSTREAM.at(each), Grade.IDENTICAL, Explanation(""), INDEX)
        for each in (MIRROR, Reference.parse("other.example/library/app").repository)
    ),
    decision=Decision.ALLOW,
    pinned=UPSTREAM.pinned(INDEX),
)


def blob(seed: bytes, size: int = 1024) -> Descriptor:
    return Descriptor(mediatype.OCI_LAYER_GZIP, Digest.of(seed), size)


def got(seed: bytes, *refused: ImgverifyError, upstream: bool = False) -> Fetched:
    source = UPSTREAM.repository if upstream else MIRROR
    return Fetched(blob(seed), source, tuple((MIRROR, each) for each in refused))


def delivery(*fetched: Fetched, falsified: tuple[ImgverifyError, ...] = ()) -> Delivery:
    size = sum(each.blob.size for each in fetched)
    return Delivery(PINNED, size, fetched, tuple((MIRROR, each) for each in falsified))


def test_it_says_how_much_came_from_where() -> None:
    there = Fetched(blob(b"c"), None)
    lines = summarise(delivery(got(b"a"), got(b"b", upstream=True), got(b"d"), there))
    assert lines == (
        "4 blobs, 4.0 KiB, every byte hashed",
        "  1 from docker.io, 1.0 KiB",
        "  2 from mirror.example, 2.0 KiB",
        "  1 from the destination itself, 1.0 KiB",
    )


def test_a_falsified_layer_is_a_warning_that_names_layer_and_liar() -> None:
    lines = summarise(delivery(got(b"a", DigestMismatch("got other"), upstream=True)))
    assert lines[-1] == (
        f"  warning: {Digest.of(b'a').short} was taken from docker.io, because"
        " mirror.example served other bytes (got other)"
    )


def test_a_falsified_manifest_is_a_warning() -> None:
    lines = summarise(delivery(got(b"a"), falsified=(DigestMismatch("got other"),)))
    assert lines[-1] == (
        "  warning: a manifest was taken from elsewhere, because"
        " mirror.example served other bytes (got other)"
    )


def test_what_broke_off_is_a_note() -> None:
    lines = summarise(delivery(got(b"a", Unreachable("reset"), upstream=True)))
    assert lines[-1] == (
        f"  note: {Digest.of(b'a').short} was taken from docker.io, because"
        " mirror.example did not give it (reset)"
    )


def test_what_a_mirror_lacks_is_counted_and_not_listed() -> None:
    lines = summarise(
        delivery(*[got(b"%d" % number, NotFound("404"), upstream=True) for number in range(30)])
    )
    assert lines[2:] == ("  note: mirror.example lacks 30 of them",)


def test_text_from_a_server_is_escaped() -> None:
    evil = "\x1b[2J\n::error::"
    fetched = got(b"a", Unreachable(evil), upstream=True)
    text = "".join(summarise(delivery(fetched, falsified=(DigestMismatch(evil),))))
    assert text.isprintable()
    assert r"\x1b[2J\n" in text


def test_details_name_every_blob_and_its_source() -> None:
    there = Fetched(blob(b"c"), None)
    assert details(delivery(got(b"a"), there)) == (
        f"  {Digest.of(b'a')} 1.0 KiB from mirror.example",
        f"  {Digest.of(b'c')} 1.0 KiB from the destination itself",
    )


def test_a_report_has_the_digest_that_was_delivered() -> None:
    told = with_delivery(VERDICT, delivery(got(b"a")))
    assert told == replace(VERDICT, pinned=PINNED)


def test_a_report_names_who_falsified_what() -> None:
    wrong = DigestMismatch("got other")
    blamed = got(b"a", wrong, NotFound("404"), upstream=True)
    told = with_delivery(VERDICT, delivery(blamed, falsified=(wrong,)))
    (mirror, other) = told.mirrors
    assert [each.message for each in mirror.findings] == [
        "for a manifest: got other; it was taken from elsewhere",
        f"for {Digest.of(b'a')}: got other; it was taken from docker.io",
    ]
    for each in mirror.findings:
        assert (each.rule, each.level) == (Rule.DIGEST_MISMATCH, Level.WARNING)
        assert (each.side, each.hint) == (Side.MIRROR, "tell the mirror's operator")
    assert (other.findings, told.findings) == ((), ())
    assert told.decision is Decision.ALLOW


def test_a_report_blames_upstream_for_what_it_falsified() -> None:
    other = Fetched(blob(b"a"), MIRROR, ((UPSTREAM.repository, DigestMismatch("got other")),))
    told = with_delivery(VERDICT, delivery(other))
    (found,) = told.findings
    assert (found.side, found.level) == (Side.UPSTREAM, Level.WARNING)
    assert not any(each.findings for each in told.mirrors)
