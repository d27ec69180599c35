"""Copies on this machine, as they are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InputError
from imgverify.oci.local import CopyKind, LocalCopy, names_local_copy


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        ("oci:dir", LocalCopy(CopyKind.LAYOUT, "dir")),
        ("oci:/a b/c:1.4", LocalCopy(CopyKind.LAYOUT, "/a b/c", "1.4")),
        ("oci:d:docker.io/team/app:1.4", LocalCopy(CopyKind.LAYOUT, "d", "docker.io/team/app:1.4")),
        ("oci-archive:x.tar:v1", LocalCopy(CopyKind.ARCHIVE, "x.tar", "v1")),
        ("docker-archive:x.tar:nginx:1", LocalCopy(CopyKind.DOCKER, "x.tar", "nginx:1")),
    ],
)
def test_a_name_is_read_as_skopeo_reads_it(text: str, copy: LocalCopy) -> None:
    assert LocalCopy.parse(text) == copy
    assert str(copy) == text
    assert copy.repository is copy.registry is copy
    assert names_local_copy(text)


@pytest.mark.parametrize(
    "text",
    ["oci:", "oci::1", "oci:a:", "oci-archive:", "docker-archive:x:", "docker-archive:x:A B",
     "oci:a\0b", "x:y", "oci", f"oci:{'x' * 2000}"],
)  # fmt: skip
def test_a_name_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        LocalCopy.parse(text)


@pytest.mark.parametrize("text", ["oci", "nginx:1", "oci.example:5000/x", "OCI:x", "dir:x", ""])
def test_what_a_registry_has_is_not_taken_for_a_copy(text: str) -> None:
    assert not names_local_copy(text)


@given(st.text())
def test_a_name_is_its_own_text(text: str) -> None:
    try:
        copy = LocalCopy.parse(f"oci:{text}")
    except InputError:
        return
    assert LocalCopy.parse(str(copy)) == copy
