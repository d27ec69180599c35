"""Other tools read what the sinks write, and find the same digests."""

import json
import subprocess
from pathlib import Path

import pytest

from imgverify.store.sink import open_sink
from tests.unit.store.images import Image, deliver, image, two_platforms

pytestmark = pytest.mark.system("skopeo")


def skopeo(*arguments: str) -> bytes:
    done = subprocess.run(["skopeo", *arguments], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def inspected(name: str) -> dict[str, object]:
    found = json.loads(skopeo("--override-arch=amd64", "--override-os=linux", "inspect", name))
    assert isinstance(found, dict)
    return found


def layers(made: Image) -> list[str]:
    return [str(each.digest) for each in made.delivered.manifests[0].layers]


# By name skopeo 1.9 looks only at entries of OCI media types; without one it takes any.
@pytest.mark.parametrize(
    ("place", "docker"),
    [
        ("oci:{}:v1", False),
        ("oci:{}", False),
        ("oci:{}", True),
        ("oci-archive:{}:v1", False),
        ("oci-archive:{}", False),
        ("oci-archive:{}", True),
    ],
)
def test_skopeo_finds_the_image_in_a_layout(tmp_path: Path, place: str, *, docker: bool) -> None:
    name, made = place.format(tmp_path / "out"), image(docker=docker)
    deliver(open_sink(name), made)
    assert inspected(name)["Digest"] == str(made.root.digest)
    assert inspected(name)["Layers"] == layers(made)
    assert skopeo("inspect", "--raw", name) == made.bytes_of(made.root)


def test_skopeo_finds_both_images_of_a_layout(tmp_path: Path) -> None:
    for seed in ("a", "b"):
        deliver(open_sink(f"oci:{tmp_path}/out:{seed}"), image(seed))
    for seed in ("a", "b"):
        found = inspected(f"oci:{tmp_path}/out:{seed}")
        assert found["Digest"] == str(image(seed).root.digest)


def test_skopeo_adds_to_a_layout_and_is_added_to(tmp_path: Path) -> None:
    deliver(open_sink(f"oci:{tmp_path}/ours:a"), image("a"))
    skopeo("copy", f"oci:{tmp_path}/ours:a", f"oci:{tmp_path}/theirs:a")
    deliver(open_sink(f"oci:{tmp_path}/theirs:b"), image("b"))
    for seed in ("a", "b"):
        found = inspected(f"oci:{tmp_path}/theirs:{seed}")
        assert found["Digest"] == str(image(seed).root.digest)


@pytest.mark.parametrize("place", ["oci", "oci-archive"])
def test_skopeo_copies_all_platforms(tmp_path: Path, place: str) -> None:
    made = two_platforms()
    deliver(open_sink(f"{place}:{tmp_path}/out:all"), made)
    assert skopeo("inspect", "--raw", f"{place}:{tmp_path}/out:all") == made.bytes_of(made.root)
    skopeo("copy", "--all", f"{place}:{tmp_path}/out:all", f"dir:{tmp_path}/copy")
    assert (tmp_path / "copy" / "manifest.json").read_bytes() == made.bytes_of(made.root)


def test_skopeo_makes_a_docker_archive_from_a_layout(tmp_path: Path) -> None:
    deliver(open_sink(f"oci:{tmp_path}/out:v1"), image())
    skopeo("copy", f"oci:{tmp_path}/out:v1", f"docker-archive:{tmp_path}/out.tar:sample:v1")
    assert inspected(f"docker-archive:{tmp_path}/out.tar")["Os"] == "linux"


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_skopeo_reads_a_docker_archive_as_either_kind(tmp_path: Path, *, docker: bool) -> None:
    made = image(docker=docker)
    deliver(open_sink(f"docker-archive:{tmp_path}/out.tar"), made)
    # In this format skopeo names layers by what is in them, uncompressed.
    config = json.loads(made.content[made.delivered.manifests[0].config.digest])
    found = inspected(f"docker-archive:{tmp_path}/out.tar:sample:1.27")
    assert found["Layers"] == config["rootfs"]["diff_ids"]
    assert inspected(f"oci-archive:{tmp_path}/out.tar")["Digest"] == str(made.root.digest)
    skopeo("copy", f"docker-archive:{tmp_path}/out.tar", f"oci:{tmp_path}/again:v1")
