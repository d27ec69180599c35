"""Every field of a policy file decides something: with another value there, the decision flips.

A field that the parser learns, and that has no row here, fails the first test.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from imgverify.errors import InvalidPolicy
from imgverify.policy import conditions, parse, signers
from imgverify.policy.named import Files
from imgverify.policy.parse import parse_policy
from imgverify.signature.identity import Extension
from imgverify.signature.trusted import TrustedKey
from imgverify.verdict import Decision, Rule, Verdict
from tests.support.attach import Place, attach
from tests.support.authorities import NOW, email
from tests.support.image import AMD64, put, trimmed
from tests.support.signer import ISSUER, NAME, SLSA, WHO, Deployment, Signer
from tests.unit.verify.world import FORGED, NEW, OLD, PATH, TAG, World

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]
Path = tuple[str | int, ...]

SIGSTORE, STRANGE = Deployment(), Deployment()
CLAIMS = tuple((each.value, f"right {each.label}") for each in Extension)
SIGNER = SIGSTORE.log_in(email(WHO).but(claims=CLAIMS))
KEYED, STRANGER = SIGSTORE.make("key alone", NEW.manifest), STRANGE.make("key alone", NEW.manifest)
PREDICATE = {"branch": "main", "count": 3}


def _key(signer: Signer) -> TrustedKey:
    made = SIGSTORE.make("key alone", NEW.manifest, signer).demand.signer
    assert isinstance(made, TrustedKey)
    return made


FILES = Files(
    keys={"right.pub": _key(KEYED.signer), "wrong.pub": _key(STRANGER.signer)},
    roots={"right.json": SIGSTORE.roots(), "wrong.json": STRANGE.roots()},
    shipped=SIGSTORE.roots(),
)
LOGIN = {"identity": WHO, "issuer": ISSUER}
ATTESTED = {"predicate-type": SLSA, "cosign": LOGIN}
RULE: Final = ("rules", 0)
SIGNED_BY: Final = (*RULE, "signatures", "any-of", 0, "cosign")
ATTESTATION: Final = (*RULE, "attestations", 0)
ATTESTED_BY: Final = (*ATTESTATION, "cosign")
WHERE: Final = (*ATTESTATION, "where", 0)


class _Absent:
    """No value at all."""


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Row:
    """A field at a place, a value with which the image is allowed, and one that is impossible.

    `rest` is what else the policy says, `mirror` what the mirror has under the tag.
    `said` is a finding that has to be there where the image is allowed.
    """

    place: Path
    right: object
    wrong: object
    rest: Document
    mirror: object = NEW
    said: Rule | None = None

    def with_value(self, value: object) -> Document:
        document = copy.deepcopy(self.rest)
        inner: Any = document
        for step in self.place[:-1]:
            inner = inner[step]
        inner.pop(self.place[-1], None)
        if value is not ABSENT:
            inner[self.place[-1]] = value
        return document


def policy(**rule: object) -> Document:
    return {"version": 1, "rules": [{"match": "**", **rule}]}


def signed(**cosign: object) -> Document:
    return policy(signatures={"any-of": [{"cosign": cosign}]})


def attested(**more: object) -> Document:
    return policy(attestations=[ATTESTED | more])


TWO = [{"cosign": LOGIN}, {"cosign": {"key": "right.pub", "insecure-ignore-tlog": True}}]
NOBODY = [{"cosign": LOGIN | {"identity": "nobody@example.com"}}]
SUBSET = policy(accept=["subset"], platforms=["linux/amd64"])
STALE = policy(stale={"max-age": "9999d"})
EXEMPTED = policy() | {
    "exceptions": [
        {
            "match": f"127.0.0.1:0/{PATH}",
            "digest": str(FORGED.digest),
            "reason": "patched",
            "owner": "ops",
            "expires": "2999-12-31",
        }
    ]
}


def exception(name: str, wrong: object) -> Row:
    right = EXEMPTED["exceptions"][0][name]
    return Row(("exceptions", 0, name), right, wrong, EXEMPTED, FORGED, Rule.EXEMPTED)


def login_rows(place: Path, rest: Document) -> dict[str, Row]:
    texts = {"identity": WHO, "issuer": ISSUER} | {
        each.label: f"right {each.label}" for each in Extension
    }
    rows = {name: Row((*place, name), text, f"{text}x", rest) for name, text in texts.items()}
    for name in texts:
        without = Row((*place, name), ABSENT, ABSENT, rest).with_value(ABSENT)
        pattern = f"{name}-regexp"
        rows[pattern] = Row((*place, pattern), "[a-z].+", "[A-Z].+", without)
    return rows


TABLES: dict[str, tuple[tuple[str, ...], dict[str, Row]]] = {
    "the file": (
        parse.TOP_FIELDS,
        {
            "version": Row(("version",), 1, 2, policy()),
            "rules": Row(("rules",), policy()["rules"], [{"match": "quay.io/**"}], policy()),
            "exceptions": Row(
                ("exceptions",), EXEMPTED["exceptions"], ABSENT, policy(), FORGED, Rule.EXEMPTED
            ),
        },
    ),
    "a rule": (
        parse.RULE_FIELDS,
        {
            "match": Row((*RULE, "match"), "**", "quay.io/**", policy()),
            "accept": Row(
                (*RULE, "accept"), ["subset"], ["identical"], SUBSET, trimmed(NEW, AMD64)
            ),
            "stale": Row((*RULE, "stale"), {"max-age": "9999d"}, ABSENT, policy(), OLD),
            "platforms": Row((*RULE, "platforms"), ["linux/amd64"], ["linux/s390x"], policy()),
            "level": Row((*RULE, "level"), "warn", "enforce", policy(), OLD, Rule.NOT_ENFORCED),
            "signatures": Row((*RULE, "signatures"), {"any-of": TWO}, {"any-of": NOBODY}, policy()),
            "attestations": Row(
                (*RULE, "attestations"),
                [ATTESTED],
                [ATTESTED, ATTESTED | {"predicate-type": "vuln"}],
                policy(),
            ),
        },
    ),
    "stale": (
        parse.STALE_FIELDS,
        {"max-age": Row((*RULE, "stale", "max-age"), "9999d", "1s", STALE, OLD)},
    ),
    "an exception": (
        parse.EXCEPTION_FIELDS,
        {
            "match": exception("match", "quay.io/app"),
            "digest": exception("digest", str(OLD.digest)),
            "reason": exception("reason", ABSENT),
            "owner": exception("owner", ABSENT),
            "expires": exception("expires", f"{NOW.year - 1}-12-31"),
        },
    ),
    "signatures": (
        signers.SIGNATURE_FIELDS,
        {
            "any-of": Row((*RULE, "signatures", "any-of"), TWO, NOBODY, signed(**LOGIN)),
            "all-of": Row(
                (*RULE, "signatures", "all-of"), TWO, TWO + NOBODY, policy(signatures={})
            ),
            "at-least": Row(
                (*RULE, "signatures", "at-least"),
                2,
                3,
                policy(signatures={"any-of": TWO + NOBODY}),
            ),
        },
    ),
    "a signer": (
        signers.COSIGN_FIELDS,
        login_rows(SIGNED_BY, signed(**LOGIN))
        | {
            "key": Row(
                (*SIGNED_BY, "key"),
                "right.pub",
                "wrong.pub",
                signed(key="", **{"insecure-ignore-tlog": True}),
            ),
            "trusted-root": Row(
                (*SIGNED_BY, "trusted-root"), "right.json", "wrong.json", signed(**LOGIN)
            ),
            "insecure-ignore-tlog": Row(
                (*SIGNED_BY, "insecure-ignore-tlog"),
                right=True,
                wrong=ABSENT,
                rest=signed(key="right.pub"),
                said=Rule.INSECURE,
            ),
            "insecure-ignore-sct": Row(
                (*SIGNED_BY, "insecure-ignore-sct"),
                right=True,
                wrong=ABSENT,
                rest=signed(identity="unlisted@example.com", issuer=ISSUER),
                said=Rule.INSECURE,
            ),
            "signed-as": Row(
                (*SIGNED_BY, "signed-as"),
                NAME,
                f"{NAME}s",
                signed(identity="named@example.com", issuer=ISSUER),
            ),
        },
    ),
    "an attestation": (
        signers.ATTESTATION_FIELDS,
        {
            "predicate-type": Row((*ATTESTATION, "predicate-type"), SLSA, "vuln", attested()),
            "cosign": Row(
                (*ATTESTATION, "cosign"), LOGIN, NOBODY[0]["cosign"], attested(cosign=LOGIN)
            ),
            "where": Row(
                (*ATTESTATION, "where"),
                [{"field": "/branch", "equals": "main"}],
                [{"field": "/branch", "equals": "main"}, {"field": "/count", "equals": 4}],
                attested(),
            ),
        },
    ),
    "who attests": (
        signers.ATTESTER_FIELDS,
        login_rows(ATTESTED_BY, attested(cosign=dict(LOGIN)))
        | {
            "key": Row(
                (*ATTESTED_BY, "key"),
                "right.pub",
                "wrong.pub",
                attested(cosign={"insecure-ignore-tlog": True}),
            ),
            "trusted-root": Row(
                (*ATTESTED_BY, "trusted-root"),
                "right.json",
                "wrong.json",
                attested(cosign=dict(LOGIN)),
            ),
            "insecure-ignore-tlog": Row(
                (*ATTESTED_BY, "insecure-ignore-tlog"),
                right=True,
                wrong=ABSENT,
                rest=attested(cosign={"key": "right.pub"}),
                said=Rule.INSECURE,
            ),
            "insecure-ignore-sct": Row(
                (*ATTESTED_BY, "insecure-ignore-sct"),
                right=True,
                wrong=ABSENT,
                rest=attested(cosign={"identity": "unlisted@example.com", "issuer": ISSUER}),
                said=Rule.INSECURE,
            ),
        },
    ),
    "a condition": (
        conditions.CONDITION_FIELDS,
        {
            "field": Row(
                (*WHERE, "field"), "/branch", "/Branch", attested(where=[{"equals": "main"}])
            ),
            "equals": Row((*WHERE, "equals"), 3, "3", attested(where=[{"field": "/count"}])),
            "one-of": Row(
                (*WHERE, "one-of"), ["dev", "main"], ["dev"], attested(where=[{"field": "/branch"}])
            ),
            "matches": Row((*WHERE, "matches"), "m.+", "m", attested(where=[{"field": "/branch"}])),
        },
    ),
}
# What decides nothing by itself has to be there: without it there is no policy.
UNREADABLE = {("the file", "version"), ("an exception", "reason"), ("an exception", "owner")}
ROWS = [(table, name) for table, (_, rows) in TABLES.items() for name in rows]


@pytest.fixture(scope="module")
def vouched() -> Callable[[World], None]:
    """Return what puts all signatures and attestations of these tests beside the image."""
    unlisted = SIGSTORE.log_in(email("unlisted@example.com"), sct=False)
    named = SIGSTORE.log_in(email("named@example.com"))
    stating = {"predicateType": SLSA, "predicate": PREDICATE}
    made = [
        (SIGSTORE.make("keyless, Rekor v1", NEW.manifest, SIGNER), Place.REFERRER),
        (SIGSTORE.make("keyless, Rekor v1", NEW.manifest, unlisted), Place.REFERRER),
        (SIGSTORE.make("cosign, keyless", NEW.manifest, named), Place.REFERRER),
        (KEYED, Place.REFERRER),
        *(
            (SIGSTORE.make(name, NEW.manifest, each, **stating), Place.REFERRER)
            for name, each in (
                ("keyless, Rekor v1", SIGNER),
                ("keyless, Rekor v1", unlisted),
                ("key alone", KEYED.signer),
            )
        ),
    ]

    def put_beside(world: World) -> None:
        for specimen, place in made:
            attach(world.upstream.shelf, PATH, NEW, specimen, place=place)

    return put_beside


def decide(world: World, row: Row, value: object) -> Verdict | None:
    """Return the verdict of a policy, None where it does not load."""
    text = json.dumps(row.with_value(value)).replace("127.0.0.1:0", world.upstream.host)
    put(world.upstream.shelf, PATH, NEW, TAG)
    put(world.upstream.shelf, PATH, OLD)
    put(world.mirror.shelf, PATH, row.mirror, TAG)  # type: ignore[arg-type] # an image or index
    try:
        read = parse_policy(text.encode(), FILES)
    except InvalidPolicy:
        return None
    return world.put_question(world.question(), policy=read, now=NOW)


@pytest.mark.parametrize("table", TABLES)
def test_policy_field_ignored_every_field_that_the_parser_knows_has_a_row(table: str) -> None:
    known, rows = TABLES[table]
    assert rows.keys() == {*known}
    assert all(row.place[-1] == name for name, row in rows.items())


@pytest.mark.parametrize(("table", "name"), ROWS)
def test_policy_field_ignored_another_value_flips_the_decision(
    pair: World, vouched: Callable[[World], None], table: str, name: str
) -> None:
    row = TABLES[table][1][name]
    vouched(pair)
    allowed = decide(pair, row, row.right)
    assert allowed is not None
    assert allowed.decision is Decision.ALLOW, allowed.findings
    said = {each.rule for each in (*allowed.findings, *allowed.mirrors[0].findings)}
    assert row.said is None or row.said in said
    denied = decide(pair, row, row.wrong)
    if (table, name) in UNREADABLE:
        assert denied is None
    else:
        assert denied is not None
        assert denied.decision is Decision.DENY, denied.findings
