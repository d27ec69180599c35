import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from imgverify.errors import (
    ImgverifyError,
    LimitExceeded,
    Malformed,
    RateLimited,
    Side,
    Unauthorized,
    Unreachable,
)
from imgverify.oci.reference import Registry
from imgverify.registry import session as session_module
from imgverify.registry.challenge import Challenge
from imgverify.registry.credentials import Credentials, CredentialStore
from imgverify.registry.tokenserver import TokenWish, wish_for
from tests.support.faults import Body, DripHeaders, Gzip, Header, Reset, Status, When
from tests.support.registry import FakeRegistry
from tests.support.tokens import BearerGuard, TokenService
from tests.unit.registry.scene import (
    PATH,
    call,
    everything_said,
    named,
    network,
    repository,
    session,
    stock,
)

USER, PASSWORD, REFRESH = "alice", "pa55:w0rd-é", "refresh-t0ken"
ALICE = Credentials(USER, PASSWORD)
AT_TOKEN = When(path="/token")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_BACKOFF", 0.001)


@pytest.fixture
def tokens() -> TokenService:
    return TokenService()


@pytest.fixture
def guarded(tokens: TokenService) -> Iterator[FakeRegistry]:
    with FakeRegistry(mounts=[tokens], guard=BearerGuard(tokens)) as running:
        yield stock(running)


def known(registry: FakeRegistry, credentials: Credentials = ALICE) -> CredentialStore:
    return CredentialStore({Registry.parse(registry.host): credentials})


def authorizations(registry: FakeRegistry, path: str = "") -> set[str | None]:
    return {each.header("Authorization") for each in registry.seen(path=path)}


def fetch(registry: FakeRegistry, *also: str, credentials: CredentialStore | None = None) -> None:
    store = credentials or CredentialStore()
    with repository(registry, *also, credentials=store) as remote:
        remote.manifest(named(registry.host))


# --- where secrets go -------------------------------------------------------------------------

SECRETS = [
    pytest.param(Credentials(USER, PASSWORD), id="password"),
    pytest.param(Credentials(identity_token=REFRESH), id="identity-token"),
]


def wish(host: str, realm: str, *shared: tuple[str, str]) -> TokenWish:
    """The token that a registry is to be given which names that realm."""
    registry = Registry.parse(host)
    pairs = frozenset((Registry.parse(one), Registry.parse(other)) for one, other in shared)
    challenge = Challenge("bearer", (("realm", realm), ("service", "x")))
    return wish_for(
        registry, challenge, httpx.URL(f"https://{host}/v2/"), ALICE, token_servers=pairs
    )


def realm_guard(realm: str) -> BearerGuard:
    return BearerGuard(TokenService(), challenge=f'Bearer realm="{realm}",service="x"')


@pytest.mark.parametrize("secret", SECRETS)
def test_realm_exfil_no_secret_goes_to_another_host_or_port(secret: Credentials) -> None:
    with FakeRegistry() as thief, FakeRegistry(guard=realm_guard(f"{thief.url}/token")) as running:
        with pytest.raises(Unauthorized, match="to be sent to another host") as caught:
            fetch(stock(running), thief.host, credentials=known(running, secret))
        assert thief.requests == ()
        assert running.host in caught.value.hint


def test_realm_exfil_another_host_may_be_asked_as_nobody(tokens: TokenService) -> None:
    with FakeRegistry(mounts=[tokens]) as issuer:
        with FakeRegistry(guard=BearerGuard(tokens, realm=f"{issuer.url}/token")) as running:
            fetch(stock(running), issuer.host)
        assert authorizations(issuer) == {None}


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "registry",
        "/token",
        "//evil.test/token",
        "file:///etc/passwd",
        "http://user:pw@evil.test/",
        "http://evil.test\\\\@good.test/",
        "http://evil%2ftest/",
        "http:///token",
    ],
)
def test_server_urls_one_door_a_realm_that_is_no_plain_url_is_refused(realm: str) -> None:
    with FakeRegistry(guard=realm_guard(realm)) as running:
        with pytest.raises((Unauthorized, Malformed)):
            fetch(stock(running), credentials=known(running))
        assert running.count(path="/token") == 0


def test_no_http_fallback_a_token_server_without_tls_has_to_be_named() -> None:
    with FakeRegistry() as issuer, FakeRegistry(guard=realm_guard(f"{issuer.url}/t")) as running:
        with pytest.raises(Unauthorized, match="plain HTTP") as caught:
            fetch(stock(running))
        assert f"--insecure-http {issuer.host}" in caught.value.hint
        assert issuer.requests == ()


@pytest.mark.parametrize(
    "realm",
    [
        "http://127.0.0.1:{port}/token",
        "https://169.254.169.254/token",
        "https://2130706433:{port}/token",
        "https://[::1]:{port}/token",
        "https://0x7f.1/token",
    ],
)
def test_realm_exfil_an_https_registry_cannot_name_an_address_or_leave_tls(
    certificate: tuple[Path, Path], realm: str
) -> None:
    with FakeRegistry(certificate=certificate) as running:
        running.guard = realm_guard(realm.format(port=running.port))
        host = Registry.parse(running.host)
        settings = session_module.NetworkSettings(
            insecure_http=frozenset({host}), insecure_tls=frozenset({host})
        )
        with session(settings) as made, pytest.raises(Unauthorized, match="for a token"):
            made.send(call(running, f"/v2/{PATH}/manifests/x"))
        assert running.count(path="/token") == 0


@pytest.mark.parametrize("secret", [Credentials(), *SECRETS])
@pytest.mark.parametrize(
    "host", ["xn--a.invalid", "xn--zzzzzzzz.invalid", f"xn--{'a' * 50}.invalid"]
)
def test_malformed_crash_a_token_server_whose_name_is_no_idna_is_an_error(
    host: str, secret: Credentials
) -> None:
    with (
        FakeRegistry(guard=realm_guard(f"https://{host}/token")) as running,
        pytest.raises((Unauthorized, Unreachable), match="xn--"),
    ):
        fetch(stock(running), credentials=known(running, secret))


def test_an_https_registry_by_address_may_be_its_own_token_server(
    certificate: tuple[Path, Path], tokens: TokenService
) -> None:
    guard = BearerGuard(tokens, scheme="https")
    with FakeRegistry(mounts=[tokens], guard=guard, certificate=certificate) as running:
        settings = session_module.NetworkSettings(
            insecure_tls=frozenset({Registry.parse(running.host)})
        )
        with session(settings) as made:
            made.send(call(stock(running), f"/v2/{PATH}/manifests/1.4")).response.close()


def test_cred_host_match_docker_hub_has_a_token_server_of_its_own() -> None:
    assert wish("docker.io", "https://auth.docker.io/token").service == "x"
    for other in ("https://auth.docker.io.evil.test/", "https://xauth.docker.io/"):
        with pytest.raises(Unauthorized):
            wish("docker.io", other)


def test_cred_host_match_a_spelled_out_default_port_is_the_same_host() -> None:
    assert wish("reg.test:443", "https://reg.test/token").is_own


def test_cross_source_creds_each_secret_is_seen_by_its_registry_alone() -> None:
    hers, his = TokenService(users={"her": "hers"}), TokenService(users={"him": "his"})
    hers.anonymous = his.anonymous = False
    with (
        FakeRegistry(mounts=[hers], guard=BearerGuard(hers)) as one,
        FakeRegistry(mounts=[his], guard=BearerGuard(his)) as other,
    ):
        cookie = (Header("Set-Cookie", "session=planted"),)
        one.play(*cookie)
        other.play(*cookie)
        store = CredentialStore(
            {
                Registry.parse(stock(one).host): Credentials("her", "hers"),
                Registry.parse(stock(other).host): Credentials("him", "his"),
            }
        )
        with network(one.host, other.host, credentials=store) as net:
            for each in (one, other, one, other):
                net.at(named(each.host).repository, Side.MIRROR).manifest(named(each.host))
        assert not {None} ^ (authorizations(one) & authorizations(other))
        everything = (*one.requests, *other.requests)
        assert not any(each.header("Cookie") for each in everything)


def test_cross_source_creds_a_token_is_not_for_another_registry_that_names_its_issuer(
    tokens: TokenService,
) -> None:
    tokens.users, tokens.anonymous = {USER: PASSWORD}, False
    with FakeRegistry(mounts=[tokens]) as one:
        one.guard = BearerGuard(tokens)
        with FakeRegistry(guard=BearerGuard(tokens, realm=f"{one.url}/token")) as thief:
            with network(one.host, thief.host, credentials=known(stock(one))) as net:
                net.at(named(one.host).repository, Side.UPSTREAM).manifest(named(one.host))
                remote = net.at(named(thief.host).repository, Side.MIRROR)
                with pytest.raises(Unauthorized):
                    remote.manifest(named(thief.host))
            assert one.requests[-1].header("Authorization") is None
            assert authorizations(thief) == {None}


# --- answers of token servers -----------------------------------------------------------------

LEAK = "s3cr3t-in-the-answer"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json " + LEAK.encode(),
        b"[]",
        json.dumps({"tokens": LEAK}).encode(),
        json.dumps({"token": 5, "x": LEAK}).encode(),
        json.dumps({"token": "", "access_token": ""}).encode(),
        json.dumps({"token": f"{LEAK}\r\nX-Evil: 1"}).encode(),
        json.dumps({"token": f"{LEAK} é"}, ensure_ascii=False).encode(),
        b'{"token": "' + LEAK.encode() + b'", "token": "b"}',
        b"\xff" + LEAK.encode(),
    ],
)
def test_a_token_answer_that_holds_none_is_never_quoted(
    guarded: FakeRegistry, answer: bytes
) -> None:
    guarded.play(Body(answer, when=AT_TOKEN))
    with pytest.raises(Malformed, match="no token") as caught:
        fetch(guarded)
    assert LEAK not in everything_said(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "asked"),
    [
        (400, Unauthorized, 1),
        (401, Unauthorized, 1),
        (403, Unauthorized, 1),
        (404, Unauthorized, 1),
        (307, Unauthorized, 1),
        (429, RateLimited, 4),
        (500, Unreachable, 1),
        (503, Unreachable, 4),
    ],
)
def test_a_token_servers_refusal_is_told_without_its_words(
    guarded: FakeRegistry, status: int, kind: type[ImgverifyError], asked: int
) -> None:
    document = json.dumps({"errors": [{"code": LEAK}], "token": LEAK}).encode()
    headers = (("Location", f"http://evil.test/?{LEAK}"),)
    guarded.play(Status(status, headers, document, when=AT_TOKEN))
    with pytest.raises(kind, match=str(status)) as caught:
        fetch(guarded, credentials=known(guarded))
    assert guarded.host in caught.value.message
    said = everything_said(caught.value)
    assert LEAK not in said
    assert PASSWORD not in said
    assert guarded.count(path="/token") == asked


def test_a_token_server_that_breaks_off_is_asked_again(guarded: FakeRegistry) -> None:
    guarded.play(Reset(3, when=When(path="/token", last=1)))
    fetch(guarded)
    assert guarded.count(path="/token") == 2


def test_a_token_answer_that_is_too_long_is_refused(guarded: FakeRegistry) -> None:
    guarded.play(Body(b" " * 70_000, when=AT_TOKEN))
    with pytest.raises(LimitExceeded):
        fetch(guarded)


def test_http_decompression_a_token_answer_that_is_compressed_is_refused(
    guarded: FakeRegistry,
) -> None:
    guarded.play(Gzip(when=AT_TOKEN))
    with pytest.raises(Malformed, match="gzip"):
        fetch(guarded)


def test_slow_and_endless_a_token_server_that_drips_is_left(guarded: FakeRegistry) -> None:
    guarded.play(DripHeaders(0.05, when=AT_TOKEN))
    start = time.monotonic()
    with repository(guarded, seconds=0.4) as remote, pytest.raises(Unreachable):
        remote.manifest(named(guarded.host))
    assert time.monotonic() - start < 10


def test_header_injection_parse_a_megabyte_of_challenge_is_quick() -> None:
    headers = (("WWW-Authenticate", "Bearer " + "a=" * 30_000),)
    with FakeRegistry(faults=[Status(401, headers)]) as running:
        start = time.perf_counter()
        with pytest.raises(LimitExceeded):
            fetch(stock(running))
        assert time.perf_counter() - start < 0.5


def test_secrets_are_in_no_repr() -> None:
    store = CredentialStore(
        {Registry("reg.test"): Credentials(USER, PASSWORD, REFRESH, "finished")},
        environment={"TOKEN": "from-environment"},
    )
    for secret in (PASSWORD, REFRESH, "finished", "from-environment"):
        assert secret not in repr(store)
