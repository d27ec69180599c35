"""Who has to have signed, as a policy file says it, and what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from imgverify.errors import InputError, InvalidPolicy
from imgverify.oci.reference import Reference
from imgverify.policy.document import read_yaml
from imgverify.policy.named import Files, files_named
from imgverify.policy.parse import parse_policy
from imgverify.policy.requirement import Requirement
from imgverify.policy.signers import COSIGN_FIELDS
from imgverify.signature.demand import Demand, NameRule
from imgverify.signature.identity import Exactly, Extension, Identity, Matching
from imgverify.signature.keys import PublicKey
from imgverify.signature.predicate import Condition, OneOf, Pointer, Scalar
from imgverify.signature.trusted import TrustedKey, TrustedRoot
from imgverify.verdict import Skipped
from tests.support.authorities import new_key, public_pem
from tests.support.signer import SLSA, Deployment

if TYPE_CHECKING:
    from imgverify.policy.model import Rule

Document = dict[str, Any]

ONE, TWO = (TrustedKey(PublicKey.from_pem(public_pem(new_key()))) for _ in range(2))
SHIPPED, PRIVATE = Deployment().roots(), Deployment().roots()
FILES = Files(
    keys={"one.pub": ONE, "two.pub": TWO, "keys/gone.pub": InputError("it cannot be read")},
    roots={"root.json": PRIVATE, "empty.json": (TrustedRoot("empty"),)},
    shipped=SHIPPED,
)
TLOG = {"insecure-ignore-tlog": True}
LOGIN = {"identity": "a@example.com", "issuer": "https://login.example.com"}


def rule(**fields: object) -> Rule:
    document = {"version": 1, "rules": [{"match": "**", **fields}]}
    (found,) = parse_policy(json.dumps(document).encode(), FILES).rules
    return found


def signed(
    *entries: object, how: str = "any-of", least: int | None = None
) -> tuple[Requirement, ...]:
    more = {} if least is None else {"at-least": least}
    return rule(signatures={how: entries, **more}).requires


def demand(**cosign: object) -> Demand:
    (requirement,) = signed({"cosign": cosign})
    (found,) = requirement.demands
    return found


def test_a_key_is_a_file_and_the_shipped_root_says_whose_logs_count() -> None:
    assert demand(key="one.pub") == Demand(ONE, SHIPPED)
    rooted = {"key": "one.pub", "trusted-root": "root.json", "insecure-ignore-tlog": True}
    assert demand(**rooted) == Demand(ONE, PRIVATE, insecure_skip=Skipped.LOG)


def test_an_identity_is_a_name_an_issuer_and_more() -> None:
    said = demand(
        **{
            "identity-regexp": ".+@example[.]com",
            "issuer": "https://login.example.com",
            "github-workflow-ref": "refs/heads/main",
            "source-repository-uri-regexp": "https://github[.]com/acme/.+",
            "insecure-ignore-sct": True,
            "signed-as": "registry.example/team/app",
        }
    )
    claims = (
        (Extension.WORKFLOW_REF, Exactly("refs/heads/main")),
        (Extension.SOURCE_REPOSITORY_URI, Matching("https://github[.]com/acme/.+")),
    )
    assert said == Demand(
        Identity(Matching(".+@example[.]com"), Exactly("https://login.example.com"), claims),
        SHIPPED,
        name=NameRule(Reference.parse("registry.example/team/app")),
        insecure_skip=Skipped.SCT,
    )


def test_threshold_distinct_of_a_list_one_some_or_all_are_needed() -> None:
    entries = [{"cosign": {"key": "one.pub"}}, {"cosign": {"key": "two.pub"}}]
    both = (Demand(ONE, SHIPPED), Demand(TWO, SHIPPED))
    assert signed(*entries) == (Requirement(both, 1),)
    assert signed(*entries, least=2) == (Requirement(both, 2),)
    assert signed(*entries, how="all-of") == (Requirement(both, 2),)


def test_lists_stand_in_lists() -> None:
    entries = [{"cosign": {"key": "one.pub"}}, {"any-of": [{"cosign": {"key": "two.pub"}}]}]
    inner = Requirement((Demand(TWO, SHIPPED),))
    assert signed(*entries, how="all-of") == (Requirement((Demand(ONE, SHIPPED),), 2, (inner,)),)
    some = {"any-of": [{"cosign": {"key": "two.pub"}}, {"cosign": LOGIN}], "at-least": 2}
    (found,) = signed(some)
    assert found.nested[0].at_least == 2


def test_every_attestation_is_a_requirement_of_its_own() -> None:
    where = [
        {"field": "/a", "equals": "1"},
        {"field": "/b/0", "one-of": [1, "x", True]},
        {"field": "/c", "matches": "v.+"},
    ]
    found = rule(
        signatures={"any-of": [{"cosign": {"key": "one.pub"}}]},
        attestations=[
            {"predicate-type": "slsaprovenance1", "cosign": LOGIN, "where": where},
            {"predicate-type": "https://x.example/v1", "cosign": {"key": "two.pub"}},
        ],
    ).requires
    signature, provenance, other = found
    assert (signature.predicate_types, provenance.predicate_types) == ((), (SLSA,))
    assert provenance.demands[0].where == (
        Condition(Pointer.parse("/a"), OneOf(("1",))),
        Condition(Pointer.parse("/b/0"), OneOf((1, "x", True))),
        Condition(Pointer.parse("/c"), Matching("v.+")),
    )
    assert other == Requirement((Demand(TWO, SHIPPED, predicate_type="https://x.example/v1"),))


def test_the_files_that_are_named_are_known_before_the_policy_is_read() -> None:
    text = b"""
        rules:
        - signatures: {all-of: [{cosign: {key: a.pub}}, {any-of: [{cosign: {key: b.pub}}]}]}
          attestations: [{cosign: {key: a.pub, trusted-root: r.json}}, {cosign: [], key: c.pub}]
        - {key: d.pub, cosign: {key: '', trusted-root: {key: e.pub}}}
    """
    named = files_named(read_yaml(text))
    assert (set(named.keys), set(named.roots)) == ({"a.pub", "b.pub"}, {"r.json"})
    assert named.signers
    assert not files_named(read_yaml(b"rules: [{match: '**'}]")).signers


KEY = "{cosign: {key: one.pub}}"
WHO = "identity: a, issuer: b"


def cosign(text: str) -> str:
    return f"signatures: {{any-of: [{{cosign: {{{text}}}}}]}}"


def attested(text: str) -> str:
    return f"attestations: [{{predicate-type: vuln, {text}}}]"


def where(text: str) -> str:
    return attested(f"cosign: {{{WHO}}}, where: [{{{text}}}]")


MISTAKES = [
    ("signatures: []", "a map is wanted here, with the keys all-of, any-of, at-least"),
    ("signatures: {}", "one of all-of and any-of is wanted here"),
    (f"signatures: {{all-of: [{KEY}], any-of: [{KEY}]}}", "one of all-of and any-of is wanted"),
    ("signatures: {any-of: []}", "an empty list"),
    ("signatures: {any-of: x}", "a list is wanted here"),
    ("signatures: {any-of: [x]}", "a map is wanted here"),
    ("signatures: {any-of: [{}]}", "one of all-of and any-of is wanted here"),
    ("signatures: {any-of: [{any-of: []}]}", "an empty list"),
    ("signatures: {some-of: [{}]}", "unknown key 'some-of'"),
    (f"signatures: {{any-of: [{KEY}, {KEY}]}}", "the same is in the list already"),
    (f"signatures: {{all-of: [{KEY}], at-least: 1}}", "all of a list are all"),
    *(
        (f"signatures: {{any-of: [{KEY}], at-least: {each}}}", "a whole number from 1 to 1")
        for each in ("0", "2", "-1", "'1'", "one", "1.0", "01", "[1]", "99999999999999999999")
    ),
    (
        f"signatures: {{any-of: [{KEY}, {cosign(WHO)[12:]}, {{any-of: [{KEY}]}}], at-least: 2}}",
        "at-least counts signers, so its list cannot hold other lists",
    ),
    ("signatures: {any-of: [{notation: {trust-policy: t.json}}]}", "notation is not supported"),
    ("signatures: {any-of: [{simple-signing: {}}]}", "simple-signing is not supported"),
    (f"signatures: {{any-of: [{{cosign: {{key: one.pub}}, any-of: [{KEY}]}}]}}", "one signer, or"),
    (cosign(""), "identity and issuer missing"),
    (cosign("identity: a"), "issuer missing: a signer is a key, or an identity with an issuer"),
    (cosign("issuer: a"), "identity missing"),
    (cosign("github-workflow-ref: a"), "identity and issuer missing"),
    (cosign("idenity: a, issuer: b"), "unknown key 'idenity'"),
    (cosign("identity: a, identity: c, issuer: b"), "the key 'identity' is there already"),
    (cosign("identity: a, identity-regexp: c, issuer: b"), "named for the same thing"),
    (cosign("identity: '', issuer: b"), "text is wanted here"),
    (cosign("identity: a, issuer: [b]"), "text is wanted here"),
    (cosign("identity-regexp: '(', issuer: b"), "is not a regular expression"),
    (cosign("identity-regexp: '.*', issuer: b"), "would match a name that is empty"),
    (cosign("identity: a, issuer-regexp: 'b?'"), "would match a name that is empty"),
    (cosign(f"{WHO}, github-workflow-sha-regexp: '.*'"), "would match a name that is empty"),
    (cosign("key: one.pub, issuer: b"), "so issuer would be ignored"),
    (cosign("key: one.pub, runner-environment: x"), "so runner-environment would be ignored"),
    (cosign("key: one.pub, insecure-ignore-sct: true"), "so insecure-ignore-sct would be ignored"),
    (cosign("key: keys/gone.pub"), "it cannot be read"),
    (cosign("key: unread.pub"), "unread.pub was not read"),
    (cosign(f"{WHO}, trusted-root: unread.json"), "unread.json was not read"),
    (cosign(f"{WHO}, trusted-root: empty.json"), "no trusted root has an authority"),
    (cosign(f"{WHO}, signed-as: 'a b'"), "'a b'"),
    (cosign(f"{WHO}, insecure-ignore-tlog: false"), "true is wanted here"),
    (cosign(f"{WHO}, insecure-ignore-tlog: 'true'"), "true is wanted here"),
    (cosign(f"{WHO}, insecure-ignore-tlog: [true]"), "true is wanted here"),
    (
        cosign(f"{WHO}, insecure-ignore-tlog: true, insecure-ignore-sct: true"),
        "one check can be left out",
    ),
    ("attestations: []", "an empty list"),
    ("attestations: {}", "a list is wanted here"),
    ("attestations: [{}]", "the key 'predicate-type' is missing"),
    ("attestations: [{predicate-type: vuln}]", "the key 'cosign' is missing"),
    (f"attestations: [{{cosign: {{{WHO}}}}}]", "the key 'predicate-type' is missing"),
    (attested("notation: {}"), "unknown key 'notation'"),
    (attested(f"cosign: {{{WHO}, signed-as: a/b}}"), "unknown key 'signed-as'"),
    (attested("cosign: {identity: a}"), "issuer missing"),
    (attested(f"cosign: {{{WHO}}}")[:-1] + f", {attested(f'cosign: {{{WHO}}}')[15:]}", "the same"),
    (attested(f"cosign: {{{WHO}}}, where: []"), "an empty list"),
    (f"attestations: [{{predicate-type: slsa, cosign: {{{WHO}}}}}]", "is no type of attestations"),
    (where(""), "the key 'field' is missing"),
    (where("field: /a"), "one of equals, one-of, matches is wanted here"),
    (where("field: /a, equals: 1, matches: x"), "one of equals, one-of, matches is wanted here"),
    (where("field: a.b, equals: 1"), "is not a place in a JSON document"),
    (where("field: /a, is: 1"), "unknown key 'is'"),
    (where("field: /a, equals: [1]"), "a text, a number, true or false is wanted here"),
    (where("field: /a, equals: "), "a text, a number, true or false is wanted here"),
    (where("field: /a, one-of: []"), "an empty list"),
    (where("field: /a, one-of: 1"), "a list is wanted here"),
    (where("field: /a, matches: '('"), "is not a regular expression"),
    (where("field: /a, matches: '.*'"), "would match"),
    (attested(f"cosign: {{{WHO}}}, where: [x]"), "a map is wanted here"),
    *(
        (where(f"field: /a, equals: {each}"), "could be text or not; put text between quotes")
        for each in (
            *("NO", "yes", "On", "off", "null", "~", "True", "FALSE", "y", "N"),
            *("1.10", "010", "0o14", "0x1F", "1_000", "1e3", "+1", ".5", "1.", "22:22"),
            *(".inf", "-.Inf", ".NaN", "2026-01-01", "1.27-alpine", "1e999"),
        )
    ),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES, ids=lambda each: str(each)[:70])
def test_yaml_semantics_a_mistake_is_told_at_its_place(text: str, said: str) -> None:
    document = f"version: 1\nrules:\n- match: '**'\n  {text}\n".encode()
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(document, FILES)
    problems = refused.value.problems
    assert any(said in each.message for each in problems), problems
    assert all(each.line == 4 for each in problems)
    assert all(each.column > 2 for each in problems)


def test_all_mistakes_are_told_at_once() -> None:
    text = """\
version: 1
rules:
- match: '**'
  signatures:
    all-of:
      - cosign: {key: keys/gone.pub}
      - cosign: {identity: a}
      - notation: {}
  attestations:
    - predicate-type: nothing
      cosign: {identity: a, issuer: b}
      where:
        - {field: a, equals: NO}
"""
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(text.encode(), FILES)
    problems = [(each.line, each.column) for each in refused.value.problems]
    assert problems == [(6, 23), (7, 17), (8, 19), (10, 23), (13, 19), (13, 30)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("main", "main"),
        ("'1.10'", "1.10"),
        ('"true"', "true"),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("refs/heads/main", "refs/heads/main"),
        ("none", "none"),
    ],
)
def test_yaml_semantics_values_are_what_they_look_like(text: str, value: Scalar) -> None:
    document = f"version: 1\nrules:\n- match: '**'\n  {where(f'field: /a, equals: {text}')}\n"
    (found,) = parse_policy(document.encode(), FILES).rules
    ((condition,),) = (each.where for each in found.requires[0].demands)
    assert isinstance(condition.wanted, OneOf)
    (read,) = condition.wanted.values
    assert (type(read), read) == (type(value), value)


def test_without_files_nobody_is_believed() -> None:
    document = f"version: 1\nrules:\n- match: '**'\n  {cosign(WHO)}\n".encode()
    with pytest.raises(InvalidPolicy, match="there is no trusted root"):
        parse_policy(document)


JUNK: st.SearchStrategy[object] = st.sampled_from(
    ["one.pub", "root.json", "a.+", "vuln", "/a", "", True, 1, None, [], {}]
)
GOOD = st.sampled_from(
    [{"key": "one.pub"}, {"key": "one.pub", **TLOG}, *(LOGIN | {"identity": x} for x in "abcdefgh")]
)
COSIGN = GOOD | GOOD | GOOD | st.dictionaries(st.sampled_from(["x", *COSIGN_FIELDS]), JUNK)
SIGNER = st.fixed_dictionaries({"cosign": COSIGN})


def lists(inner: st.SearchStrategy[Document]) -> st.SearchStrategy[Document]:
    entries = st.lists(inner, min_size=1, max_size=3)
    return (
        st.fixed_dictionaries({"all-of": entries})
        | st.fixed_dictionaries({"any-of": entries}, optional={"at-least": st.integers(1, 2)})
        | st.dictionaries(st.sampled_from(["all-of", "any-of"]), st.lists(inner, max_size=1))
    )


LISTS = lists(st.recursive(SIGNER, lists, max_leaves=4))
CONDITION = st.fixed_dictionaries({"field": st.just("/a"), "equals": JUNK})
ATTESTATIONS = st.lists(
    st.fixed_dictionaries(
        {"predicate-type": st.sampled_from(["vuln", "openvex", "a:b", ""]), "cosign": COSIGN},
        optional={"where": st.lists(CONDITION, max_size=2)},
    ),
    min_size=1,
    max_size=3,
)


@given(st.fixed_dictionaries({}, optional={"signatures": LISTS, "attestations": ATTESTATIONS}))
def test_empty_combinators_what_is_written_is_required_or_refused(said: Document) -> None:
    """Nothing that a rule says of signers gets lost on the way to a policy."""
    try:
        found = rule(**said).requires
    except InvalidPolicy:
        event("refused")
        return
    event("taken")
    signatures = [each for each in found if not each.predicate_types]
    attestations = [each for each in found if each.predicate_types]
    assert len(signatures) == ("signatures" in said)
    assert len(attestations) == len(said.get("attestations", ()))
    for each in signatures:
        assert shape(each) == written(said["signatures"])
    for each, wanted in zip(attestations, said.get("attestations", ()), strict=True):
        assert len(each.demands[0].where) == len(wanted.get("where", ()))


def shape(requirement: Requirement) -> tuple[int, int, list[object]]:
    inner = sorted(map(shape, requirement.nested), key=repr)
    return requirement.at_least, len(requirement.demands), [*inner]


def written(entry: Document) -> tuple[int, int, list[object]]:
    entries = entry["all-of"] if "all-of" in entry else entry["any-of"]
    signers = [each for each in entries if "cosign" in each]
    inner = sorted((written(each) for each in entries if "cosign" not in each), key=repr)
    least = len(entries) if "all-of" in entry else entry.get("at-least", 1)
    return least, len(signers), [*inner]
