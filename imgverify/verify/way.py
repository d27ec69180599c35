"""The way to every source of a question: over the network, or into files of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from imgverify.errors import Side
from imgverify.oci.local import LocalCopy
from imgverify.verify.local import LocalRepository

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from imgverify.oci.config import ImageConfig
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Content, Digest
    from imgverify.oci.local import MirrorName, Origin
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.mediatype import MediaType
    from imgverify.registry.client import Network, Served
    from imgverify.registry.deadline import Deadline
    from imgverify.registry.listing import Referrers


class Source(Protocol):
    """Reads one place; every error says the side that this place is.

    Safe to share between threads. `host` is what is asked first, empty where nobody is.
    """

    @property
    def repository(self) -> Origin:
        """What is read."""

    @property
    def side(self) -> Side:
        """The part that it plays in a comparison."""

    @property
    def deadline(self) -> Deadline:
        """When to give up."""

    @property
    def is_late(self) -> bool:
        """Whether that has passed."""

    @property
    def host(self) -> str:
        """The host that is asked first, as `Served.served_by` has it."""

    def by_digest(
        self, digest: Digest, expected: MediaType | None = None, size: int | None = None
    ) -> Served:
        """Read a manifest, whose bytes have to hash to `digest`."""

    def by_tag(self, tag: str) -> Served:
        """Read the manifest that a tag names."""

    def document(self, want: Descriptor, most: int) -> Content:
        """Read a small blob whole."""

    def config(self, manifest: Manifest) -> ImageConfig:
        """Read an image's config."""

    def blob(
        self, want: Descriptor, offset: int = 0
    ) -> AbstractContextManager[tuple[Iterator[bytes], int]]:
        """Open a blob, which is not verified; gives its chunks and where they really start."""

    def referrers(self, digest: Digest, artifact_type: MediaType | None = None) -> Referrers:
        """List what lies beside a digest."""


class Way:
    """Opens local copies once, and closes them; a context manager.

    Raises `InputError` for a copy that is not there, before anybody is asked for anything.
    """

    def __init__(self, network: Network, mirrors: Iterable[MirrorName]) -> None:
        self.network = network
        self._copies: dict[LocalCopy, LocalRepository] = {}
        try:
            for each in mirrors:
                if isinstance(each, LocalCopy) and each not in self._copies:
                    self._copies[each] = LocalRepository(each, Side.MIRROR, network.deadline)
        except BaseException:
            self._close()
            raise

    def served(self, mirror: MirrorName) -> Served:
        """Read what a mirror has for its name."""
        if isinstance(mirror, LocalCopy):
            return self._copies[mirror].image()
        return self.network.at(mirror.repository, Side.MIRROR).manifest(mirror)

    def is_rebuilt(self, mirror: MirrorName) -> bool:
        """Whether a copy keeps no manifest of a registry's; see `LocalRepository`."""
        return isinstance(mirror, LocalCopy) and self._copies[mirror].is_rebuilt

    def mirror(self, place: Origin) -> Source:
        """Return a mirror by its repository, or the local copy that takes a mirror's place."""
        if isinstance(place, LocalCopy):
            return self._copies[place]
        return self.network.at(place, Side.MIRROR)

    def __enter__(self) -> Self:
        """Return the way itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every copy."""
        self._close()

    def _close(self) -> None:
        for each in self._copies.values():
            each.close()
