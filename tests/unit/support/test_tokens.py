import base64
import http.client
import json
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest

from imgverify.oci import mediatype
from imgverify.oci.digest import Digest
from imgverify.serve.loopback import Shelf
from tests.support import faults
from tests.support.faults import When
from tests.support.registry import FakeRegistry
from tests.support.tokens import BasicGuard, BearerGuard, TokenService

MANIFEST = b'{"schemaVersion":2,"mediaType":"x","config":{},"layers":[]}'
OTHER = b'{"schemaVersion":2,"config":{},"layers":[]}'
BLOB = bytes(range(256)) * 8
NAME = "library/app"
TAG = f"/v2/{NAME}/manifests/1.4"
PINNED = f"/v2/{NAME}/manifests/{Digest.of(MANIFEST)}"
BLOB_PATH = f"/v2/{NAME}/blobs/{Digest.of(BLOB)}"
SHORT = 0.15


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    shelf = Shelf()
    shelf.put_manifest(NAME, OTHER, mediatype.OCI_MANIFEST)
    shelf.put_manifest(NAME, MANIFEST, mediatype.OCI_MANIFEST, tag="1.4")
    shelf.put_blob(BLOB)
    with FakeRegistry(shelf) as running:
        yield running


Answered = tuple[http.client.HTTPResponse, bytes]


def ask(
    registry: FakeRegistry,
    path: str = TAG,
    method: str = "GET",
    *,
    headers: dict[str, str] | None = None,
    body: str = "",
    timeout: float = 10,
) -> Answered:
    client = http.client.HTTPConnection(registry.host, timeout=timeout)
    try:
        client.request(method, path, body=body or None, headers=headers or {})
        response = client.getresponse()
        return response, response.read()
    finally:
        client.close()


def basic(user: str, password: str) -> dict[str, str]:
    text = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def scope(name: str = NAME) -> str:
    return f"repository:{name}:pull"


def token(issuer: FakeRegistry, headers: dict[str, str] | None = None, **query: str) -> Answered:
    words = {"service": "registry.test", "scope": scope()} | query
    return ask(issuer, "/token?" + urlencode(words), headers=headers)


def issued(answer: Answered) -> str:
    assert answer[0].status == 200
    return str(json.loads(answer[1])["token"])


def test_basic_guard(registry: FakeRegistry) -> None:
    registry.guard = BasicGuard({"bob": "a:b"})
    registry.play(faults.Status(503, when=When(first=2)))
    for wrong in ({}, basic("bob", "x"), basic("eve", "a:b"), bearer("x")):
        response, body = ask(registry, headers=wrong)
        assert response.status == 401
        assert json.loads(body)["errors"][0]["code"] == "UNAUTHORIZED"
        assert response.getheader("WWW-Authenticate") == 'Basic realm="registry"'
    assert ask(registry, headers=basic("bob", "a:b"))[1] == MANIFEST


def test_bearer_guard_on_the_same_host(registry: FakeRegistry) -> None:
    tokens = TokenService()
    registry.mounts, registry.guard = (tokens,), BearerGuard(tokens)
    response, _ = ask(registry)
    assert response.status == 401
    assert response.getheader("WWW-Authenticate") == (
        f'Bearer realm="{registry.url}/token",service="registry.test",scope="{scope()}"'
    )
    assert ask(registry, headers=bearer(issued(token(registry))))[1] == MANIFEST
    assert tokens.issued == 1
    base = ask(registry, "/v2/")[0].getheader("WWW-Authenticate") or ""
    assert "scope" not in base


def test_bearer_guard_with_an_issuer_elsewhere(registry: FakeRegistry) -> None:
    tokens = TokenService(users={"bob": "secret"}, anonymous=False)
    with FakeRegistry(mounts=[tokens]) as issuer:
        registry.guard = BearerGuard(tokens, issuer.url + "/token")
        challenge = ask(registry)[0].getheader("WWW-Authenticate") or ""
        assert f'realm="{issuer.url}/token"' in challenge
        assert token(issuer)[0].status == 401
        assert token(issuer, basic("bob", "wrong"))[0].status == 401
        assert token(issuer, basic("eve", "secret"))[0].status == 401
        good = issued(token(issuer, basic("bob", "secret")))
        assert ask(registry, headers=bearer(good))[1] == MANIFEST
        assert issuer.count("GET", "/token") == 4


def refusal(registry: FakeRegistry, given: str) -> str:
    response, _ = ask(registry, headers=bearer(given))
    assert response.status == 401
    return (response.getheader("WWW-Authenticate") or "").rpartition("error=")[2]


def test_a_token_is_for_its_scope_and_service_only(registry: FakeRegistry) -> None:
    tokens = TokenService(denied=frozenset({"library/secret"}))
    registry.mounts, registry.guard = (tokens,), BearerGuard(tokens)
    assert token(registry, service="other")[0].status == 400
    for words in (scope("library/other"), f"repository:{NAME}:push", "", "registry:catalog:*"):
        given = issued(token(registry, scope=words))
        assert refusal(registry, given) == '"insufficient_scope"'
    denied = issued(token(registry, scope=scope("library/secret")))
    response, _ = ask(registry, "/v2/library/secret/tags/list", headers=bearer(denied))
    assert response.status == 401
    both = issued(token(registry, scope=f"{scope('library/other')} {scope()}"))
    assert ask(registry, headers=bearer(both))[0].status == 200
    assert refusal(registry, "made-up") == '"invalid_token"'


def spent(tokens: TokenService) -> None:
    tokens.uses = 0


def short_lived(tokens: TokenService) -> None:
    tokens.lifetime = 0.0


@pytest.mark.parametrize("end", [spent, short_lived])
def test_a_token_expires(registry: FakeRegistry, end: Callable[[TokenService], None]) -> None:
    tokens = TokenService()
    registry.mounts, registry.guard = (tokens,), BearerGuard(tokens)
    end(tokens)
    assert refusal(registry, issued(token(registry))) == '"invalid_token"'


def test_a_token_is_good_for_some_uses_and_until_revoked(registry: FakeRegistry) -> None:
    tokens = TokenService()
    registry.mounts, registry.guard = (tokens,), BearerGuard(tokens)
    tokens.uses = 2
    given = issued(token(registry))
    assert [ask(registry, headers=bearer(given))[0].status for _ in range(3)] == [200, 200, 401]
    given = issued(token(registry))
    tokens.revoke()
    assert refusal(registry, given) == '"invalid_token"'


def test_oauth2_tokens_are_asked_for_by_post(registry: FakeRegistry) -> None:
    tokens = TokenService(
        users={"bob": "secret"},
        refresh_tokens=frozenset({"fresh"}),
        anonymous=False,
        field="access_token",
    )
    registry.mounts = (tokens,)
    tokens.expires_in = None
    basics = {"service": "registry.test", "scope": scope()}
    for words, status in (
        ({"grant_type": "refresh_token", "refresh_token": "fresh"}, 200),
        ({"grant_type": "refresh_token", "refresh_token": "old"}, 401),
        ({"grant_type": "password", "username": "bob", "password": "secret"}, 200),
        ({"grant_type": "password", "username": "", "password": ""}, 401),
    ):
        response, body = ask(registry, "/token", "POST", body=urlencode(basics | words))
        assert response.status == status
        if status == 200:
            assert set(json.loads(body)) == {"access_token"}


def test_a_challenge_may_be_anything(registry: FakeRegistry) -> None:
    registry.guard = BearerGuard(TokenService(), challenge="Negotiate, Basic realm=x")
    assert ask(registry)[0].getheader("WWW-Authenticate") == "Negotiate, Basic realm=x"


def test_faults_reach_the_token_endpoint(registry: FakeRegistry) -> None:
    registry.mounts = (TokenService(),)
    registry.play(faults.Status(500, when=When(path="/token")))
    assert token(registry)[0].status == 500
    assert ask(registry)[0].status == 200


def test_a_signed_token_says_for_whom_it_is_and_what_it_allows() -> None:
    tokens = TokenService(users={"alice": "pa55"}, denied=frozenset({"secret"}))
    tokens.sign = lambda user, scopes: f"{user}.{'.'.join(sorted(scopes))}"
    with FakeRegistry(mounts=[tokens]) as issuer:
        headers = basic("alice", "pa55")
        answer = token(issuer, headers, account="alice", scope=f"{scope()} {scope('secret')}")
        assert issued(answer) == f"alice.{scope()}"


def test_a_registry_may_call_its_repositories_otherwise(registry: FakeRegistry) -> None:
    tokens = TokenService()
    registry.mounts, registry.guard = (tokens,), BearerGuard(tokens, inside="proxy/")
    answer, _ = ask(registry, headers=bearer(issued(token(registry))))
    assert answer.status == 401
    assert f'scope="{scope(f"proxy/{NAME}")}",error="insufficient_scope"' in str(
        answer.getheader("WWW-Authenticate")
    )
    wider = issued(token(registry, scope=scope(f"proxy/{NAME}")))
    assert ask(registry, headers=bearer(wider))[0].status == 200
