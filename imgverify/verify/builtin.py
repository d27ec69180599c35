"""Attestations that a builder put into the image's own index, which nobody signed.

BuildKit lists them as children without a platform. They are told where such an attestation is
asked for, and count for nothing: whoever can write the index can write them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, LimitExceeded, Side, SourceError
from imgverify.oci import limits
from imgverify.oci.manifest import Manifest, attested_image
from imgverify.signature.statement import Statement
from imgverify.verdict import Finding, Level, Rule
from imgverify.verify.parallel import attempt_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.manifest import Index
    from imgverify.verify.vouching import Inquiry, Places

# What a layer says that it holds; the statement itself has the last word.
_PREDICATE_TYPE: Final = "in-toto.io/predicate-type"


def built_in(top: Index, inquiry: Inquiry, places: Places, *, covered: bool) -> tuple[Finding, ...]:
    """Tell of the attestations in an index that are of a type asked for.

    `covered` says that the index is signed, and by that what it lists. What cannot be read is told,
    too, and decides nothing.
    """
    wanted = {str(each.digest): each for each in top.images if inquiry.wants(each)}
    about = [
        (child, wanted[name])
        for child in top.attestations
        if (name := attested_image(child)) in wanted
    ]
    tasks = [partial(_types, places, child, image, inquiry) for child, image in about]
    whose = "only the signature of the index covers it" if covered else "nobody signed it"
    findings = (
        _note(each, image, whose)
        for outcome, (_, image) in zip(attempt_all(tasks), about, strict=True)
        for each in (outcome if isinstance(outcome, tuple) else (outcome,))
    )
    return tuple(dict.fromkeys(findings))[: limits.SIGNATURES]


def _note(found: str | SourceError | ContentError, image: Descriptor, whose: str) -> Finding:
    name = f"{image.digest.short} ({image.platform or 'no platform'})"
    if isinstance(found, str):
        message = f"the index has an attestation ({found}) of {name}, and {whose}"
        return Finding(Rule.UNSIGNED_ATTESTATION, Level.NOTE, message, Side.UPSTREAM)
    message = f"an attestation of {name} in the index cannot be read: {found.message}"
    return Finding(Rule.UNSIGNED_ATTESTATION, Level.NOTE, message, found.side)


def _types(
    places: Places, child: Descriptor, image: Descriptor, inquiry: Inquiry
) -> tuple[str, ...]:
    """Return the types asked for of which the child has an attestation of this very image."""
    manifest = places.read(child.digest)
    layers = manifest.layers if isinstance(manifest, Manifest) else ()
    asked = [each for each in layers if each.annotation(_PREDICATE_TYPE) in inquiry.predicate_types]
    size = sum(each.size for each in asked)
    if len(asked) > limits.SIGNATURES or size > limits.BUNDLE_SIZE:
        msg = f"{len(asked)} attestations of {size} bytes are too many to be read"
        raise LimitExceeded(msg, side=Side.UPSTREAM)
    found = [*_statements(places, asked)]
    return tuple(
        dict.fromkeys(each.predicate_type for each in found if each.is_about(image.digest))
    )


def _statements(places: Places, layers: list[Descriptor]) -> Iterator[Statement]:
    for each in layers:
        yield Statement.parse(places.document(each, limits.BUNDLE_SIZE).data)
