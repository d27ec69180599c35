"""An archive's headers: what tools write is read as the standard library reads it, all else not."""

import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import ContentError, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.store.tarhead import Member, read_members
from imgverify.store.tree import Archive
from tests.support.copies import archive_of

BLOCK = tarfile.BLOCKSIZE
STYLES = [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]
SPLIT = f"{'a' * 90}/{'b' * 90}"


def read(data: bytes) -> Mapping[str, Member]:
    return read_members(lambda at, size: data[at : at + size], len(data), lambda: None)


def written(*members: tarfile.TarInfo, style: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=style) as archive:
        for each in members:
            archive.addfile(each, io.BytesIO(bytes(each.size)))
    return buffer.getvalue()


def member(
    name: str, size: int = 3, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def resigned(block: bytes) -> bytes:
    """Put the right checksum into a header that was changed."""
    total = sum(block) - sum(block[148:156]) + 8 * 32
    return block[:148] + f"{total:06o}".encode() + b"\0 " + block[156:]


def changed(data: bytes, at: int, field: bytes) -> bytes:
    head = data[:at] + field + data[at + len(field) : BLOCK]
    return resigned(head) + data[BLOCK:]


@pytest.mark.parametrize("style", STYLES)
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=90)
        .filter(lambda each: each not in (".", ".."))
        .flatmap(lambda each: st.sampled_from([each, f"{each}/{each}", f"./{each}"])),
        max_size=5,
        unique_by=lambda each: each.removeprefix("./"),
    )
)
def test_what_the_standard_library_writes_is_found_where_it_lies(
    style: int, names: list[str]
) -> None:
    infos = [member(each, 700 * at) for at, each in enumerate(names)]
    data = written(*infos, style=style)
    found = read(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = {
            each.name.removeprefix("./"): Member(each.offset_data, each.size) for each in archive
        }
    assert found == expected


@pytest.mark.parametrize("style", STYLES)
def test_folders_and_links_within_are_read(style: int) -> None:
    long = "x" * 120
    data = written(
        *(member("./", 0, tarfile.DIRTYPE), member("a/", 0, tarfile.DIRTYPE), member(f"a/{long}")),
        member("b/layer.tar", 0, tarfile.SYMTYPE, f"./../a/{long}"),
        member("c", 0, tarfile.LNKTYPE, f"a/{long}"),
        style=style,
    )
    found = read(data)
    assert found.keys() == {f"a/{long}", "b/layer.tar", "c"}
    assert found["b/layer.tar"].link == found["c"].link == f"a/{long}"


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a//b", "..", "a/../b", "/"])
def test_archive_load_names_that_lead_out_are_refused(name: str) -> None:
    with pytest.raises(Malformed):
        read(written(member(name)))


@pytest.mark.parametrize("link", ["/etc/passwd", "../../x", "../..", "a//b", ""])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_archive_load_links_that_lead_out_are_refused(link: str, kind: bytes) -> None:
    with pytest.raises(Malformed):
        read(written(member("b/c", 0, kind, link)))


@pytest.mark.parametrize("name", ["a", "./a", "././a"])
def test_archive_load_two_members_of_one_name_are_refused(name: str) -> None:
    with pytest.raises(Malformed, match="twice"):
        read(written(member("a"), member(name)))


@pytest.mark.parametrize(
    "kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.GNUTYPE_SPARSE, b"Z", b"M"]
)
def test_archive_load_devices_pipes_and_sparse_files_are_refused(kind: bytes) -> None:
    data = written(member("a", 0))
    with pytest.raises(Malformed):
        read(changed(data, 156, kind))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_has_no_content(kind: bytes) -> None:
    with pytest.raises(Malformed, match="content"):
        read(changed(written(member("a", 700)), 156, kind))


@pytest.mark.parametrize(
    "field", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"7" * 11 + b"x", b"-" * 12]
)
def test_tar_loop_bomb_a_size_that_is_none_is_refused(field: bytes) -> None:
    """A negative size made the standard library's reader go round for ever."""
    with pytest.raises(ContentError):
        read(changed(written(member("a")), 124, field))


def test_a_name_in_two_fields_is_put_together() -> None:
    assert read(written(member(SPLIT), style=tarfile.USTAR_FORMAT)).keys() == {SPLIT}


def test_a_size_beyond_octal_digits_is_read() -> None:
    data = changed(written(member("a", 700)), 124, b"\x80" + (700).to_bytes(11))
    assert read(data)["a"].size == 700


@pytest.mark.parametrize("size", [0, 1, 100, BLOCK - 1])
def test_a_cut_archive_is_refused(size: int) -> None:
    data = written(member("a", 700))
    cut = data[: BLOCK + size]
    with pytest.raises(Malformed):
        read(cut)
    for end in (2 * BLOCK + 100, 100):
        with pytest.raises(Malformed):
            read(data[:end])


def test_the_last_empty_blocks_may_be_missing() -> None:
    data = written(member("a", 3))[: 2 * BLOCK]
    assert read(data) == {"a": Member(BLOCK, 3)}
    assert read(b"") == {}


@pytest.mark.parametrize("change", [(0, b"b"), (148, b"0000000\0"), (148, b"xxxxxxxx")])
def test_a_header_with_a_wrong_checksum_is_refused(change: tuple[int, bytes]) -> None:
    at, field = change
    data = written(member("a"))
    with pytest.raises(Malformed):
        read(data[:at] + field + data[at + len(field) :])


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    info = member("pax", len(records), kind)
    head = info.tobuf(tarfile.USTAR_FORMAT)
    return head + records + bytes(-len(records) % BLOCK) + written(member("a", 3))


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + len(str(len(rest) + 2))
    return str(size).encode() + rest


def test_a_name_and_a_size_may_stand_in_a_header_of_their_own() -> None:
    records = record(b"path", b"other") + record(b"mtime", b"1.5") + record(b"size", b"3")
    assert read(pax(records)) == {"other": Member(3 * BLOCK, 3)}
    assert read(pax(record(b"comment", b"x"), tarfile.XGLTYPE)).keys() == {"a"}


@pytest.mark.parametrize(
    "records",
    [
        b"5 a=\n" + b"x", b"x", b"99 path=a\n", b"0 path=a\n", b"12 path=abc\n ",
        record(b"path", b"x") * 2, record(b"GNU.sparse.major", b"1"),
        record(b"size", b"-1"), record(b"size", b"9" * 14), record(b"size", b"1x"),
        record(b"path", b"../x"), record(b"path", b"\xff"), record(b"path", b"a\0b"),
        record(b"path", b"a" * 2000),
    ],
)  # fmt: skip
def test_an_extended_header_that_could_be_read_in_two_ways_is_refused(records: bytes) -> None:
    with pytest.raises(ContentError):
        read(pax(records))


def header(kind: bytes, data: bytes) -> bytes:
    head = member("header", len(data), kind).tobuf(tarfile.USTAR_FORMAT)
    return head + data + bytes(-len(data) % BLOCK)


OWN, OTHER = (header(tarfile.XHDTYPE, record(b"path", each)) for each in (b"own", b"other"))
TIMES = header(tarfile.XHDTYPE, record(b"mtime", b"1.5"))
NAME, TARGET = (header(each, b"gnu\0") for each in (b"L", b"K"))
FOR_ALL = header(tarfile.XGLTYPE, record(b"comment", b"x"))


@pytest.mark.parametrize(
    "headers",
    [
        OWN + OTHER, OWN + TIMES, TIMES + OWN, OWN + NAME, NAME + OWN, TIMES + NAME, NAME + NAME,
        TARGET + TARGET, NAME + TARGET + NAME, OWN + FOR_ALL + TIMES,
    ],
)  # fmt: skip
def test_archive_load_a_name_in_two_extended_headers_is_refused(headers: bytes) -> None:
    """Go's reader forgets the first of two, and takes GNU's name before any other."""
    with pytest.raises(Malformed, match="two extended headers"):
        read(headers + written(member("a")))


@pytest.mark.parametrize("headers", [NAME + TARGET, TARGET + NAME, NAME + FOR_ALL])
def test_extended_headers_of_different_things_go_together(headers: bytes) -> None:
    assert read(headers + written(member("a"), member("b"))).keys() == {"gnu", "b"}


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE])
@pytest.mark.parametrize("size", [0, 700])
def test_archive_load_a_file_that_is_called_like_a_folder_is_refused(
    kind: bytes, size: int
) -> None:
    """Some readers take it for one, and what it has for the archive's next members."""
    with pytest.raises(Malformed, match="neither"):
        read(written(member("a/", size, kind)))


def test_archive_load_a_name_with_two_ends_is_refused() -> None:
    data = written(member(f"{'a' * 140}/{'b' * 90}"), style=tarfile.USTAR_FORMAT)
    assert len(read(data)) == 1
    with pytest.raises(Malformed, match="two lengths"):
        read(changed(data, 508, b"tar\0"))


@pytest.mark.parametrize("key", [b"path", b"size", b"linkpath"])
def test_no_header_names_all_members(key: bytes) -> None:
    with pytest.raises(Malformed):
        read(pax(record(key, b"1"), tarfile.XGLTYPE))


def test_an_extended_header_has_a_bound() -> None:
    head = member("pax", limits.ARCHIVE_HEADER_SIZE + 1, tarfile.XHDTYPE)
    with pytest.raises(LimitExceeded):
        read(head.tobuf(tarfile.USTAR_FORMAT) + bytes(BLOCK))
    small = member("pax", 1000, tarfile.XHDTYPE)
    with pytest.raises(Malformed):
        read(small.tobuf(tarfile.USTAR_FORMAT) + bytes(BLOCK))


def test_members_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ARCHIVE_MEMBERS", 3)
    assert len(read(written(*(member(str(each)) for each in range(2))))) == 2
    with pytest.raises(LimitExceeded):
        read(written(*(member(str(each)) for each in range(3))))


def test_whoever_waits_is_asked_for_every_header() -> None:
    data = written(*(member(str(each)) for each in range(5)))

    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        read_members(lambda at, size: data[at : at + size], len(data), stop)


def test_any_bytes_at_all_are_read_or_refused() -> None:
    rng = random.Random(5)  # noqa: S311 - repeatable, and no secret
    good = written(member("a", 700), member("b", 0, tarfile.SYMTYPE, "a"), member("c" * 150))
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        text = bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
        try:
            found = read(resigned(text[:BLOCK]) + text[BLOCK:])
        except ContentError:
            continue
        assert all(each.base + each.size <= len(text) for each in found.values())


def test_a_link_is_followed_one_step_and_to_a_file(tmp_path: Path) -> None:
    file = archive_of(
        tmp_path / "x.tar", {"a": b"abc", "b": "a", "c": "b", "d": "nothing", "e/f": "../a"}
    )
    tree = Archive(str(file), lambda: None)
    for name in ("a", "b", "e/f"):
        with tree.open(name) as opened:
            assert opened is not None
            assert b"".join(opened.chunks()) == b"abc"
            assert b"".join(opened.chunks(1)) == b"bc"
    for name in ("c", "d"):
        with pytest.raises(Malformed), tree.open(name):
            pass
    with tree.open("none") as opened:
        assert opened is None
    tree.close()
