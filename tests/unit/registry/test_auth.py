import base64
import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from imgverify.errors import (
    Interrupted,
    Side,
    Unauthorized,
    Unreachable,
)
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry import session as session_module
from imgverify.registry.credentials import Credentials, CredentialStore
from imgverify.registry.session import NetworkSettings
from imgverify.serve.loopback import Request, Response
from tests.support.faults import Hang, Redirect, Status, When
from tests.support.image import put
from tests.support.registry import FakeRegistry
from tests.support.tokens import BasicGuard, BearerGuard, TokenService
from tests.unit.registry.scene import (
    IMAGE,
    PATH,
    TAG,
    everything_said,
    named,
    network,
    repository,
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


def tokens_asked(registry: FakeRegistry) -> tuple[Request, ...]:
    return registry.seen(path="/token")


def fetch(registry: FakeRegistry, *also: str, credentials: CredentialStore | None = None) -> None:
    store = credentials or CredentialStore()
    with repository(registry, *also, credentials=store) as remote:
        remote.manifest(named(registry.host))


# --- the four ways ----------------------------------------------------------------------------


def test_anybody_gets_a_token_where_anybody_may_pull(
    guarded: FakeRegistry, tokens: TokenService
) -> None:
    fetch(guarded)
    (asked,) = guarded.seen(path="/token")
    assert asked.method == "GET"
    assert dict(asked.query) == {"service": "registry.test", "scope": f"repository:{PATH}:pull"}
    assert asked.header("Authorization") is None
    assert tokens.issued == 1


def test_a_password_buys_a_token(guarded: FakeRegistry, tokens: TokenService) -> None:
    tokens.anonymous, tokens.users = False, {USER: PASSWORD}
    fetch(guarded, credentials=known(guarded))
    (asked,) = guarded.seen(path="/token")
    assert dict(asked.query)["account"] == USER
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert asked.header("Authorization") == f"Basic {pair}"
    assert f"Basic {pair}" not in authorizations(guarded, "/v2/")


def test_an_identity_token_buys_a_token_by_post(
    guarded: FakeRegistry, tokens: TokenService
) -> None:
    tokens.anonymous, tokens.refresh_tokens = False, frozenset({REFRESH})
    fetch(guarded, credentials=known(guarded, Credentials(identity_token=REFRESH)))
    (asked,) = guarded.seen(path="/token")
    assert asked.method == "POST"
    assert b"grant_type=refresh_token" in asked.body
    assert asked.header("Authorization") is None
    assert not any(REFRESH in each.path + str(each.query) for each in guarded.requests)


def test_a_registry_token_is_used_as_it_is(tokens: TokenService) -> None:
    def guard(request: Request) -> Response | None:
        good = request.header("Authorization") == "Bearer finished"
        return None if good else BearerGuard(tokens)(request)

    with FakeRegistry(mounts=[tokens], guard=guard) as running:
        fetch(stock(running), credentials=known(running, Credentials(registry_token="finished")))
        assert running.count(path="/token") == 0


def test_basic_is_answered_and_not_before_it_is_asked_for() -> None:
    with FakeRegistry(guard=BasicGuard({USER: PASSWORD})) as running:
        stock(running)
        fetch(running, credentials=known(running))
        first, second = running.requests
        assert first.header("Authorization") is None
        assert second.header("Authorization")


def test_basic_without_credentials_is_an_error_that_says_what_to_do() -> None:
    with FakeRegistry(guard=BasicGuard({})) as running:
        with pytest.raises(Unauthorized, match=r"wants credentials \(401\)") as caught:
            fetch(stock(running))
        assert f"docker login {running.host}" in caught.value.hint
        assert caught.value.side is Side.MIRROR


def test_a_wrong_password_is_sent_once_for_each_request() -> None:
    with (
        FakeRegistry(guard=BasicGuard({USER: "other"})) as running,
        repository(stock(running), credentials=known(running)) as remote,
    ):
        for count in (2, 3):
            with pytest.raises(Unauthorized) as caught:
                remote.manifest(named(running.host))
            assert len(running.requests) == count
            assert PASSWORD not in everything_said(caught.value)


@pytest.mark.parametrize("header", ["", "Negotiate", "NTLM, Digest realm=x", '"', "Bearer" * 1000])
def test_a_challenge_that_nobody_can_answer_is_an_error(header: str) -> None:
    with FakeRegistry(faults=[Status(401, (("WWW-Authenticate", header),))]) as running:
        with pytest.raises(Unauthorized):
            fetch(stock(running))
        assert len(running.requests) == 1


def test_two_challenges_the_first_that_can_be_answered_is(tokens: TokenService) -> None:
    with FakeRegistry(mounts=[tokens]) as running:
        challenge = (
            'Negotiate, Basic realm="x", '
            f'Bearer realm="{running.url}/token",service="registry.test"'
        )
        running.guard = BearerGuard(tokens, challenge=challenge)
        fetch(stock(running))
        assert running.count(path="/token") == 1


def test_several_challenges_in_several_headers_are_read_as_one_list(tokens: TokenService) -> None:
    with FakeRegistry(mounts=[tokens]) as running:
        realm = f'realm="{running.url}/token",service="registry.test"'

        def guard(request: Request) -> Response | None:
            refused = BearerGuard(tokens)(request)
            more = (("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", f"Bearer {realm}"))
            return refused and Response(401, more)

        running.guard = guard
        fetch(stock(running))
        assert running.count(path="/token") == 1


def test_a_challenge_that_must_not_be_answered_leaves_the_others(tokens: TokenService) -> None:
    with FakeRegistry() as thief, FakeRegistry(mounts=[tokens]) as running:
        evil = f'Bearer realm="{thief.url}/token",service="registry.test"'
        for good in (f'Bearer realm="{running.url}/token",service="registry.test"', "Basic x=y"):
            running.guard = BearerGuard(tokens, challenge=f"{evil}, {good}")
            tokens.users = {USER: PASSWORD}
            with contextlib.suppress(Unauthorized):
                fetch(stock(running), thief.host, credentials=known(running))
        assert thief.requests == ()
        assert running.count(path="/token") == 1
        assert any(str(each).startswith("Basic") for each in authorizations(running, "/v2/"))


def test_a_refresh_token_is_no_password_for_the_registry() -> None:
    store = Credentials("00000000", identity_token=REFRESH)
    with FakeRegistry(guard=BasicGuard({})) as running:
        with pytest.raises(Unauthorized, match="refuses access"):
            fetch(stock(running), credentials=known(running, store))
        assert authorizations(running) == {None}


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    ("credentials", "pair"),
    [
        (Credentials(identity_token=REFRESH), f":{REFRESH}"),
        (Credentials("0000", identity_token=REFRESH), f"0000:{REFRESH}"),
        (Credentials(USER, PASSWORD, REFRESH), f"{USER}:{PASSWORD}"),
    ],
)
def test_where_post_is_not_supported_a_token_is_got_by_get(
    guarded: FakeRegistry,
    tokens: TokenService,
    *,
    credentials: Credentials,
    pair: str,
    status: int,
) -> None:
    user, _, password = pair.partition(":")
    tokens.anonymous, tokens.users = False, {user: password}
    guarded.play(Status(status, when=When("POST", "/token")))
    fetch(guarded, credentials=known(guarded, credentials))
    post, get = guarded.seen(path="/token")
    assert (post.method, get.method) == ("POST", "GET")
    assert get.header("Authorization") == f"Basic {base64.b64encode(pair.encode()).decode()}"
    assert not any(REFRESH in str(each.query) for each in guarded.requests)


@pytest.mark.parametrize("status", [400, 401, 403, 501])
def test_a_refused_refresh_token_is_not_tried_in_another_way(
    guarded: FakeRegistry, status: int
) -> None:
    guarded.play(Status(status, when=When("POST", "/token")))
    with pytest.raises((Unauthorized, Unreachable)):
        fetch(guarded, credentials=known(guarded, Credentials(USER, PASSWORD, REFRESH)))
    assert [each.method for each in guarded.seen(path="/token")] == ["POST"]


def test_the_most_special_path_says_whom_to_be(guarded: FakeRegistry, tokens: TokenService) -> None:
    host = Registry.parse(guarded.host)
    store = CredentialStore(
        {host: Credentials("all", "1"), Repository(host, "library"): Credentials("part", "2")}
    )
    tokens.anonymous, tokens.users = False, {"all": "1", "part": "2"}
    put(guarded.shelf, "other/app", IMAGE, TAG)
    with network(guarded.host, credentials=store) as net:
        for path in (PATH, "other/app"):
            place = Repository(host, path)
            net.at(place, Side.MIRROR).manifest(Reference(place, TAG))
        assert set(net.credential_sources) == {host, Repository(host, "library")}
    asked = [dict(each.query) for each in guarded.seen(path="/token")]
    assert [(each["account"], each["scope"]) for each in asked] == [
        ("part", f"repository:{PATH}:pull"),
        ("all", "repository:other/app:pull"),
    ]


# --- who refused whom -------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["/home/alice/.docker/config.json", ""])
def test_a_refusal_names_where_the_credentials_are_from(source: str) -> None:
    with FakeRegistry(guard=BasicGuard({USER: "other"})) as running:
        with pytest.raises(Unauthorized) as caught:
            fetch(stock(running), credentials=known(running, replace(ALICE, source=source)))
        whose = f"from {source}" if source else "that it was given"
        message = f"{running.host} refuses access with the credentials {whose} (401)"
        assert caught.value.message == message
        assert f"log in again (docker login {running.host})" in caught.value.hint


@pytest.mark.parametrize("path", ["config", ""])
def test_a_token_servers_refusal_names_it_and_the_registry(
    guarded: FakeRegistry, tokens: TokenService, path: str
) -> None:
    tokens.anonymous = False
    with FakeRegistry(mounts=[tokens]) as issuer:
        guarded.guard = BearerGuard(tokens, realm=f"{issuer.url}/token")
        with pytest.raises(Unauthorized) as caught:
            fetch(guarded, issuer.host)
        what = "gives nobody a token (401)"
        assert caught.value.message == f"{guarded.host}: its token server {issuer.host} {what}"
        assert f"log in (docker login {guarded.host})" in caught.value.hint
    guarded.guard = BearerGuard(tokens)
    with pytest.raises(Unauthorized) as caught:
        fetch(guarded, credentials=known(guarded, replace(ALICE, source=path)))
    whose = "from config" if path else "that it was given"
    what = f"refuses the credentials {whose} (401)"
    assert caught.value.message == f"{guarded.host}: its token server {what}"


def test_a_password_that_a_token_server_refused_is_not_sent_again(
    guarded: FakeRegistry, tokens: TokenService
) -> None:
    tokens.anonymous = False
    errors: list[Unauthorized] = []
    with repository(guarded, credentials=known(guarded)) as remote, ThreadPoolExecutor(8) as pool:

        def ask(_: int) -> None:
            with pytest.raises(Unauthorized) as caught:
                remote.manifest(named(guarded.host))
            errors.append(caught.value)

        list(pool.map(ask, range(16)))
    assert guarded.count(path="/token") == 1
    assert len(set(map(id, errors))) == 16


# --- tokens and time --------------------------------------------------------------------------


def test_cross_source_creds_a_token_is_not_shown_to_a_registry_with_the_same_token_server(
    guarded: FakeRegistry, tokens: TokenService
) -> None:
    """Else a mirror that names upstream's token server would be given upstream's token."""
    tokens.anonymous, tokens.users = False, {USER: PASSWORD}
    with FakeRegistry() as thief:
        realm = f"{guarded.url}/token"
        challenge = f'Bearer realm="{realm}",service="registry.test"'
        thief.guard = BearerGuard(TokenService(), challenge=challenge)
        with network(guarded.host, thief.host, credentials=known(guarded)) as net:
            net.at(named(guarded.host).repository, Side.UPSTREAM).manifest(named(guarded.host))
            with pytest.raises(Unauthorized):
                net.at(named(thief.host).repository, Side.MIRROR).manifest(named(thief.host))
        assert authorizations(thief) == {None}


def test_a_token_that_is_too_narrow_is_made_wider_once(
    guarded: FakeRegistry, tokens: TokenService
) -> None:
    guarded.guard = BearerGuard(tokens, inside="proxy/")
    with repository(guarded) as remote:
        for _ in range(2):
            remote.manifest(named(guarded.host))
    scopes = [
        [value for name, value in each.query if name == "scope"] for each in tokens_asked(guarded)
    ]
    own = f"repository:{PATH}:pull"
    assert scopes == [[own], [own, f"repository:proxy/{PATH}:pull"]]
    assert guarded.count(path="/manifests/") == 4


def test_a_wider_token_is_got_by_post_as_well(guarded: FakeRegistry, tokens: TokenService) -> None:
    tokens.refresh_tokens = frozenset({REFRESH})
    guarded.guard = BearerGuard(tokens, inside="proxy/")
    fetch(guarded, credentials=known(guarded, Credentials(identity_token=REFRESH)))
    assert [each.method for each in tokens_asked(guarded)] == ["POST", "POST"]


def test_an_expired_token_that_was_made_wider_is_renewed_as_wide(
    guarded: FakeRegistry, tokens: TokenService
) -> None:
    guarded.guard = BearerGuard(tokens, inside="proxy/")
    with repository(guarded) as remote:
        remote.manifest(named(guarded.host))
        tokens.revoke()
        remote.manifest(named(guarded.host))
    assert tokens.issued == 3


@pytest.mark.parametrize(
    "scope",
    [
        "",
        f"repository:{PATH}:pull",
        "repository:other/app:push",
        "registry:catalog:*",
        "repository:a:pull\\\n",
        "nonsense",
    ],
)
def test_what_allows_no_pull_beyond_is_not_asked_for(tokens: TokenService, scope: str) -> None:
    with FakeRegistry(mounts=[tokens]) as running:
        realm = f'realm="{running.url}/token",service="registry.test"'
        challenge = f'Negotiate scope="repository:x:pull", Bearer {realm},scope="{scope}"'
        tokens.uses = 0
        running.guard = BearerGuard(tokens, challenge=challenge)
        with pytest.raises(Unauthorized, match="wants credentials"):
            fetch(stock(running))
        assert tokens.issued == 1


def test_a_token_server_of_others_is_not_asked_in_the_registrys_words(tokens: TokenService) -> None:
    tokens.users = {USER: PASSWORD}
    with FakeRegistry(mounts=[tokens]) as issuer, FakeRegistry() as running:
        realm = f"{issuer.url}/token"
        running.guard = BearerGuard(tokens, realm=realm, inside="private/")
        hosts = frozenset(map(Registry.parse, (running.host, issuer.host)))
        pair = (Registry.parse(running.host), Registry.parse(issuer.host))
        settings = NetworkSettings(hosts, token_servers=frozenset({pair}))
        with network(settings=settings, credentials=known(running)) as net:
            remote = net.at(named(stock(running).host).repository, Side.MIRROR)
            with pytest.raises(Unauthorized, match="refuses access"):
                remote.manifest(named(running.host))
            running.guard = BearerGuard(tokens, realm=realm)
            remote.manifest(named(running.host))
        assert {dict(each.query)["scope"] for each in issuer.requests} == {
            f"repository:{PATH}:pull"
        }


def test_a_redirect_within_the_registry_may_ask_for_credentials() -> None:
    with FakeRegistry() as running:
        put(running.shelf, "app", IMAGE, TAG)
        running.play(Redirect("/v2/app/manifests/1.4", when=When(path=f"/v2/{PATH}/")))
        running.guard = lambda request: (
            None if PATH in request.path else BasicGuard({USER: PASSWORD})(request)
        )
        fetch(running, credentials=known(running))
        assert len(running.requests) == 4


def test_one_token_serves_a_repository(guarded: FakeRegistry, tokens: TokenService) -> None:
    with repository(guarded) as remote:
        for _ in range(3):
            remote.manifest(named(guarded.host))
    assert tokens.issued == 1
    assert guarded.count(path="/manifests/") == 4


def test_an_expired_token_is_renewed_once(guarded: FakeRegistry, tokens: TokenService) -> None:
    with repository(guarded) as remote:
        remote.manifest(named(guarded.host))
        tokens.revoke()
        remote.manifest(named(guarded.host))
    assert tokens.issued == 2


def test_a_token_near_its_end_is_renewed_before_it_is_refused(
    guarded: FakeRegistry, tokens: TokenService
) -> None:
    tokens.expires_in = 1
    with repository(guarded) as remote:
        remote.manifest(named(guarded.host))
        time.sleep(0.95)
        remote.manifest(named(guarded.host))
    assert tokens.issued == 2
    assert guarded.count(path="/manifests/") == 3


@pytest.mark.parametrize("said", [None, 0, -5, 1.5, "300", "1", True, [], {}, 2**62])
def test_a_token_of_unknown_life_lives_a_minute(
    guarded: FakeRegistry, tokens: TokenService, said: object
) -> None:
    tokens.expires_in = said
    with repository(guarded) as remote:
        for _ in range(2):
            remote.manifest(named(guarded.host))
    assert tokens.issued == 1


def test_the_other_name_of_the_token_is_known(guarded: FakeRegistry, tokens: TokenService) -> None:
    tokens.field = "access_token"
    fetch(guarded)


def test_a_loop_of_401_ends(guarded: FakeRegistry, tokens: TokenService) -> None:
    tokens.uses = 0
    with pytest.raises(Unauthorized, match="401"):
        fetch(guarded)
    assert guarded.count(path="/manifests/") == 2
    assert tokens.issued == 1


def test_threads_share_one_token(guarded: FakeRegistry, tokens: TokenService) -> None:
    start = threading.Barrier(8)
    with repository(guarded) as remote, ThreadPoolExecutor(8) as pool:

        def ask(_: int) -> None:
            start.wait(5)
            remote.manifest(named(guarded.host))

        list(pool.map(ask, range(8)))
        assert tokens.issued == 1
        tokens.revoke()
        list(pool.map(ask, range(8)))
    assert tokens.issued == 2


def test_an_interrupt_ends_the_wait_for_another_threads_token(guarded: FakeRegistry) -> None:
    guarded.play(Hang(when=AT_TOKEN))
    ended: list[float] = []
    with network(guarded.host, seconds=30) as net, ThreadPoolExecutor(3) as pool:
        remote = net.at(named(guarded.host).repository, Side.MIRROR)

        def ask() -> None:
            with pytest.raises(Interrupted):
                remote.manifest(named(guarded.host))
            ended.append(time.monotonic())

        for _ in range(3):
            pool.submit(ask)
        until = time.monotonic() + 5
        while not guarded.count(path="/token") and time.monotonic() < until:
            time.sleep(0.01)
        start = time.monotonic()
        net.deadline.cancelled.set()
    assert len(ended) == 3
    assert max(ended) - start < 10


def test_slow_and_endless_all_waits_for_a_token_end_at_the_deadline(guarded: FakeRegistry) -> None:
    guarded.play(Hang(when=AT_TOKEN))
    start = time.monotonic()
    with repository(guarded, seconds=0.5) as remote, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(remote.manifest, named(guarded.host)) for _ in range(3)]
        for each in asked:
            error = each.exception(20)
            assert isinstance(error, Unreachable)
            assert guarded.host in error.message
    assert time.monotonic() - start < 10
