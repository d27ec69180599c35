"""The bars that somebody at a terminal sees."""

import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from imgverify.cli.terminal import TerminalProgress
from imgverify.oci import mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference, Repository

MIRROR = Reference.parse("mirror.example/app:1").repository
UPSTREAM = Reference.parse("docker.io/library/app:1").repository


def blob(name: str, size: int) -> Descriptor:
    return Descriptor(mediatype.OCI_LAYER_GZIP, Digest.of(name.encode()), size)


ONE, TWO = blob("one", 1_000_000), blob("two", 3_000_000)


class Screen:
    """A terminal of 120 columns; `show` gives what stands there now."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        self.console = Console(
            file=self.written, force_terminal=True, width=120, color_system=None, highlight=False
        )
        self.progress = TerminalProgress(self.console)

    def show(self) -> list[str]:
        # The bars are drawn ten times a second by a thread of their own as well.
        with self.progress._bars.live._lock:
            self.written.seek(0)
            self.written.truncate()
            self.progress._bars.refresh()
            written = self.written.getvalue()
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
        return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_the_bar_for_all_moves_with_the_bytes(screen: Screen) -> None:
    with screen.progress as bars:
        bars.begin([ONE, TWO])
        bars.started(ONE, MIRROR, 0)
        bars.advanced(ONE, 250_000)
        total, first = screen.show()
        assert total.startswith("2 blobs")
        assert "0.2/4.0 MB" in total
        assert first.startswith(ONE.digest.short)
        assert "0.2/1.0 MB" in first
        assert first.endswith("from mirror.example")
        bars.started(TWO, UPSTREAM, 0)
        bars.advanced(TWO, 2_000_000)
        total, _, second = screen.show()
        assert "2.2/4.0 MB" in total
        assert second.endswith("from docker.io")


def test_a_finished_blob_leaves_and_stays_counted(screen: Screen) -> None:
    with screen.progress as bars:
        bars.begin([ONE, TWO])
        bars.started(ONE, MIRROR, 0)
        bars.advanced(ONE, ONE.size)
        bars.finished(ONE)
        (total,) = screen.show()
        assert "1.0/4.0 MB" in total
        assert bars.arrived == ONE.size


def test_what_is_there_already_counts_at_once(screen: Screen) -> None:
    with screen.progress as bars:
        bars.begin([ONE, TWO])
        bars.present(ONE)
        (total,) = screen.show()
        assert "1.0/4.0 MB" in total


def test_a_resumed_blob_starts_where_it_was_and_does_not_raise_the_rate(screen: Screen) -> None:
    with screen.progress as bars:
        bars.begin([ONE, TWO])
        bars.started(TWO, MIRROR, 2_000_000)
        total, second = screen.show()
        assert "2.0/4.0 MB" in total
        assert "2.0/3.0 MB" in second
        assert "? " in total
        assert {each.speed for each in bars._bars.tasks} == {None}


def test_a_blob_that_is_taken_again_moves_the_bars_back(screen: Screen) -> None:
    with screen.progress as bars:
        bars.begin([ONE, TWO])
        bars.present(ONE)
        bars.started(TWO, MIRROR, 0)
        bars.advanced(TWO, 1_500_000)
        bars.started(TWO, UPSTREAM, 0)
        total, second = screen.show()
        assert "1.0/4.0 MB" in total
        assert "0.0/3.0 MB" in second
        assert second.endswith("from docker.io")
        bars.advanced(TWO, TWO.size)
        bars.finished(TWO)
        assert "4.0/4.0 MB" in screen.show()[0]


def test_a_failed_over_blob_keeps_what_it_has(screen: Screen) -> None:
    with screen.progress as bars:
        bars.begin([TWO])
        bars.started(TWO, MIRROR, 0)
        bars.advanced(TWO, 1_500_000)
        bars.started(TWO, UPSTREAM, 1_500_000)
        total, second = screen.show()
        assert "1.5/3.0 MB" in total
        assert "1.5/3.0 MB" in second


def test_it_is_told_by_many_threads_at_once(screen: Screen) -> None:
    blobs = [blob(str(number), 100_000) for number in range(16)]
    ready = threading.Barrier(8)

    def fetch(each: Descriptor) -> None:
        ready.wait(10)
        screen.progress.started(each, _source(each), 0)
        for _ in range(100):
            screen.progress.advanced(each, 1000)
        screen.progress.finished(each)

    with screen.progress as bars:
        bars.begin(blobs)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fetch, blobs))
        assert "1.6/1.6 MB" in screen.show()[-1]
        assert len(bars._bars.tasks) == 1
        assert bars.arrived == 1_600_000


def test_nothing_stays_on_the_screen(screen: Screen) -> None:
    with screen.progress as bars:
        bars.begin([ONE])
        bars.started(ONE, MIRROR, 0)
    assert screen.written.getvalue().endswith(("\x1b[2K", "\x1b[?25h\r\x1b[1A\x1b[2K"))


def test_bars_without_a_beginning_do_not_fail(screen: Screen) -> None:
    with screen.progress as bars:
        bars.present(ONE)
        bars.started(TWO, MIRROR, 0)
        bars.advanced(TWO, 5)
        bars.finished(TWO)
        bars.finished(TWO)


def _source(each: Descriptor) -> Repository:
    return MIRROR if each.digest.encoded[0] < "8" else UPSTREAM
