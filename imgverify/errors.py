"""Every exception of imgverify; the tree is this docstring.

::

    ImgverifyError              could not decide, or was misused
    ├─ InputError               exit 2: the caller's words are wrong
    │  ├─ InvalidReference
    │  └─ InvalidPolicy         every mistake of a policy file, each with its line and column
    ├─ SourceError              exit 3: a registry did not give what was asked for
    │  ├─ Unreachable           no usable answer: DNS, connection, TLS, time limit, 5xx
    │  ├─ Unauthorized          401 or 403
    │  ├─ NotFound              404 (a fact that the decision uses, not a failure in itself)
    │  ├─ RateLimited           429; carries `retry_after`
    │  └─ AllSourcesFailed      one cause per source
    ├─ ContentError             the bytes are wrong; becomes a finding
    │  ├─ DigestMismatch
    │  ├─ LimitExceeded
    │  ├─ Malformed
    │  ├─ Unparsable            a file in which images are looked for; carries line and column
    │  └─ SignatureRejected     exit 1: a signature that does not hold; carries a `Reason`
    ├─ StoreError               exit 4: verified, but not stored
    └─ Interrupted              exit 130

A bad image is not an exception but a `Verdict`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Side(enum.StrEnum):
    """Whose answer an error or a finding is about."""

    UPSTREAM = "upstream"
    MIRROR = "mirror"
    SIGNATURES = "signature-repository"
    LOCAL = "local"


class Reason(enum.StrEnum):
    """Why a signature does not hold; each is explained in `docs/signatures.md`."""

    # Its form.
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    UNSUPPORTED = "unsupported"
    DUPLICATE = "duplicate"
    # What it says.
    ARTIFACT_MISMATCH = "artifact-mismatch"
    NAME_MISMATCH = "name-mismatch"
    PREDICATE_MISMATCH = "predicate-mismatch"
    CONDITION_UNMET = "condition-unmet"
    # Who made it.
    SIGNATURE_INVALID = "signature-invalid"
    SIGNER_KIND = "signer-kind"
    IDENTITY_MISMATCH = "identity-mismatch"
    ISSUER_MISMATCH = "issuer-mismatch"
    CLAIM_MISMATCH = "claim-mismatch"
    KEY_TIME = "key-time"
    # Its certificate.
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_USAGE = "certificate-usage"
    CERTIFICATE_TIME = "certificate-time"
    AUTHORITY_TIME = "authority-time"
    SCT_MISSING = "sct-missing"
    SCT_UNKNOWN = "sct-unknown"
    SCT_INVALID = "sct-invalid"
    # The log's word.
    LOG_MISSING = "log-missing"
    LOG_UNKNOWN = "log-unknown"
    LOG_TIME = "log-time"
    ENTRY_MISMATCH = "entry-mismatch"
    PROMISE_INVALID = "promise-invalid"
    PROOF_MISSING = "proof-missing"
    PROOF_INVALID = "proof-invalid"
    CHECKPOINT_INVALID = "checkpoint-invalid"
    CHECKPOINT_MISMATCH = "checkpoint-mismatch"
    # When it was made.
    TIME_MISSING = "time-missing"
    TIME_FUTURE = "time-future"
    TIMESTAMP_INVALID = "timestamp-invalid"
    TIMESTAMP_MISMATCH = "timestamp-mismatch"
    TIMESTAMP_UNTRUSTED = "timestamp-untrusted"
    TIMESTAMP_TIME = "timestamp-time"


class ImgverifyError(Exception):
    """What happened, on which side, and what to do about it.

    `message` and `hint` may hold text that a server sent: escape both before they are shown.
    """

    def __init__(self, message: str, *, side: Side = Side.LOCAL, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.side = side
        self.hint = hint


class InputError(ImgverifyError):
    """A command line, policy or lock file that cannot be acted on."""


class InvalidReference(InputError):
    """Text that is not an image reference."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file; `line` and `column` count from 1."""

    line: int
    column: int
    message: str


class InvalidPolicy(InputError):
    """A policy file that cannot be acted on; `problems` are all its mistakes, in order."""

    def __init__(self, problems: tuple[Problem, ...], name: str = "policy") -> None:
        lines = (f"{name}:{each.line}:{each.column}: {each.message}" for each in problems)
        super().__init__("\n".join(lines))
        self.problems = problems

    def named(self, name: str) -> InvalidPolicy:
        """Return the same with the file's name before each line."""
        return InvalidPolicy(self.problems, name)


class SourceError(ImgverifyError):
    """A source could not be asked, or did not answer as the protocol says."""


class Unreachable(SourceError):
    """No usable answer: name lookup, connection, TLS, time limit or a server error.

    `transient` says that the same request may succeed a moment later; `status` is the HTTP
    status where there was an answer.
    """

    def __init__(
        self,
        message: str,
        *,
        side: Side = Side.LOCAL,
        hint: str = "",
        transient: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(message, side=side, hint=hint)
        self.transient = transient
        self.status = status


class Unauthorized(SourceError):
    """The registry wants other credentials (401), or forbids the request (403)."""


class NotFound(SourceError):
    """The registry answered 404."""


class RateLimited(SourceError):
    """The registry answered 429; `retry_after` is its wish in seconds, if it said one."""

    def __init__(
        self,
        message: str,
        *,
        side: Side = Side.LOCAL,
        hint: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, side=side, hint=hint)
        self.retry_after = retry_after
        self.transient = True


class AllSourcesFailed(SourceError):
    """Every source of one piece of content failed; `causes` has one error for each, in order."""

    def __init__(
        self,
        message: str,
        causes: tuple[ImgverifyError, ...],
        *,
        side: Side = Side.LOCAL,
        hint: str = "",
    ) -> None:
        super().__init__(message, side=side, hint=hint)
        self.causes = causes


class ContentError(ImgverifyError):
    """Bytes arrived, and they are not what they have to be."""


class DigestMismatch(ContentError):
    """The bytes do not hash to the digest they were asked for, or have another size."""


class LimitExceeded(ContentError):
    """A bound of `imgverify.oci.limits` was reached."""


class Malformed(ContentError):
    """The bytes do not follow their specification."""


class Unparsable(ContentError):
    """A file in which images are looked for cannot be read; `line` and `column` count from 1."""

    def __init__(self, message: str, *, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class SignatureRejected(ContentError):
    """A signature, or what came along with it, that does not hold; `reason` is for programs."""

    def __init__(
        self, message: str, reason: Reason, *, side: Side = Side.LOCAL, hint: str = ""
    ) -> None:
        super().__init__(message, side=side, hint=hint)
        self.reason = reason


class StoreError(ImgverifyError):
    """Verified content could not be written or handed over."""


class Interrupted(ImgverifyError):
    """The user, or a failure in another thread, asked for the work to stop."""
