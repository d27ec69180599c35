"""One mirror's answer, graded: reads what the comparison needs, and no more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from imgverify.compare.image import Image, Knowledge, compare
from imgverify.errors import (
    ContentError,
    DigestMismatch,
    LimitExceeded,
    NotFound,
    Side,
    SourceError,
)
from imgverify.oci import limits
from imgverify.oci.local import LocalCopy
from imgverify.oci.manifest import Index, Manifest
from imgverify.policy.decide import absent_platforms
from imgverify.verdict import (
    Coverage,
    Explanation,
    Finding,
    Grade,
    LayerState,
    Level,
    MirrorResult,
    PlatformChange,
    PlatformState,
    Rule,
)
from imgverify.verify.deep import DeepReading, read_layers
from imgverify.verify.failure import finding_of
from imgverify.verify.parallel import all_or_raise
from imgverify.verify.platforms import unpublished
from imgverify.verify.read import Reading, read_children, read_configs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.local import MirrorName
    from imgverify.registry.client import RemoteRepository, Served
    from imgverify.verdict import Comparison
    from imgverify.verify.parallel import Outcome
    from imgverify.verify.question import Question
    from imgverify.verify.resolve import Moment
    from imgverify.verify.way import Source

_LIAR = "do not pull this image from this mirror; tell its operator"
_CHANGED = "do not use this copy; make it again from where it came from"
_READABLE = {Grade.IDENTICAL, Grade.SUBSET, Grade.REPACKAGED, Grade.STALE}


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that one mirror is judged with; `upstream` is asked as little as can be.

    `is_same_server` tells whether the second of two hosts that were asked may be the first again.
    `thorough` also asks the mirror for the images in an index that is upstream's own.
    `rebuilt` says that the mirror has no manifest, and that one was written over its files.
    """

    question: Question
    upstream: RemoteRepository
    mirror: Source
    moment: Moment
    is_same_server: Callable[[str, str], bool]
    now: datetime
    thorough: bool
    rebuilt: bool = False

    @property
    def is_deep(self) -> bool:
        """Whether layers are read: a manifest written over them says nothing otherwise."""
        return self.thorough and (self.question.deep or self.rebuilt)


@dataclass(frozen=True, slots=True)
class _Compared:
    comparison: Comparison
    upstream: Image
    mirror: Reading
    known: Knowledge


def grade_mirror(case: Case, reference: MirrorName, served: Outcome[Served]) -> MirrorResult:
    """Grade what a mirror answered when it was asked for `reference`."""
    if isinstance(served, (SourceError, ContentError)):
        return failed_mirror(reference, served)
    try:
        result = _dependent(case, reference, served) or _grade(case, reference, served.manifest)
    except (SourceError, ContentError) as error:
        result = failed_mirror(reference, error)
    return replace(
        result,
        digest=served.manifest.digest,
        served_by=served.served_by,
        findings=(*result.findings, *_header_findings(served), *_rebuilt_findings(case)),
    )


def failed_mirror(reference: MirrorName, error: SourceError | ContentError) -> MirrorResult:
    """Return the result for a mirror that could not be read to the end."""
    local = isinstance(reference, LocalCopy)
    if isinstance(error, NotFound) and error.side is Side.MIRROR:
        summary = error.message if local else "the mirror does not have it"
        return MirrorResult(reference, Grade.MISSING, Explanation(summary))
    finding = finding_of(error)
    grade, summary = Grade.INCONCLUSIVE, "could not be decided"
    if isinstance(error, DigestMismatch) and error.side is Side.MIRROR:
        finding = replace(finding, rule=Rule.DIGEST_MISMATCH, hint=_CHANGED if local else _LIAR)
        grade = Grade.DIVERGED
        summary = "the mirror serves other bytes than the digest it was asked for"
        summary = "it has other bytes than its own names say" if local else summary
    return MirrorResult(reference, grade, Explanation(summary), findings=(finding,))


def _dependent(case: Case, reference: MirrorName, served: Served) -> MirrorResult | None:
    """Refuse to hold a mirror against an upstream that the mirror itself answered for."""
    if isinstance(reference, LocalCopy) or case.question.offline:
        return None
    upstream, asked = case.question.upstream, served.served_by[0]
    first, *later = case.moment.served_by
    if case.is_same_server(asked, first):
        # Two repositories of one registry may be compared.
        dependent = reference.repository.path == upstream.repository.path
    else:
        dependent = any(case.is_same_server(asked, each) for each in later)
    if not dependent:
        return None
    message = f"{upstream.registry} is answered for by {reference.registry}, the mirror"
    hint = "compare with an upstream that answers for itself"
    finding = Finding(Rule.NOT_INDEPENDENT, Level.ERROR, message, Side.UPSTREAM, hint)
    explanation = Explanation("upstream and mirror are not independent")
    return MirrorResult(reference, Grade.INCONCLUSIVE, explanation, findings=(finding,))


def _grade(case: Case, reference: MirrorName, top: Manifest | Index) -> MirrorResult:
    # By the bytes: the two sides may have been asked with different algorithms.
    if case.moment.digest.matches(top.content.data):
        compared = _compare_identical(case, top)
    else:
        compared = _compare_differing(case, top)
    comparison = compared.comparison
    result = MirrorResult(
        reference, comparison.grade, comparison.explanation, coverage=Coverage.MANIFESTS
    )
    if case.is_deep and comparison.grade in _READABLE:
        result = _deepen(case, result, compared)
    # A pull takes from upstream what a mirror lacks, and finds out by itself what is published.
    if result.grade in _READABLE and case.thorough:
        wanted = case.question.platforms
        findings = (*absent_platforms(result, wanted), *unpublished(compared.upstream, wanted))
        result = replace(result, findings=(*result.findings, *findings))
    return result


def _compare_identical(case: Case, top: Manifest | Index) -> _Compared:
    """The digests are equal; see which of the images in it the mirror really has."""
    comparison = compare(Image(top), Image(top), Knowledge(), case.now)
    reading = Reading(Image(top))
    if case.thorough:
        reading = read_children(case.mirror, top, _wanted(case, top))
    if isinstance(top, Manifest) and case.question.platforms:
        reading = read_configs(case.mirror, reading)
    changes = tuple(
        PlatformChange(each.platform, PlatformState.EQUAL, each.digest, each.digest)
        for each in reading.image.entries
    )
    comparison = replace(comparison, explanation=replace(comparison.explanation, platforms=changes))
    return _Compared(_without_absent(comparison, reading), reading.image, reading, Knowledge())


def _without_absent(comparison: Comparison, reading: Reading) -> Comparison:
    """Take account of images that an index lists and the mirror does not have."""
    if not reading.absent:
        return comparison
    before = comparison.explanation.platforms
    changes = tuple(
        replace(each, state=PlatformState.ABSENT, mirror=None)
        if each.state is PlatformState.EQUAL and each.mirror in reading.absent
        else each
        for each in before
    )
    # Images of an index in the index were not compared one by one.
    compared = {each.mirror for each in before}
    inner = tuple(
        PlatformChange(each.platform, PlatformState.ABSENT, each.digest, None)
        for each in reading.image.entries
        if each.digest in reading.absent and each.digest not in compared
    )
    summary = f"{comparison.explanation.summary}; {len(reading.absent)} listed images are not there"
    explanation = replace(comparison.explanation, summary=summary, platforms=(*changes, *inner))
    grade = Grade.SUBSET if comparison.grade is Grade.IDENTICAL else comparison.grade
    return replace(comparison, grade=grade, explanation=explanation)


def _wanted(case: Case, top: Manifest | Index) -> tuple[Descriptor, ...]:
    if isinstance(top, Manifest):
        return ()
    wanted = case.question.platforms
    return tuple(
        each
        for each in top.images
        if not wanted
        or each.platform is None
        or any(each.platform.satisfies(want) for want in wanted)
    )


def _compare_differing(case: Case, top: Manifest | Index) -> _Compared:
    upstream_top = _upstream_top(case)
    first = compare(Image(upstream_top), Image(top), Knowledge(), case.now)
    if first.grade in (Grade.SUBSET, Grade.REPACKAGED):
        reading = read_children(case.mirror, top, _wanted(case, top))
        # What was read under upstream's digests is upstream's, wherever it came from.
        upstream = replace(reading.image, top=upstream_top)
        return _Compared(_without_absent(first, reading), upstream, reading, Knowledge())
    common = _digests(upstream_top) & _digests(top)
    mirror = _read_mirror(case, top, common)
    upstream = _read_upstream(case, upstream_top, mirror.image, common)
    # An index that upstream serves vouches for what it lists.
    known = Knowledge(_digests(top) if _authentic(case, [top.digest]) else frozenset())
    comparison = compare(upstream, mirror.image, known, case.now)
    if comparison.grade is Grade.DIVERGED and isinstance(top, Index):
        known = Knowledge(_authentic(case, _digests(top) - common - {top.digest}))
        comparison = compare(upstream, mirror.image, known, case.now)
    return _Compared(_without_absent(comparison, mirror), upstream, mirror, known)


def _upstream_top(case: Case) -> Manifest | Index:
    served, reference = case.moment.served, case.question.upstream.pinned(case.moment.digest)
    return (served or case.upstream.manifest(reference)).manifest


def _read_mirror(case: Case, top: Manifest | Index, common: frozenset[Digest]) -> Reading:
    """Read what differs, and what is wanted: that has to be there, too, and may be read deeply."""
    children = () if isinstance(top, Manifest) else top.images
    wanted = {each.digest for each in _wanted(case, top)}
    read = [each for each in children if each.digest in wanted or each.digest not in common]
    return read_configs(case.mirror, read_children(case.mirror, top, read))


def _read_upstream(
    case: Case, top: Manifest | Index, mirror: Image, common: frozenset[Digest]
) -> Image:
    """Read what differs of the platforms that the mirror has; the others are absent anyway."""
    children = () if isinstance(top, Manifest) else top.images
    offered = {each.platform for each in mirror.entries} | {None}
    differing = [
        each for each in children if each.digest not in common and each.platform in offered
    ]
    reading = read_children(case.upstream, top, differing)
    for digest in reading.absent:
        msg = f"upstream lists {digest} and does not have it"
        raise NotFound(msg, side=Side.UPSTREAM)
    image = read_configs(case.upstream, reading).image
    # An index in both indexes was read from the mirror only; its digest says that it is the same.
    return replace(image, nested={**mirror.nested, **image.nested})


def _digests(top: Manifest | Index) -> frozenset[Digest]:
    """Return the digest of a manifest or index, and those that an index lists."""
    listed = top.manifests if isinstance(top, Index) else ()
    return frozenset({top.digest, *(each.digest for each in listed)})


def _authentic(case: Case, digests: Iterable[Digest]) -> frozenset[Digest]:
    """Ask upstream which of these digests it serves; HEAD only, where HEAD is answered."""
    asked = tuple(digests)
    if len(asked) > limits.INDEX_CHILDREN:
        msg = f"an index that names {len(asked)} images which upstream's does not name"
        raise LimitExceeded(msg, side=Side.MIRROR)
    hosts = all_or_raise([partial(case.upstream.vouching_hosts, each) for each in asked])
    mirror = case.mirror.host
    # What the mirror said for upstream, by way of a redirect, is not upstream's word.
    return frozenset(
        digest
        for digest, asked_hosts in zip(asked, hosts, strict=True)
        if asked_hosts and not any(case.is_same_server(mirror, each) for each in asked_hosts[1:])
    )


def _manifests(image: Image) -> tuple[Manifest, ...]:
    own = (image.top,) if isinstance(image.top, Manifest) else ()
    return (*own, *image.manifests.values())


def _deepen(case: Case, result: MirrorResult, compared: _Compared) -> MirrorResult:
    """Read every layer of the wanted images from the mirror, and let the grade follow."""
    image = compared.mirror.image
    manifests = _manifests(image)
    deep = read_layers(case.mirror, manifests, _recompressed(result.explanation))
    notes = tuple(map(_not_distributed, deep.foreign))
    coverage = Coverage.MANIFESTS if deep.failed or deep.absent else Coverage.LAYERS
    result = replace(result, coverage=coverage, findings=(*result.findings, *notes))
    if deep.wrong:
        return _falsified(result, manifests, deep)
    if deep.failed:
        finding = finding_of(deep.failed[0])
        return _regraded(result, Grade.INCONCLUSIVE, "not every layer could be read", (finding,))
    if deep.absent:
        names = ", ".join(str(each.digest) for each in deep.absent)
        return _regraded(result, Grade.MISSING, f"the mirror lacks {names}", ())
    if result.grade is Grade.REPACKAGED:
        known = replace(compared.known, expanded=deep.expanded)
        again = compare(compared.upstream, image, known, case.now)
        explanation = replace(result.explanation, proven=again.explanation.proven)
        return replace(result, explanation=explanation)
    return result


def _recompressed(explanation: Explanation) -> frozenset[Digest]:
    return frozenset(
        layer.mirror.digest
        for change in explanation.platforms
        for layer in change.layers
        if layer.state is LayerState.RECOMPRESSED and layer.mirror is not None
    )


def _not_distributed(layer: Descriptor) -> Finding:
    message = f"layer {layer.digest} is not distributed by registries and was not read"
    return Finding(Rule.LAYER_NOT_VERIFIABLE, Level.WARNING, message, Side.MIRROR)


def _falsified(
    result: MirrorResult, manifests: tuple[Manifest, ...], deep: DeepReading
) -> MirrorResult:
    findings = tuple(
        Finding(
            Rule.DIGEST_MISMATCH,
            Level.ERROR,
            f"{_role(digest, manifests)} from {result.reference.registry}: {error.message}",
            Side.MIRROR,
            _LIAR,
        )
        for digest, error in deep.wrong.items()
    )
    summary = "the mirror serves other content than its own manifests name"
    if result.grade in (Grade.IDENTICAL, Grade.SUBSET):
        summary = "the manifests are upstream's, the content that the mirror serves for them is not"
    return _regraded(result, Grade.DIVERGED, summary, findings)


def _role(digest: Digest, manifests: tuple[Manifest, ...]) -> str:
    for manifest in manifests:
        for position, layer in enumerate(manifest.layers, start=1):
            if layer.digest == digest:
                return f"layer {position} of {len(manifest.layers)}"
    return "the config"


def _regraded(
    result: MirrorResult, grade: Grade, summary: str, findings: tuple[Finding, ...]
) -> MirrorResult:
    explanation = replace(result.explanation, summary=summary)
    return replace(
        result, grade=grade, explanation=explanation, findings=(*result.findings, *findings)
    )


def _rebuilt_findings(case: Case) -> tuple[Finding, ...]:
    if not case.rebuilt:
        return ()
    message = (
        f"{case.mirror.repository} keeps no manifest of a registry's: its digest is that of one"
        " written for comparing, and no signature can be over it"
    )
    hint = "save the image as oci-archive or oci to keep its digest"
    return (Finding(Rule.MANIFEST_REBUILT, Level.NOTE, message, Side.MIRROR, hint),)


def _header_findings(served: Served) -> tuple[Finding, ...]:
    digest = served.manifest.digest
    if served.claimed is None or served.claimed == digest:
        return ()
    if served.claimed.matches(served.manifest.content.data):
        return ()
    message = f"the mirror's header names {served.claimed.short}, its bytes hash to {digest.short}"
    return (Finding(Rule.HEADER_MISMATCH, Level.WARNING, message, Side.MIRROR),)
