"""Looking up what lies beside an image: by referrers API, by fallback tag, by cosign's own tags.

Every place is read, whatever the others gave: a registry that lists nothing proves nothing, and
cosign's two ways of storing do not replace each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, LimitExceeded, NotFound, SourceError
from imgverify.oci import limits
from imgverify.oci.manifest import Manifest
from imgverify.signature.attached import Attached, Form, signature_layers
from imgverify.verify.parallel import attempt_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.verify.parallel import Outcome
    from imgverify.verify.way import Source

_TAGS: Final = ("sig", "att")
_MOST: Final = {
    Form.BUNDLE: limits.BUNDLE_SIZE,
    Form.SIGNATURE: limits.PAYLOAD_SIZE,
    Form.ATTESTATION: limits.BUNDLE_SIZE,
}


@dataclass(frozen=True, slots=True)
class Attachments:
    """What one repository has beside a digest.

    `broken` are those that were listed and could not be read as what they are; `failures` are
    look-ups that failed, after which there may be more than was found.
    """

    found: tuple[Attached, ...] = ()
    broken: tuple[ContentError, ...] = ()
    failures: tuple[SourceError | ContentError, ...] = ()


def find_attachments(repository: Source, subject: Digest) -> Attachments:
    """Read all signatures and attestations that a repository has for a digest."""
    places: list[Callable[[], tuple[Outcome[Manifest], ...]]] = [
        partial(_referring, repository, subject),
        *(partial(_tagged, repository, subject, suffix) for suffix in _TAGS),
    ]
    carriers: dict[Digest, Manifest] = {}
    broken: list[ContentError] = []
    failures: list[SourceError | ContentError] = []
    for outcome in attempt_all(places):
        if isinstance(outcome, (SourceError, ContentError)):
            failures.append(outcome)
            continue
        for each in outcome:
            if isinstance(each, Manifest):
                carriers[each.digest] = each
            elif isinstance(each, ContentError):
                broken.append(each)
            elif not isinstance(each, NotFound):
                # What a fallback tag lists and the registry lost is not there to be read.
                failures.append(each)
    layers = [
        (carrier, form, layer)
        for carrier in carriers.values()
        for form, layer in signature_layers(carrier)
    ]
    size = sum(layer.size for _, _, layer in layers)
    if len(layers) > limits.SIGNATURES or size > limits.SIGNATURES_SIZE:
        msg = f"{len(layers)} signatures of {size} bytes lie beside {subject}, too many to be read"
        return Attachments(failures=(LimitExceeded(msg, side=repository.side),))
    read = attempt_all([partial(_read, repository, *each) for each in layers])
    return _sorted(read, broken, failures)


def _sorted(
    read: Sequence[Outcome[Attached]],
    broken: list[ContentError],
    failures: list[SourceError | ContentError],
) -> Attachments:
    found: list[Attached] = []
    for each in read:
        if isinstance(each, Attached):
            found.append(each)
        elif isinstance(each, ContentError):
            broken.append(each)
        else:
            failures.append(each)
    return Attachments(tuple(found), tuple(broken), tuple(failures))


def _referring(repository: Source, subject: Digest) -> tuple[Outcome[Manifest], ...]:
    descriptors = repository.referrers(subject).descriptors
    # Not chosen by artifact type: fallback tags that older tools wrote say a wrong one, or none.
    return attempt_all([partial(_carrier, repository, each) for each in descriptors])


def _carrier(repository: Source, listed: Descriptor) -> Manifest:
    manifest = repository.by_digest(listed.digest).manifest
    if not isinstance(manifest, Manifest):
        msg = f"{listed.digest} is an index, which carries no signature"
        raise NotFound(msg, side=repository.side)
    return manifest


def _tagged(repository: Source, subject: Digest, suffix: str) -> tuple[Manifest, ...]:
    tag = f"{subject.algorithm.value}-{subject.encoded}.{suffix}"[: limits.TAG_LENGTH]
    try:
        found = repository.by_tag(tag).manifest
    except NotFound:
        return ()
    return (found,) if isinstance(found, Manifest) else ()


def _read(repository: Source, carrier: Manifest, form: Form, layer: Descriptor) -> Attached:
    try:
        content = repository.document(layer, _MOST[form])
    except NotFound as error:
        # Listed and not there: whether it was one that counts cannot be known.
        msg = f"a signature that is listed is not there ({error.message})"
        raise SourceError(msg, side=error.side) from error
    return Attached(form, content.data, carrier.digest, layer.annotations)
