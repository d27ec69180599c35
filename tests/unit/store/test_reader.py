"""Which image a copy is named for, and what lies beside it."""

import json
from pathlib import Path

import pytest

from imgverify.errors import ContentError, InputError, LimitExceeded, Malformed, NotFound
from imgverify.oci import limits
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.local import LocalCopy
from imgverify.store import beside
from imgverify.store.beside import Beside
from imgverify.store.reader import CopyReader
from imgverify.store.saved import SavedImage, parse_saved
from tests.support import copies
from tests.support.copies import (
    CONTAINERD_NAME,
    PATH,
    REF_NAME,
    archive_of,
    saved,
    shelved,
    write_index,
    write_layout,
)
from tests.support.image import artifact, index, put, release
from tests.unit.store.layouts import open_files

NEW, OLD = release("app", "1.4.2"), release("app", "1.4.1")
SIGNATURE = artifact(NEW)


def reader(text: str) -> CopyReader:
    return CopyReader(LocalCopy.parse(text), lambda: None)


def chosen(text: str) -> Digest:
    made = reader(text)
    try:
        found = made.choose()
        assert isinstance(found, Descriptor)
        return found.digest
    finally:
        made.tree.close()


def entry(digest: Digest, size: int = 0, **annotations: str) -> dict[str, object]:
    kind = "application/vnd.oci.image.manifest.v1+json"
    names = {"ref": REF_NAME, "containerd": CONTAINERD_NAME, "kind": "kind"}
    said = {names[key]: value for key, value in annotations.items()}
    return {"mediaType": kind, "digest": str(digest), "size": size, "annotations": said}


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    shelf = shelved(NEW, "new")
    put(shelf, PATH, OLD, "old")
    put(shelf, PATH, SIGNATURE)
    return write_layout(tmp_path / "layout", shelf)


def test_an_image_is_chosen_by_its_name(layout: Path) -> None:
    assert chosen(f"oci:{layout}:new") == NEW.digest
    assert chosen(f"oci:{layout}:old") == OLD.digest
    write_index(layout, [entry(NEW.digest, containerd="docker.io/team/app:1.4", ref="1.4")])
    for name in ("1.4", "docker.io/team/app:1.4"):
        assert chosen(f"oci:{layout}:{name}") == NEW.digest
    with pytest.raises(NotFound, match=r"called 'x'; it has '1.4', 'docker.io/team/app:1.4'"):
        chosen(f"oci:{layout}:x")


def test_without_a_name_there_is_one_image_or_none_is_chosen(layout: Path) -> None:
    with pytest.raises(InputError, match="may be 2 images; there are 'new', 'old'") as caught:
        chosen(f"oci:{layout}")
    assert f"oci:{layout}:NAME" in caught.value.hint
    write_index(layout, [entry(NEW.digest, ref=str(each)) for each in range(3)])
    assert chosen(f"oci:{layout}") == NEW.digest
    write_index(layout, [entry(Digest.of(bytes([each])), ref=f"t{each}") for each in range(40)])
    with pytest.raises(InputError, match="'t11' and 28 more"):
        chosen(f"oci:{layout}")
    write_index(layout, [])
    with pytest.raises(NotFound, match="any image; it has no names"):
        chosen(f"oci:{layout}")


@pytest.mark.parametrize(
    "beside_it",
    [
        entry(SIGNATURE.digest, kind="dev.cosignproject.cosign/sigs"),
        entry(SIGNATURE.digest, kind="dev.cosignproject.cosign/atts"),
        entry(SIGNATURE.digest, ref=f"sha256-{NEW.digest.encoded}.sig"),
        entry(SIGNATURE.digest, ref=f"m.example/app:sha256-{NEW.digest.encoded}"),
        entry(SIGNATURE.digest) | {"artifactType": "application/vnd.test.sig"},
        entry(SIGNATURE.digest),
    ],
)
def test_what_lies_beside_an_image_is_not_chosen(
    layout: Path, beside_it: dict[str, object]
) -> None:
    write_index(layout, [beside_it, entry(NEW.digest), beside_it])
    assert chosen(f"oci:{layout}") == NEW.digest


DISGUISES: list[dict[str, object]] = [
    entry(OLD.digest, ref="1.4") | {"artifactType": "application/vnd.test.sig"},
    entry(OLD.digest, ref="1.4", kind="dev.cosignproject.cosign/sigs"),
    entry(OLD.digest, ref=f"sha256-{NEW.digest.encoded}.sig", containerd="1.4"),
]


@pytest.mark.parametrize("disguised", DISGUISES)
@pytest.mark.parametrize("name", ["", ":1.4"])
@pytest.mark.parametrize("first", [True, False])
def test_an_image_that_is_listed_as_something_beside_another_is_still_one(
    layout: Path, disguised: dict[str, object], name: str, *, first: bool
) -> None:
    """Tools that read a layout go by the name alone, and would run it."""
    entries = [entry(NEW.digest, ref="1.4"), disguised]
    write_index(layout, entries[::-1] if first else entries)
    with pytest.raises(InputError, match="may be 2 images") as caught:
        chosen(f"oci:{layout}{name}")
    # Who named one already is not told to name one.
    assert caught.value.hint.startswith("make this copy again" if name else "name one")


def test_an_index_is_beside_an_image_by_its_tag_alone(layout: Path) -> None:
    tagged = index((OLD,))
    copies.blob_file(layout, tagged.digest).write_bytes(tagged.manifest)
    kind = str(tagged.media_type)
    beside_it = entry(tagged.digest, ref=f"sha256-{NEW.digest.encoded}") | {"mediaType": kind}
    write_index(layout, [beside_it, entry(NEW.digest)])
    assert chosen(f"oci:{layout}") == NEW.digest
    disguised = entry(tagged.digest) | {"mediaType": kind, "artifactType": "application/x"}
    write_index(layout, [entry(NEW.digest), disguised])
    with pytest.raises(InputError, match="may be 2 images"):
        chosen(f"oci:{layout}")


@pytest.mark.parametrize("shadow", [SIGNATURE.digest, Digest.of(b"gone")])
def test_a_name_that_is_something_else_to_tools_that_take_the_first_is_refused(
    layout: Path, shadow: Digest
) -> None:
    other = entry(shadow, ref="1.4") | {"artifactType": "application/vnd.test.sig"}
    write_index(layout, [entry(NEW.digest, ref="1.4"), other])
    assert chosen(f"oci:{layout}:1.4") == NEW.digest
    write_index(layout, [other, entry(NEW.digest, ref="1.4")])
    with pytest.raises(InputError, match="to some tools") as caught:
        chosen(f"oci:{layout}:1.4")
    assert str(shadow) in caught.value.message


@pytest.mark.parametrize("kind", ["image", "index"])
def test_an_image_with_a_subject_still_is_an_image(layout: Path, kind: str) -> None:
    document = json.loads(OLD.manifest)
    if kind == "index":
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry(OLD.digest, len(OLD.manifest))],
        }
    document["subject"] = entry(NEW.digest, len(NEW.manifest))
    data = json.dumps(document).encode()
    copies.blob_file(layout, Digest.of(data)).write_bytes(data)
    other = entry(Digest.of(data), ref="1.4") | {"mediaType": document["mediaType"]}
    write_index(layout, [other, entry(NEW.digest, ref="1.4")])
    with pytest.raises(InputError, match=r"may be 2 images|to some tools"):
        chosen(f"oci:{layout}:1.4")


@pytest.mark.parametrize(
    "label",
    [{"kind": "dev.cosignproject.cosign/sigs"}, {"artifactType": "application/vnd.test.sig"}],
)
def test_a_signature_that_has_the_image_s_name_is_beside_it(
    layout: Path, label: dict[str, str]
) -> None:
    """Cosign gives all that it saves the name of the image."""
    beside_it = entry(SIGNATURE.digest, ref="1.4") | label
    if "kind" in label:
        beside_it["annotations"] = {REF_NAME: "1.4"} | label
    write_index(layout, [entry(NEW.digest, ref="1.4"), beside_it])
    assert chosen(f"oci:{layout}:1.4") == NEW.digest


def test_an_entry_that_is_not_there_stays_one_of_several(layout: Path) -> None:
    write_index(layout, [entry(Digest.of(b"gone")), entry(NEW.digest)])
    with pytest.raises(InputError, match="may be 2 images"):
        chosen(f"oci:{layout}")


@pytest.mark.parametrize("lacking", ["oci-layout", "index.json"])
def test_a_folder_that_is_no_layout_is_refused_and_closed(layout: Path, lacking: str) -> None:
    (layout / lacking).unlink()
    before = open_files()
    with pytest.raises((InputError, Malformed), match=lacking):
        reader(f"oci:{layout}")
    assert open_files() == before


def test_a_saved_image_is_chosen_by_docker_s_names(tmp_path: Path) -> None:
    two = saved(NEW, "nginx:1.27", "quay.io/team/app:1"), saved(OLD, "nginx:1.26", "a b")
    listed = [json.loads(each["manifest.json"])[0] for each in two]
    files = two[0] | two[1] | {"manifest.json": json.dumps(listed).encode()}
    file = archive_of(tmp_path / "x.tar", files)
    for name in ("nginx:1.27", "docker.io/library/nginx:1.27", "quay.io/team/app:1"):
        found = reader(f"docker-archive:{file}:{name}").choose()
        assert isinstance(found, SavedImage)
        assert found.names[0] == "nginx:1.27"
    with pytest.raises(NotFound, match="called 'nginx'"):
        reader(f"docker-archive:{file}:nginx").choose()
    with pytest.raises(InputError, match="may be 2 images"):
        reader(f"docker-archive:{file}").choose()


def test_an_archive_without_docker_s_list_is_none_of_docker_s(tmp_path: Path) -> None:
    file = archive_of(tmp_path / "x.tar", {"a": b"x"})
    with pytest.raises(InputError, match=r"no manifest\.json"):
        reader(f"docker-archive:{file}")


@pytest.mark.parametrize("kind", ["config", "layer"])
def test_a_saved_image_whose_files_are_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    files = saved(NEW)
    name = next(
        each for each in files if each.endswith("layer.tar" if kind == "layer" else ".json")
    )
    del files[name]
    made = reader(f"docker-archive:{archive_of(tmp_path / 'x.tar', files)}")
    found = made.choose()
    assert isinstance(found, SavedImage)
    with pytest.raises(Malformed, match="is not there"):
        made.rebuild(found)


def test_a_saved_image_whose_config_has_another_s_name_is_refused(tmp_path: Path) -> None:
    files = saved(NEW)
    name = next(each for each in files if each.endswith(".json"))
    files[name] = OLD.config
    made = reader(f"docker-archive:{archive_of(tmp_path / 'x.tar', files)}")
    found = made.choose()
    assert isinstance(found, SavedImage)
    with pytest.raises(ContentError, match=name):
        made.rebuild(found)


@pytest.mark.parametrize(
    "document",
    [
        {}, [1], [{}], [{"Config": 1}], [{"Config": "a", "Layers": "b"}], [{"Config": ""}],
        [{"Config": "a", "Layers": [1]}], [{"Config": "a", "RepoTags": [None]}],
        [{"Config": "a", "Layers": ["x"] * 600}], [{"Config": "a", "config": "b"}],
        [{"Config": "a"}] * 1001, [{"Config": "a", "layers": []}],
    ],
)  # fmt: skip
def test_a_list_of_saved_images_that_is_none_is_refused(document: object) -> None:
    with pytest.raises(ContentError):
        parse_saved(json.dumps(document).encode())


def test_null_lists_are_empty_ones() -> None:
    text = b'[{"Config": "a", "RepoTags": null, "Layers": null}]'
    assert parse_saved(text) == (SavedImage((), "a", ()),)


def test_a_blob_is_hashed_before_it_is_given(layout: Path) -> None:
    made = reader(f"oci:{layout}")
    assert made.content(NEW.digest, 10_000).data == NEW.manifest
    with pytest.raises(LimitExceeded, match=NEW.digest.encoded):
        made.content(NEW.digest, 10)
    with pytest.raises(NotFound):
        made.content(Digest.of(b"none"), 10)
    copies.blob_file(layout, NEW.digest).write_bytes(b"other")
    with pytest.raises(ContentError, match=NEW.digest.encoded):
        made.content(NEW.digest, 10_000)


def test_what_refers_to_an_image_is_found_among_the_blobs(layout: Path) -> None:
    found = Beside(reader(f"oci:{layout}"), lambda: None)
    (one,) = found.referring(NEW.digest)
    assert one.digest == SIGNATURE.digest
    assert str(one.artifact_type) == "application/vnd.test.sig"
    assert found.referring(OLD.digest) == ()
    assert found.listed(NEW.digest) == ()


def test_blobs_are_looked_through_within_bounds(
    layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LAYOUT_SCAN_SIZE", 600)
    with pytest.raises(LimitExceeded, match="too many documents"):
        Beside(reader(f"oci:{layout}"), lambda: None).referring(NEW.digest)
    monkeypatch.undo()
    (layout / "blobs" / "sha512").mkdir()
    (layout / "blobs" / "sha512" / ("0" * 128)).write_bytes(b"")
    monkeypatch.setattr(limits, "LAYOUT_BLOBS", len(list((layout / "blobs/sha256").iterdir())))
    with pytest.raises(LimitExceeded, match="files"):
        Beside(reader(f"oci:{layout}"), lambda: None).referring(NEW.digest)


def test_large_blobs_and_layers_are_not_read(layout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = b'{"subject": "' + b"x" * limits.MANIFEST_SIZE
    copies.blob_file(layout, Digest.of(large)).write_bytes(large)
    copies.blob_file(layout, Digest.of(b"[]")).write_bytes(b"")
    read: list[int] = []
    real = beside._referring

    def noted(name: Digest, data: bytes) -> object:
        read.append(len(data))
        return real(name, data)

    monkeypatch.setattr(beside, "_referring", noted)
    Beside(reader(f"oci:{layout}"), lambda: None).referring(NEW.digest)
    assert max(read) < 10_000
    assert read.count(0) > 2


def test_a_saved_image_has_nothing_beside_it(tmp_path: Path) -> None:
    file = archive_of(tmp_path / "x.tar", saved(NEW))
    found = Beside(reader(f"docker-archive:{file}"), lambda: None)
    assert found.referring(NEW.digest) == found.listed(NEW.digest) == ()
