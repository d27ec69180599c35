"""Progress for somebody who watches a terminal: bytes, rate and source of every layer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.local import Origin


class TerminalProgress:
    """One bar for all, and one for each blob under way.

    Both move with the bytes. What was there already, or has to be fetched again, moves them too,
    but is not counted into the rate.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[source]}", markup=False),
            console=console or Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[Digest, TaskID] = {}
        self._there: dict[Digest, int] = {}
        self._total: TaskID | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Show the bars."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bars away."""
        self._bars.stop()

    @property
    def arrived(self) -> int:
        """How many bytes of all blobs are there."""
        with self._lock:
            return sum(self._there.values())

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        """Show the bar for all."""
        size = sum(each.size for each in blobs)
        self._total = self._bars.add_task(f"{len(blobs)} blobs", total=size, source="")

    def present(self, blob: Descriptor) -> None:
        """Count what was there already."""
        self._jump(blob, blob.size)

    def started(self, blob: Descriptor, source: Origin, offset: int) -> None:
        """Show a blob's bar, from where it goes on."""
        with self._lock:
            task = self._tasks.get(blob.digest)
            if task is None:
                task = self._bars.add_task(blob.digest.short, total=blob.size, source="")
                self._tasks[blob.digest] = task
        self._bars.reset(task, completed=offset, source=f"from {source.registry}")
        self._jump(blob, offset)

    def advanced(self, blob: Descriptor, count: int) -> None:
        """Move the blob's bar, and the one for all."""
        with self._lock:
            self._there[blob.digest] = self._there.get(blob.digest, 0) + count
        self._bars.advance(self._tasks[blob.digest], count)
        if self._total is not None:
            self._bars.advance(self._total, count)

    def finished(self, blob: Descriptor) -> None:
        """Take the blob's bar away."""
        self._jump(blob, blob.size)
        task = self._tasks.pop(blob.digest, None)
        if task is not None:
            self._bars.remove_task(task)

    def _jump(self, blob: Descriptor, there: int) -> None:
        """Put the bar for all where it belongs; the rate is measured anew if that is elsewhere."""
        with self._lock:
            before = self._there.get(blob.digest, 0)
            self._there[blob.digest] = there
        if self._total is not None and there != before:
            self._bars.reset(self._total, completed=self.arrived)
