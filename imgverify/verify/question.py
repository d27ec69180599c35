"""What is asked of `verify`, as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgverify.errors import InputError
from imgverify.oci.local import LocalCopy
from imgverify.oci.reference import DIRECT

if TYPE_CHECKING:
    from imgverify.oci.digest import Digest
    from imgverify.oci.local import MirrorName, Origin
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Reference, Repository


@dataclass(frozen=True, slots=True)
class Question:
    """One image: what upstream calls it, and where else it is to be had.

    `requested` is the user's own spelling.  Without `mirrors` upstream itself is the source.
    No `platforms` means all of upstream's.
    `deep` asks for every layer to be read from every mirror.
    `by_digest` are those mirrors that nobody asks what a tag means: they are held against the
    digest that upstream's tag names.
    `offline` is to ask nobody but the mirrors that are named: signatures alone then say what
    upstream published.
    `signatures` is a repository that signatures are kept in, besides those of the image.
    """

    requested: str
    upstream: Reference
    mirrors: tuple[MirrorName, ...]
    platforms: tuple[Platform, ...] = ()
    deep: bool = False
    by_digest: frozenset[Origin] = frozenset()
    offline: bool = False
    signatures: Repository | None = None

    def __post_init__(self) -> None:
        """Refuse to hold an image against itself."""
        for mirror in self.mirrors:
            if isinstance(mirror, LocalCopy):
                continue
            # However it is routed: a host that answers for itself is nobody's mirror.
            if replace(mirror.repository, route=DIRECT) == self.upstream.repository:
                msg = f"{mirror.repository} is named as upstream and as its own mirror"
                raise InputError(msg, hint="name the registry that images are pulled from today")

    def wanted_of(self, mirror: MirrorName, digest: Digest) -> MirrorName:
        """Return what a mirror is asked for, once upstream's tag is known to name `digest`."""
        if isinstance(mirror, LocalCopy) or mirror.repository not in self.by_digest:
            return mirror
        return mirror.pinned(digest)
