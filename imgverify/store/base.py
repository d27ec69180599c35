"""What the engine that fetches and the sinks that keep have agreed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class Delivered:
    """A verified image, all of whose blobs a sink holds by now.

    `root` is what the image's name points to: an index, or the one manifest in `manifests`.
    `name` is upstream's, whichever mirror the bytes came from.
    """

    root: Descriptor
    manifests: tuple[Manifest, ...]
    name: Reference


class Part(Protocol):
    """One blob being written, by one thread.

    `offset` counts the bytes that are there; at first those of an earlier attempt, which nobody
    vouches for until the caller has hashed them again.
    """

    offset: int

    def replay(self) -> Iterator[bytes]:
        """Yield the bytes that are there, in chunks of at most `limits.CHUNK`."""

    def write(self, chunk: bytes | memoryview) -> None:
        """Append; raises `LimitExceeded` past the blob's size, `StoreError` if it cannot."""

    def restart(self) -> None:
        """Forget the bytes that are there: the next ones are the blob's first."""

    def complete(self) -> None:
        """Keep the blob: the caller found that its size and digest are right."""


class Sink(Protocol):
    """A destination for one image: `begin`, then the blobs, then `commit` or `abandon`.

    `holds` and `part` may be called from several threads, for different blobs; the others only
    while no part is open.
    """

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        """Make ready for these blobs, which are all there will be, manifests included.

        Raises `InputError` if the destination is unsuitable and `StoreError` if it is too full,
        both before anything is left there.
        """

    def holds(self, want: Descriptor) -> bool:
        """Tell whether the blob is there, complete; another's copy is hashed to find out."""

    def part(self, want: Descriptor) -> AbstractContextManager[Part]:
        """Open one of the blobs for writing; what is not completed may be resumed later."""

    def commit(self, image: Delivered) -> None:
        """Make the image visible, all of it or nothing."""

    def abandon(self) -> None:
        """Leave the destination as it was, apart from what a later run can resume.

        Never raises, and does nothing after `commit`.
        """


def missing(
    blobs: dict[Digest, Descriptor], ready: set[Digest], image: Delivered
) -> tuple[Digest, ...]:
    """Return what keeps `image` from being committed: announced blobs, or its root."""
    absent = [digest for digest in blobs if digest not in ready]
    return tuple(absent) if image.root.digest in blobs else (*absent, image.root.digest)
