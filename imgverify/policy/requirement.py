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
    """Signers of whom so many have to have signed; the same signer twice counts once.

    Of `nested` requirements one may hold in a signer's place, or all have to: between these two
    nobody could say whose signers are distinct.
    """

    demands: tuple[Demand, ...]
    at_least: int = 1
    nested: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        """Refuse to require nothing, more than can be had, and to count what is no signer."""
        most = len(self.demands) + len(self.nested)
        if not 1 <= self.at_least <= most:
            msg = f"{self.at_least} of {most} signers cannot be required"
            raise ValueError(msg)
        if self.nested and self.at_least not in {1, most}:
            msg = "of a list that holds other lists, one entry or all have to hold"
            raise ValueError(msg)

    @property
    def predicate_types(self) -> tuple[str, ...]:
        """The types of attestations that may count; none where signatures are asked for."""
        types = (each.predicate_type for each in self.demands)
        return tuple(dict.fromkeys(each for each in types if each is not None))

    def of_image(self, reference: Reference) -> Requirement:
        """Bind signatures that name an image to this name, unless another was given."""
        rule = NameRule(reference)
        demands = tuple(replace(each, name=each.name or rule) for each in self.demands)
        nested = tuple(each.of_image(reference) for each in self.nested)
        return replace(self, demands=demands, nested=nested)


@dataclass(frozen=True, slots=True)
class Held:
    """What came of `requirement` for one digest.

    `evidence` is what held, and where it was read from; `rejected` has one reason for each
    signature that met no demand.
    """

    requirement: Requirement
    holds: bool
    evidence: tuple[tuple[Attached, Evidence], ...] = ()
    rejected: tuple[tuple[Attached, SignatureRejected], ...] = ()


def hold(
    requirement: Requirement, subject: Message, found: tuple[Attached, ...], now: datetime
) -> Held:
    """Hold what was found beside an image against a requirement."""
    inner = tuple(hold(each, subject, found, now) for each in requirement.nested)
    evidence = dict.fromkeys(each for held in inner for each in held.evidence)
    reasons: dict[Attached, list[SignatureRejected]] = {each: [] for each in found}
    for attached, error in (each for held in inner for each in held.rejected):
        reasons[attached].append(error)
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
        (each, min(errors, key=_distance)) for each, errors in reasons.items() if each not in good
    )
    holding = _distinct(met) + sum(each.holds for each in inner)
    return Held(requirement, holding >= requirement.at_least, tuple(evidence), rejected)


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


def _distance(error: SignatureRejected) -> bool:
    return error.reason in _FAR
