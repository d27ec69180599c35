"""Layouts and archives of other projects; they stay outside, in `$IMGVERIFY_VECTORS`."""

import os
from pathlib import Path

import pytest

from imgverify.errors import ImgverifyError, InputError, Malformed, NotFound
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.local import LocalCopy
from imgverify.oci.manifest import parse_manifest
from imgverify.store.reader import CopyReader
from imgverify.store.saved import SavedImage

VECTORS = os.environ.get("IMGVERIFY_VECTORS", "")
pytestmark = pytest.mark.skipif(not VECTORS, reason="IMGVERIFY_VECTORS names no folder")

GGCR = "go-containerregistry/pkg/v1"
SAVED = f"{GGCR}/tarball/testdata"
FIXTURES = "containers-image/oci/layout/fixtures"
# What is found: the first digits of a manifest's digest, or of the config's for a saved image.
READABLE = {
    "oci-archive:oras-go/content/oci/testdata/hello-world.tar": "faa03e786c97",
    "oci-archive:oras-go/content/oci/testdata/hello-world-prefixed-path.tar": "faa03e786c97",
    "oci-archive:container-libs/common/libimage/testdata/buildkit-oci.tar": "7b9a5714cfff",
    "docker-archive:container-libs/common/libimage/testdata/buildkit-docker.tar": "bc79dee9c249",
    f"docker-archive:{SAVED}/hello-world-v25.tar": "ee301c921b8a",
    f"docker-archive:{SAVED}/test_image_1.tar": "6e0b05049ed9",
    f"docker-archive:{SAVED}/test_image_2.tar:bazel/v1/tarball:test_image_2": "930705ce23e3",
    f"docker-archive:{SAVED}/test_bundle.tar:test_image_1": "6e0b05049ed9",
    f"oci:{GGCR}/layout/testdata/test_index_one_image": "98ceaf93e482",
    f"oci:{FIXTURES}/delete_image_only_one_image": "eaa95f3cfaac",
    "oci:notation-go/internal/testdata/oci-layout": "19dbd2e48e92",
}
REFUSED: dict[str, type[ImgverifyError]] = {
    f"docker-archive:{SAVED}/no_manifest.tar": InputError,
    f"docker-archive:{SAVED}/null_manifest.tar": Malformed,
    f"docker-archive:{SAVED}/test_bundle.tar": InputError,
    f"docker-archive:{SAVED}/test_link.tar": InputError,
    f"oci-archive:{SAVED}/test_image_1.tar": InputError,
    f"oci:{GGCR}/layout/testdata/test_index": InputError,
    f"oci:{GGCR}/layout/testdata/test_index:9": NotFound,
    f"oci:{FIXTURES}/delete_image_multiple_images": InputError,
    f"oci:{FIXTURES}/delete_image_two_identical_references:1.0.0": InputError,
}


def reader(name: str) -> CopyReader:
    kind, _, path = name.partition(":")
    return CopyReader(LocalCopy.parse(f"{kind}:{Path(VECTORS) / path}"), lambda: None)


@pytest.mark.parametrize("name", READABLE)
def test_what_others_wrote_is_read(name: str) -> None:
    made = reader(name)
    found = made.choose()
    if isinstance(found, SavedImage):
        manifest = parse_manifest(made.rebuild(found))
        assert found.config.rpartition("/")[2].startswith(READABLE[name])
        assert manifest.media_type.value.endswith("v2+json")
    else:
        assert isinstance(found, Descriptor)
        assert found.digest.encoded.startswith(READABLE[name])
        assert made.content(found.digest, 1 << 22).digest == found.digest
    made.tree.close()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_none_or_several_is_refused(name: str) -> None:
    with pytest.raises(REFUSED[name]):
        reader(name).choose()
