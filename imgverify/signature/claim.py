"""What a simple-signing payload claims (cosign SIGNATURE_SPEC.md, containers-signature(5))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from imgverify.errors import Malformed
from imgverify.oci.digest import Digest
from imgverify.signature.document import Fields

COSIGN: Final = "cosign container image signature"

_FIELDS: Final = frozenset({"critical", "optional"})
_CRITICAL: Final = frozenset({"identity", "image", "type"})
_IDENTITY: Final = frozenset({"docker-reference"})
_IMAGE: Final = frozenset({"docker-manifest-digest"})


@dataclass(frozen=True, slots=True)
class Claim:
    """The digest that was signed, and the name it was signed under, as the signer wrote it.

    Whatever stands under `critical` has to be understood, so nothing unknown may.
    """

    kind: str
    digest: Digest
    docker_reference: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a payload; raises `Malformed` or `LimitExceeded`."""
        fields = Fields.parse(data, "the payload", _FIELDS, frozenset({"optional"}))
        _refuse_others(fields, _FIELDS)
        if not isinstance(fields.values.get("optional"), dict | None):
            msg = "'optional' of the payload is not a JSON object"
            raise Malformed(msg)
        critical = fields.fields("critical", _CRITICAL)
        _refuse_others(critical, _CRITICAL)
        identity, image = critical.fields("identity", _IDENTITY), critical.fields("image", _IMAGE)
        _refuse_others(identity, _IDENTITY)
        _refuse_others(image, _IMAGE)
        return cls(
            kind=critical.text("type"),
            digest=Digest.parse(image.text("docker-manifest-digest")),
            docker_reference=identity.optional_text("docker-reference"),
        )


def _refuse_others(fields: Fields, known: frozenset[str]) -> None:
    others = sorted(fields.values.keys() - known)
    if others:
        msg = f"{fields.what} has the field {others[0]!r}, which nobody knows"
        raise Malformed(msg)
