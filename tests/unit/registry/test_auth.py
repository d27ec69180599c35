import base64
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from imgverify.errors import (
    Interrupted,
    Side,
    Unauthorized,
    Unreachable,
)
from imgverify.oci.reference import Registry
from imgverify.registry import session as session_module
from imgverify.registry.credentials import Credentials, CredentialStore
from imgverify.serve.loopback import Request, Response
from tests.support.faults import Hang, Status, When
from tests.support.registry import FakeRegistry
from tests.support.tokens import BasicGuard, BearerGuard, TokenService
from tests.unit.registry.scene import (
    PATH,
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


def test_a_wrong_password_is_sent_once() -> None:
    with FakeRegistry(guard=BasicGuard({USER: "other"})) as running:
        with pytest.raises(Unauthorized) as caught:
            fetch(stock(running), credentials=known(running))
        assert len(running.requests) == 2
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


# --- tokens and time --------------------------------------------------------------------------


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


@pytest.mark.parametrize("said", [None, 0, -5])
def test_a_token_of_unknown_life_lives_a_minute(
    guarded: FakeRegistry, tokens: TokenService, said: int | None
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
    assert max(ended) - start < 1


def test_slow_and_endless_all_waits_for_a_token_end_at_the_deadline(guarded: FakeRegistry) -> None:
    guarded.play(Hang(when=AT_TOKEN))
    start = time.monotonic()
    with repository(guarded, seconds=0.5) as remote, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(remote.manifest, named(guarded.host)) for _ in range(3)]
        for each in asked:
            error = each.exception(5)
            assert isinstance(error, Unreachable)
            assert guarded.host in error.message
    assert time.monotonic() - start < 1.5
