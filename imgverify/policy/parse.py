"""From the text of a policy file to a `Policy` (docs/policy.md)."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Registry
from imgverify.policy.document import read_yaml
from imgverify.policy.fields import (
    Problems,
    choice,
    entries_of,
    fields_of,
    items_of,
    parse_date,
    parse_duration,
    parse_number,
    read,
    read_all,
    read_if,
    text_of,
)
from imgverify.policy.model import (
    ACCEPTABLE,
    Enforcement,
    Exemption,
    Policy,
    RegistrySettings,
    Rule,
    Rung,
    Witnesses,
)
from imgverify.policy.pattern import Pattern
from imgverify.verdict import Grade

if TYPE_CHECKING:
    from imgverify.policy.document import Node

_VERSION: Final = "1"
_TOP: Final = ("version", "registries", "evidence", "witnesses", "lock", "rules", "exceptions")
_RULE: Final = ("match", "accept", "stale", "platforms", "level")
_EXCEPTION: Final = ("match", "digest", "reason", "owner", "expires")
_REGISTRY: Final = ("timeout", "max-connections", "insecure")
_ACCEPT: Final = tuple(each.value for each in Grade if each in ACCEPTABLE)
_NEVER: Final = Digest.of(b"")


def parse_policy(data: bytes) -> Policy:
    """Read a policy file; raises `InvalidPolicy` with every mistake that could be found."""
    document, problems = read_yaml(data), Problems()
    top = fields_of(document, _TOP, problems, required=("version", "rules"))
    if "version" in top:
        _check_version(top["version"], problems)
    policy = Policy(
        rules=_rules(top.get("rules"), problems),
        exemptions=_exemptions(top.get("exceptions"), problems),
        evidence=_evidence(top, problems),
        witnesses=_witnesses(top.get("witnesses"), problems),
        registries=_registries(top.get("registries"), problems),
        lock=text_of(top["lock"], problems) if "lock" in top else None,
    )
    problems.raise_if_any()
    return policy


def _check_version(node: Node, problems: Problems) -> None:
    quoted = getattr(node, "quoted", False)
    if text_of(node, problems) != _VERSION or quoted:
        problems.note(node, "the version is the number 1; this imgverify knows no other")


def _rules(node: Node | None, problems: Problems) -> tuple[Rule, ...]:
    if node is None:
        return ()
    rules: dict[Pattern, Rule] = {}
    for item in items_of(node, problems):
        given = fields_of(item, _RULE, problems, required=("match",))
        pattern = read_if(given.get("match"), Pattern.parse, problems)
        rule = _rule(given, pattern or Rule().pattern, problems)
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
        stale = fields_of(given["stale"], ("max-age",), problems, required=("max-age",))
    return Rule(
        pattern=pattern,
        accept=frozenset(map(Grade, accept)) or usual.accept,
        stale_max_age=read_if(stale.get("max-age"), parse_duration, problems),
        platforms=read_all(given.get("platforms"), Platform.parse, problems),
        enforcement=Enforcement(level) if level else usual.enforcement,
    )


def _exemptions(node: Node | None, problems: Problems) -> tuple[Exemption, ...]:
    if node is None:
        return ()
    found: list[Exemption] = []
    for item in items_of(node, problems):
        given = fields_of(item, _EXCEPTION, problems, required=_EXCEPTION)
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


def _evidence(top: dict[str, Node], problems: Problems) -> tuple[Rung, ...]:
    node = top.get("evidence")
    if node is None:
        return Policy(()).evidence
    rungs = tuple(map(Rung, read_all(node, choice(*map(str, Rung)), problems)))
    if Rung.WITNESSES in rungs and "witnesses" not in top:
        problems.note(node, "witnesses are counted on, and no 'witnesses' are named")
    return rungs


def _witnesses(node: Node | None, problems: Problems) -> Witnesses | None:
    if node is None:
        return None
    keys = ("registries", "at-least")
    given = fields_of(node, keys, problems, required=keys)
    registries = read_all(given.get("registries"), Registry.parse, problems)
    at_least = read_if(given.get("at-least"), parse_number, problems) or 1
    if registries and at_least > len(registries):
        problems.note(node, f"{at_least} witnesses are wanted, and {len(registries)} are named")
    return Witnesses(registries, at_least)


def _registries(node: Node | None, problems: Problems) -> tuple[RegistrySettings, ...]:
    if node is None:
        return ()
    found: dict[Registry, RegistrySettings] = {}
    for key, value in entries_of(node, problems):
        registry = read(key, Registry.parse, problems)
        given = fields_of(value, _REGISTRY, problems)
        if registry is None:
            continue
        if registry in found:
            problems.note(key, f"{registry} is there already, by another name")
        timeout = read_if(given.get("timeout"), parse_duration, problems)
        insecure = read_if(given.get("insecure"), choice("http", "tls"), problems)
        found[registry] = RegistrySettings(
            registry,
            timeout.total_seconds() if timeout else None,
            read_if(given.get("max-connections"), parse_number, problems),
            insecure_http=insecure == "http",
            insecure_tls=insecure == "tls",
        )
    return tuple(found.values())
