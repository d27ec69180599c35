import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from imgverify.errors import InputError, StoreError
from imgverify.oci import limits, mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Algorithm, Digest
from imgverify.store import tar
from tests.unit.store.archives import (
    WORKER,
    blobs_of,
    contents,
    oci,
    parts_in,
)
from tests.unit.store.images import deliver, files_in, image


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.tar"


class TestUnsuitablePlaces:
    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is not a directory"):
            oci(tmp_path / "absent" / "image.tar")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is not a file"):
            oci(tmp_path)

    def test_a_device(self) -> None:
        with pytest.raises(InputError, match="is not a file"):
            oci(Path("/dev/null"))

    def test_a_link(self, tmp_path: Path, path: Path) -> None:
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(InputError, match="is a symbolic link"):
            oci(path)


class TestFailures:
    def test_too_little_space_is_found_before_anything_is_written(
        self, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes = list(os.statvfs("/"))
        sizes[4] = 0
        monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result(sizes))
        with pytest.raises(StoreError, match="and 0 are free"):
            oci(path).begin(image().blobs)
        assert files_in(tmp_path) == []

    @pytest.mark.parametrize("call", ["pwrite", "fsync", "rename", "fchmod", "open"])
    def test_no_operating_system_error_gets_out(
        self, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        path.write_bytes(b"older")
        sink = oci(path)

        def fail(*_arguments: object, **_folders: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(StoreError, match="No space left on device") as caught:
            deliver(sink, image())
        assert "free some space" in caught.value.hint
        sink.abandon()
        monkeypatch.undo()
        assert files_in(tmp_path) == ["image.tar"]
        assert path.read_bytes() == b"older"

    def test_short_writes_are_continued(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:7], at))
        deliver(oci(path), image())
        assert blobs_of(image()).items() <= contents(path).items()

    @pytest.mark.kill
    def test_what_a_killed_process_left_is_removed_by_the_next(
        self, tmp_path: Path, path: Path
    ) -> None:
        arguments = [*WORKER, f"oci-archive:{path}", "killed", "stop"]
        with subprocess.Popen(arguments, stdout=-1) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"stopped\n"
            process.send_signal(signal.SIGKILL)
        (left,) = parts_in(tmp_path)
        assert contents(left) == {}
        deliver(oci(path), image())
        assert files_in(tmp_path) == ["image.tar"]

    def test_what_others_have_open_is_not_removed(self, tmp_path: Path, path: Path) -> None:
        busy, other = oci(path), tmp_path / ".image.tar.part"
        other.write_bytes(b"")
        busy.begin(image().blobs)
        deliver(oci(path), image())
        assert len(parts_in(tmp_path)) == 2
        busy.abandon()
        assert files_in(tmp_path) == [".image.tar.part", "image.tar"]

    def test_a_file_that_was_taken_for_stale_is_made_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flock = fcntl.flock
        swept: list[Path] = []

        def sweep_first(fd: int, operation: int) -> None:
            if not swept:
                swept.extend(parts_in(path.parent))
                swept[0].unlink()
            flock(fd, operation)

        monkeypatch.setattr(fcntl, "flock", sweep_first)
        deliver(oci(path), image())
        assert blobs_of(image()).items() <= contents(path).items()


class TestThePlan:
    def test_has_room_for_huge_and_for_long_names(self, path: Path) -> None:
        huge = 10 * limits.GIB + 1
        blobs = [
            Descriptor(mediatype.OCI_LAYER, Digest.of(b"huge"), huge),
            Descriptor(mediatype.OCI_LAYER, Digest.of(b"after", Algorithm.SHA512), 5),
            Descriptor(mediatype.OCI_LAYER, Digest.of(b""), 0),
        ]
        plan = tar.plan(blobs)
        with path.open("wb") as file:
            file.write(plan.head)
            for slot in plan.slots.values():
                file.seek(slot.start)
                file.write(slot.header)
            file.seek(plan.slots[blobs[1].digest].content)
            file.write(b"after")
            file.seek(plan.end)
            file.write(tar.END)
        with tarfile.open(path) as archive:
            found = {each.name: each for each in archive if each.isfile()}
            assert found.pop("oci-layout").size == 30
            assert {name: each.size for name, each in found.items()} == {
                f"blobs/sha256/{hashlib.sha256(b'huge').hexdigest()}": huge,
                f"blobs/sha512/{hashlib.sha512(b'after').hexdigest()}": 5,
                f"blobs/sha256/{hashlib.sha256(b'').hexdigest()}": 0,
            }
            after = archive.extractfile(f"blobs/sha512/{hashlib.sha512(b'after').hexdigest()}")
            assert after is not None
            assert after.read() == b"after"
        assert path.stat().st_size > huge
        assert path.stat().st_blocks * 512 < limits.MIB

    def test_of_nothing_is_a_layout_all_the_same(self) -> None:
        assert tar.plan(()).slots == {}
