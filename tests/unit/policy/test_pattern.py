"""Which images a pattern is for: per path component, and never by accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InputError
from imgverify.oci.reference import Reference, Repository
from imgverify.policy.pattern import Pattern, most_specific

LETTER = st.sampled_from("abxyz09")


def repository(name: str) -> Repository:
    return Reference.parse(name).repository


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("**", "docker.io/library/nginx"),
        ("docker.io/**", "nginx"),
        ("docker.io/library/nginx", "nginx"),
        ("docker.io/nginx", "index.docker.io/library/nginx"),
        ("index.docker.io/nginx", "registry-1.docker.io/library/nginx"),
        ("docker.io/pytorch/**", "docker.io/pytorch/pytorch"),
        ("docker.io/pytorch/**", "docker.io/pytorch/a/b"),
        ("registry.example:5000/team/*", "registry.example:5000/team/app"),
        ("registry.example/team/app-*", "registry.example/team/app-1"),
        ("registry.example/*/app", "registry.example/team/app"),
        ("registry.example/t*m/app", "registry.example/tm/app"),
        ("[::1]:5000/app", "[::1]:5000/app"),
        ("localhost/app", "localhost/app"),
    ],
)
def test_hub_normalise_what_is_meant_is_matched(pattern: str, name: str) -> None:
    assert Pattern.parse(pattern).matches(repository(name))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("docker.io/**", "quay.io/library/nginx"),
        ("docker.io/pytorch/**", "docker.io/pytorch2/pytorch"),
        ("registry.example/team/**", "registry.example/team"),
        ("registry.example/team/*", "registry.example/team/a/b"),
        ("registry.example/team", "registry.example/team/app"),
        ("registry.example/team/app", "registry.example/team"),
        ("registry.example/a.c", "registry.example/abc"),
        ("registry.example/**", "registry.example:5000/app"),
        ("registry.example/**", "registry.example.evil.example/app"),
    ],
)
def test_prefix_boundary_what_is_not_meant_is_not_matched(pattern: str, name: str) -> None:
    assert not Pattern.parse(pattern).matches(repository(name))


@given(st.integers(0, 24), LETTER | st.just(""))
def test_prefix_boundary_no_mutant_of_a_name_matches(at: int, letter: str) -> None:
    name = "registry.example/team/app"
    mutant = name[:at] + letter + name[at + (not letter) :]
    try:
        found = repository(mutant)
    except InputError:
        return
    matches = Pattern.parse("registry.example/team/app").matches(found)
    assert matches == (str(found) == name)


@pytest.mark.parametrize(
    "text",
    [
        *("", "nginx", "library/nginx", "*", "*/app", "*.example/app", "registry.example/"),
        *("registry.example", "registry.example/**/app", "registry.example/a**", "docker.io//x"),
        *("registry.example/App", "registry.example/app:1", "registry.example/app@sha256:0"),
        *("registry.example/-a", "registry.example/[ab]", "registry.example/a?", "a b.c/x"),
        "registry.example/" + "a/" * 600 + "a",
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Pattern.parse(text)


def test_a_name_without_its_registry_is_answered_with_the_whole_one() -> None:
    with pytest.raises(InputError) as refused:
        Pattern.parse("pytorch/**")
    assert refused.value.hint == "write docker.io/pytorch/**"


def test_the_most_specific_pattern_decides_in_any_order() -> None:
    texts = [
        "**",
        "registry.example/**",
        "registry.example/*/**",
        "registry.example/*/app",
        "registry.example/te*/app",
        "registry.example/tea*/app",
        "registry.example/team/**",
        "registry.example/team/*",
        "registry.example/team/app",
    ]
    patterns = [Pattern.parse(each) for each in texts]
    for count in range(1, len(patterns) + 1):
        some = patterns[:count]
        for order in (some, some[::-1]):
            decides = most_specific(order, repository("registry.example/team/app"))
            assert str(decides) == texts[count - 1]
    assert most_specific(patterns[1:], repository("quay.io/team/app")) is None


@given(st.sampled_from(["**", "docker.io/**", "quay.io/a/*", "quay.io/a/b-*", "quay.io/x"]))
def test_a_pattern_is_read_back_as_it_is_written(text: str) -> None:
    assert str(Pattern.parse(text)) == text
