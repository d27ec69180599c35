"""Where an image is read from: a repository of a registry, or a copy on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from imgverify.errors import Side
    from imgverify.oci.config import ImageConfig
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Content, Digest
    from imgverify.oci.local import Origin
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.mediatype import MediaType
    from imgverify.registry.client import Served
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
