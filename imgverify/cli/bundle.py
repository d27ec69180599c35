"""What `imgverify verify-bundle` does once its words are understood."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgverify.cli.output import write_report
from imgverify.errors import InputError, Malformed, SignatureRejected
from imgverify.exitcode import ExitCode
from imgverify.oci import limits
from imgverify.oci.digest import Digest
from imgverify.report.evidence import evidence_lines, rejection_line
from imgverify.signature.demand import Demand, Kind
from imgverify.signature.identity import Identity
from imgverify.signature.message import Message
from imgverify.signature.verify import verify_bundle
from imgverify.trust.files import read_artifact, read_file, read_key, read_trusted_roots

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.signature.demand import Signer


@dataclass(frozen=True, slots=True)
class Words:
    """The options, as typed."""

    bundle: Path
    certificate_identity: str | None
    certificate_oidc_issuer: str | None
    key: Path | None
    trusted_root: Path | None
    staging: bool


def judge_bundle(artifact: str, words: Words, app: App) -> ExitCode:
    """Verify the bundle, and print who vouches for the artifact or why nobody does."""
    signer = _signer(words)
    if words.staging and words.trusted_root is None:
        msg = "the trusted root of the staging instance does not come with imgverify"
        raise InputError(msg, hint="name it with --trusted-root")
    roots = read_trusted_roots(words.trusted_root) if words.trusted_root else app.trusted_roots()
    data = read_file(words.bundle, limits.BUNDLE_SIZE, "the bundle")
    demand = Demand(signer, roots, kind=Kind.ANYTHING)
    try:
        verified = verify_bundle(data, _artifact(artifact), demand, now=app.now)
    except SignatureRejected as error:
        write_report(rejection_line(error), None)
        return ExitCode.DENIED
    write_report("\n".join(evidence_lines(verified.evidence)), None)
    return ExitCode.ALLOWED


def _signer(words: Words) -> Signer:
    named = words.certificate_identity, words.certificate_oidc_issuer
    if words.key is not None and named == (None, None):
        return read_key(words.key)
    if words.key is None and None not in named:
        return Identity.exactly(named[0] or "", named[1] or "")
    msg = "say who has to have signed: a key, or an identity together with its issuer"
    hint = "use --key, or --certificate-identity and --certificate-oidc-issuer"
    raise InputError(msg, hint=hint)


def _artifact(text: str) -> Message:
    """Take a digest for one only where no file is called so, as the protocol has it."""
    path = Path(text)
    if text.startswith("sha256:") and not path.exists():
        with contextlib.suppress(Malformed):
            return Message(Digest.parse(text))
    return read_artifact(path)
