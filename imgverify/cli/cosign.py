"""What `cosign verify` would be asked for the same, in a shell's words.  Pure.

Nothing is ever left out in silence: what cosign cannot be asked for is said in words.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from imgverify.oci import limits
from imgverify.oci.reference import DIRECT, Reference, Repository
from imgverify.report.escape import escape
from imgverify.signature.keys import Scheme
from imgverify.signature.trusted import TrustedKey
from imgverify.verdict import Clock, Equivalent, SignatureFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from imgverify.cli.signers import Signers
    from imgverify.oci.digest import Digest
    from imgverify.oci.reference import Registry
    from imgverify.policy.model import Policy
    from imgverify.policy.requirement import Requirement
    from imgverify.signature.demand import Demand, Signer
    from imgverify.signature.trusted import Thresholds
    from imgverify.verdict import Evidence, Verdict, Vouched
    from imgverify.verify.question import Question

_LITERAL: Final = r"A-Za-z0-9 _/@:%,=!\"';<>#"
#: What Python and Go read alike, or Go more narrowly: no flags, looks ahead, or named classes.
_ALIKE: Final = re.compile(
    rf"(?:[{_LITERAL}&~.^$|+*?)-]|\\[^A-Za-z0-9]|\\[dws]|\((?:\?:|(?!\?))"
    rf"|\{{[0-9]{{1,3}}(?:,[0-9]{{0,3}})?\}}|\[\^?(?:[{_LITERAL}.+*?$(){{}}-]|\\[^A-Za-z0-9])+\])+",
    re.ASCII,
)
_HASHES: Final = {Scheme.ECDSA_SHA384: "sha384", Scheme.ECDSA_SHA512: "sha512"}
_MORE: Final = "the policy asks for further signatures"
_ATTESTED: Final = "cosign takes an attestation by the same signer for a signature"


@dataclass(frozen=True, slots=True)
class Asking:
    """What the command line requires, as typed and as understood, and hosts without full TLS."""

    signers: Signers
    requires: tuple[Requirement, ...]
    insecure: tuple[frozenset[Registry], frozenset[Registry]]

    @property
    def demand(self) -> Demand:
        """What the command line requires of a signature."""
        return self.requires[0].demands[0]


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of cosign: an image, and the place of its signatures if that is another."""

    image: Repository
    digest: Digest
    kept: Repository | None = None
    format: SignatureFormat | None = None
    stamped: bool = False


def with_cosign(
    asking: Asking, verdicts: Sequence[Verdict], questions: Sequence[Question], policy: Policy
) -> tuple[Verdict, ...]:
    """Return the verdicts with the calls of cosign that ask for what was asked for."""
    told = []
    for verdict, question in zip(verdicts, questions, strict=True):
        rule = policy.rule_for(question.upstream.repository)
        same = equivalent(asking, question, verdict)
        if rule is not None and rule.requires:
            same = replace(same, beyond=(*same.beyond, _MORE))
        told.append(replace(verdict, cosign=same))
    return tuple(told)


def equivalent(asking: Asking, question: Question, verdict: Verdict) -> Equivalent:
    """Return what cosign would be asked, and what that leaves out."""
    if verdict.upstream.digest is None:
        return Equivalent((), ("no digest is known that cosign could be asked about",))
    if reasons := tuple(_inexpressible(asking)):
        return Equivalent((), reasons)
    calls, unreached = _calls(question, verdict, verdict.upstream.digest, asking.demand.signer)
    commands = tuple(_command(each, asking) for each in calls)
    if any(escape(each, limits.COSIGN_COMMAND) != each for each in commands):
        return Equivalent((), ("what was asked for cannot be written on one line",))
    return Equivalent(commands, (*unreached, *_beyond(asking, calls, question)))


def _inexpressible(asking: Asking) -> Iterator[str]:
    signers, roots = asking.signers, asking.demand.roots
    if signers.attestations:
        yield "attestations are asked for, which cosign verifies by other words"
    if len(roots) > 1:
        yield f"cosign takes one trusted root, and {len(roots)} are named"
    for pattern in (
        signers.certificate_identity_regexp,
        signers.certificate_oidc_issuer_regexp,
    ):
        if pattern is not None and not _ALIKE.fullmatch(pattern):
            yield f"to cosign the pattern {pattern!r} could mean something else"


def _calls(
    question: Question, verdict: Verdict, digest: Digest, signer: Signer
) -> tuple[tuple[_Call, ...], tuple[str, ...]]:
    """Return a call for each digest that is vouched for; where none is, for the image."""
    calls: dict[Digest, _Call] = {}
    unreached = []
    for each in verdict.evidence:
        subject = each.evidence.subject
        if not each.evidence.is_signature or not _is_by(each.evidence, signer):
            continue
        place = _place(question, each)
        if place is not None:
            image, kept = place
            stamped = each.evidence.clock is Clock.TIMESTAMP_AUTHORITY
            call = _Call(image, subject, kept, each.evidence.format, stamped)
            calls.setdefault(subject, call)
        else:
            unreached.append(f"cosign cannot be sent to where {subject.short} is vouched for")
    if calls or unreached:
        return tuple(calls.values()), tuple(unreached)
    return (_Call(question.upstream.repository, digest, question.signatures),), ()


def _is_by(evidence: Evidence, signer: Signer) -> bool:
    """Tell whether it is the signer's of the command line; a policy may ask for others, too."""
    if isinstance(signer, TrustedKey):
        return evidence.key == signer.key.fingerprint
    named = evidence.identity
    return named is not None and signer.name.accepts(named.name)


def _place(question: Question, vouched: Vouched) -> tuple[Repository, Repository | None] | None:
    upstream, kept = question.upstream.repository, question.signatures
    if upstream in vouched.repositories:
        return upstream, None
    if kept is not None and kept in vouched.repositories:
        return upstream, kept
    others = (each for each in vouched.repositories if isinstance(each, Repository))
    found = next((each for each in others if each.route == DIRECT), None)
    return None if found is None else (found, None)


def _command(call: _Call, asking: Asking) -> str:
    image = Reference(call.image, digest=call.digest)
    words = ["cosign", "verify", *_flags(call, asking), str(image)]
    # Quoted behind the equals sign: a shell takes what is quoted as a whole for a command.
    prefix = f"COSIGN_REPOSITORY={shlex.quote(str(call.kept))} " if call.kept else ""
    return prefix + shlex.join(words)


def _flags(call: _Call, asking: Asking) -> Iterator[str]:
    signers, demand = asking.signers, asking.demand
    (root,) = demand.roots
    needed = demand.thresholds(root)
    yield from _signer(signers, demand)
    yield from _workflow(signers)
    if signers.trusted_root is not None:
        yield from ("--trusted-root", _file(signers.trusted_root))
    yield from _left_out(demand, needed)
    certified = not isinstance(demand.signer, TrustedKey)
    if needed.timestamps or (call.stamped and certified):
        yield "--use-signed-timestamps"
    if call.format is SignatureFormat.COSIGN:
        # Beside bundles of any kind cosign would not look at it.
        yield "--new-bundle-format=false"
    hosts = {each.registry for each in (call.image, call.kept) if each is not None}
    for flag, insecure in zip(("http", "insecure"), asking.insecure, strict=True):
        if hosts & insecure:
            yield f"--allow-{flag}-registry"


def _signer(signers: Signers, demand: Demand) -> Iterator[str]:
    if signers.key is not None:
        yield from ("--key", _file(signers.key))
    if isinstance(demand.signer, TrustedKey):
        scheme = demand.signer.key.schemes[0]
        if scheme in _HASHES:
            yield f"--signature-digest-algorithm={_HASHES[scheme]}"
    for name, text, pattern in (
        (
            "--certificate-identity",
            signers.certificate_identity,
            signers.certificate_identity_regexp,
        ),
        (
            "--certificate-oidc-issuer",
            signers.certificate_oidc_issuer,
            signers.certificate_oidc_issuer_regexp,
        ),
    ):
        if text is not None:
            yield from (name, text)
        if pattern is not None:
            # cosign searches: what has to match as a whole is tied to both ends.
            yield from (f"{name}-regexp", f"^(?:{pattern})$")


def _workflow(signers: Signers) -> Iterator[str]:
    for name, text in signers.workflow.items():
        yield from (f"--certificate-github-workflow-{name}", text)


def _left_out(demand: Demand, needed: Thresholds) -> Iterator[str]:
    if not needed.logs:
        yield "--insecure-ignore-tlog"
    if not needed.scts and not isinstance(demand.signer, TrustedKey):
        yield "--insecure-ignore-sct"


def _file(path: Path) -> str:
    """Return a path that cosign does not take for the address of a key service."""
    text = str(path)
    return text if path.is_absolute() or ":" not in text else f"./{text}"


def _beyond(asking: Asking, calls: tuple[_Call, ...], question: Question) -> Iterator[str]:
    formats = {each.format for each in calls}
    if formats & {SignatureFormat.BUNDLE, None}:
        yield _ATTESTED
    if formats & {SignatureFormat.COSIGN, None}:
        rule = asking.demand.name
        name = rule.reference if rule else question.upstream
        yield f"cosign does not compare the name that was signed with {name.repository}"
