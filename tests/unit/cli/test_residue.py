"""What a command leaves: no temporary file, no open mode, no full disk, and nothing unpacked."""

import io
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from imgverify.oci import limits, mediatype
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import Compression, MediaType
from imgverify.registry import session
from imgverify.serve.loopback import Response, Streamed
from imgverify.store.ingest import INGEST
from tests.support.fault import Call, When
from tests.support.faults import BLOBS, Custom, FlipByte, Hang, Stall
from tests.support.image import (
    AMD64,
    Image,
    Layer,
    assemble,
    config,
    layer,
    put,
    recompressed,
)
from tests.support.registry import Shelf
from tests.unit.cli.conftest import FORGED, NEW, PATH, TAG, Pair, Run
from tests.unit.compare.test_expand import repeating_frame
from tests.unit.pull.scene import big_image, image_of

ZSTD = mediatype.OCI_LAYER_ZSTD
GZIP = mediatype.OCI_LAYER_GZIP
SMALL_DISK = 4 << 20


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_BACKOFF", 0.001)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def holds(pair: Pair, upstream: Image, mirror: Image) -> None:
    for each, image in ((pair.upstream, upstream), (pair.mirror, mirror)):
        each.shelf = Shelf()
        put(each.shelf, PATH, image, TAG)


# --- temporary files --------------------------------------------------------------------------


def allowed(_: Pair) -> int:
    return 0


def denied(pair: Pair) -> int:
    put(pair.mirror.shelf, PATH, FORGED, TAG)
    return 1


def falsified(pair: Pair) -> int:
    for each in (pair.upstream, pair.mirror):
        each.play(FlipByte(0, when=BLOBS))
    return 4


def timed_out(pair: Pair) -> int:
    for each in (pair.upstream, pair.mirror):
        each.play(Stall(10, when=BLOBS))
    return 4


def terminated(pair: Pair) -> int:
    def end(call: Call) -> Response:
        os.kill(os.getpid(), signal.SIGTERM)
        return call.response

    pair.mirror.play(Custom(end, when=BLOBS), Hang(when=BLOBS))
    return 130


def patience(ending: Callable[[Pair], int]) -> int:
    """Seconds enough for what comes before on a busy machine; one ending is that they pass."""
    return 3 if ending is timed_out else 60


ENDINGS = (allowed, denied, falsified, timed_out, terminated)


@pytest.mark.parametrize("sink", ["oci:{}/out:1", "oci-archive:{}/out.tar", "docker-archive:{}/d"])
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda each: each.__name__)
def test_temp_files_a_pull_leaves_nothing_that_others_may_touch(
    run: Run, pair: Pair, temporary: Path, *, ending: Callable[[Pair], int], sink: str
) -> None:
    status = ending(pair)
    folder = temporary.parent
    before = os.umask(0)
    try:
        words = [
            pair.name(),
            *pair.options,
            "--to",
            sink.format(folder),
            "--timeout",
            patience(ending),
        ]
        assert run("pull", *words).status == status
    finally:
        os.umask(before)
    assert list(temporary.iterdir()) == []
    for each in (path for path in folder.rglob("*") if path != temporary):
        mode = stat.S_IMODE(each.stat().st_mode)
        # What a later run goes on with is kept in folders that others cannot enter.
        private = each.is_dir() and INGEST in each.parts
        assert mode & (0o077 if private else 0o022) == 0, (each, oct(mode))
    left = {each.name for each in folder.iterdir()} - {temporary.name}
    assert left <= ({"out", "out.tar", "d"} if status == 0 else {"out"})


@pytest.mark.parametrize("ending", [allowed, falsified, timed_out, terminated])
def test_temp_files_a_deep_look_leaves_nothing(
    run: Run, pair: Pair, temporary: Path, ending: Callable[[Pair], int]
) -> None:
    holds(pair, NEW, recompressed(NEW, Compression.ZSTD))
    seen: list[list[str]] = []

    def look(call: Call) -> Response:
        seen.append([each.name for each in temporary.iterdir()])
        return call.response

    pair.mirror.play(Custom(look, when=BLOBS))
    ending(pair)
    done = run("verify", pair.name(), *pair.options, "--deep", "--timeout", patience(ending))
    assert done.status != 0
    assert list(temporary.iterdir()) == []
    # Nor is there a name for it meanwhile.
    assert seen
    assert not any(seen)


# --- a full disk ------------------------------------------------------------------------------


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass(frozen=True, slots=True)
class Disk:
    folder: Path
    is_mounted: bool

    @property
    def free(self) -> int:
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A place for few megabytes: a file system of its own, else a limit on every file."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        if mounted:
            yield Disk(folder, is_mounted=True)
        else:
            with no_file_above(SMALL_DISK):
                yield Disk(folder, is_mounted=False)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def endless_layer(size: int) -> tuple[Image, Digest, Streamed]:
    """An image with a layer that says to have so many bytes, and the server that goes on."""
    image = image_of((layer({"a": b"x"}),))
    digest = Digest.of(b"endless")
    document = json.loads(image.manifest)
    document["layers"][0] |= {"digest": str(digest), "size": size}

    def chunks() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 18)

    return replace(image, manifest=json.dumps(document).encode()), digest, Streamed(size, chunks)


@pytest.mark.parametrize("sink", ["oci:{}/out:1", "oci-archive:{}/out.tar", "docker-archive:{}/d"])
def test_disk_exhaustion_what_cannot_fit_is_not_begun(
    run: Run, pair: Pair, disk: Disk, sink: str
) -> None:
    image, digest, stream = endless_layer(64 * limits.GIB if disk.is_mounted else limits.BLOB_SIZE)
    holds(pair, image, image)
    for each in (pair.upstream, pair.mirror):
        each.shelf.replace_blob(digest, stream)
    done = run("pull", pair.name(), *pair.options, "--to", sink.format(disk.folder))
    assert done.status == 4
    assert str(disk.folder) in done.err
    assert list(disk.folder.iterdir()) == []


@pytest.mark.parametrize("sink", ["oci:{}/out:1", "oci-archive:{}/out.tar", "docker-archive:{}/d"])
def test_disk_exhaustion_a_disk_that_fills_up_is_an_error_and_no_image(
    run: Run, pair: Pair, disk: Disk, sink: str
) -> None:
    image = big_image(SMALL_DISK // 2)
    holds(pair, image, image)
    filler = disk.folder / "filler"

    def fill(call: Call) -> Response:
        filler.write_bytes(bytes(SMALL_DISK - SMALL_DISK // 4 if disk.is_mounted else 1))
        return call.response

    pair.mirror.play(Custom(fill, when=When(path="/blobs/", last=1)))
    with no_file_above(SMALL_DISK if disk.is_mounted else SMALL_DISK // 4):
        done = run("pull", pair.name(), *pair.options, "--to", sink.format(disk.folder))
    assert done.status == 4
    assert "cannot write" in done.err
    filler.unlink(missing_ok=True)
    # Layouts keep what a later run can go on with; archives are taken back whole.
    assert {each.name for each in disk.folder.iterdir()} <= ({"out"} if "oci:" in sink else set())
    assert not (disk.folder / "out" / "index.json").exists()
    pair.mirror.heal()
    assert run("pull", pair.name(), *pair.options, "--to", sink.format(disk.folder)).status == 0


def test_disk_exhaustion_a_deep_look_gives_the_space_back(
    run: Run, pair: Pair, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    image = big_image(2 * SMALL_DISK)
    holds(pair, image, recompressed(image, Compression.ZSTD))
    before = disk.free
    done = run("verify", pair.name(), *pair.options, "--deep")
    assert done.status == 3
    assert "temporary file" in done.out
    assert list(disk.folder.iterdir()) == []
    assert disk.free == before or not disk.is_mounted


def test_disk_exhaustion_a_report_that_does_not_fit_leaves_nothing(
    run: Run, pair: Pair, disk: Disk
) -> None:
    with no_file_above(100):
        done = run("verify", pair.name(), *pair.options, "-o", disk.folder / "report")
    assert done.status == 4
    assert list(disk.folder.iterdir()) == []


# --- archives ---------------------------------------------------------------------------------


def entry(name: str, **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def repeated(unit: bytes, count: int) -> bytes:
    """A gzip stream of a unit, so many times, made in the time of one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(unit) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = packer.compress(unit) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + packed * (count - 1) + packer.flush()


def negative(header: bytes) -> bytes:
    """The same header with a size below zero, in base 256."""
    size = b"\xff" * 12
    blank = header[:124] + size + header[136:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def replaced(image: Image, blobs: list[tuple[bytes, MediaType]]) -> Image:
    """The image with other bytes for its layers, under the same config."""
    layers = tuple(
        Layer(each.plain, blob, kind)
        for each, (blob, kind) in zip(image.layers, blobs, strict=True)
    )
    return assemble(image.config, layers, image.platform)


BOMBS: list[tuple[bytes, MediaType]] = [
    (repeated(bytes(1 << 20), 10 * 1024), GZIP),
    (repeated(bytes(1 << 20), 1) * 10_000, GZIP),
    (repeating_frame(81_920), ZSTD),
    (repeated(entry("empty") * 2048, 500), GZIP),
    (repeated(negative(entry("negative")), 2), GZIP),
    (repeated(negative(entry("negative", type=tarfile.GNUTYPE_LONGNAME)), 2), GZIP),
    (repeated(b"", 1) * 200_000, GZIP),
]

# A new process starts with the peak of the one that made it: let a small one make it.
SMALL = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.returncode, used.ru_maxrss, used.ru_utime + used.ru_stime)
"""


def test_tar_loop_bomb_layers_of_every_kind_take_little_time_and_memory(pair: Pair) -> None:
    plain = tuple(layer({f"{number}": b"x"}) for number in range(len(BOMBS)))
    image = image_of(plain)
    holds(pair, image, replaced(image, BOMBS))
    words = ["verify", pair.name(), *pair.options, "--deep", "--timeout", "60"]
    command = [sys.executable, "-S", "-c", SMALL, sys.executable, "-m", "imgverify", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    status, peak, seconds = done.stdout.split()
    assert (status, done.stderr) == ("1", "")
    assert int(peak) < 128 * 1024
    # Of processor time, in which the rest of the machine does not count.
    assert float(seconds) < 5


def escaping(outside: Path) -> bytes:
    """A tar that writes, links and points out of wherever it is extracted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("../escaped", str(outside / "absolute"), "a/../../../escaped", "..", "/"):
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"evil"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, str(outside)
            archive.addfile(info)
            info = tarfile.TarInfo("link/through")
            info.size = 4
            archive.addfile(info, io.BytesIO(b"evil"))
        info = tarfile.TarInfo("device")
        info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 1
        archive.addfile(info)
    return buffer.getvalue()


def test_tar_extraction_a_deep_look_writes_nothing_anywhere(
    run: Run, pair: Pair, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, outside = temporary.parent / "a" / "b", temporary.parent / "outside"
    sandbox.mkdir(parents=True)
    outside.mkdir()
    monkeypatch.chdir(sandbox)
    plain = escaping(outside)
    evil = Layer(plain, zlib.compress(plain, 9, 31), GZIP)
    image = assemble(
        config(AMD64, (evil,), created="2026-03-02T08:30:00Z", command="/x"), (evil,), AMD64
    )
    holds(pair, image, recompressed(image, Compression.ZSTD))
    before = sorted(temporary.parent.rglob("*"))
    assert "proven" in run("verify", pair.name(), *pair.options, "--deep").out
    assert run("verify", pair.name(), *pair.options).status == 1
    holds(pair, image, image)
    assert run("verify", pair.name(), *pair.options, "--deep").status == 0
    assert sorted(temporary.parent.rglob("*")) == before
    assert run("pull", pair.name(), *pair.options, "--to", "oci:image:1").status == 0
    assert {each.name for each in sandbox.iterdir()} == {"image"}
    assert list(outside.iterdir()) == []
