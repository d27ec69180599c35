"""in-toto statements (in-toto/attestation, spec/v0.1 and spec/v1, statement.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.oci.strictjson import load_object
from imgverify.signature.document import Fields

if TYPE_CHECKING:
    from imgverify.oci.digest import Digest

#: What `cosign sign` states; every other predicate is an attestation and no signature.
COSIGN_SIGN: Final = "https://sigstore.dev/cosign/sign/v1"

_TYPES: Final = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")
_FIELDS: Final = frozenset({"_type", "subject", "predicateType", "predicate"})
_SUBJECT_FIELDS: Final = frozenset({"name", "digest", "uri"})
# Predicates and annotations are other people's JSON: environment variables, for one.
_FOREIGN: Final = frozenset({"predicate", "annotations"})


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said about which digests; `data` is the payload it was read from.

    `digests` has, for each subject, pairs of algorithm and hash as they are written.
    """

    data: bytes
    digests: tuple[frozenset[tuple[str, str]], ...]
    predicate_type: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a payload; raises `Malformed`, `LimitExceeded` or `SignatureRejected`."""
        fields = Fields.parse(data, "the in-toto statement", _FIELDS, _FOREIGN)
        kind = fields.text("_type")
        if kind not in _TYPES:
            msg = f"the payload is a {kind!r}, which is no in-toto statement"
            raise SignatureRejected(msg, Reason.UNSUPPORTED)
        subjects = fields.objects("subject", _SUBJECT_FIELDS, limits.STATEMENT_SUBJECTS)
        if not subjects:
            msg = "the in-toto statement is about nothing: it has no subject"
            raise Malformed(msg)
        return cls(data, tuple(map(_digests, subjects)), fields.text("predicateType"))

    @property
    def is_signature(self) -> bool:
        """Whether this says no more than that the signer signs."""
        return self.predicate_type == COSIGN_SIGN

    @property
    def predicate(self) -> object:
        """The predicate, read again; None where there is none."""
        return load_object(self.data, "the in-toto statement", _FOREIGN).get("predicate")

    def is_about(self, digest: Digest) -> bool:
        """Tell whether a subject has this very digest."""
        return any((digest.algorithm.value, digest.encoded) in each for each in self.digests)


def _digests(subject: Fields) -> frozenset[tuple[str, str]]:
    value = subject.values.get("digest") or {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        msg = f"the digest of {subject.what} is not a map of text to text"
        raise Malformed(msg)
    return frozenset(value.items())
