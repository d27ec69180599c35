"""A delivery in words.  Pure; remote text is escaped here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from imgverify.errors import ContentError, NotFound
from imgverify.report.escape import escape
from imgverify.report.explain import size_text

if TYPE_CHECKING:
    from imgverify.errors import ImgverifyError
    from imgverify.oci.reference import Repository
    from imgverify.pull.engine import Delivery
    from imgverify.pull.fetch import Fetched


def summarise(delivery: Delivery) -> tuple[str, ...]:
    """Return lines that say how much came from where, and what was refused from whom."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for each in delivery.fetched:
        counts[_source(each)] += 1
        sizes[_source(each)] += each.blob.size
    total = f"{len(delivery.fetched)} blobs, {size_text(delivery.size)}, every byte hashed"
    lines = [total]
    lines += [f"  {counts[key]} from {key}, {size_text(sizes[key])}" for key in sorted(counts)]
    for liar, error in delivery.falsified:
        lines.append(f"  warning: {_refusal('a manifest', liar, error)}")
    return (*lines, *_refusals(delivery.fetched))


def details(delivery: Delivery) -> tuple[str, ...]:
    """Return a line for every config and layer, with its source."""
    return tuple(
        f"  {each.blob.digest} {size_text(each.blob.size)} from {_source(each)}"
        for each in delivery.fetched
    )


def _source(fetched: Fetched) -> str:
    return str(fetched.source.registry) if fetched.source else "the destination itself"


def _refusals(fetched: tuple[Fetched, ...]) -> tuple[str, ...]:
    """Tell each refusal, but only count what is absent: a stale mirror lacks every new layer."""
    lines: list[str] = []
    absent: Counter[str] = Counter()
    for each in fetched:
        for refused, error in each.refused:
            if isinstance(error, NotFound):
                absent[str(refused.registry)] += 1
            else:
                what = f"{each.blob.digest.short}; taken from {_source(each)}"
                lines.append(f"  {_level(error)}: {_refusal(what, refused, error)}")
    lines += [f"  note: {key} lacks {absent[key]} of them" for key in sorted(absent)]
    return tuple(lines)


def _level(error: ImgverifyError) -> str:
    return "warning" if isinstance(error, ContentError) else "note"


def _refusal(what: str, source: Repository, error: ImgverifyError) -> str:
    did = "served other bytes" if isinstance(error, ContentError) else "did not give it"
    return f"{what}: {source.registry} {did} ({escape(error.message)})"
