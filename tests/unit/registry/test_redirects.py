"""What leaves an origin with a redirect, and what the environment adds to it: nothing of either."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imgverify.errors import Malformed, Unauthorized, Unreachable
from imgverify.oci.reference import Registry
from imgverify.registry import session as module
from imgverify.registry.credentials import Credentials, CredentialStore
from imgverify.serve.loopback import Request
from tests.support.faults import Redirect, Status, When
from tests.support.registry import FakeRegistry
from tests.support.tokens import BasicGuard
from tests.unit.registry.scene import call, everything_said, plain, session, stock

USER = Credentials("alice", "pa55w0rd")
#: All that a server learns which the caller did not mean to talk to.
ALLOWED = {"host", "user-agent", "accept-encoding", "accept", "range"}
MEANT_FOR_ONE = ("Cookie", "X-Registry-Auth", "PRIVATE-TOKEN", "Proxy-Authorization")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF", 0.001)


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    """A registry that wants a password."""
    with FakeRegistry(guard=BasicGuard({USER.username: USER.password})) as running:
        yield stock(running)


def ask(origin: FakeRegistry, *also: str, tls: str = "") -> None:
    """Ask with headers that are meant for the origin alone; `also` are further plain hosts."""
    store = CredentialStore({Registry.parse(origin.host): USER})
    settings = plain(origin.host, *also)
    if tls:
        settings = replace(settings, insecure_tls=frozenset({Registry.parse(tls)}))
    headers = {"Accept": "*/*", "Range": "bytes=0-", **dict.fromkeys(MEANT_FOR_ONE, "secret")}
    with session(settings, store) as made:
        made.fetch(replace(call(origin), headers=headers), 1000)


def names(request: Request) -> set[str]:
    return {name.lower() for name, _ in request.headers}


def from_origin(origin: FakeRegistry, to: str) -> None:
    origin.play(Redirect(to, when=When(path="/v2/")))


@pytest.mark.parametrize(
    "spelled", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST:{}", "127.1:{}", "0x7f000001:{}"]
)
def test_redirect_auth_strip_redirect_custom_headers_another_origin_gets_the_allow_list(
    origin: FakeRegistry, spelled: str
) -> None:
    with FakeRegistry() as target:
        host = spelled.format(target.port)
        from_origin(origin, f"http://{host}/v2/")
        ask(origin, host)
        (seen,) = target.requests
    assert names(seen) == ALLOWED
    assert seen.header("Host") == host.lower()
    assert {"authorization", "cookie"} < names(origin.requests[-1])


def test_redirect_auth_strip_another_name_for_the_same_server_is_another_origin(
    origin: FakeRegistry,
) -> None:
    name = f"localhost:{origin.port}"
    origin.play(Redirect(f"http://{name}/elsewhere", when=When(path="/v2/")))
    with pytest.raises(Unauthorized, match=name):
        ask(origin, name)
    assert names(origin.requests[-1]) == ALLOWED


def test_redirect_auth_strip_another_scheme_is_another_origin(
    origin: FakeRegistry, certificate: tuple[Path, Path]
) -> None:
    with FakeRegistry(certificate=certificate) as target:
        from_origin(origin, f"{target.url}/v2/")
        ask(origin, tls=target.host)
        (seen,) = target.requests
    assert names(seen) == ALLOWED


def test_redirect_auth_strip_the_same_origin_keeps_everything(origin: FakeRegistry) -> None:
    origin.play(Redirect(f"{origin.url}/v2/?again=1", when=When(last=1)))
    ask(origin)
    last = origin.requests[-1]
    assert last.query == (("again", "1"),)
    assert names(last) == ALLOWED | {name.lower() for name in MEANT_FOR_ONE} | {"authorization"}


def test_redirect_auth_strip_the_way_back_brings_nothing_back(origin: FakeRegistry) -> None:
    with FakeRegistry() as target:
        from_origin(origin, f"{target.url}/v2/")
        target.play(Redirect(f"{origin.url}/back"))
        with pytest.raises(Unauthorized):
            ask(origin, target.host)
    assert origin.requests[-1].path == "/back"
    assert names(origin.requests[-1]) == ALLOWED


@pytest.mark.parametrize("host", ["localhost.", "local_host", "-localhost", "localhost.."])
def test_redirect_auth_strip_a_name_that_is_none_is_not_followed(
    origin: FakeRegistry, host: str
) -> None:
    with FakeRegistry() as target:
        from_origin(origin, f"http://{host}:{target.port}/v2/")
        with pytest.raises(Malformed):
            ask(origin, f"localhost:{target.port}")
        assert target.requests == ()


# --- the environment --------------------------------------------------------------------------


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """A proxy that the environment names for everything, with a password."""
    with FakeRegistry() as running:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            for spelled in (name, name.lower()):
                monkeypatch.setenv(spelled, f"http://eve:planted@{running.host}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        yield running


@pytest.mark.parametrize("name", ["127.0.0.1", "default"])
def test_netrc_env_a_redirect_target_gets_nothing_from_netrc(
    origin: FakeRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    netrc = tmp_path / ".netrc"
    machine = "default" if name == "default" else f"machine {name}"
    netrc.write_text(f"{machine} login eve password planted\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    with FakeRegistry(guard=BasicGuard({"eve": "planted"})) as target:
        from_origin(origin, f"{target.url}/v2/")
        with pytest.raises(Unauthorized):
            ask(origin, target.host)
        (seen,) = target.requests
    assert names(seen) == ALLOWED


def test_netrc_env_certificates_of_the_environment_make_no_server_trusted(
    origin: FakeRegistry,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate[0]))
    with FakeRegistry(certificate=certificate) as target:
        from_origin(origin, f"{target.url}/v2/")
        with pytest.raises(Unreachable, match="certificate is not valid"):
            ask(origin)
        assert target.requests == ()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_netrc_env_proxy_auth_leak_a_proxy_of_the_environment_is_not_asked(
    origin: FakeRegistry, certificate: tuple[Path, Path], proxy: FakeRegistry, scheme: str
) -> None:
    with FakeRegistry(certificate=certificate if scheme == "https" else None) as target:
        from_origin(origin, f"{target.url}/v2/")
        ask(origin, target.host, tls=target.host)
        assert len(target.requests) == 1
    assert proxy.requests == ()


@pytest.mark.usefixtures("proxy")
def test_proxy_auth_leak_a_server_that_poses_as_a_proxy_gets_no_password(
    origin: FakeRegistry,
) -> None:
    with FakeRegistry() as target:
        wish = ("Proxy-Authenticate", 'Basic realm="x"')
        target.play(Status(407, (wish,)))
        from_origin(origin, f"{target.url}/v2/")
        with pytest.raises(Unreachable, match="407") as caught:
            ask(origin, target.host)
        seen = target.requests
    assert len(seen) == 1
    assert {each.header("Proxy-Authorization") for each in seen} == {None}
    assert "planted" not in everything_said(caught.value)


def test_a_header_that_a_caller_gave_is_sent_to_the_origin_as_it_is(origin: FakeRegistry) -> None:
    ask(origin)
    assert all(origin.requests[-1].header(name) == "secret" for name in MEANT_FOR_ONE)
