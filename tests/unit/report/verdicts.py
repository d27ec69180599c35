"""Verdicts of every kind, for all report formats."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from imgverify.errors import Side
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Algorithm, Digest
from imgverify.oci.local import CopyKind, LocalCopy
from imgverify.oci.mediatype import DOCKER_LAYER_GZIP, OCI_LAYER_ZSTD, MediaType
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.verdict import (
    Clock,
    ConfigChange,
    ConfigState,
    Coverage,
    Decision,
    Evidence,
    Explanation,
    Finding,
    Grade,
    LayerChange,
    LayerState,
    Level,
    MirrorResult,
    PlatformChange,
    PlatformState,
    ResolvedFrom,
    Rule,
    SignatureFormat,
    SignerIdentity,
    Skipped,
    SubjectLevel,
    UpstreamResult,
    Verdict,
    Vouched,
)

NGINX = Reference.parse("docker.io/library/nginx:1.27")
AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
S390X = Platform("linux", "s390x")
NEVER_ALLOWED = {Grade.DIVERGED, Grade.MISSING, Grade.INCONCLUSIVE}


def digest(letter: str) -> Digest:
    return Digest(Algorithm.SHA256, letter * 64)


def blob(letter: str, size: int, media_type: MediaType = DOCKER_LAYER_GZIP) -> Descriptor:
    return Descriptor(media_type, digest(letter), size)


def at(host: str, reference: Reference = NGINX) -> Reference:
    return reference.at(Repository(Registry.parse(host), reference.repository.path))


def equal_layers(count: int) -> list[LayerChange]:
    same = blob("e", 10 * 1024 * 1024)
    return [LayerChange(each, LayerState.EQUAL, same, same) for each in range(count)]


CHANGED = PlatformChange(
    AMD64,
    PlatformState.CHANGED,
    digest("1"),
    digest("2"),
    ConfigChange(ConfigState.CHANGED, ("config:Cmd", "config:Env")),
    (
        *equal_layers(7),
        LayerChange(7, LayerState.CHANGED, blob("3", 53_687_091), blob("4", 54_420_000)),
        LayerChange(8, LayerState.ADDED, None, blob("5", 1127)),
        LayerChange(9, LayerState.DROPPED, blob("6", 512), None),
    ),
)
REPACKAGED = PlatformChange(
    AMD64,
    PlatformState.REPACKAGED,
    digest("1"),
    digest("2"),
    ConfigChange(ConfigState.REWRITTEN, ("container_config",)),
    (
        *equal_layers(1),
        LayerChange(
            1,
            LayerState.RECOMPRESSED,
            blob("3", 53_687_091),
            blob("4", 41_943_040, OCI_LAYER_ZSTD),
        ),
    ),
)
EARLIER = PlatformChange(
    None,
    PlatformState.EARLIER,
    digest("1"),
    digest("2"),
    ConfigChange(ConfigState.EQUAL),
    tuple(equal_layers(2)),
)
UNREAD = PlatformChange(
    ARM64, PlatformState.CHANGED, digest("7"), digest("8"), ConfigChange(ConfigState.UNREAD)
)
SAME = PlatformChange(ARM64, PlatformState.EQUAL, digest("7"), digest("7"))
ABSENT = PlatformChange(S390X, PlatformState.ABSENT, digest("9"), None)
ADDED = PlatformChange(Platform("windows", "amd64", "", "10.0"), PlatformState.ADDED, None, None)


def finding(level: Level, rule: Rule = Rule.MALFORMED, side: Side = Side.MIRROR) -> Finding:
    return Finding(rule, level, f"about {rule.value}", side, "look at it")


IDENTICAL_MIRROR = MirrorResult(
    at("m.example.cn"),
    Grade.IDENTICAL,
    Explanation("the digests are equal"),
    digest("a"),
    ("m.example.cn",),
    Coverage.MANIFESTS,
    decision=Decision.ALLOW,
)
DIVERGED_MIRROR = MirrorResult(
    at("m.example.cn"),
    Grade.DIVERGED,
    Explanation(
        "as far as can be known, upstream never published this",
        (CHANGED, SAME, ABSENT, ADDED),
        attestations_absent=2,
    ),
    digest("b"),
    ("cdn.example.net",),
    Coverage.MANIFESTS,
    (
        Finding(
            Rule.MALFORMED,
            Level.ERROR,
            "the mirror's image is not upstream's",
            Side.MIRROR,
            "take another mirror, and tell the keeper of this one",
        ),
    ),
    Decision.DENY,
)
STALE_MIRROR = MirrorResult(
    Reference.parse("mirror.example/docker.io/library/nginx:1.27"),
    Grade.STALE,
    Explanation("an earlier image of upstream's", (EARLIER,), age=timedelta(hours=36)),
    digest("c"),
    coverage=Coverage.LAYERS,
    findings=(finding(Level.WARNING),),
    decision=Decision.DENY,
)
REPACKAGED_MIRROR = MirrorResult(
    at("m.example.cn"),
    Grade.REPACKAGED,
    Explanation("other bytes that claim the same configuration and layers", (REPACKAGED,)),
    digest("b"),
    coverage=Coverage.MANIFESTS,
    decision=Decision.DENY,
)

UPSTREAM = UpstreamResult(NGINX, digest("a"), ("registry-1.docker.io",))
SILENT = UpstreamResult(NGINX)
PINNED = NGINX.pinned(digest("a"))


def verdict(
    decision: Decision,
    *mirrors: MirrorResult,
    upstream: UpstreamResult = UPSTREAM,
    findings: tuple[Finding, ...] = (),
    requested: str = str(NGINX),
    evidence: tuple[Vouched, ...] = (),
) -> Verdict:
    pinned = PINNED if decision is Decision.ALLOW else None
    return Verdict(requested, upstream, mirrors, findings, decision, pinned, evidence)


IDENTICAL = verdict(Decision.ALLOW, IDENTICAL_MIRROR)
DIVERGED = verdict(Decision.DENY, DIVERGED_MIRROR)
MIXED = verdict(
    Decision.ALLOW,
    IDENTICAL_MIRROR,
    STALE_MIRROR,
    findings=(
        Finding(
            Rule.INSECURE,
            Level.NOTE,
            "m.example.cn was asked without TLS",
            Side.LOCAL,
        ),
    ),
    requested="nginx:1.27",
)
REPACKED = verdict(Decision.DENY, REPACKAGED_MIRROR)
UNREACHABLE = verdict(
    Decision.INCONCLUSIVE,
    MirrorResult(
        at("m.example.cn"),
        Grade.INCONCLUSIVE,
        Explanation("upstream's digest is not known"),
        digest("b"),
        coverage=Coverage.MANIFESTS,
    ),
    upstream=SILENT,
    findings=(
        Finding(
            Rule.UNREACHABLE,
            Level.ERROR,
            "no connection to registry-1.docker.io within 15 s",
            Side.UPSTREAM,
            "check the network, or name a lock file",
        ),
    ),
)
NO_MIRROR = verdict(Decision.ALLOW)


def _graded() -> dict[str, Verdict]:
    """Every grade with every decision that it can have, each mirror with another coverage."""
    found = {}
    for grade in Grade:
        for decision in Decision:
            if decision is Decision.ALLOW and grade in NEVER_ALLOWED:
                continue
            mirrors = [
                MirrorResult(
                    at(f"{coverage.value}.example"),
                    grade,
                    Explanation("why", age=timedelta(0) if grade is Grade.STALE else None),
                    None if grade is Grade.MISSING else digest("b"),
                    coverage=coverage,
                    decision=decision,
                )
                for coverage in Coverage
            ]
            found[f"{grade.value}-{decision.value}"] = verdict(decision, *mirrors)
    return found


def _stated() -> dict[str, Verdict]:
    """Every state of a platform, a config and a layer, and every rule, level and side."""
    changes = (CHANGED, REPACKAGED, EARLIER, UNREAD, SAME, ABSENT, ADDED)
    findings = tuple(
        finding(level, rule, side) for rule in Rule for level in Level for side in Side
    )
    mirrors = [
        MirrorResult(
            at("all.example"),
            Grade.DIVERGED,
            Explanation("why", changes, proven, timedelta(days=3, seconds=5), 1),
            digest("b"),
            findings=findings[::2],
            decision=Decision.DENY,
        )
        for proven in (True, False)
    ]
    every = verdict(Decision.DENY, *mirrors, findings=findings)
    return {"every-state": every}


def evidence(text: str, **fields: object) -> Evidence:
    """A signature by an identity; `text` is wherever text is taken as it comes."""
    given: dict[str, Any] = {
        "format": SignatureFormat.BUNDLE,
        "identity": SignerIdentity(text, text),
        "key": None,
        "subject": digest("a"),
        "time": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "clock": Clock.LOG,
        "predicate_type": text,
        "verified_with": (text,),
    }
    return Evidence(**(given | fields))


def _vouched() -> dict[str, Verdict]:
    """Every way in which somebody may vouch, one verdict each."""
    key = {"identity": None, "key": digest("b")}
    ways = {
        "identity": evidence("publisher@example.com", is_signature=True),
        "key": evidence("", **key, predicate_type=None, is_signature=True),
        "no-clock": evidence("a", **key, time=None, clock=None, skipped=tuple(Skipped)),
        **{
            f"form-{each}": evidence("a", format=each, clock=Clock.TIMESTAMP_AUTHORITY)
            for each in SignatureFormat
        },
    }
    return {
        f"vouched-{name}-{level}": verdict(
            Decision.ALLOW, evidence=(Vouched(way, level, ("registry.example",)),)
        )
        for name, way in ways.items()
        for level in SubjectLevel
    }


COPY = MirrorResult(
    LocalCopy(CopyKind.LAYOUT, "images/nginx", "1.27"),
    Grade.INCONCLUSIVE,
    Explanation("nobody who was named vouches for it"),
    digest("a"),
    coverage=Coverage.MANIFESTS,
    decision=Decision.DENY,
)
OFFLINE = verdict(
    Decision.ALLOW,
    replace(COPY, grade=Grade.IDENTICAL, decision=Decision.ALLOW),
    upstream=UpstreamResult(NGINX, digest("a"), rung=ResolvedFrom.SIGNATURE),
)

VERDICTS: dict[str, Verdict] = {
    "identical": IDENTICAL,
    "diverged": DIVERGED,
    "mixed": MIXED,
    "repackaged-claimed": REPACKED,
    "upstream-unreachable": UNREACHABLE,
    "no-mirror": NO_MIRROR,
    "offline": OFFLINE,
    "offline-denied": verdict(
        Decision.DENY,
        COPY,
        upstream=UpstreamResult(NGINX, rung=ResolvedFrom.SIGNATURE),
        findings=(finding(Level.ERROR),),
    ),
    "no-mirror-denied": verdict(Decision.DENY, findings=(finding(Level.ERROR),)),
    "upstream-by-digest": verdict(
        Decision.DENY, upstream=UpstreamResult(NGINX.pinned(digest("a")), digest("a"))
    ),
    **_graded(),
    **_stated(),
    **_vouched(),
}


def hostile(text: str) -> Verdict:
    """Put `text` wherever a value takes text without looking at it."""
    media_type = MediaType(text)
    layer = LayerChange(
        0, LayerState.RECOMPRESSED, blob("1", 1, media_type), blob("2", 1, media_type)
    )
    platform = Platform(text, text, text, text)
    changes = tuple(
        PlatformChange(
            platform,
            state,
            digest("1"),
            digest("2"),
            ConfigChange(ConfigState.CHANGED, (text, text)),
            (layer,),
        )
        for state in PlatformState
    )
    findings = tuple(Finding(rule, Level.ERROR, text, side, text) for rule in Rule for side in Side)
    reference = Reference(Repository(Registry(text), "library/nginx"), "1.27")
    mirror = MirrorResult(
        reference,
        Grade.DIVERGED,
        Explanation(text, changes),
        digest("b"),
        (text, text),
        findings=findings,
        decision=Decision.DENY,
    )
    upstream = UpstreamResult(reference, digest("a"), (text,))
    vouched = Vouched(evidence(text), SubjectLevel.INDEX, (text,))
    return Verdict(text, upstream, (mirror,), findings[:1], Decision.DENY, evidence=(vouched,))


# What has been used against terminals, logs and CI runners, one kind each.
HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "c1": "\x9b31mred\x85",
    "newline": "fine\nALLOWED  docker.io/library/nginx",
    "return": "bad\rgood",
    "erase": "bad\x08\x08\x08good\x7f",
    "separators": "one\u2028two\u2029three",
    "bidi": "\u202egpj.exe\u202c\u2066x\u2069\u200f\u061c",
    "zero-width": "doc\u200bker\ufeff.io\u2060",
    "tags": "x\U000e0041\U000e0042\U000e007f",
    "filler": "x\u3164\u115f\ufe0f",
    "unassigned": "\U0003fffd\ue000",
    "surrogate": "\ud800",
    "github": "::error file=app.py::oops",
    "github-indented": "  ::add-mask::x",
    "github-newline": "x\n::set-output name=a::b\r::warning::c",
    "github-later": "words ::error::x and then more ::warning::y",
    "github-old": "##[set-env name=A]b",
    "azure": "x ##vso[task.setvariable variable=a]b",
    "teamcity": "###teamcity[buildProblem]",
    "nul": "a\x00b",
    "long": "x" * 5000,
    "gitlab": "\x1b[0Ksection_start:1:x\r\x1b[0K",
}
