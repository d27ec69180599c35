"""Descriptors."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import ContentError, DigestMismatch, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.descriptor import Descriptor, optional_media_type
from imgverify.oci.digest import Digest
from imgverify.oci.mediatype import OCI_LAYER_GZIP, MediaType
from imgverify.oci.platform import Platform
from tests.unit.oci.samples import DIGEST, descriptor, digests, json_values, seed

OPTIONAL = ["urls", "annotations", "data", "artifactType", "platform"]


def test_a_full_descriptor_is_read_field_by_field() -> None:
    full = Descriptor.from_json(seed("descriptor/full"))
    assert full.size == 2295
    assert full.platform == Platform("linux", "arm64", "", "1", ("f",))
    assert full.annotations == (("a", "b"),)
    assert full.annotation("a") == "b"
    assert full.annotation("c") is None
    assert full.artifact_type == MediaType("application/vnd.example.thing")
    assert full.urls == ("https://layers.example/x",)


def test_null_means_absent_as_in_go() -> None:
    nulls = dict.fromkeys(OPTIONAL)
    assert Descriptor.from_json(descriptor() | nulls) == Descriptor.from_json(descriptor())


def test_an_empty_artifact_type_means_absent() -> None:
    assert optional_media_type("") is None
    assert optional_media_type(None) is None


def test_unknown_fields_are_ignored() -> None:
    assert Descriptor.from_json(descriptor(extra=[1])) == Descriptor.from_json(descriptor())


@given(digests(), st.integers(0, limits.BLOB_SIZE), st.dictionaries(st.text(), st.text()))
def test_what_a_descriptor_says_is_kept(
    digest: str, size: int, annotations: dict[str, str]
) -> None:
    value = descriptor(digest=digest, size=size, annotations=annotations)
    read = Descriptor.from_json(value)
    assert (str(read.digest), read.size, read.media_type) == (digest, size, OCI_LAYER_GZIP)
    assert dict(read.annotations) == annotations


@given(st.fixed_dictionaries({}, optional={key: json_values() for key in descriptor()}))
def test_malformed_crash_no_value_gets_through_a_descriptor(fields: dict[str, object]) -> None:
    for value in (fields, descriptor() | fields):
        try:
            assert Descriptor.from_json(value).size == value["size"]
        except ContentError:
            continue


@pytest.mark.parametrize("value", [None, [], "x", 1, True])
def test_a_descriptor_that_is_no_object_is_malformed(value: object) -> None:
    with pytest.raises(Malformed, match="JSON object"):
        Descriptor.from_json(value)


@pytest.mark.parametrize("key", ["mediaType", "digest", "size"])
def test_a_required_field_may_not_be_absent_or_null(key: str) -> None:
    """mediaType, digest and size are required."""
    whole = descriptor()
    with pytest.raises(Malformed):
        Descriptor.from_json(whole | {key: None})
    del whole[key]
    with pytest.raises(Malformed):
        Descriptor.from_json(whole)


@pytest.mark.parametrize(
    "changed",
    [
        {"urls": "https://a.example"},
        {"urls": [1]},
        {"annotations": []},
        {"annotations": {"a": 1}},
        {"annotations": {"a": None}},
        {"artifactType": "thing"},
        {"artifactType": 1},
        {"platform": "linux/amd64"},
        {"mediaType": ""},
        {"mediaType": "a/b; c=d"},
        {"digest": "sha256:../../x"},
        {"digest": "md5:d41d8cd98f00b204e9800998ecf8427e"},
    ],
)
def test_a_field_of_another_shape_is_malformed(changed: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        Descriptor.from_json(descriptor(**changed))


@pytest.mark.parametrize("size", [True, False, 1e3, 7.0, "7", None, [], {}])
def test_json_types_limits_a_size_is_an_integer(size: object) -> None:
    with pytest.raises(Malformed, match="size is an integer"):
        Descriptor.from_json(descriptor(size=size))


@pytest.mark.parametrize("size", [-1, -(2**63), limits.BLOB_SIZE + 1, 2**63 - 1])
def test_descriptor_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(LimitExceeded, match="out of range"):
        Descriptor.from_json(descriptor(size=size))


@pytest.mark.parametrize("size", [0, 2**40 // 16, limits.BLOB_SIZE])
def test_descriptor_size_in_range_costs_nothing_to_read(size: int) -> None:
    assert Descriptor.from_json(descriptor(size=size)).size == size


@given(st.binary(max_size=64))
def test_descriptor_size_and_digest_cover_inline_data(data: bytes) -> None:
    """Embedded data has to be the content: as long as size says, and hashing to digest."""
    text = base64.b64encode(data).decode()
    digest = str(Digest.of(data))
    right = descriptor(data=text, size=len(data), digest=digest)
    assert Descriptor.from_json(right).size == len(data)
    with pytest.raises(Malformed, match="where its size says"):
        Descriptor.from_json(right | {"size": len(data) + 1})
    with pytest.raises(DigestMismatch):
        Descriptor.from_json(right | {"digest": DIGEST})


@pytest.mark.parametrize(
    "data", ["!", "YQ", "YQ==\n", "YQ==YQ==", "Y-_=", "\u0661", 1, ["YQ=="], {}]
)
def test_inline_data_that_is_not_base64_is_malformed(data: object) -> None:
    with pytest.raises(Malformed, match="base64"):
        Descriptor.from_json(descriptor(data=data, size=1))


@pytest.mark.parametrize(
    "key",
    ["Size", "DIGEST", "mediatype", "MediaType", "\u017fize", "URLs", "Platform", "artifacttype"],
)
def test_dup_and_case_keys_in_a_descriptor_are_malformed(key: str) -> None:
    with pytest.raises(Malformed, match="some readers take for"):
        Descriptor.from_json(descriptor(**{key: 1}))


def test_urls_are_kept_to_be_reported_whatever_they_say() -> None:
    hostile = ["file:///etc/passwd", "http://169.254.169.254/"]
    assert Descriptor.from_json(descriptor(urls=hostile)).urls == tuple(hostile)
