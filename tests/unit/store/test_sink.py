from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from imgverify.errors import InputError, InvalidReference
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.store.archive import ArchiveSink
from imgverify.store.layout import LayoutSink
from imgverify.store.sink import Delivered, Part, Sink, open_sink
from tests.unit.store.images import deliver, files_in, image


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("oci:out", LayoutSink),
        ("oci:out:1.27", LayoutSink),
        ("oci:out:docker.io/library/nginx:1.27-alpine", LayoutSink),
        ("oci:out:a--b", LayoutSink),
        ("oci-archive:out.tar", ArchiveSink),
        ("oci-archive:out.tar:1.27", ArchiveSink),
        ("docker-archive:out.tar", ArchiveSink),
        ("docker-archive:out.tar:nginx", ArchiveSink),
        ("docker-archive:out.tar:registry.example:5000/a/b:1", ArchiveSink),
    ],
)
def test_opens_a_sink_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: type
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_sink(text), kind)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "oci",
        "out.tar",
        "dir:out",
        "docker-daemon:nginx",
        "OCI:out",
        "oci:",
        "oci::tag",
        "oci:out:",
        "oci-archive:",
        "docker-archive:out.tar:",
        "oci:a\0b",
    ],
)
def test_says_what_there_is(text: str) -> None:
    with pytest.raises(InputError) as caught:
        open_sink(text)
    assert "oci:DIR[:TAG], oci-archive:FILE[:TAG] and docker-archive:FILE" in caught.value.hint


@pytest.mark.parametrize("name", ["a b", "-a", "a-", "a---b", "a//b", "/a", "é", "a" * 1025, "a\n"])
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_refuses_names_that_no_layout_may_have(kind: str, name: str) -> None:
    with pytest.raises(InputError, match="is not a name for an image in a layout"):
        open_sink(f"{kind}:out:{name}")


def test_refuses_names_that_docker_cannot_have() -> None:
    with pytest.raises(InvalidReference):
        open_sink("docker-archive:out.tar:Not A Name")
    with pytest.raises(InputError, match="has a digest"):
        open_sink(f"docker-archive:out.tar:nginx@{Digest.of(b'')}")


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_the_whole_way(tmp_path: Path, kind: str) -> None:
    deliver(open_sink(f"{kind}:{tmp_path / 'out'}:name"), image())
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_sink_is_whatever_behaves_as_one() -> None:
    class Null:
        def begin(self, blobs: Sequence[Descriptor]) -> None: ...
        def holds(self, want: Descriptor) -> bool:
            return want.size >= 0

        def part(self, want: Descriptor) -> AbstractContextManager[Part]:
            raise NotImplementedError

        def commit(self, image: Delivered) -> None: ...
        def abandon(self) -> None: ...

    sink: Sink = Null()
    assert deliver(sink, image()) == 0
