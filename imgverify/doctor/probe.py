"""Asking one mirror: what its answers are is kept, what they mean is judged elsewhere.

Nothing is asked twice because it failed: what a mirror does at once is what is to be known.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.doctor.observation import (
    Failure,
    Observed,
    Ranged,
    Reply,
    Scheme,
    Sighting,
    Traits,
    digest_of,
    is_rest_of,
    read_manifest,
    read_referrers,
)
from imgverify.errors import ContentError, LimitExceeded, Side, SourceError
from imgverify.oci import limits
from imgverify.oci.digest import Digest
from imgverify.oci.manifest import Index, Manifest
from imgverify.oci.mediatype import (
    ACCEPT_MANIFEST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Kind,
)
from imgverify.oci.reference import Repository, Route
from imgverify.registry.body import read_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.doctor.observation import Place, Seen, Upstream
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.reference import Reference, Registry
    from imgverify.registry.client import Network, RemoteRepository
    from imgverify.registry.session import Answer

#: A repository that nobody has, and a digest that nothing has, for where no image is named.
_ABSENT: Final = "imgverify/absent"
_NOTHING: Final = Digest.of(b"imgverify doctor")
#: Not the digest of anything: of no algorithm, and of no length.
_ODD: Final = "sha256:odd"
#: A layer of fewer bytes may be an empty one, which some registries answer from memory.
_LEAST: Final = 512
_OK: Final = 200
_PARTIAL: Final = 206
_NOT_FOUND: Final = 404


def probe(network: Network, place: Place, upstreams: tuple[Upstream, ...]) -> Observed:
    """Ask a mirror for all that is to be known; `upstreams` are the images in the place's order.

    Raises nothing but `Interrupted`.
    """
    most = limits.PROBE_REQUESTS
    most += limits.PROBE_IMAGE_REQUESTS * max(0, len(place.references) - 1)
    with network.apart(most) as own:
        asker = _Asker(own, most)
        scheme = _scheme(network, place.registry)
        first = Repository(place.registry, _ABSENT)
        if place.references:
            first = place.references[0].repository
        greeting = asker.ask(own.at(first, Side.MIRROR).greet)
        seen = Observed(place.name, place.registry, scheme, greeting)
        if isinstance(greeting, Reply) and place.references:
            seen = _images(asker, seen, place, upstreams)
        elif isinstance(greeting, Reply):
            seen = replace(seen, absent=_Room(asker, first).referrers(str(_NOTHING)))
        return replace(seen, sent=own.sent)


def _scheme(network: Network, registry: Registry) -> Scheme:
    if registry in network.settings.insecure_http:
        return Scheme.HTTP
    return Scheme.UNCHECKED if registry in network.settings.insecure_tls else Scheme.HTTPS


class _Asker:
    """Turns answers and failures into values, and gives up on who gives no proper answer."""

    def __init__(self, network: Network, most: int) -> None:
        self.network = network
        self._most = most
        self._failures = 0

    def ask(self, look: Callable[[], Answer], most: int = limits.MANIFEST_SIZE) -> Seen:
        """Ask once; `most` bounds the body of a successful answer in bytes."""
        if self._failures >= limits.PROBE_FAILURES:
            return Failure(f"not asked: {self._failures} questions had no proper answer")
        try:
            with look() as answer:
                return _reply(answer, most)
        except (SourceError, ContentError) as error:
            self._failures += 1
            if isinstance(error, LimitExceeded) and self.network.sent >= self._most:
                return Failure(f"not asked: {self._most} requests were made already")
            return Failure.of(error)


def _reply(answer: Answer, most: int) -> Reply:
    response = answer.response
    headers = {each.lower(): response.headers[each] for each in response.headers}
    body = b""
    if response.request.method != "HEAD" and response.is_success:
        body = read_body(response, most)
    elif response.request.method != "HEAD" and not response.is_closed:
        # That an error's text cannot be read changes nothing: the status has been told.
        with suppress(SourceError, ContentError):
            body = read_body(response, limits.ERROR_BODY_SIZE)
    return Reply(response.status_code, headers, body, answer.served_by)


class _Room:
    """One repository at the mirror."""

    def __init__(self, asker: _Asker, repository: Repository) -> None:
        self._asker = asker
        self._remote: RemoteRepository = asker.network.at(repository, Side.MIRROR)

    def manifest(self, name: str, *, method: str = "GET", accept: str = ACCEPT_MANIFEST) -> Seen:
        """Ask for a manifest by tag or digest."""
        headers = {"Accept": accept}
        look = partial(self._remote.look, method, f"/manifests/{name}", headers)
        return self._asker.ask(look)

    def referrers(self, digest: str) -> Seen:
        """Ask for the referrers of a digest, or of what is none."""
        look = partial(self._remote.look, "GET", f"/referrers/{digest}", {"Accept": str(OCI_INDEX)})
        return self._asker.ask(look)

    def blob(self, blob: Descriptor, start: int) -> Seen:
        """Ask for a blob from a byte on."""
        headers = {"Accept": "*/*"}
        if start:
            headers["Range"] = f"bytes={start}-{blob.size - 1}"
        look = partial(self._remote.look, "GET", f"/blobs/{blob.digest}", headers)
        return self._asker.ask(look, blob.size)


def _images(
    asker: _Asker, seen: Observed, place: Place, upstreams: tuple[Upstream, ...]
) -> Observed:
    first, *others = zip(place.references, upstreams, strict=True)
    traits, sighting = _first_image(asker, *first)
    route = Route(namespace=str(first[1].reference.registry)) if traits.needs_namespace else None
    sightings = [sighting]
    for reference, upstream in others:
        named = reference
        if route is not None:
            named = reference.at(replace(reference.repository, route=route))
        sightings.append(_sighting(_Room(asker, named.repository), named, upstream))
    return replace(seen, traits=traits, sightings=tuple(sightings))


def _first_image(
    asker: _Asker, reference: Reference, upstream: Upstream
) -> tuple[Traits, Sighting]:
    traits, repository = _arrival(asker, reference, upstream)
    room = _Room(asker, repository)
    sighting = _sighting(room, reference.at(repository), upstream)
    if digest_of(sighting.served) is not None:
        traits = _by_name(room, traits, sighting)
    subject = upstream.digest or digest_of(sighting.served)
    if subject is not None:
        traits = _referrers(room, traits, subject, upstream)
    return _content(room, traits, sighting), sighting


def _arrival(asker: _Asker, reference: Reference, upstream: Upstream) -> tuple[Traits, Repository]:
    """Ask by HEAD, without and with the upstream's name; keep to the way that leads somewhere."""
    repository, name = reference.repository, _name(reference)
    head = _Room(asker, repository).manifest(name, method="HEAD")
    if isinstance(head, Failure) or head.refuses_access or head.is_rate_limited:
        return Traits(head), repository
    namespace = str(upstream.reference.registry)
    other = replace(repository, route=replace(repository.route, namespace=namespace))
    method = "GET" if head.is_unsupported else "HEAD"
    namespaced = _Room(asker, other).manifest(name, method=method)
    answered = isinstance(namespaced, Reply) and namespaced.is_success
    needs = answered and not head.is_success and not head.is_unsupported
    traits = Traits(head, namespaced=namespaced, needs_namespace=needs)
    return traits, other if needs else repository


def _sighting(room: _Room, reference: Reference, upstream: Upstream) -> Sighting:
    served = room.manifest(_name(reference))
    current = None
    moved = upstream.digest not in (None, digest_of(served))
    if upstream.digest is not None and moved and reference.tag is not None:
        current = (upstream.digest, room.manifest(str(upstream.digest)))
    return Sighting(reference, served, current)


def _by_name(room: _Room, traits: Traits, sighting: Sighting) -> Traits:
    """Ask for the same name in other ways, whose answers are held against the bytes."""
    name, served = _name(sighting.reference), sighting.served
    claimed = traits.head.claimed if isinstance(traits.head, Reply) else None
    if claimed is not None and isinstance(served, Reply) and not claimed.matches(served.body):
        # The tag may have moved in between.
        traits = replace(traits, again=room.manifest(name, method="HEAD"))
    have = served.media_type if isinstance(served, Reply) else None
    # Docker's own is what the oldest tools accept.
    other = OCI_MANIFEST if have == DOCKER_MANIFEST else DOCKER_MANIFEST
    return replace(traits, accepted=other, narrow=room.manifest(name, accept=str(other)))


def _referrers(room: _Room, traits: Traits, subject: Digest, upstream: Upstream) -> Traits:
    seen = room.referrers(str(subject))
    traits = replace(traits, referrers=seen)
    if read_referrers(seen) != ():
        return traits
    if upstream.referrers:
        carried = room.manifest(str(upstream.referrers[0]), method="HEAD")
        return replace(traits, carried=carried)
    return replace(traits, odd=room.referrers(_ODD))


def _content(room: _Room, traits: Traits, sighting: Sighting) -> Traits:
    """Follow what was served down to a small blob, each step by digest."""
    top = read_manifest(sighting.served)
    if sighting.current is not None:
        digest, seen = sighting.current
        top = read_manifest(seen, digest) or top
    inner = _next_digest(top, sighting)
    if inner is not None:
        answer = room.manifest(str(inner))
        traits = replace(traits, by_digest=(inner, answer))
        top = read_manifest(answer, inner)
    blob = _small_blob(top) if isinstance(top, Manifest) else None
    return traits if blob is None else replace(traits, ranged=_ranged(room, blob))


def _next_digest(top: Manifest | Index | None, sighting: Sighting) -> Digest | None:
    """Choose what to ask for by digest: an image of an index, else the very same once more."""
    if isinstance(top, Index):
        images = (each for each in top.images if each.media_type.kind is Kind.MANIFEST)
        return next((each.digest for each in images), None)
    return top.digest if top is not None and sighting.current is None else None


def _small_blob(manifest: Manifest) -> Descriptor | None:
    """Choose a layer that is quickly read, or the config."""
    layers = (
        each for each in manifest.layers if each.size >= _LEAST and not each.media_type.is_foreign
    )
    choice = (*sorted(layers, key=lambda each: each.size)[:1], manifest.config)
    return next((each for each in choice if 1 < each.size <= limits.PROBE_BLOB_SIZE), None)


def _ranged(room: _Room, blob: Descriptor) -> Ranged:
    part = room.blob(blob, 1)
    if not isinstance(part, Reply) or part.status in (_OK, _NOT_FOUND) or part.refuses_access:
        return Ranged(blob, part)
    if part.status == _PARTIAL and is_rest_of(blob, part.body):
        return Ranged(blob, part)
    return Ranged(blob, part, room.blob(blob, 0))


def _name(reference: Reference) -> str:
    """Return the tag where there is one: that is what a mirror may get wrong."""
    return reference.tag or str(reference.digest)
