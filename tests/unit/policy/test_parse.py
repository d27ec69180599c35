"""Policy files: what they say, and what is wrong with them."""

from datetime import UTC, date, datetime, timedelta

import pytest

from imgverify.errors import InvalidPolicy
from imgverify.oci.digest import Digest
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference
from imgverify.policy.model import DEFAULT_POLICY, Enforcement
from imgverify.policy.parse import parse_policy
from imgverify.policy.pattern import Pattern
from imgverify.verdict import Grade

DIGEST = Digest.of(b"redis")
WHOLE = f"""\
version: 1
rules:
  - match: docker.io/pytorch/**
    accept: [identical, repackaged]
    stale: {{max-age: 36h}}
    platforms: [linux/amd64, linux/arm64/v8]
  - match: registry.k8s.io/**
    level: warn
exceptions:
  - match: docker.io/redis
    digest: {DIGEST}
    reason: a patch
    owner: ops
    expires: 2027-01-31
"""


def rules(*lines: str) -> bytes:
    return "\n".join(["version: 1", "rules:", *lines]).encode()


def test_a_whole_policy_says_what_it_says() -> None:
    policy = parse_policy(WHOLE.encode())
    first, second = policy.rules
    assert first.pattern == Pattern.parse("docker.io/pytorch/**")
    assert first.accept == {Grade.IDENTICAL, Grade.REPACKAGED}
    assert first.stale_max_age == timedelta(hours=36)
    assert first.platforms == (Platform.parse("linux/amd64"), Platform.parse("linux/arm64"))
    assert (first.enforcement, second.enforcement) == (Enforcement.ENFORCE, Enforcement.WARN)
    assert second.accept == {Grade.IDENTICAL, Grade.SUBSET}
    assert second.stale_max_age is None
    (exemption,) = policy.exemptions
    assert str(exemption.pattern) == "docker.io/library/redis"
    assert (exemption.digest, exemption.expires) == (DIGEST, date(2027, 1, 31))
    assert (exemption.reason, exemption.owner) == ("a patch", "ops")


def test_the_least_policy_takes_what_the_built_in_one_does() -> None:
    assert parse_policy(rules("- match: '**'")) == DEFAULT_POLICY


def test_an_exception_ends_with_its_day_in_utc() -> None:
    (exemption,) = parse_policy(WHOLE.encode()).exemptions
    redis = Reference.parse("redis").repository
    for moment, holds in (
        (datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2027, 2, 1, tzinfo=UTC), False),
    ):
        assert exemption.holds(redis, DIGEST, moment) == holds


SPELLINGS = [
    *("nginx", "nginx:1.27", "library/nginx", "docker.io/nginx", "docker.io/library/nginx"),
    *("index.docker.io/nginx", "registry-1.docker.io/library/nginx", f"nginx@{DIGEST}"),
    *("Docker.io/library/nginx", "docker.io:443/library/nginx:latest"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_hub_normalise_ten_spellings_of_one_image_have_one_rule(spelling: str) -> None:
    text = rules("- match: docker.io/library/nginx", "  level: warn", "- match: '**'")
    rule = parse_policy(text).rule_for(Reference.parse(spelling).repository)
    assert rule is not None
    assert rule.enforcement is Enforcement.WARN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"- 1\n", "1:1: a map is wanted here, with the keys version,"),
        (b"version: 1\n", "1:1: the key 'rules' is missing"),
        (b"rules: [{match: '**'}]\n", "1:1: the key 'version' is missing"),
        (b"version: '1'\nrules: [{match: '**'}]\n", "1:10: the version is the number 1"),
        (b"version: 1.0\nrules: [{match: '**'}]\n", "1:10: the version is the number 1"),
        (b"version: [1]\nrules: [{match: '**'}]\n", "1:10: text is wanted here"),
        (b"version: 1\nrules: []\n", "2:8: an empty list"),
        (b"version: 1\nrules: all\n", "2:8: a list is wanted here"),
        (rules("- match: '**'", "  acept: [identical]"), "4:3: unknown key 'acept'"),
        (rules("- accept: [identical]"), "3:3: the key 'match' is missing"),
        (rules("- match: nginx"), "3:10: 'nginx' is not a pattern"),
        (rules("- match: '**'", "- match: '**'"), "4:3: there is a rule for ** already"),
        (rules("- match: '**'", "  accept: [stale]"), "4:12: 'stale' is none of identical,"),
        (rules("- match: '**'", "  accept: [diverged]"), "4:12: 'diverged' is none of"),
        (rules("- match: '**'", "  accept: identical"), "4:11: a list is wanted here"),
        (rules("- match: '**'", "  accept: [subset, subset]"), "4:20: subset is in the list"),
        (rules("- match: '**'", "  stale: 36h"), "4:10: a map is wanted here"),
        (rules("- match: '**'", "  stale: {}"), "4:10: the key 'max-age' is missing"),
        (rules("- match: '**'", "  stale: {max-age: 36}"), "4:20: '36' is not a length of time"),
        (rules("- match: '**'", "  stale: {max-age: 0h}"), "4:20: '0h' is not a length of time"),
        (rules("- match: '**'", "  stale: {max-age: }"), "4:19: text is wanted here"),
        (rules("- match: '**'", "  level: null"), "4:10: text is wanted here"),
        (rules("- match: ~"), "3:10: text is wanted here"),
        (WHOLE.replace("a patch", "Null").encode(), "12:13: text is wanted here"),
        (rules("- match: '**'", "  platforms: [linux]"), "4:15: 'linux' is not a platform"),
        (rules("- match: '**'", "  level: off"), "4:10: 'off' is none of enforce, warn"),
        (rules("- match: '**'", "evidence: [lock]"), "4:1: unknown key 'evidence'"),
    ],
    ids=lambda each: each.split(": ", 1)[1] if isinstance(each, str) else "",
)
def test_a_mistake_is_told_with_its_line_and_column(text: bytes, said: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(text)
    lines = refused.value.named("p.yaml").message.split("\n")
    assert any(line.startswith(f"p.yaml:{said}") for line in lines), lines


@pytest.mark.parametrize("key", ["match", "digest", "reason", "owner", "expires"])
def test_exceptions_scope_every_field_of_an_exception_is_required(key: str) -> None:
    lines = [each for each in WHOLE.splitlines() if each.strip().removeprefix("- ")[:3] != key[:3]]
    text = (
        "\n".join(lines)
        if key != "match"
        else WHOLE.replace("  - match: docker.io/redis\n    d", "  - d")
    )
    with pytest.raises(InvalidPolicy, match=f"the key '{key}' is missing"):
        parse_policy(text.encode())


def test_the_same_exception_twice_is_a_mistake() -> None:
    start = WHOLE.index("  - match: docker.io/redis")
    with pytest.raises(InvalidPolicy, match="the same exception is there already"):
        parse_policy((WHOLE + WHOLE[start:]).encode())


@pytest.mark.parametrize("day", ["2027-02-30", "2027-1-31", "31.01.2027", "2027-01-31T00:00:00Z"])
def test_what_is_no_day_is_a_mistake(day: str) -> None:
    with pytest.raises(InvalidPolicy, match="is not a day"):
        parse_policy(WHOLE.replace("2027-01-31", day).encode())


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = rules("- match: nginx", "  level: off", "  stale: {max-age: x}", "- {}")
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(text)
    assert [each.line for each in refused.value.problems] == [3, 4, 5, 6]
