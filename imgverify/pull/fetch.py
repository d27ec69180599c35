"""One blob from several sources into one part: resumed, failed over, verified."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.errors import (
    AllSourcesFailed,
    ContentError,
    ImgverifyError,
    NotFound,
    Side,
    SourceError,
    Unreachable,
)
from imgverify.oci import limits
from imgverify.oci.stream import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.local import Origin
    from imgverify.pull.progress import Progress
    from imgverify.store.base import Part
    from imgverify.verify.way import Source

    T = TypeVar("T")

Refusal = tuple["Origin", "ImgverifyError"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where a blob came from; `source` is None for one that was at the destination already.

    `refused` are the sources that served something else, or nothing, with what they did.
    """

    blob: Descriptor
    source: Origin | None
    refused: tuple[Refusal, ...] = ()


class Sources:
    """Repositories in the order in which they are asked; safe to share between threads.

    One that fails `limits.SOURCE_FAILURES` times in other ways than lacking something is asked
    after the others from then on.
    """

    def __init__(self, repositories: tuple[Source, ...]) -> None:
        self._repositories = repositories
        self._failures: Counter[Origin] = Counter()
        self._falsified: list[Refusal] = []
        self._lock = threading.Lock()

    @property
    def in_order(self) -> tuple[Source, ...]:
        """All repositories, those that keep failing last: they may be the only ones that have it.

        Otherwise the order is the one given.
        """
        with self._lock:
            failures = Counter(self._failures)

        def is_tired(each: Source) -> bool:
            return failures[each.repository] >= limits.SOURCE_FAILURES

        return tuple(sorted(self._repositories, key=is_tired))

    def failed(self, source: Source, error: ImgverifyError) -> None:
        """Take note of a failure; to lack something is none."""
        if not isinstance(error, NotFound):
            with self._lock:
                self._failures[source.repository] += 1

    @property
    def falsified(self) -> tuple[Refusal, ...]:
        """What was served for a manifest and was something else."""
        return tuple(self._falsified)

    def first(self, what: str, ask: Callable[[Source], T]) -> T:
        """Return the first good answer; raises `AllSourcesFailed` with every cause."""
        causes: list[Refusal] = []
        for source in self.in_order:
            try:
                return ask(source)
            except (SourceError, ContentError) as error:
                self.failed(source, error)
                if isinstance(error, ContentError):
                    self._falsified.append((source.repository, error))
                causes.append((source.repository, error))
            if source.is_late:
                break
        raise no_source(what, causes)


def no_source(what: str, causes: Sequence[Refusal]) -> AllSourcesFailed:
    """Return the error for content that nobody gave, with each source's reason and the last hint.

    Sources that nobody asked, since the time for the whole was used up, are not accused.
    """
    reasons = "; ".join(f"{_who(*each)}: {each[1].message}" for each in causes)
    hints = [error.hint for _, error in causes if error.hint]
    errors = tuple(error for _, error in causes)
    return AllSourcesFailed(f"no source gave {what} ({reasons})", errors, hint="".join(hints[-1:]))


def _who(source: Origin, error: ImgverifyError) -> str:
    """Name a source, once: some messages begin with its host."""
    host = str(source.registry)
    return error.side.value if host in error.message else f"{error.side.value} {host}"


class Transfer:
    """Fills one part; used by one thread."""

    def __init__(self, want: Descriptor, part: Part, progress: Progress) -> None:
        self._want = want
        self._part = part
        self._progress = progress
        self._check = Check(want)

    def run(self, sources: Sources) -> Fetched:
        """Try the sources in order; what arrived from one is continued from the next.

        Bytes of two sources that do not fit together are dropped, and each source is asked for
        the whole.  Raises `AllSourcesFailed`.
        """
        refused: list[Refusal] = []
        self._replay()
        for source in sources.in_order:
            error = self._exhaust(source)
            if error is None:
                self._part.complete()
                return Fetched(self._want, source.repository, tuple(refused))
            if error.side is Side.LOCAL:
                error.side = source.side
            sources.failed(source, error)
            refused.append((source.repository, error))
            if source.is_late:
                break
        raise no_source(str(self._want.digest), refused)

    def _replay(self) -> None:
        try:
            for chunk in self._part.replay():
                self._check.feed(chunk)
        except ContentError:
            self._restart()

    def _restart(self) -> None:
        self._part.restart()
        self._check = Check(self._want)

    def _exhaust(self, source: Source) -> ImgverifyError | None:
        """Ask one source until it has given the blob, or what it gives cannot help."""
        mixed = self._check.size > 0
        for _ in range(limits.RETRIES + 1):
            before = self._check.size
            try:
                self._read(source)
            except ContentError as error:
                self._restart()
                # The bytes before may have been the wrong ones: then the whole from here counts.
                if not mixed:
                    return error
                mixed = False
            except SourceError as error:
                resumable = isinstance(error, Unreachable) and error.transient
                if not resumable or self._check.size <= before:
                    return error
            else:
                return None
        msg = f"{source.repository.registry} broke off {limits.RETRIES + 1} times"
        return Unreachable(msg, side=source.side)

    def _read(self, source: Source) -> None:
        offset = self._check.size
        if offset < self._want.size or offset == 0:
            with source.blob(self._want, offset) as (chunks, start):
                if start != offset:
                    self._restart()
                self._progress.started(self._want, source.repository, start)
                for chunk in chunks:
                    self._check.feed(chunk)
                    self._part.write(chunk)
                    self._progress.advanced(self._want, len(chunk))
        self._check.finish()
