"""A permission is for one host and port: no character before, behind or inside makes it wider."""

import itertools
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgverify.errors import InvalidReference
from imgverify.oci.reference import Reference, Registry
from imgverify.registry.urls import api_url, is_among, registry_of

HOSTS = ["gcr.io", "docker.io", "registry.example.com:5000", "127.0.0.1:5000", "localhost", "[::1]"]
ADDED = "axz0.-_:/@%*?#\\ [1"


def mutants(text: str) -> Iterator[str]:
    """One character more, at every place; one less; and a dot that stands for any."""
    for at, more in itertools.product(range(len(text) + 1), ADDED):
        yield text[:at] + more + text[at:]
    for at in range(len(text)):
        yield text[:at] + text[at + 1 :]
        if text[at] == ".":
            yield text[:at] + "X" + text[at + 1 :]
    yield from (f"{text}.evil.test", f"evil.{text}", f"{text}evil", f"evil{text}")


@pytest.mark.parametrize("host", HOSTS)
def test_prefix_boundary_what_is_said_of_a_host_holds_for_no_other(host: str) -> None:
    named = Registry.parse(host)
    others = 0
    for text in mutants(host):
        try:
            other = Registry.parse(text)
        except InvalidReference:
            continue
        if other == named:
            # Another spelling of the same number, such as :05000 or [0::1].
            assert text.replace("0", "") == host.replace("0", "")
            continue
        others += 1
        assert api_url(other, "/v2/", insecure_http={named}).scheme == "https"
        for scheme in ("http", "https"):
            url = httpx.URL(f"{scheme}://{other.api}/")
            spelled_out = other.host == named.host and {other.port, named.port} in (
                {None, 80},
                {None, 443},
            )
            assert spelled_out or not is_among(url, {named})
    assert others > 5


def test_prefix_boundary_mutants_are_made() -> None:
    assert {"gcr.io.evil.test", "gcrXio", "xgcr.io", "gcr.ioa"} <= set(mutants("gcr.io"))


@pytest.mark.parametrize("path", ["library/nginx", "team/app", "a/b/c"])
def test_prefix_boundary_a_repository_is_another_with_one_character_more(path: str) -> None:
    named = Reference.parse(f"reg.test/{path}:1").repository
    for text in mutants(path):
        try:
            other = Reference.parse(f"reg.test/{text}:1").repository
        except InvalidReference:
            continue
        assert other != named
        assert str(other) != str(named)


WORDS = st.lists(
    st.sampled_from(["a", "xn--a", "1", "255", "256", "00", "0x7f", ".", "-", ":", "::", "[", "]"]),
    max_size=9,
).map("".join)


@settings(max_examples=200, deadline=None)
@given(WORDS)
@example("255.255.255.255:65535")
@example("1.2.3.4.5")
@example("0x7f.1")
def test_malformed_crash_every_registry_can_be_asked(text: str) -> None:
    try:
        registry = Registry.parse(text)
    except InvalidReference:
        return
    for insecure in ((), (registry,)):
        url = api_url(registry, "/v2/", insecure_http=insecure)
        assert is_among(url, {registry})
        assert registry_of(url).host == registry.host
