import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imgverify.errors import StoreError
from imgverify.oci import limits
from imgverify.store.ingest import INGEST, Ingest
from imgverify.store.layout import LayoutSink
from tests.unit.store.images import Image, deliver, files_in, image, put
from tests.unit.store.layouts import (
    WORKER,
    assert_sound,
    begun,
    names,
    open_files,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "layout"


class TestResuming:
    def interrupted(self, path: Path, made: Image, count: int = 1000) -> None:
        sink = begun(path, made)
        with sink.part(made.layer) as part:
            part.write(made.bytes_of(made.layer)[:count])
        sink.abandon()

    def test_the_next_run_goes_on_where_one_stopped(self, path: Path) -> None:
        made = image()
        self.interrupted(path, made)
        sink = begun(path, made)
        with sink.part(made.layer) as part:
            assert part.offset == 1000
            assert b"".join(part.replay()) == made.bytes_of(made.layer)[:1000]
        sink.abandon()
        everything = sum(map(len, made.content.values()))
        assert deliver(LayoutSink(path), made) == everything - 1000
        assert_sound(path, made)

    def test_a_complete_blob_is_not_fetched_again(self, path: Path) -> None:
        made = image()
        sink = begun(path, made)
        put(sink, made, made.layer)
        sink.abandon()
        sink = begun(path, made)
        assert sink.holds(made.layer)

    def test_a_blob_that_only_looks_complete_is_fetched_again(self, path: Path) -> None:
        made = image()
        sink = begun(path, made)
        with sink.part(made.layer) as part:
            part.write(bytes(made.layer.size))
        assert not sink.holds(made.layer)
        with sink.part(made.layer) as part:
            assert part.offset == 0

    def test_a_part_that_is_too_long_is_dropped(self, path: Path) -> None:
        made = image()
        self.interrupted(path, made)
        (part_file,) = (path / INGEST).rglob("sha256-*")
        part_file.write_bytes(bytes(made.layer.size + 1))
        with begun(path, made).part(made.layer) as part:
            assert part.offset == 0

    def test_a_wrong_part_is_started_over(self, path: Path) -> None:
        made = image()
        self.interrupted(path, made)
        (part_file,) = (path / INGEST).rglob("sha256-*")
        part_file.write_bytes(bytes(1000))
        deliver(LayoutSink(path), made)
        assert_sound(path, made)

    def test_the_longest_of_several_parts_is_taken(self, path: Path) -> None:
        made = image()
        sinks = [begun(path, made) for _ in range(3)]
        for sink, count in zip(sinks, (100, 1000, 10), strict=True):
            with sink.part(made.layer) as part:
                assert part.offset == 0
                part.write(made.bytes_of(made.layer)[:count])
        for sink in sinks:
            sink.abandon()
        with begun(path, made).part(made.layer) as part:
            assert part.offset == 1000

    def test_a_finished_image_leaves_no_parts_of_others(self, path: Path) -> None:
        self.interrupted(path, image("other"))
        deliver(LayoutSink(path), image())
        assert_sound(path, image())

    def test_a_part_in_use_is_left_to_its_run(self, path: Path) -> None:
        made = image()
        slow = begun(path, made, "slow")
        with slow.part(made.layer) as part:
            part.write(made.bytes_of(made.layer)[:1000])
            deliver(LayoutSink(path, "fast"), made)
            part.write(made.bytes_of(made.layer)[1000:])
            part.complete()
        for each in made.blobs:
            put(slow, made, each)
        slow.commit(made.delivered)
        assert_sound(path, made)
        assert names(path) == ["fast", "slow"]


class TestGivingUp:
    def test_removes_what_was_made(self, tmp_path: Path) -> None:
        sink = begun(tmp_path / "a" / "b", image())
        sink.abandon()
        sink.abandon()
        assert files_in(tmp_path) == []

    def test_before_the_beginning_does_nothing(self, path: Path) -> None:
        LayoutSink(path).abandon()
        assert not path.exists()

    def test_after_the_commit_does_nothing(self, path: Path) -> None:
        sink = LayoutSink(path)
        deliver(sink, image())
        sink.abandon()
        assert_sound(path, image())

    def test_keeps_an_empty_directory_that_was_there(self, path: Path) -> None:
        path.mkdir()
        begun(path, image()).abandon()
        assert files_in(path) == []

    def test_leaves_no_image_but_what_can_be_resumed(self, path: Path) -> None:
        made = image()
        sink = begun(path, made)
        put(sink, made, made.layer)
        sink.abandon()
        assert [each.name for each in path.iterdir()] == [INGEST]

    def test_leaves_a_layout_as_it_was(self, path: Path) -> None:
        deliver(LayoutSink(path, "a"), image())
        before = files_in(path)
        sink = begun(path, image("b"), "b")
        put(sink, image("b"), image("b").layer)
        with sink.part(image("b").layer) as part:
            part.restart()
        sink.abandon()
        assert files_in(path) == before


class TestFailures:
    def test_too_little_space_is_found_before_anything_is_written(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes = list(os.statvfs("/"))
        sizes[4] = 0
        monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result(sizes))
        with pytest.raises(StoreError, match=r"takes \d+ bytes, and 0 are free") as caught:
            LayoutSink(path).begin(image().blobs)
        assert "free some space" in caught.value.hint
        assert not path.exists()

    def test_space_is_asked_only_for_what_is_lacking(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deliver(LayoutSink(path), image())
        sizes = list(os.statvfs("/"))
        sizes[4] = 0
        monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result(sizes))
        begun(path, image())

    def test_a_disk_that_fills_up_is_told(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = image()
        sink = begun(path, made)
        pwrite = os.pwrite

        def full(fd: int, data: memoryview, offset: int) -> int:
            if offset >= 1000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return pwrite(fd, data[:600], offset)

        monkeypatch.setattr(os, "pwrite", full)
        with sink.part(made.layer) as part:
            part.write(made.bytes_of(made.layer)[:1000])
            with pytest.raises(StoreError, match="No space left on device") as caught:
                part.write(made.bytes_of(made.layer)[1000:])
        assert "free some space" in caught.value.hint
        assert str(path) in caught.value.message
        monkeypatch.undo()
        sink.abandon()
        with begun(path, made).part(made.layer) as part:
            assert b"".join(part.replay()) == made.bytes_of(made.layer)[: part.offset]
            assert part.offset >= 1000

    @pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting takes root"
    )
    def test_a_full_file_system_leaves_no_image(self, path: Path) -> None:
        path.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(path)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("no file systems can be mounted here")
        try:
            made = image(size=40_000)
            sink = begun(path, made)
            (path / INGEST / "filler").write_bytes(bytes(50_000))
            put(sink, made, made.layers[0])
            with pytest.raises(StoreError, match="No space left on device"):
                put(sink, made, made.layers[1])
            sink.abandon()
            assert [each.name for each in path.iterdir()] == [INGEST]
        finally:
            subprocess.run(["umount", str(path)], check=True)

    @pytest.mark.parametrize("call", ["fsync", "rename", "open"])
    def test_no_operating_system_error_gets_out(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        made = image()
        sink = LayoutSink(path)

        def fail(*_arguments: object, **_folders: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(StoreError, match="Input/output error"):
            deliver(sink, made)
        sink.abandon()
        monkeypatch.undo()
        assert not (path / "index.json").exists()
        deliver(LayoutSink(path), made)
        assert_sound(path, made)

    def test_an_open_part_that_fails_is_closed(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = image()
        sink = begun(path, made)

        def fail(*_arguments: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        before = open_files()
        monkeypatch.setattr(os, "fchmod", fail)
        with pytest.raises(StoreError, match="Read-only file system"):
            sink.part(made.layer).__enter__()
        assert open_files() == before

    def test_no_descriptor_is_left_open(self, path: Path) -> None:
        before = open_files()
        deliver(LayoutSink(path), image())
        begun(path, image("b")).abandon()
        assert open_files() == before

    @pytest.mark.parametrize("times", [1, 19, 20])
    def test_a_directory_that_another_run_removes_is_made_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        claim, left = Ingest.claim, [times]

        def removed(self: Ingest) -> None:
            if left[0]:
                left[0] -= 1
                path.rmdir()
            claim(self)

        monkeypatch.setattr(Ingest, "claim", removed)
        if times < 20:
            deliver(LayoutSink(path), image())
            assert_sound(path, image())
        else:
            with pytest.raises(StoreError, match="No such file or directory"):
                deliver(LayoutSink(path), image())

    @pytest.mark.kill
    def test_a_killed_process_leaves_no_final_name_and_is_resumed(self, path: Path) -> None:
        made = image("killed")
        with subprocess.Popen([*WORKER, f"oci:{path}", "killed", "stop"], stdout=-1) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"stopped\n"
            process.send_signal(signal.SIGKILL)
        assert [each.name for each in path.iterdir()] == [INGEST]
        everything = sum(map(len, made.content.values()))
        had = made.layers[0].size + 1000
        assert deliver(LayoutSink(path), made) == everything - had
        assert_sound(path, made)


class TestSeveralProcesses:
    @pytest.mark.parametrize("seeds", [["same", "same"], list("abcdefgh")])
    def test_may_add_to_one_layout_at_once(self, path: Path, seeds: list[str]) -> None:
        path.mkdir()
        # They all wait for the layout's lock, and go on together.
        (path / INGEST).mkdir(0o700)
        with (path / INGEST / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            workers = [
                subprocess.Popen([*WORKER, f"oci:{path}:{number}-{seed}", seed])
                for number, seed in enumerate(seeds)
            ]
        assert [worker.wait(60) for worker in workers] == [0] * len(seeds)
        assert_sound(path, *map(image, seeds))
        expected = [f"{number}-{seed}" for number, seed in enumerate(seeds)]
        assert sorted(map(str, names(path))) == expected

    def test_one_that_does_not_go_on_is_not_waited_for_without_end(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "LOCK_TIMEOUT", 0.05)
        path.mkdir()
        (path / INGEST).mkdir(0o700)
        with (path / INGEST / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(StoreError, match="another run that does not go on") as caught:
                LayoutSink(path, "a").begin(image().blobs)
        assert "end that run" in caught.value.hint
        deliver(LayoutSink(path, "a"), image())
        assert_sound(path, image())

    @pytest.mark.slow
    def test_may_begin_and_give_up_at_once(self, path: Path) -> None:
        script = (
            "import sys; from pathlib import Path\n"
            "from imgverify.store.layout import LayoutSink\n"
            "from tests.unit.store.images import image\n"
            "for _ in range(50):\n"
            "    sink = LayoutSink(Path(sys.argv[1])); sink.begin(image().blobs); sink.abandon()\n"
        )
        workers = [subprocess.Popen([sys.executable, "-c", script, str(path)]) for _ in range(3)]
        deliver(LayoutSink(path, "a"), image())
        assert [worker.wait(60) for worker in workers] == [0, 0, 0]
        assert_sound(path, image())
