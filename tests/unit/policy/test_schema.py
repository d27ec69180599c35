"""The policy file's JSON Schema: the keys that the parser knows, and the same word on examples."""

from __future__ import annotations

import json
from datetime import date
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from imgverify.errors import InvalidPolicy
from imgverify.policy import conditions, parse, signers
from imgverify.policy.parse import parse_policy
from tests.unit.policy.test_signers import MISTAKES
from tests.unit.verify import test_policy_fields as fields

SCHEMA = json.loads((resources.files("imgverify.policy") / "policy.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)

KNOWN = {
    "rule": parse.RULE_FIELDS,
    "stale": parse.STALE_FIELDS,
    "exception": parse.EXCEPTION_FIELDS,
    "signatures": signers.SIGNATURE_FIELDS,
    "entry": ("cosign", *signers.SIGNATURE_FIELDS),
    "cosign": signers.COSIGN_FIELDS,
    "attestation": signers.ATTESTATION_FIELDS,
    "attester": signers.ATTESTER_FIELDS,
    "condition": conditions.CONDITION_FIELDS,
}
# What depends on a file, on another value, or on how a text is read.
PARSERS_ALONE = {
    "the key 'identity' is there already",
    "at-least counts signers, so its list cannot hold other lists",
    "is not a regular expression",
    "would match a name that is empty",
    "would match",
    "it cannot be read",
    "unread.pub was not read",
    "unread.json was not read",
    "no trusted root has an authority",
    "'a b'",
    "a whole number from 1 to 1",
    "could be text or not; put text between quotes",
}


def plain(text: str) -> Any:  # noqa: ANN401 - whatever stands there
    """Read a document as an editor does, which knows days and leaves them text."""

    def written(value: object) -> object:
        if isinstance(value, dict):
            return {key: written(each) for key, each in value.items()}
        if isinstance(value, list):
            return [written(each) for each in value]
        return value.isoformat() if isinstance(value, date) else value

    return written(YAML(typ="safe", pure=True).load(text))


def loads(document: object) -> bool:
    try:
        text = json.dumps(document).replace("127.0.0.1:0", "127.0.0.1:5000")
        parse_policy(text.encode(), fields.FILES)
    except InvalidPolicy:
        return False
    return True


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_has_exactly_the_keys_that_the_parser_knows() -> None:
    assert SCHEMA["properties"].keys() == {*parse.TOP_FIELDS}
    objects = {
        name: {*each["properties"]}
        for name, each in SCHEMA["$defs"].items()
        if "properties" in each
    }
    assert objects == {name: {*known} for name, known in KNOWN.items()}
    for name in KNOWN:
        assert SCHEMA["$defs"][name]["additionalProperties"] is False


@pytest.mark.parametrize(("table", "name"), fields.ROWS)
def test_schema_and_parser_agree_on_every_field(table: str, name: str) -> None:
    row = fields.TABLES[table][1][name]
    right, wrong = row.with_value(row.right), row.with_value(row.wrong)
    VALIDATOR.validate(right)
    assert loads(right)
    assert VALIDATOR.is_valid(wrong) == loads(wrong)
    unknown = row.with_value(row.right)
    inner: Any = unknown
    for step in row.place[:-1]:
        inner = inner[step]
    inner["unheard-of"] = 1
    assert not VALIDATOR.is_valid(unknown)
    assert not loads(unknown)


@pytest.mark.parametrize(("table", "name"), fields.ROWS)
def test_empty_combinators_yaml_semantics_nothing_is_no_value(table: str, name: str) -> None:
    row = fields.TABLES[table][1][name]
    nothing: tuple[object, ...] = ("", [], {}, None, [[]], [{}])
    for value in nothing:
        document = row.with_value(value)
        assert not loads(document)
        assert not VALIDATOR.is_valid(document)
    for word in (0, -1, False):
        # The parser may take it for text; the schema takes nothing that the parser does not.
        document = row.with_value(word)
        assert loads(document) or not VALIDATOR.is_valid(document)


OF_FORM = [text for text, said in MISTAKES if said not in PARSERS_ALONE]


@pytest.mark.parametrize("text", OF_FORM, ids=lambda each: each[:70])
def test_the_schema_finds_the_mistakes_that_are_of_form(text: str) -> None:
    assert not VALIDATOR.is_valid(plain(f"version: 1\nrules:\n- match: '**'\n  {text}\n"))


def test_only_mistakes_that_are_not_of_form_are_left_to_the_parser() -> None:
    assert {said for _, said in MISTAKES} > PARSERS_ALONE
    assert len(OF_FORM) > 40
