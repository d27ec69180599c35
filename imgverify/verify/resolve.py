"""What upstream says a tag names, and what the mirrors serve for it, at one moment.

Upstream is asked before and after the mirrors: a tag that moves in between would otherwise
look like a mirror that differs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgverify.errors import Side, Unreachable
from imgverify.oci import limits
from imgverify.oci.reference import Reference
from imgverify.registry.client import Served
from imgverify.verdict import Finding, Level, Rule
from imgverify.verify.parallel import attempt_all

if TYPE_CHECKING:
    from concurrent.futures import Future

    from imgverify.oci.digest import Digest
    from imgverify.oci.local import MirrorName
    from imgverify.registry.client import Named, RemoteRepository
    from imgverify.verify.parallel import Outcome
    from imgverify.verify.question import Question
    from imgverify.verify.way import Way


@dataclass(frozen=True, slots=True)
class Moment:
    """The upstream digest, and each mirror's answer, in the question's order.

    `served` is upstream's manifest where its bytes had to be read, which a HEAD often saves.
    """

    digest: Digest
    served_by: tuple[str, ...]
    served: Served | None
    mirrors: tuple[Outcome[Served], ...]
    findings: tuple[Finding, ...] = ()


def observe(question: Question, way: Way) -> Moment:
    """Read both sides until upstream says the same before and after.

    Raises a `SourceError` or `ContentError` of upstream's side where it could not be asked, and
    `Unreachable` where its tag moved every time.
    """
    upstream = way.network.at(question.upstream.repository, Side.UPSTREAM)
    asked = _by_tag(question.upstream)
    for _ in range(limits.TAG_MOVES):
        first, mirrors = _ask_everybody(question, way, upstream, asked)
        if not any(isinstance(each, Served) for each in mirrors):
            # Nothing was read that a moving tag could make look wrong.
            return Moment(first.digest, first.served_by, first.served, mirrors)
        again = upstream.resolve(asked)
        if again.digest != first.digest:
            continue
        served = [each.manifest.content for each in mirrors if isinstance(each, Served)]
        if all(first.digest.matches(each.data) for each in served):
            return Moment(first.digest, again.served_by, first.served, mirrors)
        moment = _settle(upstream, asked, first, mirrors)
        if moment is not None:
            return moment
    msg = f"{question.upstream} moved at upstream while it was being read"
    raise Unreachable(msg, side=Side.UPSTREAM, hint="try again in a moment", transient=True)


def _by_tag(reference: Reference) -> Reference:
    """Ask upstream for the tag where there is one: a digest beside it has to agree."""
    if reference.tag is None:
        return reference
    return Reference(reference.repository, reference.tag)


def _ask_everybody(
    question: Question, way: Way, upstream: RemoteRepository, asked: Reference
) -> tuple[Named, tuple[Outcome[Served], ...]]:
    with ThreadPoolExecutor(1) as pool:
        naming = pool.submit(upstream.resolve, asked)
        reads = [partial(_ask_mirror, question, way, each, naming) for each in question.mirrors]
        mirrors = attempt_all(reads)
        return naming.result(), mirrors


def _ask_mirror(question: Question, way: Way, mirror: MirrorName, naming: Future[Named]) -> Served:
    """Ask a mirror for the tag, or, once upstream has named one, for the digest."""
    if mirror.repository not in question.by_digest:
        return way.served(mirror)
    return way.served(question.wanted_of(mirror, naming.result().digest))


def _settle(
    upstream: RemoteRepository,
    asked: Reference,
    named: Named,
    mirrors: tuple[Outcome[Served], ...],
) -> Moment | None:
    """Read upstream's own bytes, since a mirror differs; None where the tag moved meanwhile.

    Bytes outweigh the header: where the two keep disagreeing, the header is wrong.
    """
    served = named.served or upstream.manifest(asked)
    digest = served.manifest.digest
    # By the bytes: a header may name the digest of another algorithm.
    if named.digest.matches(served.manifest.content.data):
        return Moment(digest, served.served_by, served, mirrors)
    again = upstream.resolve(asked)
    if again.digest != named.digest:
        return None
    message = f"upstream's header names {named.digest.short}, its bytes hash to {digest.short}"
    finding = Finding(Rule.HEADER_MISMATCH, Level.WARNING, message, Side.UPSTREAM)
    return Moment(digest, served.served_by, served, mirrors, (finding,))
