"""From the text of a policy file to a `Policy` (docs/policy.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Final

from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.policy.document import read_yaml
from imgverify.policy.fields import (
    Problems,
    choice,
    fields_of,
    items_of,
    parse_date,
    parse_duration,
    read_all,
    read_if,
    text_of,
)
from imgverify.policy.model import (
    ACCEPTABLE,
    Enforcement,
    Exemption,
    Policy,
    Rule,
)
from imgverify.policy.named import Files
from imgverify.policy.pattern import Pattern
from imgverify.verdict import Grade

if TYPE_CHECKING:
    from imgverify.policy.document import Node
    from imgverify.policy.requirement import Requirement

_VERSION: Final = "1"
_ABOUT_SIGNERS: Final = ("signatures", "attestations")
TOP_FIELDS: Final = ("version", "rules", "exceptions")
RULE_FIELDS: Final = ("match", "accept", "stale", "platforms", "level", *_ABOUT_SIGNERS)
STALE_FIELDS: Final = ("max-age",)
EXCEPTION_FIELDS: Final = ("match", "digest", "reason", "owner", "expires")
_ACCEPT: Final = tuple(each.value for each in Grade if each in ACCEPTABLE)
_NEVER: Final = Digest.of(b"")
NO_FILES: Final = Files()


def parse_policy(data: bytes, files: Files = NO_FILES) -> Policy:
    """Read a policy file; raises what `policy_of` raises."""
    return policy_of(read_yaml(data), files)


def policy_of(document: Node, files: Files) -> Policy:
    """Read a policy; raises `InvalidPolicy` with every mistake that could be found.

    `files` are those that `files_named` says the document names.
    """
    problems = Problems()
    top = fields_of(document, TOP_FIELDS, problems, required=("version", "rules"))
    if "version" in top:
        _check_version(top["version"], problems)
    policy = Policy(
        rules=_rules(top.get("rules"), files, problems),
        exemptions=_exemptions(top.get("exceptions"), problems),
    )
    problems.raise_if_any()
    return policy


def _check_version(node: Node, problems: Problems) -> None:
    quoted = getattr(node, "quoted", False)
    if text_of(node, problems) != _VERSION or quoted:
        problems.note(node, "the version is the number 1; this imgverify knows no other")


def _rules(node: Node | None, files: Files, problems: Problems) -> tuple[Rule, ...]:
    if node is None:
        return ()
    rules: dict[Pattern, Rule] = {}
    for item in items_of(node, problems):
        given = fields_of(item, RULE_FIELDS, problems, required=("match",))
        pattern = read_if(given.get("match"), Pattern.parse, problems)
        rule = _rule(given, pattern or Rule().pattern, problems)
        rule = replace(rule, requires=_requirements(given, files, problems))
        if pattern in rules:
            problems.note(item, f"there is a rule for {pattern} already")
        if pattern is not None:
            rules[pattern] = rule
    return tuple(rules.values())


def _rule(given: dict[str, Node], pattern: Pattern, problems: Problems) -> Rule:
    usual = Rule()
    accept = read_all(given.get("accept"), choice(*_ACCEPT), problems)
    level = read_if(given.get("level"), choice(*map(str, Enforcement)), problems)
    stale: dict[str, Node] = {}
    if "stale" in given:
        stale = fields_of(given["stale"], STALE_FIELDS, problems, required=STALE_FIELDS)
    return Rule(
        pattern=pattern,
        accept=frozenset(map(Grade, accept)) or usual.accept,
        stale_max_age=read_if(stale.get("max-age"), parse_duration, problems),
        platforms=read_all(given.get("platforms"), Platform.parse, problems),
        enforcement=Enforcement(level) if level else usual.enforcement,
    )


def _requirements(
    given: dict[str, Node], files: Files, problems: Problems
) -> tuple[Requirement, ...]:
    """Read what a rule requires of signatures and attestations."""
    if not given.keys() & {*_ABOUT_SIGNERS}:
        return ()
    # Here: it loads what verifies signatures.
    from imgverify.policy.signers import Reader  # noqa: PLC0415 - as above

    reader = Reader(files, problems)
    signed = reader.signatures(given["signatures"]) if "signatures" in given else ()
    attested = reader.attestations(given["attestations"]) if "attestations" in given else ()
    return (*signed, *attested)


def _exemptions(node: Node | None, problems: Problems) -> tuple[Exemption, ...]:
    if node is None:
        return ()
    found: list[Exemption] = []
    for item in items_of(node, problems):
        given = fields_of(item, EXCEPTION_FIELDS, problems, required=EXCEPTION_FIELDS)
        pattern = read_if(given.get("match"), Pattern.parse, problems)
        expires = read_if(given.get("expires"), parse_date, problems)
        found.append(
            Exemption(
                pattern=pattern or Rule().pattern,
                digest=read_if(given.get("digest"), Digest.parse, problems) or _NEVER,
                reason=text_of(given["reason"], problems) if "reason" in given else "",
                owner=text_of(given["owner"], problems) if "owner" in given else "",
                expires=expires or date.min,
            )
        )
        if found[-1] in found[:-1]:
            problems.note(item, "the same exception is there already")
    return tuple(found)
