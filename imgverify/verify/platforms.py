"""Which platforms upstream publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.compare.image import Image
from imgverify.errors import Side
from imgverify.oci.manifest import Manifest
from imgverify.verdict import Finding, Level, Rule
from imgverify.verify.read import Reading, read_configs

if TYPE_CHECKING:
    from imgverify.oci.platform import Platform
    from imgverify.registry.client import RemoteRepository
    from imgverify.verify.question import Question
    from imgverify.verify.resolve import Moment


def published(question: Question, upstream: RemoteRepository, moment: Moment) -> Image:
    """Return upstream's image, read as far as its platforms are named."""
    served = moment.served or upstream.manifest(question.upstream.pinned(moment.digest))
    reading = Reading(Image(served.manifest))
    one = isinstance(served.manifest, Manifest)
    return (read_configs(upstream, reading) if one else reading).image


def unpublished(upstream: Image, wanted: tuple[Platform, ...]) -> tuple[Finding, ...]:
    """Say which of the wanted platforms upstream's image does not have at all."""
    offered = [each.platform for each in upstream.entries if each.platform]
    return tuple(
        Finding(
            Rule.PLATFORM_ABSENT,
            Level.ERROR,
            f"upstream publishes nothing for {want}",
            Side.UPSTREAM,
            f"it has {', '.join(map(str, offered)) or 'no platform that could be read'}",
        )
        for want in wanted
        if not any(each.satisfies(want) for each in offered)
    )
