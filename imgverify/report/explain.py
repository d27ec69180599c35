"""Why a mirror's image is not upstream's, in sentences: what every report for people shares."""

from __future__ import annotations

import enum
from itertools import groupby
from typing import TYPE_CHECKING, Final

from imgverify.oci.limits import GIB, KIB, MIB
from imgverify.report.escape import escape
from imgverify.verdict import (
    ConfigState,
    Coverage,
    Decision,
    Grade,
    LayerState,
    Level,
    PlatformState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.verdict import (
        ConfigChange,
        Explanation,
        LayerChange,
        MirrorResult,
        PlatformChange,
    )

#: How deep a sentence is indented, and the sentence.
Line = tuple[int, str]

# More changed layers in a row than this say no more one by one than they do together.
_RUN: Final = 8
_NAMES: Final = 12

_DETAILED: Final = {
    PlatformState.CHANGED: "changed",
    PlatformState.REPACKAGED: "repackaged",
    PlatformState.EARLIER: "is an earlier one",
}
_LISTED: Final = {
    PlatformState.EQUAL: "equal",
    PlatformState.ABSENT: "not on the mirror",
    PlatformState.ADDED: "only on the mirror",
}
_CONFIGS: Final = {
    ConfigState.EQUAL: "config equal",
    ConfigState.REWRITTEN: "config rewritten, and says the same",
    ConfigState.CHANGED: "config changed",
    ConfigState.UNREAD: "config not read",
}
_ADVICE: Final = {
    Grade.REPACKAGED: "no signature or pin of upstream's digest holds for it; use a mirror that"
    " copies unchanged, or imgverify pull, which takes upstream's own bytes",
    Grade.STALE: "have the mirror synchronised, use another, or imgverify pull, which takes from"
    " upstream what the mirror lacks",
    Grade.MISSING: "have the mirror fetch it, use another, or imgverify pull, which takes it from"
    " upstream",
    Grade.DIVERGED: "do not pull this image from this mirror; tell its operator",
}
#: What reading layers could still change; the others are decided.
_READABLE: Final = {Grade.IDENTICAL, Grade.SUBSET, Grade.REPACKAGED, Grade.STALE}


class Occasion(enum.Enum):
    """What a report is part of, and so what its reader can do next."""

    VERIFY = enum.auto()
    COMPARE = enum.auto()
    PULL = enum.auto()


def coverage_text(result: MirrorResult, occasion: Occasion) -> str:
    """Say which bytes of a mirror were read, and how more can be."""
    if result.coverage is Coverage.NOTHING:
        return "nothing was read"
    if result.coverage is Coverage.LAYERS:
        return "manifests and layers read"
    if result.grade not in _READABLE:
        some = "" if result.grade is Grade.DIVERGED else " all"
        return f"manifests read; layers not{some} read"
    if occasion is Occasion.PULL:
        return "manifests read; layers are hashed when they are pulled"
    return "manifests read; layers not read (add --deep)"


def explain(result: MirrorResult, occasion: Occasion = Occasion.VERIFY) -> Iterator[Line]:
    """Say what differs; nothing for a mirror that is identical or gave nothing to compare.

    Ends with what to do about it, where no finding says that.
    """
    if result.grade is not Grade.IDENTICAL:
        yield from _explained(result, occasion)
    if advice := _advice(result, occasion):
        yield 0, f"hint: {advice}"


def _advice(result: MirrorResult, occasion: Occasion) -> str:
    if result.decision is not Decision.DENY or occasion is Occasion.COMPARE:
        return ""
    if any(each.level is Level.ERROR for each in result.findings):
        return ""
    # Nothing else stops a pull.
    if occasion is Occasion.PULL and result.grade is not Grade.DIVERGED:
        return ""
    return _ADVICE.get(result.grade, "")


def _explained(result: MirrorResult, occasion: Occasion) -> Iterator[Line]:
    explanation = result.explanation
    for change in explanation.platforms:
        if change.state in _DETAILED:
            yield from _platform(change)
    for state, words in _LISTED.items():
        names = [_name(each) for each in explanation.platforms if each.state is state]
        if names:
            yield 0, f"{words}: {', '.join(names)}"
    yield from _whole(result.grade, explanation, occasion)


def size_text(size: int) -> str:
    """Write a number of bytes for people: `51.2 MiB`."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def age_text(age: timedelta) -> str:
    """Write a duration in its two largest units: `1 d 12 h`."""
    minutes, seconds = divmod(max(0, int(age.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((at for at, (number, _) in enumerate(parts) if number), len(parts) - 1)
    shown = parts[first : first + 2]
    return " ".join(f"{number} {unit}" for number, unit in shown if number) or "0 s"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 layer`, `2 layers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _name(change: PlatformChange) -> str:
    return escape(str(change.platform)) if change.platform else "the image"


def _short(digest: Digest | None) -> str:
    return digest.short if digest else "-"


def _platform(change: PlatformChange) -> Iterator[Line]:
    digests = f"{_short(change.upstream)} → {_short(change.mirror)}"
    yield 0, f"{_name(change)} {_DETAILED[change.state]}: {digests}"
    for _, run in groupby(change.layers, key=lambda each: each.state):
        yield from ((1, line) for line in _layers(list(run), len(change.layers)))
    if change.config:
        yield 1, _config(change.config)


def _layers(run: Sequence[LayerChange], total: int) -> Iterator[str]:
    if run[0].state is LayerState.EQUAL or len(run) > _RUN:
        yield _layer_run(run, total)
        return
    for change in run:
        sides = [_layer(each, change.state) for each in (change.upstream, change.mirror) if each]
        yield f"layer {change.position + 1} {change.state.value}: {' → '.join(sides)}"


def _layer_run(run: Sequence[LayerChange], total: int) -> str:
    state = run[0].state
    first, last = run[0].position + 1, run[-1].position + 1
    if len(run) == total > 2:  # noqa: PLR2004 - nobody says "all 2 layers"
        name = f"all {total} layers"
    else:
        name = f"layer {first}" if first == last else f"layers {first}–{last}"  # noqa: RUF001
    upstream = _total(each.upstream for each in run)
    mirror = _total(each.mirror for each in run)
    if state is LayerState.EQUAL:
        return f"{name} equal ({upstream or mirror})"
    return f"{name} {state.value}: {' → '.join(filter(None, (upstream, mirror)))}"


def _total(layers: Iterable[Descriptor | None]) -> str:
    sizes = [each.size for each in layers if each]
    return size_text(sum(sizes)) if sizes else ""


def _layer(layer: Descriptor, state: LayerState) -> str:
    compression = layer.media_type.compression
    how = f" {compression.value}" if compression and state is LayerState.RECOMPRESSED else ""
    return f"{size_text(layer.size)}{how} {layer.digest.short}"


def _config(change: ConfigChange) -> str:
    words = _CONFIGS[change.state]
    if not change.fields:
        return words
    names = [escape(each) for each in change.fields[:_NAMES]]
    if len(change.fields) > _NAMES:
        names.append(f"and {len(change.fields) - _NAMES} more")
    link = " but for" if change.state is ConfigState.REWRITTEN else ":"
    return f"{words}{link} {', '.join(names)}"


def _whole(grade: Grade, explanation: Explanation, occasion: Occasion) -> Iterator[Line]:
    if explanation.attestations_absent:
        yield 0, f"not on the mirror: {counted(explanation.attestations_absent, 'attestation')}"
    if explanation.age is not None:
        yield 0, f"behind by at least {age_text(explanation.age)}"
    recompressed = any(
        layer.state is LayerState.RECOMPRESSED
        for change in explanation.platforms
        for layer in change.layers
    )
    if explanation.proven and recompressed:
        yield 0, "proven: the layers' uncompressed bytes are upstream's"
    elif explanation.proven:
        yield 0, "proven: every layer has upstream's digest"
    elif recompressed:
        more = "" if occasion is Occasion.PULL else " (add --deep)"
        yield 0, f"claimed by the configs only: the recompressed layers were not read{more}"
    elif grade is Grade.REPACKAGED:
        yield 0, "claimed by the configs only"
