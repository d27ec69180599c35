"""Reading every layer of a mirror's image: hashed, and uncompressed where that proves something."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.compare.expand import detect, expand
from imgverify.errors import ContentError, NotFound, SourceError, Unreachable
from imgverify.oci import limits
from imgverify.oci.digest import Algorithm, Digest
from imgverify.oci.stream import Check
from imgverify.verify.parallel import attempt_all

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import BinaryIO

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.mediatype import Compression
    from imgverify.registry.deadline import Deadline
    from imgverify.verify.way import Source

_MAGIC_LENGTH: Final = 4
# Of which limits.EXPANSION_RATIO times as much may come, before the deadline is looked at again.
_PIECE: Final = 32 * limits.KIB


@dataclass(frozen=True, slots=True)
class DeepReading:
    """What reading the blobs gave; each failed blob is in exactly one of the first four.

    `wrong` came and was other content, `failed` did not come, or not as the protocol says.
    `expanded` has the hash of the uncompressed content of each layer that it was asked for.
    """

    wrong: Mapping[Digest, ContentError] = field(default_factory=dict)
    absent: tuple[Descriptor, ...] = ()
    foreign: tuple[Descriptor, ...] = ()
    failed: tuple[SourceError | ContentError, ...] = ()
    expanded: Mapping[Digest, Digest] = field(default_factory=dict)


def read_layers(
    repository: Source,
    manifests: Collection[Manifest],
    to_expand: Collection[Digest] = (),
) -> DeepReading:
    """Read every config and layer of `manifests` from one repository, each once."""
    blobs = {blob.digest: blob for each in manifests for blob in (each.config, *each.layers)}
    tasks = [
        partial(_read, repository, blob, expanding=blob.digest in to_expand)
        for blob in blobs.values()
    ]
    outcomes = dict(zip(blobs, attempt_all(tasks), strict=True))
    missing = [blobs[key] for key, each in outcomes.items() if isinstance(each, NotFound)]
    return DeepReading(
        wrong={key: each.error for key, each in outcomes.items() if isinstance(each, _Wrong)},
        absent=tuple(each for each in missing if not each.media_type.is_foreign),
        foreign=tuple(each for each in missing if each.media_type.is_foreign),
        failed=tuple(
            each
            for each in outcomes.values()
            if isinstance(each, (SourceError, ContentError)) and not isinstance(each, NotFound)
        ),
        expanded={key: each for key, each in outcomes.items() if isinstance(each, Digest)},
    )


@dataclass(frozen=True, slots=True)
class _Wrong:
    """Bytes that came for a blob, and are not it."""

    error: ContentError


def _read(repository: Source, blob: Descriptor, *, expanding: bool) -> Digest | _Wrong | None:
    """Hash a blob; returns the digest of what is inside if that is asked for."""
    with repository.blob(blob) as (chunks, _):
        try:
            if expanding:
                return _expand_verified(chunks, Check(blob), repository.deadline)
            _hash(chunks, Check(blob))
        except ContentError as error:
            return _Wrong(error)
        return None


def _hash(chunks: Iterator[bytes], check: Check) -> None:
    for chunk in chunks:
        check.feed(chunk)
    check.finish()


def _expand_verified(chunks: Iterator[bytes], check: Check, deadline: Deadline) -> Digest | None:
    # Aside first: a decompressor is given nothing that was not verified.
    try:
        with tempfile.TemporaryFile() as aside:
            for chunk in chunks:
                check.feed(chunk)
                aside.write(chunk)
            check.finish()
            aside.seek(0)
            head = aside.read(_MAGIC_LENGTH)
            aside.seek(0)
            return _hash_expanded(_pieces(aside, deadline), detect(head))
    except OSError as error:
        msg = f"a layer could not be written to a temporary file: {error.strerror}"
        raise Unreachable(msg, hint="make room in the directory for temporary files") from error


def _hash_expanded(pieces: Iterator[bytes], compression: Compression) -> Digest | None:
    """Hash what is inside; None for a layer that cannot be uncompressed, which proves nothing."""
    hasher = hashlib.sha256()
    try:
        for piece in expand(pieces, compression):
            hasher.update(piece)
    except ContentError:
        return None
    return Digest(Algorithm.SHA256, hasher.hexdigest())


def _pieces(file: BinaryIO, deadline: Deadline) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        # A small layer may take long to unpack, and nothing waits for the network meanwhile.
        deadline.patience(0)
        yield piece
