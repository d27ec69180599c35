"""The user's files: what is read, what is passed over, and how one is rewritten."""

import os
import stat
from pathlib import Path

import pytest

from imgverify.errors import StoreError
from imgverify.worktree import WorkTree, rewrite


def names(here: Path, *paths: Path) -> list[str]:
    return [each.name for each in WorkTree(here, lambda _: True).read(paths)]


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "c/.hidden/x", ".git/config", "sub/.git"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert names(tmp_path, tmp_path) == ["a", "b/1", "b/2", "c/.hidden/x"]
    assert names(tmp_path / "c", tmp_path / "b" / ".." / "a") == [str(tmp_path / "a")]


def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    tree = WorkTree(tmp_path, lambda _: True)
    (gone,) = tree._below(tmp_path / "gone", 0)
    assert gone.data is None
    assert "No such file" in gone.problem


def test_a_file_that_was_changed_meanwhile_is_left(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("new")
    with pytest.raises(StoreError, match="changed meanwhile"):
        rewrite(file, b"old", b"pinned")
    assert file.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_file_that_became_a_link_is_left(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("old")
    (tmp_path / "x").symlink_to(outside)
    with pytest.raises(StoreError, match="cannot be written"):
        rewrite(tmp_path / "x", b"old", b"pinned")
    assert outside.read_text() == "old"


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o444])
def test_a_rewritten_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "x"
    file.write_text("old")
    file.chmod(mode)
    before = os.umask(0o077)
    try:
        rewrite(file, b"old", b"new")
    finally:
        os.umask(before)
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == mode
