"""What a signature has to meet to count."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgverify.errors import InputError
from imgverify.oci.reference import Reference
from imgverify.signature.identity import Identity, Subject
from imgverify.signature.statement import COSIGN_SIGN
from imgverify.signature.trusted import NOTHING_MORE, Thresholds, TrustedKey, TrustedRoot
from imgverify.verdict import Skipped

if TYPE_CHECKING:
    from imgverify.signature.predicate import Condition

Signer = TrustedKey | Identity | Subject


class Kind(enum.Enum):
    """What may count besides an attestation of a named type."""

    SIGNATURE = enum.auto()
    ANYTHING = enum.auto()


class NameMatch(enum.StrEnum):
    """How much of the signed name has to be the image's (containers-policy.json(5))."""

    REPOSITORY = "repository"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class NameRule:
    """The name that an image has to have been signed under, where a format signs a name."""

    reference: Reference
    match: NameMatch = NameMatch.REPOSITORY

    def accepts(self, text: str) -> bool:
        """Tell whether a signed name is the one wanted."""
        try:
            signed = Reference.parse(text)
        except InputError:
            return False
        if signed.repository != self.reference.repository:
            return False
        if self.match is NameMatch.REPOSITORY:
            return True
        # parse() adds the tag that a name without one stands for; signed it was not.
        written = ":" in text.rpartition("/")[2] or "@" in text
        return written and signed == self.reference

    def __str__(self) -> str:
        """Return as much of the name as counts."""
        whole = self.match is NameMatch.EXACT
        return str(self.reference if whole else self.reference.repository)


@dataclass(frozen=True, slots=True)
class Demand:
    """Who has to have signed what, and whose word counts.

    `roots` are deployments, of which one has to fit. One without logs and authorities stands for
    "the key alone", and it has to be named: nothing named would be nothing checked.
    `predicate_type` is what an attestation has to be, and `where` what its predicate has to state;
    without a type `kind` says what counts.
    `at_least` adds to what the roots need themselves. `insecure_skip` takes away, is noted in the
    evidence, and takes one check at most.
    """

    signer: Signer
    roots: tuple[TrustedRoot, ...]
    kind: Kind = Kind.SIGNATURE
    predicate_type: str | None = None
    name: NameRule | None = None
    at_least: Thresholds = NOTHING_MORE
    insecure_skip: Skipped | None = None
    where: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Refuse to trust nobody, keys where certificates are asked for, and mixed-up kinds."""
        if not self.roots:
            msg = "there is no trusted root, so nobody would be believed"
            raise InputError(msg, hint="name a trusted root, or one that is empty for a key alone")
        if isinstance(self.signer, TrustedKey):
            return
        if not any(each.authorities for each in self.roots):
            msg = "no trusted root has an authority for certificates, and no key is named"
            raise InputError(msg, hint="name a trusted root with a certificate authority, or a key")
        if self.predicate_type == COSIGN_SIGN:
            msg = f"{COSIGN_SIGN} is the type of signatures, which are no attestations"
            raise InputError(msg)
        if self.where and self.predicate_type is None:
            msg = "a signature has no predicate that conditions could be put to"
            raise InputError(msg, hint="name the type of the attestation")

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What is left out, as evidence says it."""
        return () if self.insecure_skip is None else (self.insecure_skip,)

    def thresholds(self, root: TrustedRoot) -> Thresholds:
        """Return how many have to vouch if this is the root.

        A key belongs to no deployment: where one of the roots has a log, it needs a log's word.
        """
        more, skip = self.at_least, self.insecure_skip
        if isinstance(self.signer, TrustedKey):
            # Nothing is asked of the roots where nothing depends on it: to read one takes time.
            logged = skip is not Skipped.LOG
            logs = max(each.thresholds.logs for each in self.roots) if logged else 0
            return Thresholds(max(logs, more.logs) if logged else 0, 0, more.timestamps)
        own = root.thresholds
        return Thresholds(
            logs=0 if skip is Skipped.LOG else max(own.logs, more.logs),
            scts=0 if skip is Skipped.SCT else max(own.scts, more.scts),
            timestamps=max(own.timestamps, more.timestamps),
        )
