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
    from imgverify.oci.reference import Repository


class TerminalProgress:
    """One bar for all, and one for each blob under way."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[source]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[Digest, TaskID] = {}
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

    def begin(self, blobs: Sequence[Descriptor]) -> None:
        """Show the bar for all."""
        size = sum(each.size for each in blobs)
        self._total = self._bars.add_task(f"{len(blobs)} blobs", total=size, source="")

    def present(self, blob: Descriptor) -> None:
        """Count what was there already."""
        self._advance_total(blob.size)

    def started(self, blob: Descriptor, source: Repository, offset: int) -> None:
        """Show a blob's bar, from where it goes on."""
        with self._lock:
            task = self._tasks.get(blob.digest)
            if task is None:
                task = self._bars.add_task(blob.digest.short, total=blob.size, source="")
                self._tasks[blob.digest] = task
        self._bars.update(task, completed=offset, source=f"from {source.registry}")

    def advanced(self, blob: Descriptor, count: int) -> None:
        """Move the blob's bar."""
        self._bars.advance(self._tasks[blob.digest], count)

    def finished(self, blob: Descriptor) -> None:
        """Take the blob's bar away, and move the one for all."""
        self._bars.remove_task(self._tasks.pop(blob.digest))
        self._advance_total(blob.size)

    def _advance_total(self, count: int) -> None:
        if self._total is not None:
            self._bars.advance(self._total, count)
