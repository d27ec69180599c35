import errno
import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from imgverify.errors import InputError, StoreError
from imgverify.store.ingest import INGEST, Ingest
from imgverify.store.layout import LayoutSink
from tests.unit.store.images import deliver, files_in, image, put
from tests.unit.store.layouts import (
    assert_sound,
    begun,
    blob,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "layout"


class TestUnsuitableDirectories:
    def refused(self, path: Path, match: str) -> None:
        before = files_in(path) if path.is_dir() else None
        with pytest.raises(InputError, match=match):
            LayoutSink(path)
        assert before is None or files_in(path) == before

    def test_a_file(self, path: Path) -> None:
        path.write_text("")
        self.refused(path, "is not a directory")

    def test_a_directory_with_other_things(self, path: Path) -> None:
        path.mkdir()
        (path / "thesis.txt").write_text("")
        self.refused(path, "neither empty nor an OCI layout")

    def test_an_index_without_a_layout_file(self, path: Path) -> None:
        path.mkdir()
        (path / "index.json").write_text("{}")
        self.refused(path, "neither empty nor an OCI layout")

    @pytest.mark.parametrize(
        ("name", "text", "reason"),
        [
            ("oci-layout", '{"imageLayoutVersion": "2.0.0"}', "only 1.0.0 is known"),
            ("oci-layout", "", "not JSON"),
            ("index.json", "[]", "not a JSON object"),
            ("index.json", '{"schemaVersion": 1, "manifests": []}', "schemaVersion"),
            ("index.json", '{"schemaVersion": true, "manifests": []}', "schemaVersion"),
            ("index.json", '{"schemaVersion": 2, "manifests": {}}', "not a list"),
            ("index.json", '{"schemaVersion": 2, "manifests": [1]}', "not a list of objects"),
            ("index.json", '{"schemaVersion": 2, "manifests": [{}]}', "size is an integer"),
            ("index.json", '{"schemaVersion": 2, "Manifests": []}', "some readers take"),
            ("index.json", '{"schemaVersion": 2, "mediaType": "a/b"}', "says that it is a a/b"),
            ("index.json", '{"schemaVersion": 2, "schemaVersion": 2}', "duplicate key"),
            ("index.json", " " * (4 * 1024 * 1024 + 1), "more than"),
        ],
    )
    def test_a_layout_that_cannot_be_read(
        self, path: Path, name: str, text: str, reason: str
    ) -> None:
        deliver(LayoutSink(path), image())
        (path / name).write_text(text)
        self.refused(path, reason)

    @pytest.mark.parametrize("name", ["oci-layout", "index.json"])
    def test_a_layout_with_links_for_files(self, tmp_path: Path, path: Path, name: str) -> None:
        deliver(LayoutSink(path), image())
        (path / name).rename(tmp_path / name)
        (path / name).symlink_to(tmp_path / name)
        self.refused(path, "is a symbolic link")

    def test_a_layout_whose_index_cannot_be_opened(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deliver(LayoutSink(path), image())
        open_file = os.open

        def deny(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if name == "index.json":
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            return open_file(name, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", deny)
        with pytest.raises(StoreError, match="Permission denied"):
            LayoutSink(path)

    def test_a_layout_with_a_pipe_for_a_file(self, path: Path) -> None:
        deliver(LayoutSink(path), image())
        (path / "index.json").unlink()
        os.mkfifo(path / "index.json")
        self.refused(path, "is not a file")

    @pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
    def test_a_layout_with_links_for_folders(self, tmp_path: Path, path: Path, name: str) -> None:
        deliver(LayoutSink(path), image())
        (path / name).rename(tmp_path / "elsewhere")
        (path / name).symlink_to(tmp_path / "elsewhere")
        self.refused(path, "blobs is a link or a file")

    def test_are_refused_by_begin_as_well(self, path: Path) -> None:
        sink = LayoutSink(path)
        path.mkdir()
        (path / "thesis.txt").write_text("")
        with pytest.raises(InputError, match="neither empty"):
            sink.begin(image().blobs)
        assert files_in(path) == ["thesis.txt"]


class TestWhatIsThereAlready:
    @pytest.mark.parametrize("wrong", [b"", b"short", bytes(100_000)])
    def test_a_wrong_blob_is_replaced(self, path: Path, wrong: bytes) -> None:
        made = image()
        deliver(LayoutSink(path, "a"), made)
        blob(path, made).write_bytes(wrong)
        assert deliver(LayoutSink(path, "a"), made) == made.layer.size
        assert_sound(path, made)

    def test_one_flipped_bit_is_found(self, path: Path) -> None:
        made = image()
        deliver(LayoutSink(path, "a"), made)
        data = bytearray(made.bytes_of(made.layer))
        data[-1] ^= 1
        blob(path, made).write_bytes(data)
        sink = begun(path, made)
        assert not sink.holds(made.layer)
        assert not blob(path, made).exists()
        assert sink.holds(made.layers[1])

    def test_a_link_in_the_place_of_a_blob_is_not_followed(
        self, tmp_path: Path, path: Path
    ) -> None:
        made = image()
        deliver(LayoutSink(path, "a"), made)
        target = tmp_path / "target"
        blob(path, made).rename(target)
        blob(path, made).symlink_to(target)
        assert deliver(LayoutSink(path, "a"), made) == made.layer.size
        assert not blob(path, made).is_symlink()
        assert target.read_bytes() == made.bytes_of(made.layer)

    def test_a_folder_in_the_place_of_a_blob_is_told(self, path: Path) -> None:
        made = image()
        deliver(LayoutSink(path, "a"), made)
        blob(path, made).unlink()
        blob(path, made).mkdir()
        with pytest.raises(StoreError, match="cannot read a blob of"):
            deliver(LayoutSink(path, "a"), made)

    def test_an_unreadable_folder_is_told(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = image()
        deliver(LayoutSink(path, "a"), made)
        sink, open_file = begun(path, made), os.open

        def deny(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if name == made.layer.digest.encoded:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            return open_file(name, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", deny)
        with pytest.raises(StoreError, match="Permission denied") as caught:
            sink.holds(made.layer)
        assert "may write to" in caught.value.hint

    def test_a_blob_that_another_run_has_mended_is_not_removed(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = image()
        deliver(LayoutSink(path, "a"), made)
        blob(path, made).write_bytes(b"wrong")
        sink, locked = begun(path, made), Ingest.locked

        def mended(self: Ingest) -> AbstractContextManager[int]:
            blob(path, made).unlink()
            blob(path, made).write_bytes(made.bytes_of(made.layer))
            return locked(self)

        monkeypatch.setattr(Ingest, "locked", mended)
        assert not sink.holds(made.layer)
        monkeypatch.undo()
        assert sink.holds(made.layer)

    def test_a_link_in_the_place_of_a_folder_is_not_followed(
        self, tmp_path: Path, path: Path
    ) -> None:
        made = image()
        sink = begun(path, made)
        for each in made.blobs:
            put(sink, made, each)
        (tmp_path / "elsewhere").mkdir()
        (path / "blobs").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match="cannot write to") as caught:
            sink.commit(made.delivered)
        assert "a link or a file" in caught.value.hint
        assert files_in(tmp_path / "elsewhere") == []

    def test_a_link_in_the_place_of_the_ingest_folder_is_not_followed(
        self, tmp_path: Path, path: Path
    ) -> None:
        path.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (path / INGEST).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError):
            begun(path, image())
        assert files_in(tmp_path / "elsewhere") == []

    @pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe"])
    def test_a_planted_part_is_not_written_through(
        self, tmp_path: Path, path: Path, kind: str
    ) -> None:
        made = image()
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        run = path / INGEST / "run-0123456789abcdef"
        run.mkdir(parents=True)
        planted = run / f"sha256-{made.layer.digest.encoded}"
        if kind == "symlink":
            planted.symlink_to(victim)
        elif kind == "hardlink":
            planted.hardlink_to(victim)
        else:
            os.mkfifo(planted)
        deliver(LayoutSink(path), made)
        assert victim.read_bytes() == b"precious"
        assert_sound(path, made)
