"""Asking the upstreams little, and all mirrors side by side."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from imgverify.compare.image import Image
from imgverify.doctor.observation import Failure, Gathered, Upstream, digest_of
from imgverify.doctor.probe import probe
from imgverify.errors import ContentError, Side, SourceError
from imgverify.oci.manifest import Index
from imgverify.oci.mediatype import Kind
from imgverify.oci.reference import Reference
from imgverify.verify.parallel import all_or_raise
from imgverify.verify.read import read_children, read_configs

if TYPE_CHECKING:
    from imgverify.doctor.observation import Observed, Place
    from imgverify.oci.digest import Digest
    from imgverify.registry.client import Network, RemoteRepository


def gather(network: Network, places: tuple[Place, ...], images: tuple[Reference, ...]) -> Gathered:
    """Ask every mirror for every image; raises nothing but `Interrupted`.

    An upstream is asked what its tag names, for the first image also what refers to it, and for
    an image that some mirror has otherwise what that is.
    """
    asking = [partial(_ask, network, each, with_referrers=each is images[0]) for each in images]
    upstreams = all_or_raise(asking)
    mirrors = all_or_raise([partial(probe, network, each, upstreams) for each in places])
    settling = [
        partial(_settle, network, each, _others(each, number, mirrors))
        for number, each in enumerate(upstreams)
    ]
    return Gathered(mirrors, all_or_raise(settling))


def _ask(network: Network, image: Reference, *, with_referrers: bool) -> Upstream:
    remote = network.at(image.repository, Side.UPSTREAM)
    try:
        named = remote.resolve(_asked(image))
    except (SourceError, ContentError) as error:
        return Upstream(image, failure=Failure.of(error))
    upstream = Upstream(image, named.digest, served_by=named.served_by)
    if with_referrers:
        upstream = replace(upstream, referrers=_referrers(remote, named.digest))
    return upstream


def _asked(image: Reference) -> Reference:
    """Ask for the tag where there is one, as the mirrors are."""
    return Reference(image.repository, image.tag) if image.tag else image


def _referrers(remote: RemoteRepository, digest: Digest) -> tuple[Digest, ...] | None:
    try:
        return tuple(each.digest for each in remote.referrers(digest).descriptors)
    except (SourceError, ContentError):
        return None


def _others(upstream: Upstream, number: int, mirrors: tuple[Observed, ...]) -> tuple[Digest, ...]:
    """Return the digests of what mirrors served instead of upstream's image, each once."""
    served = [each.sightings[number].served for each in mirrors if each.sightings]
    digests = dict.fromkeys(map(digest_of, served))
    return tuple(each for each in digests if each not in (None, upstream.digest))


def _settle(network: Network, upstream: Upstream, others: tuple[Digest, ...]) -> Upstream:
    """Read what a differing mirror is to be held against; the tag must not have moved meanwhile."""
    if upstream.digest is None or not others:
        return upstream
    remote = network.at(upstream.reference.repository, Side.UPSTREAM)
    try:
        if remote.resolve(_asked(upstream.reference)).digest != upstream.digest:
            message = f"{upstream.reference} moved at upstream while mirrors were being asked"
            return replace(upstream, failure=Failure(message, "try again in a moment"))
        pinned = upstream.reference.pinned(upstream.digest)
        image = Image(remote.manifest(pinned).manifest)
        hosts = {each: remote.vouching_hosts(each) for each in others}
        earlier = frozenset(each for each, asked in hosts.items() if asked)
        if earlier:
            image = _dated(remote, image)
        return replace(upstream, image=image, earlier=earlier)
    except (SourceError, ContentError) as error:
        return replace(upstream, failure=Failure.of(error))


def _dated(remote: RemoteRepository, image: Image) -> Image:
    """Read one config of an image, which says when it was made."""
    top = image.top
    children = top.images if isinstance(top, Index) else ()
    one = [each for each in children if each.media_type.kind is Kind.MANIFEST][:1]
    return read_configs(remote, read_children(remote, top, one)).image
