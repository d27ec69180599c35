"""Who has to have signed an image, and whether they did.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgverify.errors import Reason, SignatureRejected
from imgverify.signature.attached import Form
from imgverify.signature.demand import NameRule
from imgverify.signature.verify import verify_bundle, verify_cosign, verify_cosign_attestation

if TYPE_CHECKING:
    from datetime import datetime

    from imgverify.oci.digest import Digest
    from imgverify.oci.reference import Reference
    from imgverify.signature.attached import Attached
    from imgverify.signature.demand import Demand
    from imgverify.signature.message import Message
    from imgverify.signature.verify import Verified
    from imgverify.verdict import Evidence, SignerIdentity

    Signer = tuple[SignerIdentity | None, Digest | None]

# Not worth telling where another demand, or another signature, was nearer to holding.
_FAR: tuple[Reason, ...] = (Reason.PREDICATE_MISMATCH, Reason.SIGNER_KIND, Reason.UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class Requirement:
    """Signers of whom so many have to have signed; the same signer twice counts once."""

    demands: tuple[Demand, ...]
    at_least: int = 1

    def __post_init__(self) -> None:
        """Refuse to require nothing, and more than can be had."""
        if not 1 <= self.at_least <= len(self.demands):
            msg = f"{self.at_least} of {len(self.demands)} signers cannot be required"
            raise ValueError(msg)

    def of_image(self, reference: Reference) -> Requirement:
        """Bind signatures that name an image to this name, unless another was given."""
        rule = NameRule(reference)
        demands = tuple(replace(each, name=each.name or rule) for each in self.demands)
        return replace(self, demands=demands)


@dataclass(frozen=True, slots=True)
class Held:
    """What came of a requirement for one digest.

    `evidence` is what held, and where it was read from; `rejected` has one reason for each
    signature that met no demand.
    """

    holds: bool
    evidence: tuple[tuple[Attached, Evidence], ...] = ()
    rejected: tuple[tuple[Attached, SignatureRejected], ...] = ()


def hold(
    requirement: Requirement, subject: Message, found: tuple[Attached, ...], now: datetime
) -> Held:
    """Hold what was found beside an image against a requirement."""
    evidence: dict[tuple[Attached, Evidence], None] = {}
    reasons: dict[Attached, list[SignatureRejected]] = {each: [] for each in found}
    met: list[set[Signer]] = []
    for demand in requirement.demands:
        signers: set[Signer] = set()
        for each in found:
            try:
                said = judge(each, subject, demand, now).evidence
            except SignatureRejected as error:
                reasons[each].append(error)
            else:
                evidence[each, said] = None
                signers.add((said.identity, said.key))
        met.append(signers)
    good = {each for each, _ in evidence}
    rejected = tuple(
        (each, _nearest(errors)) for each, errors in reasons.items() if each not in good
    )
    return Held(_distinct(met) >= requirement.at_least, tuple(evidence), rejected)


def _distinct(met: list[set[Signer]]) -> int:
    """Return how many demands can be met at once, each by a signer of its own."""
    chosen: dict[Signer, int] = {}

    def assign(demand: int, tried: set[Signer]) -> bool:
        for signer in met[demand] - tried:
            tried.add(signer)
            if signer not in chosen or assign(chosen[signer], tried):
                chosen[signer] = demand
                return True
        return False

    return sum(assign(each, set()) for each in range(len(met)))


def judge(each: Attached, subject: Message, demand: Demand, now: datetime) -> Verified:
    """Verify one signature in the form that it has; raises `SignatureRejected`."""
    if each.form is Form.BUNDLE:
        return verify_bundle(each.data, subject, demand, now=now)
    annotations = dict(each.annotations)
    verify = verify_cosign if each.form is Form.SIGNATURE else verify_cosign_attestation
    return verify(each.data, annotations, subject.digest, demand, now=now)


def _nearest(errors: list[SignatureRejected]) -> SignatureRejected:
    return min(errors, key=lambda each: each.reason in _FAR)
