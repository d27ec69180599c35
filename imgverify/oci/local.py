"""Copies of images in files of this machine, as they are named: nothing here opens one."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from imgverify.errors import InputError
from imgverify.oci import limits
from imgverify.oci.reference import Reference, Repository

_FORMS: Final = "oci:DIR[:TAG], oci-archive:FILE[:TAG] and docker-archive:FILE[:REF]"


class CopyKind(enum.StrEnum):
    """How a local copy is laid out, in skopeo's words."""

    LAYOUT = "oci"
    ARCHIVE = "oci-archive"
    DOCKER = "docker-archive"


_KINDS: Final = {each.value: each for each in CopyKind}


@dataclass(frozen=True, slots=True, order=True)
class LocalCopy:
    """An image in a directory or archive; without `name` it has to be the only one there.

    Nothing wider than the copy itself stands for its repository and its registry.
    """

    kind: CopyKind
    path: str
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `oci:DIR[:TAG]` and its kin; as with skopeo the path ends at the first colon."""
        kind, _, rest = text.partition(":")
        path, colon, name = rest.partition(":")
        if kind not in _KINDS or not path or "\0" in path or (colon and not name):
            msg = f"{text!r} lacks a path, or a name after the last colon"
            raise InputError(msg, hint=f"there are {_FORMS}; a path has no colon in it")
        if len(text) > limits.REFERENCE_LENGTH:
            msg = f"the name of a copy has {len(text)} characters"
            raise InputError(msg, hint=f"{limits.REFERENCE_LENGTH} are the most")
        if name and kind == CopyKind.DOCKER:
            Reference.parse(name)
        return cls(_KINDS[kind], path, name or None)

    @property
    def repository(self) -> LocalCopy:
        """The copy itself."""
        return self

    @property
    def registry(self) -> LocalCopy:
        """The copy itself."""
        return self

    def __str__(self) -> str:
        """Return the text that names it."""
        return f"{self.kind}:{self.path}" + (f":{self.name}" if self.name else "")


#: A place that may have an image, and where something came from.
Origin: TypeAlias = Repository | LocalCopy
#: What is held against upstream: an image by a mirror's name, or a local copy.
MirrorName: TypeAlias = Reference | LocalCopy


def names_local_copy(text: str) -> bool:
    """Tell whether a text names a copy on this machine, and not an image at a registry."""
    kind, colon, _ = text.partition(":")
    return bool(colon) and kind in _KINDS
