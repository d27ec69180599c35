"""What comes along with a signature, in whatever form it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.errors import Reason, SignatureRejected

if TYPE_CHECKING:
    from cryptography import x509

    from imgverify.signature.certificate import Certificate
    from imgverify.signature.logentry import LogEntry


@dataclass(frozen=True, slots=True)
class Material:
    """The signer's certificate, and what logs and timestamp authorities gave; none of it trusted.

    Without a certificate the signature was made with a key that the verifier has to know. `along`
    are certificates that may lead from the signer's to an authority.
    """

    certificate: Certificate | None = None
    along: tuple[x509.Certificate, ...] = ()
    entries: tuple[LogEntry, ...] = ()
    timestamps: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Refuse to be told the same thing twice."""
        places = {(each.log_id, each.index) for each in self.entries}
        if len(places) != len(self.entries) or len({*self.timestamps}) != len(self.timestamps):
            msg = "the same log entry or timestamp is there twice"
            raise SignatureRejected(msg, Reason.DUPLICATE)
