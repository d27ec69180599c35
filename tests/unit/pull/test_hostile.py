"""Content that somebody changed where it lay or on its way: never delivered, never run."""

import json
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgverify.errors import StoreError
from imgverify.oci import limits
from imgverify.pull.progress import Silence
from imgverify.store.ingest import INGEST
from tests.support.fault import Fault
from tests.support.faults import (
    Body,
    FlipByte,
    Longer,
    RangeIgnored,
    RangeShifted,
    Reset,
    Status,
    Truncate,
    When,
)
from tests.support.image import Image
from tests.unit.pull.scene import (
    Scene,
    assert_layout,
    assert_no_image,
    big_image,
    blob_of,
    noise,
    parts,
    playing,
    ranges,
)

SIZE = 60_000


@pytest.fixture
def item(scene: Scene) -> Image:
    made = big_image(SIZE, SIZE)
    scene.publish(made)
    return made


def files(scene: Scene, item: Image) -> list[Path]:
    folder = scene.out / "blobs" / "sha256"
    return [folder / blob_of(item, position).encoded for position in range(len(item.layers))]


# --- what lies there --------------------------------------------------------------------------


def flip(one: Path, _other: Path, _outside: Path) -> None:
    data = bytearray(one.read_bytes())
    data[len(data) // 2] ^= 1
    one.write_bytes(data)


def swap(one: Path, other: Path, outside: Path) -> None:
    one.rename(outside)
    other.rename(one)
    outside.rename(other)


def truncate(one: Path, _other: Path, _outside: Path) -> None:
    os.truncate(one, SIZE // 2)


def empty(one: Path, _other: Path, _outside: Path) -> None:
    os.truncate(one, 0)


def extend(one: Path, _other: Path, _outside: Path) -> None:
    with one.open("ab") as file:
        file.write(b"more")


def link_to_the_right_content(one: Path, _other: Path, outside: Path) -> None:
    one.rename(outside)
    one.symlink_to(outside)


def link_to_another_blob(one: Path, other: Path, _outside: Path) -> None:
    one.unlink()
    one.symlink_to(other.name)


def link_to_nothing(one: Path, _other: Path, outside: Path) -> None:
    one.unlink()
    one.symlink_to(outside)


def pipe(one: Path, _other: Path, _outside: Path) -> None:
    one.unlink()
    os.mkfifo(one)


SABOTAGE = (
    flip,
    swap,
    truncate,
    empty,
    extend,
    link_to_the_right_content,
    link_to_another_blob,
    link_to_nothing,
    pipe,
)


@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda each: each.__name__)
def test_cache_poison_what_lies_there_is_hashed_and_fetched_again(
    scene: Scene,
    item: Image,
    tmp_path: Path,
    sabotage: Callable[[Path, Path, Path], None],
) -> None:
    scene.pull(item)
    one, other = files(scene, item)
    outside = tmp_path / "outside"
    sabotage(one, other, outside)
    kept = outside.read_bytes() if outside.exists() else None
    scene.mirror.forget()
    scene.pull(item)
    assert ranges(scene.mirror, blob_of(item)) == [None]
    assert_layout(scene.out, item)
    assert all(stat.S_ISREG(each.lstat().st_mode) for each in files(scene, item))
    assert (outside.read_bytes() if outside.exists() else None) == kept


def test_cache_poison_two_runs_mend_one_layout_at_once(scene: Scene, item: Image) -> None:
    scene.pull(item)
    one, other = files(scene, item)
    swap(one, other, scene.out / "aside")
    words = [str(scene.name(scene.upstream)), "--mirror", scene.mirror.host]
    for each in scene.registries:
        words += ["--insecure-http", each.host]
    command = [sys.executable, "-m", "imgverify", "-q", "pull", *words]
    runs = [
        subprocess.Popen([*command, "--to", f"oci:{scene.out}:{name}"], stdout=subprocess.DEVNULL)
        for name in ("one", "two")
    ]
    assert [each.wait(60) for each in runs] == [0, 0]
    assert_layout(scene.out, item)


class Looking(Silence):
    """Notes the modes of all that is private while a blob is under way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modes: dict[str, set[int]] = {}

    def advanced(self, *_: object) -> None:
        for each in self.folder.rglob("*"):
            if INGEST in each.parts:
                kind = "folder" if each.is_dir() else each.name.partition("-")[0]
                self.modes.setdefault(kind, set()).add(stat.S_IMODE(each.stat().st_mode))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_cache_poison_temp_files_nobody_else_can_reach_what_is_not_verified_yet(
    scene: Scene, umask: int
) -> None:
    item = big_image(3 * limits.CHUNK)
    scene.publish(item)
    os.umask(umask)
    watcher = Looking(scene.out)
    scene.pull(item, progress=watcher)
    # The folder keeps others out; what is complete in it has the mode that it is published with.
    assert watcher.modes["folder"] == {0o700}
    assert watcher.modes["sha256"] <= {0o600, 0o644 & ~umask}
    assert 0o600 in watcher.modes["sha256"]
    assert not (scene.out / INGEST).exists()


# --- what would run ---------------------------------------------------------------------------


class _Planted:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.marker),))


def test_no_pickle_what_was_planted_in_the_store_is_never_run(
    scene: Scene, item: Image, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    planted = pickle.dumps(_Planted(marker))
    pickle.loads(planted)  # noqa: S301 - to see that it would run
    marker.rmdir()
    run = scene.out / INGEST / "run-0123456789abcdef"
    run.mkdir(0o700, parents=True)
    (scene.out / "blobs" / "sha256").mkdir(parents=True)
    (run / "lock").write_bytes(planted)
    (run / "state.pickle").write_bytes(planted)
    (run / f"sha256-{blob_of(item).encoded}").write_bytes(planted)
    files(scene, item)[1].write_bytes(planted)
    scene.pull(item)
    assert not marker.exists()
    assert_layout(scene.out, item)


# --- what comes -------------------------------------------------------------------------------

WAYS: list[Callable[[When], Fault]] = [
    lambda when: Status(404, when=when),
    lambda when: Status(500, when=when),
    lambda when: Reset(when=when),
    lambda when: Reset(SIZE // 3, when=when),
    lambda when: Truncate(SIZE // 2, when=when),
    lambda when: FlipByte(7, when=when),
    lambda when: FlipByte(SIZE - 1, when=when),
    lambda when: Body(noise("other", SIZE), when=when),
    lambda when: Longer(b"x", chunked=True, when=when),
    lambda when: RangeIgnored(when=when),
    lambda when: RangeShifted(1, when=when),
    lambda when: RangeShifted(1, lies=True, when=when),
]
#: One misbehaviour of one source: how, from which request for a blob on, and up to which.
BEHAVIOUR = st.tuples(st.sampled_from(WAYS), st.integers(1, 3), st.integers(0, 3))


def test_fallback_inherits_ok_whatever_the_sources_do_in_turn_the_bytes_are_verified(
    tmp_path: Path,
) -> None:
    item = big_image(SIZE)
    with playing(tmp_path / "out", mirrors=2) as scene:
        scene.publish(item)
        seen = {"stored": 0, "not stored": 0}

        @settings(max_examples=25, deadline=None)
        @given(st.lists(st.lists(BEHAVIOUR, max_size=2), min_size=3, max_size=3))
        def misbehave(behaviours: list[list[tuple[Callable[[When], Fault], int, int]]]) -> None:
            for registry, faults in zip(scene.registries, behaviours, strict=True):
                registry.heal()
                for way, first, more in faults:
                    registry.play(way(When("GET", "/blobs/", first, first + more)))
            scene.out = tmp_path / f"out-{sum(seen.values())}"
            try:
                scene.pull(item)
            except StoreError:
                seen["not stored"] += 1
                assert_no_image(scene.out)
            else:
                seen["stored"] += 1
                assert_layout(scene.out, item)

        misbehave()
        assert seen["stored"] > 0


def test_fallback_inherits_ok_what_the_first_gave_is_hashed_with_what_the_second_adds(
    scene: Scene,
) -> None:
    item, other = big_image(SIZE), big_image(SIZE, seed="other")
    scene.publish(item)
    scene.mirror.shelf.replace_blob(blob_of(item), other.layers[0].blob)
    scene.mirror.play(Truncate(SIZE // 2, when=When("GET", "/blobs/")))
    scene.pull(item)
    assert_layout(scene.out, item)


@pytest.mark.parametrize("way", [FlipByte(0), Body(noise("other", SIZE))], ids=["byte", "other"])
def test_process_before_verify_a_mismatch_leaves_no_file(
    scene: Scene, item: Image, way: Fault
) -> None:
    for each in scene.registries:
        each.play(replace(way, when=When("GET", str(blob_of(item)))))
    with pytest.raises(StoreError):
        scene.pull(item)
    assert_no_image(scene.out)
    assert blob_of(item).encoded not in parts(scene.out)


# --- sizes that are told ----------------------------------------------------------------------


def claiming(item: Image, size: int) -> Image:
    document = json.loads(item.manifest)
    document["layers"][0]["size"] = size
    return replace(item, manifest=json.dumps(document).encode())


@pytest.mark.parametrize("told", [0, 1, SIZE - 1, SIZE * 2])
def test_descriptor_size_that_is_not_the_contents_stores_nothing(scene: Scene, told: int) -> None:
    item = claiming(big_image(SIZE), told)
    scene.publish(item)
    with pytest.raises(StoreError):
        scene.pull(item)
    assert_no_image(scene.out)
    for each in scene.registries:
        assert each.count("GET", f"/blobs/{blob_of(item)}") <= limits.RETRIES + 1
