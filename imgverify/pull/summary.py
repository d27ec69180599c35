"""A delivery in words.  Pure; remote text is escaped here."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from imgverify.errors import ContentError, NotFound, Side
from imgverify.report.escape import escape
from imgverify.report.explain import size_text
from imgverify.verdict import Finding, Level, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.errors import ImgverifyError
    from imgverify.oci.local import Origin
    from imgverify.pull.engine import Delivery
    from imgverify.pull.fetch import Fetched
    from imgverify.verdict import Verdict


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
    lines += [_refusal("a manifest", "elsewhere", *each) for each in delivery.falsified]
    return (*lines, *_refusals(delivery.fetched))


def details(delivery: Delivery) -> tuple[str, ...]:
    """Return a line for every config and layer, with its source."""
    return tuple(
        f"  {each.blob.digest} {size_text(each.blob.size)} from {_source(each)}"
        for each in delivery.fetched
    )


def with_delivery(verdict: Verdict, delivery: Delivery) -> Verdict:
    """Return the verdict with what only the pull has shown: who falsified something.

    Its `pinned` is then the digest that was delivered: of one platform, if one was wanted.
    """
    found: dict[Origin, list[Finding]] = {}
    for what, where, source, error in _wrong(delivery):
        message = f"for {what}: {error.message}; it was taken from {where}"
        finding = Finding(Rule.DIGEST_MISMATCH, Level.WARNING, message)
        found.setdefault(source, []).append(finding)
    mirrors = tuple(
        replace(
            each, findings=(*each.findings, *_of(each.reference.repository, Side.MIRROR, found))
        )
        for each in verdict.mirrors
    )
    own = _of(verdict.upstream.reference.repository, Side.UPSTREAM, found)
    return replace(
        verdict, mirrors=mirrors, findings=(*verdict.findings, *own), pinned=delivery.pinned
    )


def _of(source: Origin, side: Side, found: dict[Origin, list[Finding]]) -> tuple[Finding, ...]:
    return tuple(
        replace(each, side=side, hint=f"tell the {side.value}'s operator")
        for each in found.get(source, ())
    )


def _wrong(delivery: Delivery) -> Iterator[tuple[str, str, Origin, ImgverifyError]]:
    """Yield what was asked for, where it then came from, and who served what instead."""
    for source, error in delivery.falsified:
        yield "a manifest", "elsewhere", source, error
    for each in delivery.fetched:
        for source, error in each.refused:
            if isinstance(error, ContentError):
                yield str(each.blob.digest), _source(each), source, error


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
                lines.append(_refusal(each.blob.digest.short, _source(each), refused, error))
    lines += [f"  note: {key} lacks {absent[key]} of them" for key in sorted(absent)]
    return tuple(lines)


def _refusal(what: str, where: str, source: Origin, error: ImgverifyError) -> str:
    wrong = isinstance(error, ContentError)
    level, did = ("warning", "served other bytes") if wrong else ("note", "did not give it")
    reason = f"{source.registry} {did} ({escape(error.message)})"
    return f"  {level}: {what} was taken from {where}, because {reason}"
