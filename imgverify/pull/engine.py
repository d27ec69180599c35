"""Plan, fetch in parallel, commit: in that order, from a verdict and from nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.errors import (
    AllSourcesFailed,
    ImgverifyError,
    InputError,
    Interrupted,
    LimitExceeded,
    Side,
    StoreError,
)
from imgverify.oci import limits
from imgverify.oci.manifest import Index, Manifest
from imgverify.oci.mediatype import Kind
from imgverify.pull.fetch import Fetched, Refusal, Sources, Transfer
from imgverify.pull.plan import describe, plan, require_platforms, wanted_children
from imgverify.store.base import Delivered
from imgverify.verdict import Grade, ResolvedFrom
from imgverify.verify.read import require_bounds
from imgverify.verify.way import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.local import MirrorName
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Reference
    from imgverify.pull.plan import Plan
    from imgverify.pull.progress import Progress
    from imgverify.registry.client import Network
    from imgverify.store.base import Sink
    from imgverify.verdict import Verdict
    from imgverify.verify.way import Source

    T = TypeVar("T")

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
    falsified: tuple[Refusal, ...] = ()


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
    digest = verdict.pinned.digest if verdict.pinned else None
    if verdict.pinned is None or digest is None:
        msg = f"{verdict.requested} was not allowed, so it cannot be pulled"
        raise InputError(msg)
    useful = [each.reference for each in verdict.mirrors if each.grade in _USEFUL or each.exempted]
    try:
        with Way(network, useful) as way:
            sources = Sources(_sources(verdict, useful, way))
            top = _top(digest, sources, platforms)
            children = _children(top, sources, network, platforms)
            laid_out = plan(verdict.upstream.reference, top, children, platforms)
            fetched = _fill(laid_out, sources, sink, (network, progress))
    except AllSourcesFailed as error:
        msg = f"the image is not complete: {error.message}"
        hint = f"nothing was stored; {error.hint or 'try again, or name another mirror'}"
        raise StoreError(msg, hint=hint) from error
    except KeyboardInterrupt as error:
        msg = "interrupted; a later run goes on from here"
        raise Interrupted(msg) from error
    pinned = verdict.pinned.pinned(laid_out.root.digest)
    return Delivery(pinned, laid_out.size, fetched, sources.falsified)


def _sources(verdict: Verdict, useful: list[MirrorName], way: Way) -> tuple[Source, ...]:
    """Return whom to ask, upstream last: not at all where it was not to be asked."""
    origins = dict.fromkeys(each.repository for each in useful)
    sources = [way.mirror(each) for each in origins]
    if verdict.upstream.resolved_from is ResolvedFrom.SIGNATURE:
        return tuple(sources)
    upstream = way.network.at(verdict.upstream.reference.repository, Side.UPSTREAM)
    return (*sources, upstream)


def _top(digest: Digest, sources: Sources, platforms: tuple[Platform, ...]) -> Manifest | Index:
    """Return what was pinned; one image alone has to be for the wanted platform."""
    top = _document(sources, digest, None)
    if isinstance(top, Manifest) and platforms:
        config = None
        if top.is_image:
            config = sources.first(str(top.config.digest), lambda source: source.config(top))
        require_platforms(config.platform if config else None, platforms)
    return top


def _children(
    top: Manifest | Index, sources: Sources, network: Network, platforms: tuple[Platform, ...]
) -> dict[Digest, Manifest | Index]:
    children: dict[Digest, Manifest | Index] = {}
    level = wanted_children(top, platforms)
    for _ in range(limits.INDEX_DEPTH):
        require_bounds(level, [each.size for each in children.values()], Side.UPSTREAM)
        tasks = [partial(_document, sources, each.digest, each) for each in level]
        found = _all(network, tasks)
        children |= {each.digest: each for each in found}
        below = [each for one in found if isinstance(one, Index) for each in one.manifests]
        fresh = {each.digest: each for each in below if each.digest not in children}
        level = tuple(fresh.values())
    if level:
        msg = f"an index nested deeper than {limits.INDEX_DEPTH} levels"
        raise LimitExceeded(msg, side=Side.UPSTREAM)
    return children


def _document(sources: Sources, digest: Digest, listed: Descriptor | None) -> Manifest | Index:
    expected = None
    if listed is not None and listed.media_type.kind in (Kind.MANIFEST, Kind.INDEX):
        expected = listed.media_type

    def ask(source: Source) -> Manifest | Index:
        return source.by_digest(digest, expected, listed.size if listed else None).manifest

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
        fetched = _all(
            network, [partial(_bring, sink, sources, progress, each) for each in laid_out.blobs]
        )
        sink.commit(Delivered(laid_out.root, laid_out.images, laid_out.name))
    except BaseException:
        sink.abandon()
        raise
    return fetched


def _all(network: Network, tasks: Sequence[Callable[[], T]]) -> tuple[T, ...]:
    """Do tasks side by side; the first failure calls off the rest, and is raised once they end."""
    cancelled = network.deadline.cancelled
    try:
        with ThreadPoolExecutor(_WORKERS) as pool:
            try:
                futures = [pool.submit(each) for each in tasks]
                for each in as_completed(futures):
                    each.result()
            except BaseException:
                cancelled.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except ImgverifyError as error:
        # Those who had to hear it have ended, and the network may be wanted for other things.
        if not isinstance(error, Interrupted):
            cancelled.clear()
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
