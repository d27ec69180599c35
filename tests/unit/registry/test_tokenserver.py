"""What is asked of a token server, and what is made of its answer."""

import secrets
from dataclasses import replace

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgverify.errors import ContentError, Malformed, Unauthorized
from imgverify.oci import limits
from imgverify.oci.reference import Registry, Repository
from imgverify.registry.challenge import Challenge, parse_challenges
from imgverify.registry.credentials import ANONYMOUS, Credentials
from imgverify.registry.tokenserver import (
    TokenWish,
    parse_token,
    token_requests,
    wider_scopes,
    wish_for,
)
from tests.unit.registry.scene import everything_said

REG = Registry("reg.test")
URL = httpx.URL("https://reg.test/v2/team/app/manifests/1")
ALICE = Credentials("alice", "pa55")
OWN = "repository:team/app:pull"


def bearer(realm: str = "https://reg.test/token", scope: str = OWN) -> Challenge:
    fields = (("realm", realm), ("service", "reg"), ("scope", scope), ("error", ""))
    return Challenge("bearer", fields)


def wish(realm: str = "https://reg.test/token", *shared: tuple[str, str]) -> TokenWish:
    pairs = frozenset((Registry.parse(one), Registry.parse(other)) for one, other in shared)
    place = Repository(REG, "team/app")
    return wish_for(place, bearer(realm), URL, ALICE, token_servers=pairs)


def test_a_host_that_the_user_names_may_be_sent_the_credentials() -> None:
    made = wish("https://auth.test:8443/token", ("reg.test", "auth.test:8443"))
    assert made.registry == REG
    assert not made.is_own
    with pytest.raises(Unauthorized) as caught:
        wish("https://auth.test:8443/token")
    assert "--token-server reg.test=auth.test:8443" in caught.value.hint


@pytest.mark.parametrize(
    ("realm", "own", "other"),
    [
        ("https://auth.test/token", "reg.test", "auth.test:8443"),
        ("https://auth.test/token", "other.test", "auth.test"),
        ("https://auth.test/token", "auth.test", "reg.test"),
        ("https://x.auth.test/token", "reg.test", "auth.test"),
        ("http://auth.test/token", "reg.test", "auth.test"),
        ("https://10.0.0.1/token", "reg.test", "10.0.0.1"),
    ],
)
def test_realm_exfil_a_host_is_named_for_one_registry_and_reached_by_name_over_tls(
    realm: str, own: str, other: str
) -> None:
    with pytest.raises(Unauthorized):
        wish(realm, (own, other))


def test_several_hosts_may_be_named_for_one_registry() -> None:
    shared = (("reg.test", "a.test"), ("reg.test", "b.test"))
    assert wish("https://a.test/", *shared).realm != wish("https://b.test/", *shared).realm


def test_a_realms_own_query_is_kept() -> None:
    (request,) = token_requests(wish("https://reg.test/token?tenant=a%20b"), ANONYMOUS)
    assert request.url.query == b"tenant=a%20b&service=reg&scope=repository%3Ateam%2Fapp%3Apull"
    assert "Authorization" not in request.headers


def test_what_is_empty_is_left_out() -> None:
    challenge = Challenge("bearer", (("realm", "https://reg.test/token"),))
    made = wish_for(REG, challenge, URL, ANONYMOUS, token_servers=frozenset())
    assert made.scopes == ()
    (request,) = token_requests(made, ANONYMOUS)
    assert str(request.url) == "https://reg.test/token"
    first, _ = token_requests(made, Credentials(identity_token="r"))
    assert first.content == b"grant_type=refresh_token&client_id=imgverify&refresh_token=r"


def test_a_refresh_token_and_a_password_are_in_no_url() -> None:
    for request in token_requests(wish(), Credentials("alice", "s3cret", "s3cret-too")):
        assert "s3cret" not in str(request.url)


@pytest.mark.parametrize(
    ("scope", "more"),
    [
        ("repository:proxy/app:pull", ["repository:proxy/app:pull"]),
        ("repository:proxy/app:pull,push,delete", ["repository:proxy/app:pull"]),
        ("repository:proxy/app:*", ["repository:proxy/app:pull"]),
        ("repository(plugin):a:pull", ["repository(plugin):a:pull"]),
        (f"{OWN} repository:b:pull repository:b:pull", ["repository:b:pull"]),
        (
            " ".join(f"repository:r{n}:pull" for n in range(50)),
            [f"repository:r{n}:pull" for n in range(3)],
        ),
        (OWN, []),
        ("", []),
        ("repository:a:push", []),
        ("repository:a:pullpush", []),
        ("registry:catalog:*", []),
        ("repository:a b:pull", []),
        ("repository:é:pull", []),
    ],
)
def test_of_the_scopes_that_a_registry_wants_only_pulling_is_asked_for(
    scope: str, more: list[str]
) -> None:
    assert list(wider_scopes(wish(), bearer(scope=scope))) == more


def test_a_token_is_not_made_wider_without_end() -> None:
    made = wish()
    for number in range(50):
        more = wider_scopes(made, bearer(scope=f"repository:r{number}:pull"))
        made = replace(made, scopes=(*made.scopes, *more))
    assert made.scopes == (OWN, *(f"repository:r{number}:pull" for number in range(3)))
    assert len(made.scopes) == limits.SCOPES


@given(st.text(max_size=300))
@example('Bearer realm="https://reg.test/t",scope="repository:x:pull"')
def test_header_injection_parse_no_challenge_breaks_a_request(header: str) -> None:
    for challenge in parse_challenges(header):
        try:
            made = wish_for(REG, challenge, URL, ALICE, token_servers=frozenset())
        except (Unauthorized, ContentError):
            continue
        more = wider_scopes(made, challenge)
        assert all(each.isascii() and each.isprintable() and " " not in each for each in more)
        for request in token_requests(made, ALICE):
            assert request.url.host == "reg.test"
            assert request.url.raw_path.isascii()
            assert b" " not in request.url.raw_path


@given(st.binary(max_size=200) | st.text('{}[]":,tokenacs_9 ', max_size=60).map(str.encode))
def test_any_answer_is_a_token_or_malformed(body: bytes) -> None:
    try:
        assert parse_token(body, REG).value.isascii()
    except Malformed:
        return


def test_a_token_is_in_no_repr_and_no_error() -> None:
    secret = secrets.token_hex()
    assert secret not in repr(parse_token(f'{{"token": "{secret}"}}'.encode(), REG))
    body = f'{{"token": "{secret}"'.encode()
    with pytest.raises(Malformed) as caught:
        parse_token(body, REG)
    assert secret not in everything_said(caught.value)
