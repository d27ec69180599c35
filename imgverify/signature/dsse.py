"""DSSE envelopes (secure-systems-lab/dsse, envelope.md and protocol.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from imgverify.errors import Malformed
from imgverify.signature.document import Fields
from imgverify.signature.message import Message

IN_TOTO: Final = "application/vnd.in-toto+json"

ENVELOPE_FIELDS: Final = frozenset({"payload", "payloadType", "signatures"})
_SIGNATURE_FIELDS: Final = frozenset({"sig", "keyid"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its type and its one signature; `key_id` is a hint that nothing signs.

    Several signatures would raise the question which of them counts, so there is one.
    """

    payload: bytes
    payload_type: str
    signature: bytes
    key_id: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read an envelope that stands alone; raises `Malformed` or `LimitExceeded`."""
        return cls.of(Fields.parse(data, "the DSSE envelope", ENVELOPE_FIELDS))

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """Read an envelope that is part of a document."""
        signatures = fields.objects("signatures", _SIGNATURE_FIELDS, most=16)
        if len(signatures) != 1:
            msg = f"{fields.what} has {len(signatures)} signatures, one is needed"
            raise Malformed(msg)
        return cls(
            payload=fields.data("payload", url_safe=True),
            payload_type=fields.text("payloadType"),
            signature=signatures[0].data("sig", url_safe=True),
            key_id=signatures[0].optional_text("keyid"),
        )

    @property
    def message(self) -> Message:
        """What the signature is over: the pre-authentication encoding."""
        kind = self.payload_type.encode()
        header = b"DSSEv1 %d %s %d " % (len(kind), kind, len(self.payload))
        return Message.of(header + self.payload)

    @property
    def message_of_payload(self) -> Message:
        """The payload alone, which is what some logs take the hash of."""
        return Message.of(self.payload)
