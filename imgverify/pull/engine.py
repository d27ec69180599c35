"""Plan, fetch in parallel, commit: in that order, from a verdict and from nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.errors import (
    AllSourcesFailed,
    InputError,
    Interrupted,
    LimitExceeded,
    Side,
    StoreError,
)
from imgverify.oci import limits
from imgverify.oci.manifest import Index, Manifest
from imgverify.oci.mediatype import Kind
from imgverify.oci.reference import Reference
from imgverify.pull.fetch import Fetched, Sources, Transfer
from imgverify.pull.plan import describe, plan, wanted_children
from imgverify.store.base import Delivered
from imgverify.verdict import Grade

if TYPE_CHECKING:
    from concurrent.futures import Future

    from imgverify.errors import ImgverifyError
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Repository
    from imgverify.pull.plan import Plan
    from imgverify.pull.progress import Progress
    from imgverify.registry.client import Network, RemoteRepository
    from imgverify.store.base import Sink
    from imgverify.verdict import Verdict

_WORKERS: Final = 4
#: Mirrors of other grades either do not answer, or answer with what must not be used.
_USEFUL: Final = frozenset({Grade.IDENTICAL, Grade.SUBSET, Grade.STALE, Grade.REPACKAGED})


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was stored, under which name, and where each config and layer came from.

    `falsified` are sources that served other bytes for a manifest, and how that was seen.
    """

    pinned: Reference
    size: int
    fetched: tuple[Fetched, ...]
    falsified: tuple[tuple[Repository, ImgverifyError], ...] = ()


def pull(
    verdict: Verdict,
    network: Network,
    sink: Sink,
    *,
    progress: Progress,
    platforms: tuple[Platform, ...] = (),
) -> Delivery:
    """Store the image that `verdict` pinned: every byte hashed, all of it or nothing.

    Mirrors are asked first and upstream last; a source that lacks or falsifies a blob is passed
    over for that blob.  No `platforms` means all that upstream's index lists.
    Raises `StoreError` where no source gave what was verified, or it could not be written,
    `InputError` for a verdict that does not allow it or a platform that is not there, and
    `Interrupted`.
    """
    if verdict.pinned is None:
        msg = f"{verdict.requested} was not allowed, so it cannot be pulled"
        raise InputError(msg)
    sources = Sources(_repositories(verdict, network))
    try:
        laid_out = _lay_out(verdict.upstream.reference, verdict.pinned, sources, platforms)
        fetched = _fill(laid_out, sources, sink, (network, progress))
    except AllSourcesFailed as error:
        msg = f"the image is not complete: {error.message}"
        hint = "nothing was stored; try again, or name another mirror"
        raise StoreError(msg, hint=hint) from error
    pinned = verdict.pinned.pinned(laid_out.root.digest)
    return Delivery(pinned, laid_out.size, fetched, sources.falsified)


def _repositories(verdict: Verdict, network: Network) -> tuple[RemoteRepository, ...]:
    mirrors = [each.reference.repository for each in verdict.mirrors if each.grade in _USEFUL]
    upstream = network.at(verdict.upstream.reference.repository, Side.UPSTREAM)
    return (*(network.at(each, Side.MIRROR) for each in dict.fromkeys(mirrors)), upstream)


def _lay_out(
    name: Reference, pinned: Reference, sources: Sources, platforms: tuple[Platform, ...]
) -> Plan:
    digest = pinned.digest
    if digest is None:
        msg = f"{pinned} is not pinned to a digest"
        raise InputError(msg)
    top = _document(sources, digest, None)
    children: dict[Digest, Manifest | Index] = {}
    level = wanted_children(top, platforms)
    for _ in range(limits.INDEX_DEPTH):
        if len(children) + len(level) > limits.INDEX_CHILDREN:
            msg = f"an index of more than {limits.INDEX_CHILDREN} images"
            raise LimitExceeded(msg, side=Side.UPSTREAM)
        found = _documents(sources, level)
        children |= found
        level = tuple(
            each for one in found.values() if isinstance(one, Index) for each in one.manifests
        )
    if level:
        msg = f"an index nested deeper than {limits.INDEX_DEPTH} levels"
        raise LimitExceeded(msg, side=Side.UPSTREAM)
    return plan(name, top, children, platforms)


def _documents(sources: Sources, wanted: tuple[Descriptor, ...]) -> dict[Digest, Manifest | Index]:
    unique = {each.digest: each for each in wanted}
    with ThreadPoolExecutor(_WORKERS) as pool:
        tasks = [pool.submit(_document, sources, key, each) for key, each in unique.items()]
        return {key: each.result() for key, each in zip(unique, tasks, strict=True)}


def _document(sources: Sources, digest: Digest, listed: Descriptor | None) -> Manifest | Index:
    expected = None
    if listed is not None and listed.media_type.kind in (Kind.MANIFEST, Kind.INDEX):
        expected = listed.media_type

    def ask(source: RemoteRepository) -> Manifest | Index:
        return source.manifest(Reference(source.repository, digest=digest), expected).manifest

    return sources.first(str(digest), ask)


def _fill(
    laid_out: Plan, sources: Sources, sink: Sink, around: tuple[Network, Progress]
) -> tuple[Fetched, ...]:
    network, progress = around
    sink.begin(laid_out.descriptors)
    try:
        for document in laid_out.documents:
            _place(sink, document)
        progress.begin(laid_out.blobs)
        tasks = [partial(_bring, sink, sources, progress, each) for each in laid_out.blobs]
        with ThreadPoolExecutor(_WORKERS) as pool:
            fetched = _gather(network, [pool.submit(each) for each in tasks])
        sink.commit(Delivered(laid_out.root, laid_out.images, laid_out.name))
    except BaseException:
        sink.abandon()
        raise
    return fetched


def _gather(network: Network, futures: list[Future[Fetched]]) -> tuple[Fetched, ...]:
    """Wait for all; the first failure calls off the rest and is raised."""
    try:
        for each in as_completed(futures):
            each.result()
    except BaseException as error:
        network.deadline.cancelled.set()
        for each in futures:
            each.cancel()
        if isinstance(error, KeyboardInterrupt):
            msg = "interrupted; a later run goes on from here"
            raise Interrupted(msg) from error
        raise
    return tuple(each.result() for each in futures)


def _place(sink: Sink, document: Manifest | Index) -> None:
    want = describe(document)
    if sink.holds(want):
        return
    with sink.part(want) as part:
        part.restart()
        part.write(document.content.data)
        part.complete()


def _bring(sink: Sink, sources: Sources, progress: Progress, want: Descriptor) -> Fetched:
    if sink.holds(want):
        progress.present(want)
        return Fetched(want, None)
    with sink.part(want) as part:
        fetched = Transfer(want, part, progress).run(sources)
    progress.finished(want)
    return fetched
