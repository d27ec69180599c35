"""Files of a directory and of an archive, by one way of asking; nothing leads out of either."""

import gzip
import os
import socket
from pathlib import Path

import pytest
import zstandard

from imgverify.errors import ContentError, InputError, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.store.tree import Archive, Folder, Tree
from tests.support.copies import archive_of, pack
from tests.unit.store.layouts import open_files

FILES = {"a": b"one", "blobs/sha256/x": b"two", "blobs/sha512/y": b"three"}


def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return tmp_path / "tree"


def trees(tmp_path: Path) -> list[Tree]:
    root = folder(tmp_path)
    packed = pack(tmp_path / "x.tar", root)
    squeezed = tmp_path / "x.tar.gz"
    squeezed.write_bytes(gzip.compress(packed.read_bytes()))
    tight = tmp_path / "x.tar.zst"
    tight.write_bytes(zstandard.ZstdCompressor().compress(packed.read_bytes()))
    archives = [Archive(str(each), lambda: None) for each in (packed, squeezed, tight)]
    return [Folder(str(root)), *archives]


def content(tree: Tree, name: str) -> bytes | None:
    with tree.open(name) as opened:
        return None if opened is None else b"".join(opened.chunks())


def test_both_give_the_same(tmp_path: Path) -> None:
    before = open_files()
    for tree in trees(tmp_path):
        for name, data in FILES.items():
            assert content(tree, name) == data
            assert name in tree.path(name)
        for absent in ("b", "none/x", "blobs/sha256/z"):
            assert content(tree, absent) is None
        assert tree.names("blobs") == ("sha256", "sha512")
        assert tree.names("blobs/sha256") == ("x",)
        assert tree.names("none") == ()
        with tree.open("a") as opened:
            assert opened is not None
            assert (opened.head(1), opened.head(9), opened.size) == (b"o", b"one", 3)
        tree.close()
    assert open_files() == before


@pytest.mark.parametrize("target", ["a", "blobs", "/etc/passwd", "."])
def test_no_link_below_the_directory_is_followed(tmp_path: Path, target: str) -> None:
    root = folder(tmp_path)
    (root / "link").symlink_to(target)
    tree = Folder(str(root))
    for name in ("link", "link/sha256/x"):
        with pytest.raises(Malformed, match="link"):
            content(tree, name)
    tree.close()


def test_the_directory_itself_may_be_named_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder(tmp_path))
    tree = Folder(str(tmp_path / "link"))
    assert content(tree, "a") == b"one"
    tree.close()


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    root = folder(tmp_path)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        tree = Folder(str(root))
        for name in ("pipe", "socket", "blobs"):
            with pytest.raises(Malformed):
                content(tree, name)
        tree.close()


@pytest.mark.parametrize("name", ["x" * 300, f"{'x' * 300}/y"])
def test_what_the_system_refuses_is_its_own_error(tmp_path: Path, name: str) -> None:
    tree = Folder(str(folder(tmp_path)))
    with pytest.raises(OSError, match="too long"):
        content(tree, name)
    tree.close()


def test_files_in_a_folder_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LAYOUT_BLOBS", 1)
    for tree in trees(tmp_path):
        assert tree.names("blobs/sha256") == ("x",)
        with pytest.raises(LimitExceeded):
            tree.names("blobs")
        tree.close()


@pytest.mark.parametrize("kind", ["none", "folder", "pipe"])
def test_what_was_named_and_is_no_archive_is_the_caller_s_mistake(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    before = open_files()
    with pytest.raises(InputError):
        Archive(str(path), lambda: None)
    assert open_files() == before


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 600,
        b"\x1f\x8b\x08garbage",
        gzip.compress(b"x" * 600, mtime=0)[:-4],
        b"\x28\xb5\x2f\xfdx",
    ],
)
def test_what_is_no_archive_is_refused_and_closed(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    before = open_files()
    with pytest.raises(ContentError):
        Archive(str(tmp_path / "x"), lambda: None)
    assert open_files() == before


def test_tar_loop_bomb_a_small_archive_does_not_fill_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "x.tar.gz"
    file.write_bytes(gzip.compress(bytes(64 * limits.MIB), 9))
    with pytest.raises(LimitExceeded):
        Archive(str(file), lambda: None)


def test_whoever_waits_is_asked_while_an_archive_is_unpacked(tmp_path: Path) -> None:
    file = archive_of(tmp_path / "x.tar", {"a": bytes(1000)})
    squeezed = tmp_path / "x.tar.gz"
    squeezed.write_bytes(gzip.compress(file.read_bytes()))

    def stop() -> None:
        raise TimeoutError

    for each in (file, squeezed):
        with pytest.raises(TimeoutError):
            Archive(str(each), stop)
