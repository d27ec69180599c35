"""Sinks by their names, which are skopeo's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError
from imgverify.oci import limits
from imgverify.oci.reference import Reference
from imgverify.store.archive import ArchiveSink, DockerStyle, OciStyle
from imgverify.store.base import Delivered, Part, Sink
from imgverify.store.layout import LayoutSink

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Delivered", "Part", "Sink", "open_sink"]

# The grammar of org.opencontainers.image.ref.name (OCI image-spec, annotations.md).
_COMPONENT: Final = r"[A-Za-z0-9]+(?:(?:--|[-._:@+])[A-Za-z0-9]+)*"
_REF_NAME: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)

_FORMS: Final = "oci:DIR[:TAG], oci-archive:FILE[:TAG] and docker-archive:FILE[:REF]"


def open_sink(text: str) -> Sink:
    """Return the sink that `text` names; nothing is written before its `begin`.

    As with skopeo the path ends at the first colon. Raises `InputError` for anything else than
    the forms there are and for a destination that cannot be one.
    """
    kind, colon, rest = text.partition(":")
    opener = _OPENERS.get(kind)
    if not colon or opener is None:
        msg = f"{text!r} is no place to store an image"
        raise InputError(msg, hint=f"there are {_FORMS}")
    path, colon, name = rest.partition(":")
    if not path or "\0" in path or (colon and not name):
        msg = f"{text!r} lacks a path, or a name after the last colon"
        raise InputError(msg, hint=f"there are {_FORMS}; a path has no colon in it")
    return opener(Path(path), name or None)


def _layout(path: Path, name: str | None) -> Sink:
    return LayoutSink(path, _ref_name(name))


def _oci_archive(path: Path, name: str | None) -> Sink:
    return ArchiveSink(path, OciStyle(_ref_name(name)))


def _docker_archive(path: Path, name: str | None) -> Sink:
    return ArchiveSink(path, DockerStyle(_docker_name(name)))


_OPENERS: Final[dict[str, Callable[[Path, str | None], Sink]]] = {
    "oci": _layout,
    "oci-archive": _oci_archive,
    "docker-archive": _docker_archive,
}


def _ref_name(name: str | None) -> str | None:
    if name is None:
        return None
    if len(name) > limits.REFERENCE_LENGTH or not _REF_NAME.fullmatch(name):
        msg = f"{name!r} is not a name for an image in a layout"
        hint = "letters and digits, with one of - . _ : @ + / between them, such as 1.27"
        raise InputError(msg, hint=hint)
    return name


def _docker_name(name: str | None) -> Reference | None:
    if name is None:
        return None
    reference = Reference.parse(name)
    if reference.digest is not None:
        msg = f"{name!r} has a digest, and Docker gives images only names with tags"
        raise InputError(msg, hint="write NAME:TAG, without @sha256:…")
    return reference
