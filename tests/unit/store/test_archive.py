import json
import os
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from imgverify.errors import InputError, LimitExceeded, StoreError
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import MediaType
from imgverify.store.base import Delivered
from tests.unit.store.archives import (
    CONTAINERD_NAME,
    REF_NAME,
    blobs_of,
    contents,
    docker,
    entry,
    oci,
)
from tests.unit.store.images import Image, deliver, files_in, image, put, two_platforms


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.tar"


class TestAnOciArchive:
    def test_is_a_layout_in_a_tar(self, path: Path) -> None:
        made = image()
        deliver(oci(path, "1.27"), made)
        found = contents(path)
        assert json.loads(found.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
        assert entry(path)["digest"] == str(made.root.digest)
        assert entry(path)["annotations"] == {REF_NAME: "1.27"}
        del found["index.json"]
        assert found == blobs_of(made)

    def test_has_no_name_unless_one_is_given(self, path: Path) -> None:
        deliver(oci(path), image())
        assert "annotations" not in entry(path)

    def test_holds_several_platforms(self, path: Path) -> None:
        made = two_platforms()
        deliver(oci(path), made)
        assert blobs_of(made).items() <= contents(path).items()

    def test_has_a_blob_once_though_it_is_a_layer_twice(self, path: Path) -> None:
        made = image()
        (manifest,) = made.delivered.manifests
        twice = replace(manifest, layers=(*manifest.layers, *manifest.layers))
        doubled = replace(made.delivered, manifests=(twice,))
        blobs = (*made.blobs, *made.blobs)
        deliver(oci(path), Image(doubled, made.content, blobs))
        assert blobs_of(made).items() <= contents(path).items()

    def test_is_the_same_whenever_and_in_which_order_it_is_made(self, tmp_path: Path) -> None:
        made = image()
        deliver(oci(tmp_path / "a.tar"), made)
        backwards = Image(made.delivered, made.content, made.blobs[::-1])
        deliver(oci(tmp_path / "b.tar"), backwards)
        assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()

    def test_says_nothing_about_who_made_it(self, path: Path) -> None:
        deliver(oci(path), image())
        with tarfile.open(path) as archive:
            for each in archive:
                assert (each.mtime, each.uid, each.gid, each.uname, each.gname) == (0, 0, 0, "", "")
                assert each.mode == (0o755 if each.isdir() else 0o644)

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o644)])
    def test_has_the_usual_mode(self, path: Path, umask: int, mode: int) -> None:
        os.umask(umask)
        deliver(oci(path), image())
        assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_is_found_in_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        deliver(oci(Path("image.tar")), image())
        assert files_in(tmp_path) == ["image.tar"]


class TestADockerArchive:
    def test_is_a_layout_with_dockers_manifest(self, path: Path) -> None:
        made = image(docker=True)
        deliver(docker(path), made)
        found = contents(path)
        (manifest,) = made.delivered.manifests
        assert json.loads(found["manifest.json"]) == [
            {
                "Config": f"blobs/sha256/{manifest.config.digest.encoded}",
                "RepoTags": ["sample:1.27"],
                "Layers": [f"blobs/sha256/{each.digest.encoded}" for each in manifest.layers],
            }
        ]
        assert entry(path)["annotations"] == {
            CONTAINERD_NAME: "docker.io/library/sample:1.27",
            REF_NAME: "1.27",
        }
        assert blobs_of(made).items() <= found.items()

    @pytest.mark.parametrize(
        ("name", "tags"),
        [
            ("nginx", ["nginx:latest"]),
            ("docker.io/library/nginx:1.27", ["nginx:1.27"]),
            ("bitnami/redis:7", ["bitnami/redis:7"]),
            ("library/a/b:1", ["library/a/b:1"]),
            ("registry.k8s.io/pause:3.10", ["registry.k8s.io/pause:3.10"]),
            ("localhost:5000/library/x:1", ["localhost:5000/library/x:1"]),
            (f"nginx:1.27@{Digest.of(b'')}", ["nginx:1.27"]),
            (f"nginx@{Digest.of(b'')}", []),
        ],
    )
    def test_has_the_name_that_docker_shows(self, path: Path, name: str, tags: list[str]) -> None:
        deliver(docker(path), image(name=name))
        (found,) = json.loads(contents(path)["manifest.json"])
        assert found["RepoTags"] == tags
        assert ("annotations" in entry(path)) == bool(tags)

    def test_takes_another_name(self, path: Path) -> None:
        deliver(docker(path, "mine.example/app:v1"), image())
        (found,) = json.loads(contents(path)["manifest.json"])
        assert found["RepoTags"] == ["mine.example/app:v1"]

    def test_has_a_layer_twice_if_the_manifest_does(self, path: Path) -> None:
        made = image(layers=1)
        (manifest,) = made.delivered.manifests
        twice = replace(manifest, layers=manifest.layers * 2)
        sink = docker(path)
        sink.begin(made.blobs)
        for each in made.blobs:
            put(sink, made, each)
        sink.commit(replace(made.delivered, manifests=(twice,)))
        (found,) = json.loads(contents(path)["manifest.json"])
        assert found["Layers"] == [f"blobs/sha256/{made.layer.digest.encoded}"] * 2

    def test_refuses_two_platforms_before_anything_is_written(
        self, tmp_path: Path, path: Path
    ) -> None:
        with pytest.raises(InputError, match="this image has 2") as caught:
            docker(path).begin(two_platforms().blobs)
        assert "--platform" in caught.value.hint
        assert files_in(tmp_path) == []

    def test_refuses_what_is_no_image(self, path: Path) -> None:
        made = image()
        (manifest,) = made.delivered.manifests
        config = replace(manifest.config, media_type=MediaType("application/x-chart"))
        sink = docker(path)
        sink.begin(made.blobs)
        for each in made.blobs:
            put(sink, made, each)
        with pytest.raises(InputError, match="application/x-chart"):
            sink.commit(replace(made.delivered, manifests=(replace(manifest, config=config),)))
        sink.abandon()

    def test_refuses_to_lack_a_layer(self, path: Path) -> None:
        made = image()
        sink = docker(path)
        sink.begin([each for each in made.blobs if each != made.layer])
        for each in made.blobs:
            if each != made.layer:
                put(sink, made, each)
        with pytest.raises(StoreError, match=str(made.layer.digest)):
            sink.commit(made.delivered)
        sink.abandon()


class TestWhileItIsBeingWritten:
    def test_the_file_is_private_and_aside(self, tmp_path: Path, path: Path) -> None:
        os.umask(0)
        made = image()
        sink = oci(path)
        sink.begin(made.blobs)
        put(sink, made, made.layer)
        (part,) = tmp_path.iterdir()
        assert part.name.startswith(".image.tar.")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        sink.abandon()
        assert files_in(tmp_path) == []

    def test_an_older_file_stays_until_the_commit(self, path: Path) -> None:
        path.write_bytes(b"older")
        made = image()
        sink = oci(path)
        sink.begin(made.blobs)
        for each in made.blobs:
            put(sink, made, each)
        assert path.read_bytes() == b"older"
        sink.commit(made.delivered)
        assert blobs_of(made).items() <= contents(path).items()

    def test_a_blob_may_be_started_over(self, path: Path) -> None:
        made = image()
        sink = oci(path)
        sink.begin(made.blobs)
        for each in made.blobs:
            with sink.part(each) as part:
                part.write(b"\xff" * each.size)
                part.restart()
                assert part.offset == 0
        for each in made.blobs:
            put(sink, made, each)
        sink.commit(made.delivered)
        assert blobs_of(made).items() <= contents(path).items()

    def test_a_blob_is_resumed_within_the_run(self, path: Path) -> None:
        made = image()
        sink = oci(path)
        sink.begin(made.blobs)
        with sink.part(made.layer) as part:
            part.write(made.bytes_of(made.layer)[:1000])
        assert not sink.holds(made.layer)
        with sink.part(made.layer) as part:
            assert b"".join(part.replay()) == made.bytes_of(made.layer)[:1000]
        assert put(sink, made, made.layer) == made.layer.size - 1000
        assert sink.holds(made.layer)
        sink.abandon()

    def test_a_blob_cannot_run_into_the_next(self, path: Path) -> None:
        made = image()
        sink = oci(path)
        sink.begin(made.blobs)
        with sink.part(made.layer) as part, pytest.raises(LimitExceeded):
            part.write(bytes(made.layer.size + 1))
        sink.abandon()

    def test_an_image_that_lacks_a_blob_is_not_committed(self, path: Path) -> None:
        made = image()
        sink = oci(path)
        sink.begin(made.blobs)
        with sink.part(made.layer) as part, pytest.raises(StoreError, match="0 of"):
            part.complete()
        with pytest.raises(StoreError, match="it lacks sha256:"):
            sink.commit(made.delivered)
        sink.abandon()
        assert not path.exists()

    def test_an_image_whose_root_was_not_announced_is_not_committed(self, path: Path) -> None:
        made, other = image(), image("other")
        sink = oci(path)
        sink.begin(made.blobs)
        for each in made.blobs:
            put(sink, made, each)
        wrong = Delivered(other.root, made.delivered.manifests, made.delivered.name)
        with pytest.raises(StoreError, match=str(other.root.digest)):
            sink.commit(wrong)
        sink.abandon()

    def test_a_sink_that_was_not_begun_takes_nothing(self, path: Path) -> None:
        with pytest.raises(ValueError, match="between begin and commit"):
            oci(path).part(image().layer).__enter__()

    def test_a_blob_that_was_not_announced_has_no_place(self, path: Path) -> None:
        sink = oci(path)
        sink.begin(image().blobs)
        with pytest.raises(ValueError, match="begin was not told of it"):
            sink.part(image("other").layer).__enter__()
        sink.abandon()
