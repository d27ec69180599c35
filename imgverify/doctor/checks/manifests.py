"""Manifests: what HEAD says, what a digest gives, and what names give to who asks otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.doctor.check import NOT_GIVEN, Check, Mark, Topic, unasked, unknown
from imgverify.doctor.observation import Failure, Reply, digest_of, read_manifest
from imgverify.oci.manifest import Index
from imgverify.oci.mediatype import Kind

if TYPE_CHECKING:
    from imgverify.doctor.observation import Observed, Seen, Traits
    from imgverify.oci.digest import Digest

_NOT_FOUND: Final = 404
_AT_FAULT: Final = range(500, 600)


def check_head(seen: Observed) -> Check:
    """Hold the digest headers against the bytes; where HEAD differs it was asked twice."""
    topic = Topic.HEAD
    if seen.traits is None:
        return unasked(topic)
    served, head = seen.sightings[0].served, seen.traits.head
    if isinstance(served, Reply) and served.is_success:
        if _is_schema1(served):
            return unasked(topic, "no digest covers all of a schema 1 manifest")
        return _lying_get(served) or _head_against(head, seen.traits.again, served)
    if isinstance(head, Failure):
        return unknown(topic, head)
    if head.is_success:
        return Check(topic, "alone", Mark.NOTE, "answered, though GET does not give the image")
    return unasked(topic, NOT_GIVEN) if head.status == _NOT_FOUND else unknown(topic, head)


def _is_schema1(served: Reply) -> bool:
    return served.media_type is not None and served.media_type.kind is Kind.SCHEMA1


def _lying_get(served: Reply) -> Check | None:
    claimed = served.claimed
    if claimed is None or claimed.matches(served.body):
        return None
    text = f"its header names {claimed.short}, its bytes hash to {served.digest.short}"
    return Check(Topic.HEAD, "lies", Mark.BAD, text)


def _head_against(head: Seen, again: Seen | None, served: Reply) -> Check:
    topic = Topic.HEAD
    if isinstance(head, Failure):
        return unknown(topic, head)
    costs = "finding out what a tag names costs a GET, which may count as a pull"
    if not head.is_success:
        return Check(topic, "refused", Mark.NOTE, f"answered {head.status}, unlike GET: {costs}")
    if head.claimed is None:
        return Check(topic, "silent", Mark.NOTE, f"answered without a digest: {costs}")
    if head.claimed.matches(served.body):
        return Check(topic, "honest", Mark.GOOD, "answered; its digest is that of the bytes")
    return _second_head(again or head, served)


def _second_head(again: Seen, served: Reply) -> Check:
    topic = Topic.HEAD
    if not isinstance(again, Reply) or again.claimed is None:
        return unknown(topic, again)
    if again.claimed.matches(served.body):
        return Check(topic, "moved", Mark.GOOD, "answered; the tag moved while it was asked for")
    text = f"its HEAD names {again.claimed.short}, its bytes hash to {served.digest.short}"
    return Check(topic, "lies", Mark.BAD, text)


def check_by_digest(seen: Observed) -> Check:
    """Tell whether what is asked for by digest comes, and is what was asked for."""
    topic, traits = Topic.BY_DIGEST, seen.traits
    if traits is None:
        return unasked(topic)
    sighting = seen.sightings[0]
    pairs = [each for each in (sighting.current, traits.by_digest) if each is not None]
    for digest, answer in pairs:
        got = digest_of(answer)
        if isinstance(answer, Reply) and got is not None and not digest.matches(answer.body):
            text = f"asked for {digest.short}, it gave bytes that hash to {got.short}"
            return Check(topic, "falsified", Mark.BAD, text)
    if sighting.current is not None:
        return _current(sighting.current[1])
    if traits.by_digest is not None:
        return _own(*traits.by_digest, sighting.served)
    return unasked(topic, NOT_GIVEN)


def _current(answer: Seen) -> Check:
    topic = Topic.BY_DIGEST
    if isinstance(answer, Reply) and answer.is_success:
        text = "gives upstream's current image, which its tag does not"
        return Check(topic, "current", Mark.GOOD, text)
    if isinstance(answer, Reply) and answer.status == _NOT_FOUND:
        text = "does not have upstream's current image"
        return Check(topic, "not-current", Mark.NOTE, text)
    return unknown(topic, answer)


def _own(digest: Digest, answer: Seen, served: Seen) -> Check:
    topic = Topic.BY_DIGEST
    if isinstance(answer, Reply) and answer.is_success:
        return Check(topic, "served", Mark.GOOD, "gives what it is asked for")
    if not isinstance(answer, Reply) or answer.status != _NOT_FOUND:
        return unknown(topic, answer)
    if digest == digest_of(served):
        text = "does not give by digest what it gives by tag"
        return Check(topic, "not-served", Mark.NOTE, text)
    text = f"does not have {digest.short}, an image of its own index"
    return Check(topic, "incomplete", Mark.NOTE, text)


def check_accept(seen: Observed) -> Check:
    """Tell what a caller gets who accepts only a type that the image does not have."""
    topic, traits = Topic.ACCEPT, seen.traits
    if traits is None:
        return unasked(topic)
    narrow, served = traits.narrow, seen.sightings[0].served
    if narrow is None or not isinstance(served, Reply):
        return unasked(topic, NOT_GIVEN)
    if isinstance(narrow, Failure) or narrow.is_rate_limited or narrow.status in _AT_FAULT:
        return unknown(topic, narrow)
    if not narrow.is_success:
        text = f"followed: who does not accept the image's type gets {narrow.status}"
        return Check(topic, "followed", Mark.GOOD, text)
    if narrow.body == served.body:
        return Check(topic, "ignored", Mark.GOOD, "ignored: the bytes are the same for everybody")
    return _converted(narrow, served, traits)


def _converted(narrow: Reply, served: Reply, traits: Traits) -> Check:
    topic, index = Topic.ACCEPT, read_manifest(served)
    who = f"who accepts only {traits.accepted}"
    hint = "the digest is another one: ask by digest, or accept every type"
    if _is_schema1(narrow):
        text = f"{who} gets a schema 1 manifest, made from this one"
        return Check(topic, "schema1", Mark.NOTE, text, hint)
    children = index.manifests if isinstance(index, Index) else ()
    if narrow.digest in {each.digest for each in children}:
        text = f"{who} gets one image of the index, {narrow.digest.short}"
        return Check(topic, "picks", Mark.NOTE, text, hint)
    text = f"{who} gets a converted manifest, {narrow.digest.short}"
    return Check(topic, "converts", Mark.NOTE, text, hint)


def check_namespace(seen: Observed) -> Check:
    """Tell whether a proxy for several registries can be told which one is meant."""
    topic, traits = Topic.NAMESPACE, seen.traits
    if traits is None:
        return unasked(topic)
    plain, named = traits.head, traits.namespaced
    if named is None or not isinstance(plain, Reply):
        return unasked(topic, NOT_GIVEN)
    if isinstance(named, Failure):
        return unknown(topic, named)
    return _namespaced(plain, named, needed=traits.needs_namespace)


def _namespaced(plain: Reply, named: Reply, *, needed: bool) -> Check:
    topic = Topic.NAMESPACE
    if needed:
        return Check(topic, "needed", Mark.NOTE, "needed: without it the image is not found")
    if not named.is_success and not plain.is_success:
        return unasked(topic, NOT_GIVEN)
    if not named.is_success:
        text = f"refused: answered {named.status}, and without it the image"
        return Check(topic, "refused", Mark.NOTE, text)
    if None not in (plain.claimed, named.claimed) and plain.claimed != named.claimed:
        text = "understood: with it the tag names another image"
        return Check(topic, "another", Mark.NOTE, text)
    if "oci-namespace" in named.headers:
        return Check(topic, "understood", Mark.GOOD, "understood, and said so (OCI-Namespace)")
    return Check(topic, "ignored", Mark.GOOD, "ignored: the answer is the same")
