"""The benchmarks: `make bench`, or `python tests/benchmarks/run.py --help`.

Both sides of every figure are taken in one run, in turn; only ratios mean something.
Ends with 1 if a goal is missed, and with 2 if a row is void.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.benchmarks import gate, scenarios, signed  # noqa: E402 - the path is set above
from tests.benchmarks.measure import InvalidRunError, race  # noqa: E402 - as above
from tests.support.processes import running_registry  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.measure import Contender, Figures

PULL_GOAL = 1.0
MEMORY_GOAL = 80e6
MEGABYTE = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; returns the exit status."""
    options = _options(arguments)
    # As an installation has it, also where the environment forbids to write bytecode.
    compileall.compile_dir(ROOT / "imgverify", quiet=1)
    try:
        missed = [*_all(options)]
    except InvalidRunError as error:
        print(f"void: {error}", file=sys.stderr)
        return 2
    for each in missed:
        print(f"MISSED: {each}")
    return 1 if missed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each pull")
    parser.add_argument("--starts", type=int, default=21, help="counted runs of each start")
    parser.add_argument("--gates", type=int, default=3, help="counted runs of each gate")
    parser.add_argument("--size", type=int, default=1000, help="size of the image in MB")
    parser.add_argument("--pairs", type=int, default=9, help="counted runs of signed images")
    parser.add_argument(
        "--only", choices=["pull", "start", "signed", "gate"], help="one part of it"
    )
    return parser.parse_args(arguments)


def _all(options: argparse.Namespace) -> Iterator[str]:
    if options.only in (None, "gate"):
        yield from _gate(options.gates)
    if options.only in (None, "start"):
        with _stand(1) as stand:
            for pair in (*scenarios.starts(), scenarios.small_verify(stand)):
                yield from _start(pair, options.starts)
    if options.only in (None, "signed"):
        yield from _signed(options.pairs)
    if options.only in (None, "pull"):
        with _stand(options.size) as stand:
            yield from _pull(stand, options.rounds, options.size)


@contextlib.contextmanager
def _stand(size: int) -> Iterator[scenarios.Stand]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        layout = folder / "layout"
        scenarios.make_layout(layout, size * MEGABYTE)
        hosts = []
        for name in ("upstream", "mirror"):
            hosts.append(stack.enter_context(running_registry("docker-registry", folder / name)))
            scenarios.fill(layout, hosts[-1])
        yield scenarios.Stand(hosts[0], hosts[1], folder / "out")


def _signed(runs: int) -> Iterator[str]:
    cosign = signed.found_cosign()
    if cosign is None:
        print("\nsigned images: not measured, cosign is not on this machine; next: make peers")
        return
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        host = stack.enter_context(running_registry("docker-registry", folder / "registry"))
        for pair in signed.pairs(signed.sign_images(host, folder, cosign)):
            yield from _start(pair, runs)


def _start(pair: tuple[Contender, Contender, float], runs: int) -> Iterator[str]:
    ours, bare, goal = pair
    print(f"\n{ours.name}, held against {bare.name} ({runs} runs each)")
    figures = race((ours, bare), runs)
    _table(figures)
    yield from _judge(f"wall of {ours.name}", figures, "wall", goal)


def _gate(runs: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, gate.scene(Path(folder)) as scene:
        ours, in_turn, loop = gate.contenders(scene)
        what = f"{gate.IMAGES * gate.EACH} references to {gate.IMAGES} images"
        for delay, theirs, goal in (
            (gate.DELAY, in_turn, gate.DELAYED_GOAL),
            (0.0, loop, gate.LOOP_GOAL),
        ):
            scene.delay(delay)
            print(f"\n{what}, every answer after {delay * 1000:.0f} ms ({runs} runs each)")
            figures = race((ours, theirs), runs)
            _table(figures)
            yield from _judge("wall of the gate", figures, "wall", goal)


def _pull(stand: scenarios.Stand, rounds: int, size: int) -> Iterator[str]:
    peers = scenarios.found_peers()
    print(
        f"\npull of {size} MB from a loopback docker-registry into an OCI layout ({rounds} rounds)"
    )
    for name, program in peers.items():
        print(f"  {name}: {scenarios.version_of(program)}")
    print("  imgverify and skopeo sync each blob to the disk before they name it; crane does not")
    figures = race(tuple(scenarios.pulls(stand, peers)), rounds)
    _table(figures)
    ours = figures[0]
    for theirs in figures[1:]:
        goal = PULL_GOAL if "Debian" in theirs.name else float("inf")
        for field in ("wall", "cpu", "memory"):
            limit = goal if field == "wall" else float("inf")
            yield from _judge(f"{field} of the pull", (ours, theirs), field, limit)
    if ours.median("memory") > MEMORY_GOAL:
        yield f"the pull takes {ours.median('memory') / 1e6:.0f} MB of memory"


def _judge(what: str, figures: Sequence[Figures], field: str, goal: float) -> Iterator[str]:
    ours, theirs = figures
    ratio = ours.median(field) / theirs.median(field)
    wanted = f", goal {goal:g}" if goal != float("inf") else ""
    print(f"  {what}: {ratio:.2f} x {theirs.name}{wanted}")
    if ratio > goal:
        yield f"{what} is {ratio:.2f} x {theirs.name}, the goal is {goal:g}"


def _table(figures: Sequence[Figures]) -> None:
    width = max(len(each.name) for each in figures)
    for each in figures:
        row = "  ".join(f"{field} {each.span(field)}" for field in ("wall", "cpu", "memory"))
        print(f"  {each.name:<{width}}  {row}")


if __name__ == "__main__":
    sys.exit(main())
