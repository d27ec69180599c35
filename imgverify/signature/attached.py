"""What lies beside an image at a registry: signatures and attestations, not yet believed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.signature.cosign import DSSE, SIMPLE_SIGNING

if TYPE_CHECKING:
    from imgverify.oci.descriptor import Annotations, Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.mediatype import MediaType

# Older bundles have parameters after it, or another version in it.
_BUNDLE: Final = "application/vnd.dev.sigstore.bundle"


class Form(enum.StrEnum):
    """How a signature is kept, which says how it has to be read."""

    BUNDLE = "sigstore-bundle"
    SIGNATURE = "cosign-signature"
    ATTESTATION = "cosign-attestation"


@dataclass(frozen=True, slots=True)
class Attached:
    """One signature or attestation as it was found.

    `carrier` is the manifest whose layer it is; `annotations` are those of the layer.
    """

    form: Form
    data: bytes
    carrier: Digest
    annotations: Annotations = ()


def form_of(media_type: MediaType) -> Form | None:
    """Tell what a layer is by its media type; None for what is no signature."""
    if media_type.value.startswith(_BUNDLE):
        return Form.BUNDLE
    return {SIMPLE_SIGNING: Form.SIGNATURE, DSSE: Form.ATTESTATION}.get(media_type.value)


def signature_layers(manifest: Manifest) -> tuple[tuple[Form, Descriptor], ...]:
    """Return the layers of a manifest that hold signatures, in order.

    What the manifest says of its own type and subject counts for nothing: neither is signed.
    """
    found = ((form_of(each.media_type), each) for each in manifest.layers)
    return tuple((form, layer) for form, layer in found if form is not None)
