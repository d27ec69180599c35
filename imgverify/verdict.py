"""What was found out about an image, and what was decided: values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import Side

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.oci.local import MirrorName, Origin
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Reference

HELP_URI: Final = "https://github.com/imgverify/imgverify/blob/main/docs/rules.md"


class Grade(enum.StrEnum):
    """What a mirror's bytes are; whether that is acceptable is the policy's business."""

    IDENTICAL = "identical"
    SUBSET = "subset"
    REPACKAGED = "repackaged"
    STALE = "stale"
    MISSING = "missing"
    DIVERGED = "diverged"
    INCONCLUSIVE = "inconclusive"


class Decision(enum.StrEnum):
    """What follows for the image."""

    ALLOW = "allow"
    DENY = "deny"
    INCONCLUSIVE = "inconclusive"


class Level(enum.StrEnum):
    """How much a finding matters, in SARIF's words; an error is never allowed."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Rule(enum.StrEnum):
    """What a finding is about; each has a section in `docs/rules.md`."""

    PLATFORM_ABSENT = "platform-absent"
    LAYER_NOT_VERIFIABLE = "layer-not-verifiable"
    DIGEST_MISMATCH = "digest-mismatch"
    HEADER_MISMATCH = "header-mismatch"
    MANIFEST_REBUILT = "manifest-rebuilt"
    MALFORMED = "malformed"
    UNREACHABLE = "unreachable"
    TAG_DIGEST_MISMATCH = "tag-digest-mismatch"
    NOT_INDEPENDENT = "not-independent"
    INSECURE = "insecure"
    PROXIED = "proxied"
    NO_MATCHING_RULE = "no-matching-rule"
    NOT_ENFORCED = "not-enforced"
    EXEMPTED = "exempted"
    UNSIGNED = "unsigned"
    UNATTESTED = "unattested"
    UNSIGNED_ATTESTATION = "unsigned-attestation"
    SIGNATURE_REJECTED = "signature-rejected"
    SIGNATURE_LOOKUP_FAILED = "signature-lookup-failed"
    SIGNATURE_NOT_CARRIED = "signature-not-carried"
    NOT_ACCEPTED = "not-accepted"
    UNRESOLVABLE_REFERENCE = "unresolvable-reference"
    UNREADABLE_FILE = "unreadable-file"

    @property
    def help_uri(self) -> str:
        """Where it is explained."""
        return f"{HELP_URI}#{self.value}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth saying; `message` may hold remote text and is escaped when shown."""

    rule: Rule
    level: Level
    message: str
    side: Side = Side.LOCAL
    hint: str = ""

    @property
    def help_uri(self) -> str:
        """Where the rule is explained."""
        return self.rule.help_uri


class SignatureFormat(enum.StrEnum):
    """The form in which a signature was found."""

    BUNDLE = "sigstore-bundle"
    COSIGN = "cosign-signature"
    COSIGN_ATTESTATION = "cosign-attestation"


class Clock(enum.StrEnum):
    """Whose word a time is."""

    LOG = "transparency-log"
    TIMESTAMP_AUTHORITY = "timestamp-authority"


class Skipped(enum.StrEnum):
    """A check that the caller asked to leave out, and that was left out."""

    LOG = "transparency-log"
    SCT = "certificate-log"


@dataclass(frozen=True, slots=True)
class SignerIdentity:
    """Whom the signer's certificate names; `issuer` is empty where a certificate has none."""

    name: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signature that holds: who signed which digest, when, and what says so.

    `identity` or `key` (a digest of the public key) names the signer, never both. `time` is the
    earliest that is vouched for, None where nobody vouches for one. `predicate_type` is None for a
    signature over the digest alone; only `is_signature` tells a signature from an attestation.
    `docker_reference` is the name that was signed along, where a format has one.
    """

    format: SignatureFormat
    identity: SignerIdentity | None
    key: Digest | None
    subject: Digest
    time: datetime | None = None
    clock: Clock | None = None
    predicate_type: str | None = None
    is_signature: bool = False
    docker_reference: str = ""
    verified_with: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        """Refuse evidence without a signer, and a time without a clock."""
        if (self.identity is None) == (self.key is None):
            msg = "a signature is made by somebody with a certificate, or with a key"
            raise ValueError(msg)
        if (self.time is None) != (self.clock is None):
            msg = "a time is somebody's word"
            raise ValueError(msg)


class SubjectLevel(enum.StrEnum):
    """What a signature is over: an index, or the manifest of one platform."""

    INDEX = "index"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Vouched:
    """Evidence, what it is over, and the registries and their repositories in which it lay."""

    evidence: Evidence
    level: SubjectLevel
    found_at: tuple[str, ...]
    repositories: tuple[Origin, ...] = ()


class Standing(enum.StrEnum):
    """Whether what is required of an image's signatures holds; unknown where a look-up failed."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Vouching:
    """What is known about who vouches for a digest."""

    standing: Standing
    vouched: tuple[Vouched, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Refuse to hold without anybody who vouches."""
        if self.standing is Standing.HOLDS and not self.vouched:
            msg = "nobody vouches for it"
            raise ValueError(msg)


class Coverage(enum.StrEnum):
    """Which bytes of a mirror were read and hashed."""

    NOTHING = "nothing"
    MANIFESTS = "manifests"
    LAYERS = "layers"


class LayerState(enum.StrEnum):
    """How a layer of the mirror's image relates to upstream's at the same position."""

    EQUAL = "equal"
    RECOMPRESSED = "recompressed"
    CHANGED = "changed"
    ADDED = "added"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer on both sides; `position` counts from 0 at the lowest layer.

    `upstream` is None for an added layer, `mirror` is None for a dropped one.
    """

    position: int
    state: LayerState
    upstream: Descriptor | None
    mirror: Descriptor | None


class ConfigState(enum.StrEnum):
    """How a mirror's image config relates to upstream's."""

    EQUAL = "equal"
    REWRITTEN = "rewritten"
    CHANGED = "changed"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """`rewritten`: other bytes that say the same in every field OCI defines.

    `fields` names what differs (or what a rewritten one no longer says), such as `config:Env`.
    """

    state: ConfigState
    fields: tuple[str, ...] = ()


class PlatformState(enum.StrEnum):
    """How one platform's manifest on the mirror relates to upstream's."""

    EQUAL = "equal"
    REPACKAGED = "repackaged"
    EARLIER = "earlier"
    CHANGED = "changed"
    ABSENT = "absent"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class PlatformChange:
    """One platform on both sides; `platform` is None where an image does not say its own."""

    platform: Platform | None
    state: PlatformState
    upstream: Digest | None
    mirror: Digest | None
    config: ConfigChange | None = None
    layers: tuple[LayerChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a grade was given.

    `proven` says that every recompressed layer was read and hashed uncompressed, and that the
    mirror added nothing that could make a runtime treat the image otherwise.
    `age` is how long upstream has had a newer image, at least; None where nobody knows.
    `attestations_absent` counts upstream's attestation children that the mirror's index lacks.
    """

    summary: str
    platforms: tuple[PlatformChange, ...] = ()
    proven: bool = False
    age: timedelta | None = None
    attestations_absent: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The grade of one mirror's image, and why."""

    grade: Grade
    explanation: Explanation


class ResolvedFrom(enum.StrEnum):
    """The rung of the evidence ladder that told the upstream digest."""

    UPSTREAM = "upstream"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class UpstreamResult:
    """What upstream said; `digest` is None exactly where it could not be learned.

    `rung` is whose word was looked for: of signatures only where upstream was not to be asked.
    """

    reference: Reference
    digest: Digest | None = None
    served_by: tuple[str, ...] = ()
    rung: ResolvedFrom = ResolvedFrom.UPSTREAM

    @property
    def resolved_from(self) -> ResolvedFrom | None:
        """Who told the digest."""
        return self.rung if self.digest else None


@dataclass(frozen=True, slots=True)
class MirrorResult:
    """One mirror or local copy, judged.

    `digest` is of the bytes it served for the tag, None without any.
    `exempted` says that the policy names this very digest, whatever its grade.
    """

    reference: MirrorName
    grade: Grade
    explanation: Explanation
    digest: Digest | None = None
    served_by: tuple[str, ...] = ()
    coverage: Coverage = Coverage.NOTHING
    findings: tuple[Finding, ...] = ()
    decision: Decision = Decision.INCONCLUSIVE
    exempted: bool = False

    def __post_init__(self) -> None:
        """Refuse an allowed mirror that was not graded, or has an error among its findings."""
        if self.decision is Decision.ALLOW:
            bad = {Grade.INCONCLUSIVE, Grade.MISSING}
            bad |= set() if self.exempted else {Grade.DIVERGED}
            if self.grade in bad or self.digest is None or _has_error(self.findings):
                msg = f"a mirror graded {self.grade} cannot be allowed"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Equivalent:
    """What cosign would be asked, for a shell, and in words what that leaves unchecked."""

    commands: tuple[str, ...]
    beyond: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One image, decided.

    `pinned` is upstream's name with the verified digest; it is there exactly if the decision is
    allow, and `pull` takes nothing else for a starting point.
    `cosign` is there where it was asked for.
    """

    requested: str
    upstream: UpstreamResult
    mirrors: tuple[MirrorResult, ...] = ()
    findings: tuple[Finding, ...] = ()
    decision: Decision = Decision.INCONCLUSIVE
    pinned: Reference | None = None
    evidence: tuple[Vouched, ...] = ()
    cosign: Equivalent | None = None

    def __post_init__(self) -> None:
        """Refuse an allowed image without a digest, and a pinned one that was not allowed."""
        allowed = self.decision is Decision.ALLOW
        fits = allowed == (self.pinned is not None)
        unpinned = self.pinned is not None and self.pinned.digest is None
        if not fits or unpinned or (allowed and _has_error(self.findings)):
            msg = f"a verdict of {self.decision} does not go with pinned={self.pinned}"
            raise ValueError(msg)


def _has_error(findings: tuple[Finding, ...]) -> bool:
    return any(each.level is Level.ERROR for each in findings)
