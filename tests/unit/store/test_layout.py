import json
import os
import stat
from pathlib import Path

import pytest

from imgverify.errors import LimitExceeded, StoreError
from imgverify.store.base import Delivered
from imgverify.store.ingest import INGEST
from imgverify.store.layout import LayoutSink
from tests.unit.store.images import deliver, image, put, two_platforms
from tests.unit.store.layouts import REF_NAME, assert_sound, begun, blob, index, names


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "layout"


class TestAFreshLayout:
    def test_has_the_image_and_nothing_else(self, path: Path) -> None:
        made = image()
        deliver(LayoutSink(path, "1.27"), made)
        assert_sound(path, made)
        assert json.loads((path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
        assert index(path) == [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": str(made.root.digest),
                "size": made.root.size,
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {REF_NAME: "1.27"},
            }
        ]

    def test_is_made_with_its_parents(self, tmp_path: Path) -> None:
        deliver(LayoutSink(tmp_path / "a" / "b" / "c"), image())
        assert_sound(tmp_path / "a" / "b" / "c", image())

    def test_holds_an_index_and_all_its_platforms(self, path: Path) -> None:
        made = two_platforms()
        deliver(LayoutSink(path, "all"), made)
        assert_sound(path, made)
        assert index(path)[0]["digest"] == str(made.root.digest)

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o644)])
    def test_has_files_of_the_usual_mode(self, path: Path, umask: int, mode: int) -> None:
        os.umask(umask)
        deliver(LayoutSink(path), image())
        modes = {stat.S_IMODE(each.stat().st_mode) for each in path.rglob("*") if each.is_file()}
        assert modes == {mode}

    def test_has_its_blobs_before_its_index(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order: list[str] = []
        rename = os.rename

        def spy(source: str, target: str, **folders: int) -> None:
            order.append(target)
            rename(source, target, **folders)

        monkeypatch.setattr(os, "rename", spy)
        made = image()
        deliver(LayoutSink(path), made)
        assert order[-2:] == ["oci-layout", "index.json"]
        assert set(order[:-2]) == {digest.encoded for digest in made.content}

    def test_may_be_behind_a_link(self, tmp_path: Path, path: Path) -> None:
        (tmp_path / "real").mkdir()
        path.symlink_to("real")
        deliver(LayoutSink(path), image())
        assert_sound(tmp_path / "real", image())


class TestWhileItIsBeingWritten:
    def test_files_are_private(self, path: Path) -> None:
        os.umask(0)
        made = image()
        sink = begun(path, made)
        with sink.part(made.layer) as part:
            part.write(b"x")
            files = list((path / INGEST).rglob("sha256-*"))
            assert [stat.S_IMODE(each.stat().st_mode) for each in files] == [0o600]
        assert stat.S_IMODE((path / INGEST).stat().st_mode) == 0o700

    def test_no_final_name_is_there(self, path: Path) -> None:
        made = image()
        sink = begun(path, made)
        put(sink, made, made.layer)
        assert [each.name for each in path.iterdir()] == [INGEST]

    def test_more_bytes_than_the_blob_has_are_refused(self, path: Path) -> None:
        made = image()
        with begun(path, made).part(made.layer) as part:
            part.write(bytes(made.layer.size))
            with pytest.raises(LimitExceeded, match="is longer than"):
                part.write(b"x")
            assert part.offset == made.layer.size

    def test_an_unfinished_part_is_not_completed(self, path: Path) -> None:
        made = image()
        sink = begun(path, made)
        with sink.part(made.layer) as part:
            part.write(b"x")
            with pytest.raises(StoreError, match=f"1 of {made.layer.size} bytes"):
                part.complete()
        assert not sink.holds(made.layer)

    def test_an_image_that_lacks_a_blob_is_not_committed(self, path: Path) -> None:
        made = image()
        sink = begun(path, made)
        put(sink, made, made.layer)
        with pytest.raises(StoreError, match="it lacks sha256:"):
            sink.commit(made.delivered)
        assert not (path / "index.json").exists()

    def test_an_image_whose_root_was_not_announced_is_not_committed(self, path: Path) -> None:
        made, other = image(), image("other")
        sink = begun(path, made)
        for each in made.blobs:
            put(sink, made, each)
        wrong = Delivered(other.root, made.delivered.manifests, made.delivered.name)
        with pytest.raises(StoreError, match=str(other.root.digest)):
            sink.commit(wrong)

    def test_a_restarted_blob_is_no_longer_there(self, path: Path) -> None:
        made = image()
        sink = begun(path, made)
        put(sink, made, made.layer)
        with sink.part(made.layer) as part:
            part.restart()
        assert not sink.holds(made.layer)

    def test_a_sink_that_was_not_begun_takes_nothing(self, path: Path) -> None:
        with pytest.raises(ValueError, match="between begin and commit"):
            LayoutSink(path).part(image().layer).__enter__()


class TestMerging:
    def test_keeps_other_images(self, path: Path) -> None:
        first, second = image("a"), image("b")
        deliver(LayoutSink(path, "a"), first)
        deliver(LayoutSink(path, "b"), second)
        assert_sound(path, first, second)
        assert names(path) == ["a", "b"]

    def test_replaces_the_image_of_that_name(self, path: Path) -> None:
        for seed, name in (("a", "a"), ("b", "b"), ("c", "a")):
            deliver(LayoutSink(path, name), image(seed))
        assert names(path) == ["a", "b"]
        assert index(path)[0]["digest"] == str(image("c").root.digest)

    def test_does_not_repeat_a_nameless_image(self, path: Path) -> None:
        for seed in ("a", "b", "a"):
            deliver(LayoutSink(path), image(seed))
        digests = [each["digest"] for each in index(path)]
        assert digests == [str(image(seed).root.digest) for seed in ("a", "b")]

    def test_fetches_nothing_that_is_there(self, path: Path) -> None:
        assert deliver(LayoutSink(path, "a"), image()) > 0
        assert deliver(LayoutSink(path, "b"), image()) == 0
        assert names(path) == ["a", "b"]

    def test_keeps_what_it_does_not_know(self, path: Path) -> None:
        deliver(LayoutSink(path, "a"), image())
        document = json.loads((path / "index.json").read_bytes())
        document["manifests"][0]["annotations"] |= {"Some": "Ünïcode", "some": "\u2028"}
        document["manifests"][0]["x-number"] = 9007199254740993
        document["x-more"] = {"a": [1, 2.5, None, True]}
        (path / "index.json").write_text(json.dumps(document))
        deliver(LayoutSink(path, "b"), image("b"))
        after = json.loads((path / "index.json").read_bytes())
        assert after["manifests"].pop()["annotations"] == {REF_NAME: "b"}
        assert after == document

    def test_accepts_the_empty_index_of_other_tools(self, path: Path) -> None:
        path.mkdir()
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (path / "index.json").write_text('{"schemaVersion": 2, "manifests": null}')
        (path / "blobs").mkdir()
        deliver(LayoutSink(path, "a"), image())
        assert names(path) == ["a"]

    def test_an_index_that_broke_meanwhile_is_not_replaced(self, path: Path) -> None:
        made = image()
        deliver(LayoutSink(path), image("b"))
        sink = begun(path, made)
        for each in made.blobs:
            put(sink, made, each)
        (path / "index.json").write_text("{")
        with pytest.raises(StoreError, match="cannot add to"):
            sink.commit(made.delivered)
        sink.abandon()
        assert (path / "index.json").read_text() == "{"
        assert not blob(path, made).exists()

    def test_a_blob_that_vanished_meanwhile_is_missed(self, path: Path) -> None:
        made = image()
        deliver(LayoutSink(path, "a"), made)
        sink = begun(path, made, "b")
        assert all(map(sink.holds, made.blobs))
        blob(path, made).unlink()
        with pytest.raises(StoreError, match="was removed meanwhile"):
            sink.commit(made.delivered)
        assert names(path) == ["a"]
