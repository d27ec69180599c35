"""A delivery in words.  Pure; remote text is escaped here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from imgverify.errors import ContentError
from imgverify.report.escape import escape
from imgverify.report.explain import size_text

if TYPE_CHECKING:
    from imgverify.errors import ImgverifyError
    from imgverify.oci.reference import Repository
    from imgverify.pull.engine import Delivery


def summarise(delivery: Delivery) -> tuple[str, ...]:
    """Return lines that say how much came from where, and what was refused from whom."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for each in delivery.fetched:
        source = str(each.source.registry) if each.source else "the destination itself"
        counts[source] += 1
        sizes[source] += each.blob.size
    total = f"{len(delivery.fetched)} blobs, {size_text(delivery.size)}, every byte hashed"
    lines = [total]
    lines += [f"  {counts[key]} from {key}, {size_text(sizes[key])}" for key in sorted(counts)]
    for liar, error in delivery.falsified:
        lines.append(f"  warning: {_refusal('a manifest', liar, error)}")
    for each in delivery.fetched:
        for refused, error in each.refused:
            taken = f"; taken from {each.source.registry}" if each.source else ""
            what = f"{each.blob.digest.short}{taken}"
            lines.append(f"  {_level(error)}: {_refusal(what, refused, error)}")
    return tuple(lines)


def _level(error: ImgverifyError) -> str:
    return "warning" if isinstance(error, ContentError) else "note"


def _refusal(what: str, source: Repository, error: ImgverifyError) -> str:
    did = "served other bytes" if isinstance(error, ContentError) else "did not give it"
    return f"{what}: {source.registry} {did} ({escape(error.message)})"
