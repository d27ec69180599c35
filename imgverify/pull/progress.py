"""What a pull tells while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.local import Origin


class Progress(Protocol):
    """Hears of a pull; called from several threads, and must not raise."""

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        """Be told what will be fetched."""

    def present(self, blob: Descriptor) -> None:
        """Be told that a blob was at the destination already."""

    def started(self, blob: Descriptor, source: Origin, offset: int) -> None:
        """Be told that a blob is now read from `source`, from `offset` on."""

    def advanced(self, blob: Descriptor, count: int) -> None:
        """Be told that `count` more bytes arrived."""

    def finished(self, blob: Descriptor) -> None:
        """Be told that a blob is complete and verified."""


class Silence:
    """Progress that nobody watches."""

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        """Say nothing."""

    def present(self, blob: Descriptor) -> None:
        """Say nothing."""

    def started(self, blob: Descriptor, source: Origin, offset: int) -> None:
        """Say nothing."""

    def advanced(self, blob: Descriptor, count: int) -> None:
        """Say nothing."""

    def finished(self, blob: Descriptor) -> None:
        """Say nothing."""
