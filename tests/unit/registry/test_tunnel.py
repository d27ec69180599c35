"""Going through a proxy: what it sees, what the origin sees, and proxies that misbehave."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InputError, Interrupted, Unreachable
from imgverify.oci import limits
from imgverify.oci.reference import Registry, Repository
from imgverify.registry import session as session_module
from imgverify.registry.credentials import Credentials, CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.dial import Dialer
from imgverify.registry.guard import DialGuard
from imgverify.registry.proxy import Proxies, parse_proxy
from imgverify.registry.session import Call, NetworkSettings
from imgverify.registry.tls import ClientCertificate, HostTls
from imgverify.registry.tunnel import open_tunnel
from tests.support.certificate import Authority
from tests.support.faults import Redirect, Truncate
from tests.support.proxy import ForwardProxy
from tests.support.registry import FakeRegistry
from tests.support.tokens import BasicGuard, BearerGuard, TokenService
from tests.unit.registry.scene import (
    PATH,
    everything_said,
    raw_server,
    receive_head,
    session,
    stock,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgverify.registry.session import Session

NAME = "reg.test"
HOST = Registry.parse(NAME)
PASSWORD = "open-sesame"
USER = Credentials("alice", "pa55w0rd")
TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_BACKOFF", 0.001)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> HostTls:
    return HostTls((authority.certificate,))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("registry", names=f"DNS:{NAME},IP:127.0.0.1")


@pytest.fixture
def origin(certificate: tuple[Path, Path]) -> Iterator[FakeRegistry]:
    with FakeRegistry(certificate=certificate) as running:
        yield stock(running)


def through(url: str, own: HostTls, *also: str) -> NetworkSettings:
    """Settings with one proxy for everything, and an authority for the registry and `also`."""
    trusted = {Registry.parse(each): own for each in (NAME, *also)}
    return NetworkSettings(tls=trusted, proxies=Proxies(parse_proxy(url, "--proxy")))


def wanted(url: str = f"https://{NAME}/v2/", *, seconds: float = 5.0) -> Call:
    return Call(
        "GET", httpx.URL(url), Repository(HOST, PATH), Deadline.after(seconds), {"Accept": "*/*"}
    )


def ask(made: Session, url: str = f"https://{NAME}/v2/") -> bytes:
    return made.fetch(wanted(url), 10_000_000)[1]


def with_user(url: str) -> str:
    return url.replace("://", f"://proxy-user:{PASSWORD}@")


# --- what everybody sees ----------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True])
def test_proxy_auth_leak_a_proxy_sees_the_target_and_the_origin_sees_no_proxy(
    origin: FakeRegistry, own: HostTls, certificate: tuple[Path, Path], *, secure: bool
) -> None:
    origin.guard = BasicGuard({USER.username: USER.password})
    store = CredentialStore({HOST: USER})
    with ForwardProxy(
        {f"{NAME}:443": origin.host},
        user=f"proxy-user:{PASSWORD}",
        certificate=certificate if secure else None,
    ) as proxy:
        with session(through(with_user(proxy.url), own, proxy.host), store) as made:
            # The name leads nowhere here: it is the proxy that looked it up.
            for _ in range(3):
                assert ask(made)
        # The first one ended with the refusal.
        assert len(proxy.seen) == 2
        for tunnel in proxy.seen:
            assert (tunnel.method, tunnel.target) == ("CONNECT", f"{NAME}:443")
            assert set(tunnel.headers) == {"host", "user-agent", "proxy-authorization"}
            assert tunnel.headers["host"] == f"{NAME}:443"
        assert proxy.passed[:1] == b"\x16"
        for secret in (USER.password, PASSWORD, "Authorization", "YWxpY2U6cGE1NXcwcmQ="):
            assert secret.encode() not in proxy.passed
    assert origin.count() == 4  # one of them refused, before it was told who asks
    for request in origin.requests:
        assert request.header("Proxy-Authorization") is None
        assert request.header("Host") == NAME


def test_proxy_auth_leak_a_proxy_without_a_user_is_told_of_none(
    origin: FakeRegistry, own: HostTls
) -> None:
    with ForwardProxy({f"{NAME}:443": origin.host}) as proxy:
        with session(through(proxy.url, own)) as made:
            assert ask(made)
        (tunnel,) = proxy.seen
        assert set(tunnel.headers) == {"host", "user-agent"}


@pytest.mark.parametrize("secure", [False, True])
def test_plain_requests_are_sent_to_the_proxy_whole(
    own: HostTls, certificate: tuple[Path, Path], *, secure: bool
) -> None:
    tokens = TokenService()
    plain = frozenset({HOST, Registry.parse("token.test")})
    with FakeRegistry(mounts=[tokens]) as origin:
        origin.guard = BearerGuard(tokens, "http://token.test/token")
        stock(origin)
        routes = {f"{NAME}:80": origin.host, "token.test:80": origin.host}
        with ForwardProxy(
            routes,
            user=f"proxy-user:{PASSWORD}",
            certificate=certificate if secure else None,
        ) as proxy:
            settings = NetworkSettings(
                insecure_http=plain,
                tls={Registry.parse(proxy.host): own},
                proxies=Proxies(parse_proxy(with_user(proxy.url), "--proxy")),
            )
            with session(settings) as made:
                assert ask(made, f"http://{NAME}/v2/{PATH}/manifests/1.4")
            scope = quote(f"repository:{PATH}:pull", safe="")
            assert [each.target for each in proxy.seen] == [
                f"http://{NAME}/v2/{PATH}/manifests/1.4",
                f"http://token.test/token?service=registry.test&scope={scope}",
                f"http://{NAME}/v2/{PATH}/manifests/1.4",
            ]
        assert {each.header("Host") for each in origin.requests} == {NAME, "token.test"}


@pytest.mark.parametrize("code", [302, 307])
def test_proxy_auth_leak_a_redirect_to_a_host_without_a_proxy_takes_nothing_along(
    code: int,
) -> None:
    with FakeRegistry() as origin, FakeRegistry() as target:
        origin.play(Redirect(f"{target.url}/v2/", code))
        with ForwardProxy({f"{NAME}:80": origin.host}, user=f"proxy-user:{PASSWORD}") as proxy:
            other = Registry.parse(target.host)
            settings = NetworkSettings(
                insecure_http=frozenset({HOST, other}),
                proxies=Proxies(parse_proxy(with_user(proxy.url), "--proxy"), {other: None}),
            )
            with session(settings) as made:
                ask(made, f"http://{NAME}/v2/")
            assert len(proxy.seen) == 1
        (request,) = target.requests
        assert request.header("Proxy-Authorization") is None


def test_proxy_auth_leak_a_redirect_to_a_host_with_another_proxy_takes_nothing_along() -> None:
    with FakeRegistry() as origin, FakeRegistry() as target:
        origin.play(Redirect("http://blobs.test/v2/"))
        with (
            ForwardProxy({f"{NAME}:80": origin.host}, user=f"proxy-user:{PASSWORD}") as one,
            ForwardProxy({"blobs.test:80": target.host}) as two,
        ):
            other = Registry.parse("blobs.test")
            settings = NetworkSettings(
                insecure_http=frozenset({HOST, other}),
                proxies=Proxies(
                    parse_proxy(with_user(one.url), "--proxy"),
                    {other: parse_proxy(two.url, "--proxy")},
                ),
            )
            with session(settings) as made:
                ask(made, f"http://{NAME}/v2/")
            assert [each.target for each in two.seen] == ["http://blobs.test/v2/"]
            assert "proxy-authorization" not in two.seen[0].headers


def test_large_bodies_come_whole_through_tls_inside_tls(
    origin: FakeRegistry, own: HostTls, certificate: tuple[Path, Path]
) -> None:
    data = bytes(range(256)) * 20_000
    digest = origin.shelf.put_blob(data)
    with (
        ForwardProxy({f"{NAME}:443": origin.host}, certificate=certificate) as proxy,
        session(through(proxy.url, own, proxy.host)) as made,
    ):
        for _ in range(2):
            assert ask(made, f"https://{NAME}/v2/{PATH}/blobs/{digest}") == data
        assert len(proxy.seen) == 1


def test_a_body_that_breaks_off_inside_a_proxys_tls_is_told_of(
    origin: FakeRegistry, own: HostTls, certificate: tuple[Path, Path]
) -> None:
    origin.play(Truncate(7))
    with (
        ForwardProxy({f"{NAME}:443": origin.host}, certificate=certificate) as proxy,
        session(through(proxy.url, own, proxy.host)) as made,
        pytest.raises(Unreachable, match="bytes before the answer did"),
    ):
        ask(made, f"https://{NAME}/v2/{PATH}/manifests/1.4")


def test_a_connection_inside_a_proxys_tls_that_the_origin_closed_is_made_anew(
    origin: FakeRegistry, own: HostTls, certificate: tuple[Path, Path]
) -> None:
    with (
        ForwardProxy({f"{NAME}:443": origin.host}, certificate=certificate) as proxy,
        session(through(proxy.url, own, proxy.host)) as made,
    ):
        assert ask(made)
        assert origin._listener is not None
        origin._listener.disconnect()
        time.sleep(0.2)
        assert ask(made)
        assert len(proxy.seen) == 2


def test_an_address_is_asked_for_in_brackets(origin: FakeRegistry, own: HostTls) -> None:
    with ForwardProxy({"[fd00::1]:5000": origin.host}) as proxy:
        settings = through(proxy.url, own)
        with session(settings) as made, pytest.raises(Unreachable, match="certificate") as caught:
            ask(made, "https://[fd00::1]:5000/v2/")
        assert "fd00::1" in caught.value.message
        assert proxy.seen[0].target == "[fd00::1]:5000"


# --- whose TLS it is --------------------------------------------------------------------------


def test_insecure_scope_a_proxy_that_is_not_checked_makes_no_origin_unchecked(
    origin: FakeRegistry, certificate: tuple[Path, Path]
) -> None:
    with ForwardProxy({f"{NAME}:443": origin.host}, certificate=certificate) as proxy:
        settings = NetworkSettings(
            insecure_tls=frozenset({Registry.parse(proxy.host)}),
            proxies=Proxies(parse_proxy(proxy.url, "--proxy")),
        )
        with session(settings) as made, pytest.raises(Unreachable) as caught:
            ask(made)
        assert caught.value.message.startswith(f"{NAME}: the TLS certificate is not valid")
        assert len(proxy.seen) == 1
    assert origin.requests == ()


def test_insecure_scope_an_origin_that_is_not_checked_makes_no_proxy_unchecked(
    origin: FakeRegistry, certificate: tuple[Path, Path]
) -> None:
    with ForwardProxy({f"{NAME}:443": origin.host}, certificate=certificate) as proxy:
        settings = NetworkSettings(
            insecure_tls=frozenset({HOST}), proxies=Proxies(parse_proxy(proxy.url, "--proxy"))
        )
        with session(settings) as made, pytest.raises(Unreachable) as caught:
            ask(made)
        assert f"the proxy {proxy.url}: the TLS certificate is not valid" in caught.value.message
        assert f"--tls-ca {proxy.host}=FILE" in caught.value.hint
        assert proxy.seen == ()


def test_a_client_certificate_is_shown_inside_the_tunnel(
    authority: Authority, certificate: tuple[Path, Path]
) -> None:
    client = ClientCertificate(*authority.issue("client"))
    trusted = (authority.certificate,)
    with (
        FakeRegistry(certificate=certificate, clients=authority.certificate) as origin,
        ForwardProxy({f"{NAME}:443": origin.host}, certificate=certificate) as proxy,
    ):
        at = Registry.parse(proxy.host)
        for own, works in ((HostTls(trusted), False), (HostTls(trusted, client), True)):
            settings = NetworkSettings(
                tls={HOST: own, at: HostTls(trusted)},
                proxies=Proxies(parse_proxy(proxy.url, "--proxy")),
            )
            with session(settings) as made:
                if works:
                    assert ask(made)
                else:
                    with pytest.raises(Unreachable, match="wants a client certificate"):
                        ask(made)


def test_a_file_of_the_origins_that_cannot_be_used_is_said_before_the_proxy_is_asked(
    tmp_path: Path,
) -> None:
    with ForwardProxy() as proxy:
        settings = through(proxy.url, HostTls((tmp_path / "absent",)))
        with session(settings) as made, pytest.raises(InputError, match=NAME):
            ask(made)
        assert proxy.seen == ()


# --- proxies that refuse ----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", ["", f"proxy-user:{PASSWORD}@"])
def test_a_proxy_that_wants_credentials_is_named_and_they_are_not(
    scheme: str, user: str, own: HostTls
) -> None:
    with ForwardProxy(user="other:other") as proxy:
        settings = NetworkSettings(
            insecure_http=frozenset({HOST}),
            tls={HOST: own},
            proxies=Proxies(parse_proxy(proxy.url.replace("://", f"://{user}"), "HTTPS_PROXY")),
        )
        with session(settings) as made, pytest.raises(Unreachable, match="407") as caught:
            ask(made, f"{scheme}://{NAME}/v2/")
        assert f"the proxy {proxy.url}" in caught.value.message
        hint = "check them in HTTPS_PROXY" if user else f"http://USER:PASSWORD@{proxy.host}"
        assert hint in caught.value.hint
        said = everything_said(caught.value)
        assert PASSWORD not in said
        assert proxy.seen[0].headers.get("proxy-authorization", "Basic nothing")[6:] not in said
        assert len(proxy.seen) == 1


def test_a_407_without_a_proxy_is_the_registrys_own_answer() -> None:
    with (
        raw_server(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n") as host,
        session(NetworkSettings(insecure_http=frozenset({Registry.parse(host)}))) as made,
        pytest.raises(Unreachable, match="answered 407"),
    ):
        ask(made, f"http://{host}/v2/")


def test_a_proxy_that_does_not_get_through_is_named_and_so_is_the_way_around(
    own: HostTls,
) -> None:
    with ForwardProxy({f"{NAME}:443": "127.0.0.1:1"}) as proxy:
        with session(through(proxy.url, own)) as made, pytest.raises(Unreachable) as caught:
            ask(made)
        assert f"the proxy {proxy.url}: it makes no connection to {NAME}:443 (502)" in str(
            caught.value
        )
        assert f"--proxy {NAME}:443=direct" in caught.value.hint


def test_a_proxy_that_is_not_there_is_named(own: HostTls) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
        with session(through(f"http://{nobody}", own)) as made:
            with pytest.raises(Unreachable) as caught:
                ask(made)
            assert f"the proxy http://{nobody}: connection refused" in caught.value.message
    with (
        session(through("http://nowhere.invalid:1", own)) as made,
        pytest.raises(Unreachable, match=r"the proxy http://nowhere\.invalid:1: the name"),
    ):
        ask(made)


def test_a_plain_proxy_that_is_called_https_is_told_of(own: HostTls) -> None:
    with ForwardProxy() as proxy:
        url = f"https://{proxy.host}"
        with session(through(url, own)) as made, pytest.raises(Unreachable) as caught:
            ask(made)
        assert f"write it as http://{proxy.host}" in caught.value.hint


# --- proxies that misbehave -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP", id="ssh"),
        pytest.param(b"HTTP/2 200\r\n\r\n", "no HTTP", id="http-2"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", "no HTTP", id="four-digits"),
        pytest.param(b"\r\n\r\n", "no HTTP", id="empty"),
        pytest.param(TUNNEL[:-2], "closed the connection", id="half"),
        pytest.param(b"", "closed the connection", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 20_000, "longer than 16384", id="endless"),
        pytest.param(TUNNEL + b"\x15\x03\x03", "more than its answer", id="more"),
        pytest.param(b"HTTP/1.1 403 No\r\n\r\nsecret", "makes no connection", id="forbidden"),
        pytest.param(b"HTTP/1.0 302 x\r\nLocation: http://x\r\n\r\n", r"\(302\)", id="redirect"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", r"\(100\)", id="interim"),
    ],
)
def test_an_answer_that_makes_no_tunnel_is_told_of_and_not_quoted(
    answer: bytes, words: str, own: HostTls
) -> None:
    with (
        raw_server(answer) as host,
        session(through(f"http://{host}", own)) as made,
        pytest.raises(Unreachable, match=words) as caught,
    ):
        ask(made)
    assert f"the proxy http://{host}" in caught.value.message
    assert "secret" not in everything_said(caught.value)


_LINE = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 200", b"HTTP/1.1 407 Who", b"200 OK", b""])


@given(
    st.lists(st.one_of(_LINE, st.binary(max_size=40)), max_size=4).map(b"\r\n".join),
    st.one_of(st.just(b"\r\n\r\n"), st.binary(max_size=8)),
)
def test_any_answer_of_a_proxys_makes_a_tunnel_or_an_error(head: bytes, end: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(head + end)
        proxy = parse_proxy("http://proxy.test:3128", "--proxy")
        try:
            open_tunnel(ours, f"{NAME}:443", proxy, Deadline.after(5))
        except (OSError, Unreachable):
            return
    assert re.fullmatch(rb"HTTP/1\.[01] 2\d\d( [^\r\n]*)?", head.split(b"\r\n")[0])
    assert (head + end).index(b"\r\n\r\n") == len(head + end) - 4


def _silent(connection: socket.socket) -> None:
    receive_head(connection)
    connection.settimeout(30)
    with contextlib.suppress(OSError):
        connection.recv(1)


def _dripping(connection: socket.socket) -> None:
    receive_head(connection)
    with contextlib.suppress(OSError):
        for _ in range(600):
            connection.sendall(b"H")
            time.sleep(0.05)


def _tunnelling_to_nobody(connection: socket.socket) -> None:
    receive_head(connection)
    connection.sendall(TUNNEL)
    connection.settimeout(30)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


@pytest.mark.parametrize("misbehave", [_silent, _dripping, _tunnelling_to_nobody])
def test_slow_and_endless_a_proxy_is_waited_for_no_longer_than_anybody(
    misbehave: Callable[[socket.socket], None], own: HostTls
) -> None:
    start = time.monotonic()
    with raw_server(misbehave) as host, session(through(f"http://{host}", own)) as made:
        with pytest.raises(Unreachable, match=r"no complete answer within 0\.3 s"):
            made.send(wanted(seconds=0.3))
        assert time.monotonic() - start < 8


@pytest.mark.parametrize("misbehave", [_silent, _dripping, _tunnelling_to_nobody])
def test_slow_and_endless_a_proxy_has_a_time_of_its_own(
    misbehave: Callable[[socket.socket], None], own: HostTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT", 0.3)
    start = time.monotonic()
    with raw_server(misbehave) as host, session(through(f"http://{host}", own)) as made:
        with pytest.raises(Unreachable, match=r"within 0\.3 s"):
            made.send(wanted(seconds=30))
        assert time.monotonic() - start < 8


@pytest.mark.parametrize("misbehave", [_silent, _tunnelling_to_nobody])
def test_who_waits_for_a_proxy_hears_that_the_work_is_called_off(
    misbehave: Callable[[socket.socket], None], own: HostTls
) -> None:
    call = wanted(seconds=30)
    timer = threading.Timer(0.2, call.deadline.cancelled.set)
    with raw_server(misbehave) as host, session(through(f"http://{host}", own)) as made:
        timer.start()
        start = time.monotonic()
        with pytest.raises(Interrupted):
            made.send(call)
        assert time.monotonic() - start < 8


def test_a_tunnel_that_ends_in_the_handshake_is_a_failure_of_the_hosts(
    own: HostTls, certificate: tuple[Path, Path]
) -> None:
    def ending(connection: socket.socket) -> None:
        receive_head(connection)
        connection.sendall(TUNNEL)

    def ending_inside(connection: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        with context.wrap_socket(connection, server_side=True) as secured:
            ending(secured)
            secured.unwrap()

    for scheme, serve in (("http", ending), ("https", ending_inside)):
        with (
            raw_server(serve) as host,
            session(through(f"{scheme}://{host}", own, host)) as made,
            pytest.raises(Unreachable, match=f"^{NAME}: "),
        ):
            ask(made)


# --- with a guard -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "[::ffff:10.0.0.1]", "169.254.169.254"])
def test_ssrf_dial_guard_a_proxy_is_not_asked_for_an_address_that_is_not_public(
    host: str,
) -> None:
    with ForwardProxy() as proxy:
        settings = NetworkSettings(
            proxies=Proxies(parse_proxy(proxy.url, "--proxy")), dialer=Dialer(guard=DialGuard())
        )
        with session(settings) as made, pytest.raises(Unreachable, match="is not public"):
            ask(made, f"https://{host}/v2/")
        assert proxy.seen == ()


def test_ssrf_dial_guard_names_and_permitted_addresses_are_the_proxys_to_dial(
    origin: FakeRegistry, own: HostTls
) -> None:
    permitted = (ipaddress.ip_network("10.0.0.0/8"),)
    routes = {f"{NAME}:443": origin.host, "10.0.0.1:443": origin.host}
    with ForwardProxy(routes) as proxy:
        settings = NetworkSettings(
            tls={HOST: own},
            insecure_tls=frozenset({Registry.parse("10.0.0.1")}),
            proxies=Proxies(parse_proxy(proxy.url, "--proxy")),
            dialer=Dialer(guard=DialGuard(permitted)),
        )
        with session(settings) as made:
            assert ask(made)
            assert ask(made, "https://10.0.0.1/v2/")
