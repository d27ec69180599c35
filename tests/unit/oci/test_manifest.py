"""Image manifests and indexes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import ContentError, DigestMismatch, LimitExceeded, Malformed
from imgverify.oci import limits, mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import (
    Index,
    Manifest,
    attested_image,
    is_attestation,
    parse_manifest,
)
from imgverify.oci.mediatype import MediaType
from tests.unit.oci.samples import (
    DIGEST,
    EMPTY_DIGEST,
    as_content,
    as_list,
    as_object,
    descriptor,
    json_values,
    seed,
    seed_names,
)

INDEX, MANIFEST = mediatype.OCI_INDEX, mediatype.OCI_MANIFEST
CONFIG = descriptor(mediaType=str(mediatype.OCI_CONFIG))
IMAGE: dict[str, object] = {"schemaVersion": 2, "config": CONFIG, "layers": [descriptor()]}
LIST: dict[str, object] = {"schemaVersion": 2, "manifests": [descriptor(mediaType=str(MANIFEST))]}


def read(document: object) -> Manifest | Index:
    return parse_manifest(as_content(document))


def manifest(document: object) -> Manifest:
    result = read(document)
    assert isinstance(result, Manifest)
    return result


def index(document: object) -> Index:
    result = read(document)
    assert isinstance(result, Index)
    return result


@pytest.mark.parametrize("name", seed_names("manifest"))
def test_documents_as_registries_serve_them_are_read(name: str) -> None:
    document = seed(name)
    content = as_content(document)
    result = parse_manifest(content)
    assert isinstance(result, Index) == ("manifests" in document)
    assert result.content is content
    assert result.digest == content.digest
    assert result.size == len(content.data)


def test_a_docker_image_keeps_the_order_of_its_layers() -> None:
    image = manifest(seed("manifest/docker-manifest"))
    assert image.media_type == mediatype.DOCKER_MANIFEST
    assert image.is_image
    assert [layer.size for layer in image.layers] == [32654, 16724]


def test_an_artifact_is_no_image_and_names_its_subject() -> None:
    artifact = manifest(seed("manifest/artifact"))
    assert not artifact.is_image
    assert str(artifact.config.digest) == EMPTY_DIGEST
    assert artifact.artifact_type == MediaType("application/vnd.example.sbom.v1")
    assert artifact.subject is not None
    assert artifact.subject.size == 2295


def test_null_from_a_go_writer_means_absent_or_empty() -> None:
    image = manifest(seed("manifest/go-nulls"))
    assert (image.layers, image.annotations, image.subject, image.artifact_type) == (
        (),
        (),
        None,
        None,
    )
    assert index({**LIST, "manifests": None}).manifests == ()


def test_an_index_may_be_empty() -> None:
    """The list of manifests has to be there, but may hold none."""
    assert index({**LIST, "manifests": []}).manifests == ()


def test_an_image_may_have_no_layers() -> None:
    assert manifest({**IMAGE, "layers": []}).layers == ()


def test_an_index_may_hold_indexes_and_types_nobody_knows() -> None:
    """An unknown media type in an index is no error."""
    nested = index(seed("manifest/oci-index-nested"))
    assert [child.media_type.kind.name for child in nested.manifests] == ["INDEX", "OTHER"]
    assert nested.media_type == INDEX


def test_attestations_are_told_from_images() -> None:
    attested = index(seed("manifest/oci-index-attested"))
    (image,), (attestation,) = attested.images, attested.attestations
    assert attested_image(attestation) == str(image.digest)
    assert attested_image(image) is None


@pytest.mark.parametrize("platform", [None, {"os": "linux", "architecture": "amd64"}])
def test_an_image_cannot_hide_behind_the_mark_of_an_attestation(platform: object) -> None:
    marked = {"vnd.docker.reference.type": "attestation-manifest"}
    child = descriptor(annotations=marked, platform=platform)
    assert not is_attestation(Descriptor.from_json(child))


@pytest.mark.parametrize(
    "document",
    [
        IMAGE | LIST,
        {**LIST, "config": CONFIG},
        {**LIST, "layers": []},
        {**LIST, "config": None},
        {**IMAGE, "manifests": []},
        {**IMAGE, "manifests": None},
        {**IMAGE, "Manifests": []},
        {**LIST, "Layers": []},
        {**LIST, "fsLayers": []},
        {"schemaVersion": 2},
        {"schemaVersion": 2, "config": CONFIG},
        {"schemaVersion": 2, "layers": []},
    ],
)
def test_type_confusion_is_refused_whatever_the_document_is_called(
    document: dict[str, object],
) -> None:
    """What is both an image and an index, or half of one, means one thing to no reader."""
    for said in (None, INDEX, MANIFEST):
        with pytest.raises(Malformed):
            parse_manifest(as_content(document), content_type=said)
    for body in (INDEX, MANIFEST):
        with pytest.raises(Malformed):
            read(document | {"mediaType": str(body)})


SIGNATURE = {**seed("manifest/cosign-signature")}
SIGNATURE.pop("mediaType", None)
SAID = [None, INDEX, MANIFEST, mediatype.DOCKER_MANIFEST, mediatype.SCHEMA1, MediaType("a/b")]


@pytest.mark.parametrize(("body", "header", "parent"), [*itertools.product(SAID, SAID, SAID)])
def test_type_confusion_between_body_header_and_parent_is_refused(
    body: MediaType | None, header: MediaType | None, parent: MediaType | None
) -> None:
    """The document's own type, the transport's and the parent's are the same where present."""
    said = {body, header, parent} - {None}
    manifests = ({MANIFEST}, {mediatype.DOCKER_MANIFEST})
    for document, kinds, usual in (
        (IMAGE, manifests, MANIFEST),
        (SIGNATURE, manifests, MANIFEST),
        ({**IMAGE, "layers": []}, manifests, MANIFEST),
        (LIST, ({INDEX},), INDEX),
    ):
        full = {**document} | ({"mediaType": str(body)} if body else {})
        content = as_content(full)
        if said and said not in kinds:
            with pytest.raises(Malformed):
                parse_manifest(content, content_type=header, expected=parent)
        else:
            result = parse_manifest(content, content_type=header, expected=parent)
            assert {result.media_type} == (said or {usual})


def test_disagreeing_types_are_named() -> None:
    with pytest.raises(Malformed, match=r"index\.v1\+json, application.*manifest\.v1\+json"):
        parse_manifest(as_content(LIST), content_type=INDEX, expected=MANIFEST)


@pytest.mark.parametrize(
    "document",
    [
        {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []},
        {"schemaVersion": 1, "fsLayers": [], "history": [], "signatures": [{}]},
        {**IMAGE, "schemaVersion": 1},
        {**IMAGE, "fsLayers": []},
    ],
)
def test_schema1_signed_part_is_refused_with_its_reason(document: dict[str, object]) -> None:
    with pytest.raises(Malformed, match="schema 1 manifest"):
        read(document)


@pytest.mark.parametrize("said", [mediatype.SCHEMA1, mediatype.SCHEMA1_SIGNED])
def test_schema1_signed_part_is_refused_by_its_header(said: MediaType) -> None:
    with pytest.raises(Malformed, match="schema 1 manifest"):
        parse_manifest(as_content(IMAGE), content_type=said)


@pytest.mark.parametrize("key", ["history", "signatures", "tag", "Signatures", "TAG", "FSLayers"])
def test_schema1_signed_part_fields_are_refused_at_the_top(key: str) -> None:
    for document in (IMAGE, LIST):
        with pytest.raises(Malformed):
            read({**document, key: []})


def test_names_of_schema_1_fields_are_free_below_the_top() -> None:
    names = dict.fromkeys(("signatures", "history", "tag", "fsLayers"), "x")
    image = manifest(
        {**IMAGE, "annotations": names, "layers": [descriptor(annotations=names, tag=1)]}
    )
    assert dict(image.annotations) == names


@pytest.mark.parametrize("key", ["Config", "LAYERS", "schemaversion", "MediaType", "Subject"])
def test_dup_and_case_keys_at_the_top_are_malformed(key: str) -> None:
    with pytest.raises(Malformed, match=r"some readers take for|differ only in case"):
        read({**LIST, key: 1})


@pytest.mark.parametrize("place", ["config", "layers", "subject"])
def test_dup_and_case_keys_in_a_descriptor_of_a_manifest_are_malformed(place: str) -> None:
    twisted = descriptor(Digest=DIGEST)
    with pytest.raises(Malformed):
        read({**IMAGE, place: [twisted] if place == "layers" else twisted})


@pytest.mark.parametrize("version", [True, 2.0, "2", 3, 0, None, [2], {}])
def test_json_types_limits_the_schema_version_is_the_integer_2(version: object) -> None:
    with pytest.raises(Malformed):
        read({**IMAGE, "schemaVersion": version})


def test_json_types_limits_hold_against_many_layers_and_children() -> None:
    most = {**IMAGE, "layers": [descriptor()] * limits.LAYERS}
    assert len(manifest(most).layers) == limits.LAYERS
    with pytest.raises(LimitExceeded, match="513 layers"):
        read({**IMAGE, "layers": [descriptor()] * (limits.LAYERS + 1)})
    with pytest.raises(LimitExceeded, match="1001 manifests"):
        read({**LIST, "manifests": [descriptor()] * (limits.INDEX_ENTRIES + 1)})


def test_json_types_limits_hold_against_large_documents() -> None:
    padded = as_content(IMAGE).data.ljust(limits.MANIFEST_SIZE)
    assert parse_manifest(Content.of(padded)).size == limits.MANIFEST_SIZE
    with pytest.raises(LimitExceeded, match="more than"):
        parse_manifest(Content.of(padded + b" "))


@pytest.mark.parametrize("value", ["x", {}, {"0": descriptor()}, 1, [None], ["x"], [[]]])
def test_lists_of_another_shape_are_malformed(value: object) -> None:
    for document, key in ((IMAGE, "layers"), (LIST, "manifests")):
        with pytest.raises(Malformed):
            read({**document, key: value})


def test_a_config_may_not_be_null() -> None:
    with pytest.raises(Malformed, match="JSON object"):
        read({**IMAGE, "config": None})


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\x1f\x8b\x08", b"<html>", b"\xff"])
def test_an_answer_that_is_no_json_object_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_manifest(Content.of(data))


def test_inline_data_that_is_not_the_content_is_a_mismatch() -> None:
    with pytest.raises(DigestMismatch):
        read({**IMAGE, "config": descriptor(data="e30=", size=2)})


def test_hash_raw_bytes_keeps_a_manifest_as_it_came() -> None:
    spaced = b"\n" + as_content(IMAGE).data.replace(b":", b" : ", 1) + b"\n"
    result = parse_manifest(Content.of(spaced))
    assert result.content.data == spaced
    assert result.digest == Digest.of(spaced) != read(IMAGE).digest


@given(
    st.fixed_dictionaries(
        {}, optional={key: json_values() for key in [*IMAGE, *LIST, "mediaType", "annotations"]}
    ),
    st.sampled_from([IMAGE, LIST, as_object({})]),
)
def test_malformed_crash_no_value_gets_through_a_manifest(
    fields: dict[str, object], base: dict[str, object]
) -> None:
    document = base | fields
    try:
        result = read(document)
    except ContentError:
        return
    held = result.manifests if isinstance(result, Index) else result.layers
    key = "manifests" if isinstance(result, Index) else "layers"
    assert len(held) == len(as_list(document[key] or []))


@given(st.lists(st.integers(0, 2**30), max_size=5), st.dictionaries(st.text("abc"), st.text("abc")))
def test_what_a_manifest_says_is_kept(sizes: list[int], annotations: dict[str, str]) -> None:
    layers = [descriptor(size=size) for size in sizes]
    image = manifest({**IMAGE, "layers": layers, "annotations": annotations})
    assert [layer.size for layer in image.layers] == sizes
    assert dict(image.annotations) == annotations
