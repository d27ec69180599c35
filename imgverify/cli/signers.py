"""The options that say who has to have signed an image, under cosign's names."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from imgverify.cli.options import collect
from imgverify.errors import InputError
from imgverify.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.policy.requirement import Requirement
    from imgverify.signature.demand import Signer
    from imgverify.signature.identity import Rule
    from imgverify.signature.trusted import TrustedRoot

F = TypeVar("F", bound="Callable[..., Any]")

_FILE: Final = click.Path(path_type=Path)
WHO: Final = (
    "use --key, or --certificate-identity and --certificate-oidc-issuer (each may be a -regexp)"
)


@dataclass(frozen=True, slots=True)
class Signers:
    """The options, as typed."""

    key: Path | None
    certificate_identity: str | None
    certificate_identity_regexp: str | None
    certificate_oidc_issuer: str | None
    certificate_oidc_issuer_regexp: str | None
    trusted_root: Path | None
    signed_as: str | None
    insecure_ignore_tlog: bool
    insecure_ignore_sct: bool
    certificate_github_workflow_trigger: str | None
    certificate_github_workflow_sha: str | None
    certificate_github_workflow_name: str | None
    certificate_github_workflow_repository: str | None
    certificate_github_workflow_ref: str | None
    attestations: tuple[str, ...]

    @property
    def is_named(self) -> bool:
        """Whether anything was said of signatures."""
        return any(getattr(self, each.name) not in (None, False, ()) for each in fields(self))

    @property
    def workflow(self) -> dict[str, str]:
        """What was said of a GitHub workflow, by the end of the option's name."""
        said = {each: getattr(self, f"certificate_github_workflow_{each}") for each in _WORKFLOW}
        return {each: text for each, text in said.items() if text is not None}


_WORKFLOW: Final = ("trigger", "sha", "name", "repository", "ref")

_OPTIONS: Final = (
    click.option("--key", type=_FILE, metavar="FILE", help="The signer's public key, as PEM."),
    click.option(
        "--certificate-identity", metavar="NAME", help="Whom the certificate has to name."
    ),
    click.option(
        "--certificate-identity-regexp",
        metavar="REGEXP",
        help="What the whole of that name has to match.",
    ),
    click.option(
        "--certificate-oidc-issuer", metavar="URL", help="Who has to have vouched for the login."
    ),
    click.option(
        "--certificate-oidc-issuer-regexp",
        metavar="REGEXP",
        help="What the whole of that URL has to match.",
    ),
    click.option(
        "--trusted-root",
        type=_FILE,
        metavar="FILE",
        help="Whose logs and authorities to believe. Default: the public Sigstore instance's.",
    ),
    click.option(
        "--signed-as",
        metavar="NAME",
        help="The repository that a cosign signature names. Default: upstream's.",
    ),
    click.option(
        "--insecure-ignore-tlog",
        is_flag=True,
        help="Do not ask for an entry in a transparency log; noted in the verdict.",
    ),
    click.option(
        "--insecure-ignore-sct",
        is_flag=True,
        help="Do not ask for an entry in a certificate log; noted in the verdict.",
    ),
    *(
        click.option(
            f"--certificate-github-workflow-{each}",
            metavar="TEXT",
            help=f"The {each} of the GitHub workflow that the certificate has to name.",
        )
        for each in _WORKFLOW
    ),
    click.option(
        "--attestation",
        "attestations",
        multiple=True,
        metavar="TYPE",
        help="Ask for an attestation of this type, and not for a signature: a URI, or cosign's word"
        " such as slsaprovenance1. Repeatable; each is needed.",
    ),
)


def signs(command: F) -> F:
    """Give a command the options on signatures, as `signers`."""
    collected = collect(Signers, "signers", command)
    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


def requirements_of(
    signers: Signers, default: Callable[[], tuple[TrustedRoot, ...]]
) -> tuple[Requirement, ...]:
    """Read what is required of signatures, nothing if nothing was said; raises `InputError`.

    `default` gives whom to believe where nothing is named.
    """
    if not signers.is_named:
        return ()
    # Here: they load what verifies signatures.
    from imgverify.policy.requirement import Requirement  # noqa: PLC0415 - as above
    from imgverify.signature.demand import Demand, NameRule  # noqa: PLC0415 - as above
    from imgverify.signature.predicate import predicate_type  # noqa: PLC0415 - as above
    from imgverify.trust.files import read_trusted_roots  # noqa: PLC0415 - as above
    from imgverify.verdict import Skipped  # noqa: PLC0415 - as above

    if signers.insecure_ignore_tlog and signers.insecure_ignore_sct:
        msg = "--insecure-ignore-tlog and --insecure-ignore-sct are given together"
        raise InputError(msg, hint="name a --trusted-root that has no logs, if there are none")
    if signers.attestations and signers.signed_as:
        msg = "--signed-as is given, and attestations name no repository"
        raise InputError(msg, hint="leave it out, or ask for a signature")
    skip = Skipped.SCT if signers.insecure_ignore_sct else None
    demand = Demand(
        _signer(signers),
        read_trusted_roots(signers.trusted_root) if signers.trusted_root else default(),
        name=NameRule(Reference.parse(signers.signed_as)) if signers.signed_as else None,
        insecure_skip=Skipped.LOG if signers.insecure_ignore_tlog else skip,
    )
    kinds = dict.fromkeys(map(predicate_type, signers.attestations)) or (None,)
    return tuple(Requirement((replace(demand, predicate_type=each),)) for each in kinds)


def _signer(signers: Signers) -> Signer:
    from imgverify.signature.identity import (  # noqa: PLC0415 - as above
        Exactly,
        Extension,
        Identity,
    )
    from imgverify.trust.files import read_key  # noqa: PLC0415 - as above

    name = _rule(signers.certificate_identity, signers.certificate_identity_regexp)
    issuer = _rule(signers.certificate_oidc_issuer, signers.certificate_oidc_issuer_regexp)
    if signers.key is not None and name is None and issuer is None and not signers.workflow:
        return read_key(signers.key)
    if signers.key is None and name is not None and issuer is not None:
        said = signers.workflow.items()
        claims = ((Extension[f"WORKFLOW_{each.upper()}"], Exactly(text)) for each, text in said)
        return Identity(name, issuer, tuple(claims))
    msg = "say who has to have signed: a key, or an identity together with its issuer"
    raise InputError(msg, hint=WHO)


def _rule(text: str | None, regexp: str | None) -> Rule | None:
    from imgverify.signature.identity import Exactly, Matching  # noqa: PLC0415 - as above

    if text is not None and regexp is not None:
        msg = f"{text!r} and the pattern {regexp!r} are named for the same thing"
        raise InputError(msg, hint=WHO)
    if regexp is not None:
        return Matching(regexp)
    return None if text is None else Exactly(text)
