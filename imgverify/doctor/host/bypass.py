"""Where a runtime gets an image past what stands before its registry; decided from values alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from imgverify.doctor.host.model import Bypass, Gap
from imgverify.registry.hostconfig.model import Protection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.doctor.host.model import Closing
    from imgverify.oci.reference import Reference
    from imgverify.registry.hostconfig.model import Endpoint, PullSources

    Endpoints = tuple[Endpoint, ...]

PROTECTIONS: Final = {
    Protection.UNCHECKED: "its certificate is not checked",
    Protection.OPTIONAL: "where TLS fails plain HTTP is used",
    Protection.NONE: "plain HTTP",
}


class Closer(Protocol):
    """What one runtime's files have to say so that a gap is closed."""

    @property
    def name(self) -> str:
        """What the runtime is called in a sentence."""

    def only(self, image: Reference, mirror: Endpoint, past: Endpoints) -> tuple[Closing, ...]:
        """Let nobody be asked but a mirror; `past` is where the registry itself is asked now."""

    def by_digest(self, image: Reference, mirror: Endpoint) -> tuple[Closing, ...]:
        """Let a mirror no longer say what a tag means."""

    def protect(self, image: Reference, endpoint: Endpoint) -> tuple[Closing, ...]:
        """Let an endpoint be asked by TLS with a valid certificate alone."""

    def without_mirror(self, image: Reference) -> str:
        """Say why nothing stands before the image's registry."""

    def other_name(self, image: Reference, mirror: Endpoint) -> Bypass | None:
        """Return the gap that another name of the same registry is."""


def bypasses(image: Reference, sources: PullSources, closer: Closer) -> tuple[Bypass, ...]:
    """Return every gap, the widest first."""
    mirrors = sources.mirrors
    upstream = tuple(
        each for each in sources.endpoints if each.is_upstream and each.blocked is None
    )
    found: list[Bypass] = []
    if upstream and not mirrors:
        found.append(Bypass(Gap.NO_MIRROR, closer.without_mirror(image)))
    if upstream and mirrors:
        found.append(_falls_through(image, mirrors[-1], upstream, closer))
    if mirrors and (other := closer.other_name(image, mirrors[-1])) is not None:
        found.append(other)
    if image.tag is not None and image.digest is None:
        found += _resolving(image, mirrors, closer)
    found += _unprotected(image, (*mirrors, *upstream), closer)
    return tuple(found)


def _falls_through(image: Reference, last: Endpoint, upstream: Endpoints, closer: Closer) -> Bypass:
    text = (
        f"what the mirrors do not give, {closer.name} gets from {image.registry} itself:"
        " a mirror that refuses an image stops nobody"
    )
    return Bypass(Gap.FALLS_THROUGH, text, closer.only(image, last, upstream))


def _resolving(image: Reference, mirrors: tuple[Endpoint, ...], closer: Closer) -> Iterator[Bypass]:
    resolving = [each for each in mirrors if each.resolves]
    if not resolving:
        return
    names = ", ".join(each.address for each in resolving)
    text = f"what {image.tag!r} means is said by {names}: whatever it gives is run"
    closings = [closing for each in resolving for closing in closer.by_digest(image, each)]
    yield Bypass(Gap.MIRROR_RESOLVES, text, tuple(dict.fromkeys(closings)))


def _unprotected(
    image: Reference, endpoints: tuple[Endpoint, ...], closer: Closer
) -> Iterator[Bypass]:
    for each in endpoints:
        words = PROTECTIONS.get(each.protection)
        if words is not None:
            text = f"whoever is on the way to {each.address} may answer for it: {words}"
            yield Bypass(Gap.UNPROTECTED, text, closer.protect(image, each))
