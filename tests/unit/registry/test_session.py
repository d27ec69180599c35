import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from imgverify.errors import (
    ImgverifyError,
    Interrupted,
    LimitExceeded,
    Malformed,
    NotFound,
    RateLimited,
    Unauthorized,
    Unreachable,
)
from imgverify.oci import limits
from imgverify.oci.reference import Registry
from imgverify.registry import session as module
from imgverify.registry.credentials import Credentials, CredentialStore
from imgverify.registry.session import NetworkSettings, _travelling
from tests.support.faults import (
    Drip,
    DripHeaders,
    Endless,
    Fault,
    Gzip,
    Hang,
    Header,
    Redirect,
    Reset,
    Status,
    When,
    rate_limited,
)
from tests.support.registry import FakeRegistry
from tests.support.relay import Relay
from tests.support.tokens import BasicGuard
from tests.unit.registry.scene import call, everything_said, ipv6_works, plain, session, stock

USER = Credentials("alice", "pa55w0rd")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF", 0.001)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield stock(running)


def ask(registry: FakeRegistry, *also: str, seconds: float = 5.0) -> tuple[str, ...]:
    with session(plain(registry.host, *also)) as made:
        answer, _ = made.fetch(call(registry, seconds=seconds), 1000)
        return answer.served_by


# --- redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_all_hosts_are_told(fake: FakeRegistry, code: int) -> None:
    with FakeRegistry() as target:
        fake.play(Redirect(f"{target.url}/v2/", code))
        assert ask(fake, target.host) == (fake.host, target.host)
        assert target.seen()[0].header("Host") == target.host


@pytest.mark.skipif(not ipv6_works(), reason="no IPv6 on this machine")
def test_a_redirect_to_an_ipv6_address_is_followed(fake: FakeRegistry) -> None:
    with FakeRegistry() as target, Relay(("127.0.0.1", target.port), "::1") as relay:
        fake.play(Redirect(f"http://{relay.host}/v2/"))
        assert ask(fake, relay.host) == (fake.host, relay.host)
        assert target.seen()[0].header("Host") == relay.host


def test_redirect_auth_strip_another_port_gets_no_credentials(fake: FakeRegistry) -> None:
    fake.guard = BasicGuard({"alice": "pa55w0rd"})
    store = CredentialStore({Registry.parse(fake.host): USER})
    with FakeRegistry() as target, session(plain(fake.host, target.host), store) as made:
        fake.play(Redirect(f"{target.url}/v2/"))
        made.fetch(call(fake), 1000)
        (seen,) = target.requests
        assert seen.header("Authorization") is None
        assert fake.requests[-1].header("Authorization")


def test_foreign_url_creds_a_redirect_targets_challenge_is_not_answered(
    fake: FakeRegistry,
) -> None:
    challenge = (("WWW-Authenticate", 'Basic realm="x"'),)
    with FakeRegistry(faults=[Status(401, challenge)]) as target:
        store = CredentialStore(
            {Registry.parse(fake.host): USER, Registry.parse(target.host): USER}
        )
        fake.play(Redirect(f"{target.url}/v2/"))
        with (
            session(plain(fake.host, target.host), store) as made,
            pytest.raises(Unauthorized, match=target.host) as caught,
        ):
            made.fetch(call(fake), 1000)
        assert "redirects to" in caught.value.message
        assert {each.header("Authorization") for each in target.requests} == {None}
        assert (fake.count(), target.count()) == (1, 1)


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("https://reg.test/other", True),
        ("https://REG.test:443/other", True),
        ("http://reg.test/", False),
        ("https://reg.test:8443/", False),
        ("https://cdn.reg.test/", False),
        ("https://reg.test.evil.test/", False),
        ("https://xreg.test/", False),
        ("https://[::1]/", False),
    ],
)
@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Registry-Auth", "PRIVATE-TOKEN"])
def test_redirect_custom_headers_and_auth_strip_only_an_allow_list_leaves_the_origin(
    target: str, name: str, *, kept: bool
) -> None:
    headers = {name: "secret", "Accept": "a", "Range": "bytes=1-", "Host": "reg.test"}
    url = httpx.URL("https://reg.test/v2/")
    after = _travelling(headers, url, httpx.URL(target))
    assert (after.get(name) == "secret") is kept
    assert after["Accept"] == "a"
    assert after["Range"] == "bytes=1-"
    assert after["Host"] == httpx.URL(target).netloc.decode()


def test_redirects_without_end_are_refused(fake: FakeRegistry) -> None:
    fake.play(Redirect("{path}"))
    with pytest.raises(LimitExceeded, match="more than 5 times"):
        ask(fake)
    assert fake.count() == limits.REDIRECTS + 1


def test_no_http_fallback_a_redirect_to_plain_http_has_to_be_named(fake: FakeRegistry) -> None:
    with FakeRegistry() as target:
        fake.play(Redirect(f"{target.url}/x?signature=secret"))
        with pytest.raises(Unreachable, match="redirects to plain HTTP") as caught:
            ask(fake)
        assert target.requests == ()
        assert f"--insecure-http {target.host}" in caught.value.hint
        assert "secret" not in everything_said(caught.value)


def test_no_http_fallback_https_never_redirects_to_http(certificate: tuple[Path, Path]) -> None:
    with FakeRegistry() as target, FakeRegistry(certificate=certificate) as fake:
        fake.play(Redirect(f"{target.url}/"))
        settings = NetworkSettings(
            insecure_http=frozenset({Registry.parse(target.host)}),
            insecure_tls=frozenset({Registry.parse(fake.host)}),
        )
        with session(settings) as made, pytest.raises(Unreachable, match="plain HTTP") as caught:
            made.send(call(fake))
        assert caught.value.hint == ""
        assert target.requests == ()


@pytest.mark.parametrize(
    "location",
    [
        "",
        "ftp://evil.test/",
        "http://u:p@evil.test/",
        "http://a\\@b/",
        "http:///",
        "//",
        "http://a%2f/",
    ],
)
def test_server_urls_one_door_a_location_that_is_no_plain_url_is_refused(
    fake: FakeRegistry, location: str
) -> None:
    fake.play(Redirect(location))
    with pytest.raises(Malformed):
        ask(fake)


# --- TLS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad_first", [True, False])
def test_insecure_scope_is_one_host_and_port_whatever_comes_first(
    certificate: tuple[Path, Path], *, bad_first: bool
) -> None:
    with FakeRegistry(certificate=certificate) as one, FakeRegistry(certificate=certificate) as two:
        settings = NetworkSettings(insecure_tls=frozenset({Registry.parse(one.host)}))
        with session(settings) as made:
            for registry in (two, one, two) if bad_first else (one, two, one):
                if registry is one:
                    made.fetch(call(one), 1000)
                else:
                    with pytest.raises(Unreachable, match="certificate") as caught:
                        made.send(call(two))
                    assert "final" in caught.value.hint
        assert two.requests == ()


def test_no_http_fallback_a_server_without_tls_is_told_of_and_not_asked(
    fake: FakeRegistry,
) -> None:
    url = f"https://{fake.host}/v2/"
    wanted = call(fake)
    with session(NetworkSettings()) as made, pytest.raises(Unreachable) as caught:
        made.send(module.Call("GET", httpx.URL(url), wanted.place, wanted.deadline))
    assert f"--insecure-http {fake.host}" in caught.value.hint
    assert fake.requests == ()


def test_netrc_env_nothing_of_the_environment_is_followed(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login eve password planted\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    with FakeRegistry() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        ask(fake)
        assert proxy.requests == ()
    assert {each.header("Authorization") for each in fake.requests} == {None}


# --- retries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [Reset(), Reset(1), Status(502), Status(503), Status(504), rate_limited()],
)
def test_what_is_transient_is_tried_again(fake: FakeRegistry, fault: Fault) -> None:
    object.__setattr__(fault, "when", When(last=3))
    fake.play(fault)
    ask(fake)
    assert fake.count() == 4


@pytest.mark.parametrize(
    ("fault", "kind", "times"),
    [
        (Reset(), Unreachable, 4),
        (Status(503), Unreachable, 4),
        (Status(500), Unreachable, 1),
        (Status(304), Unreachable, 1),
        (Status(400), Unreachable, 1),
        (Status(403), Unauthorized, 1),
        (Status(404), NotFound, 1),
        (rate_limited("0"), RateLimited, 4),
        (rate_limited("61"), RateLimited, 1),
        (rate_limited("6"), RateLimited, 1),
        (rate_limited("9" * 5000), RateLimited, 1),
    ],
)
def test_what_does_not_pass_is_an_error_with_a_next_step(
    fake: FakeRegistry, fault: Fault, kind: type[ImgverifyError], times: int
) -> None:
    fake.play(fault)
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        ask(fake)
    assert fake.count() == times
    assert fake.host in caught.value.message
    assert caught.value.hint or kind is NotFound
    assert time.monotonic() - start < 5


def test_retry_after_is_waited_for(fake: FakeRegistry) -> None:
    fake.play(rate_limited("1", when=When(last=1)))
    start = time.monotonic()
    ask(fake)
    assert time.monotonic() - start >= 1


def test_an_interrupt_ends_the_wait_before_a_retry(fake: FakeRegistry) -> None:
    fake.play(rate_limited("20"))
    asked = call(fake, seconds=60)
    threading.Timer(0.2, asked.deadline.cancelled.set).start()
    start = time.monotonic()
    with session(plain(fake.host)) as made, pytest.raises(Interrupted):
        made.send(asked)
    assert time.monotonic() - start < 10


# --- bodies and words -------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Hang(), Drip(1, 0.3), DripHeaders(0.05), Endless(b"")])
def test_slow_and_endless_ends_at_the_deadline_and_names_the_host(
    fake: FakeRegistry, fault: Fault
) -> None:
    fake.play(fault)
    start = time.monotonic()
    with pytest.raises(ImgverifyError) as caught:
        ask(fake, seconds=0.4)
    assert time.monotonic() - start < 10
    assert fake.host in caught.value.message


def test_slow_and_endless_a_body_beyond_its_limit_is_left(fake: FakeRegistry) -> None:
    fake.play(Endless())
    with pytest.raises(LimitExceeded, match="more than 1000 bytes"):
        ask(fake)


@pytest.mark.parametrize("said", ["gzip", "br", "zstd", "identity, gzip", "gzip, gzip", "x"])
def test_http_decompression_what_was_not_asked_for_is_refused(
    fake: FakeRegistry, said: str
) -> None:
    fake.play(Header("Content-Encoding", said))
    with pytest.raises(Malformed, match="not asked for") as caught:
        ask(fake)
    assert "proxy" in caught.value.hint
    assert fake.requests[0].header("Accept-Encoding") == "identity"


@pytest.mark.parametrize("said", ["", "identity", "Identity"])
def test_an_encoding_that_is_none_is_taken(fake: FakeRegistry, said: str) -> None:
    fake.play(Header("Content-Encoding", said))
    ask(fake)


@pytest.mark.parametrize("status", [404, 500])
def test_http_decompression_an_errors_body_is_not_unpacked(fake: FakeRegistry, status: int) -> None:
    fake.play(Status(status, (), b" " * 10_000_000), Gzip(9))
    with pytest.raises(ImgverifyError, match=f"answered {status}$"):
        ask(fake)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b'{"errors": [{"code": "DENIED"}, {"code": "UNKNOWN"}]}', r"500 \(DENIED, UNKNOWN\)$"),
        (b'{"errors": [{}]}', "500$"),
        (b'{"errors": [{"code": "Bearer SECRET"}, {"code": "DENIED"}]}', r"500 \(DENIED\)$"),
        (b'{"errors": [{"code": "' + b"A" * 65 + b'"}, {"code": 5}]}', "500$"),
        (b'{"errors": 5}', "500$"),
        (b'{"errors": [5]}', "500$"),
        (b"<html>", "500$"),
        (b" " * 20_000, "500$"),
    ],
)
def test_an_errors_codes_are_quoted(fake: FakeRegistry, document: bytes, words: str) -> None:
    fake.play(Status(500, (), document))
    with pytest.raises(Unreachable, match=words):
        ask(fake)


def test_a_head_has_no_codes(fake: FakeRegistry) -> None:
    fake.play(Status(404))
    with session(plain(fake.host)) as made, pytest.raises(NotFound, match=r"404$"):
        made.send(call(fake, method="HEAD"))


def test_a_message_holds_no_query_and_no_credential(fake: FakeRegistry) -> None:
    fake.guard = BasicGuard({})
    store = CredentialStore({Registry.parse(fake.host): USER})
    query = "signed-with"
    with session(plain(fake.host), store) as made, pytest.raises(Unauthorized) as caught:
        made.send(call(fake, f"/v2/?X={query}"))
    said = everything_said(caught.value).replace(f'"{query}"', "")
    assert query not in said
    assert "pa55w0rd" not in said


def test_an_answer_closes_as_a_context_manager(fake: FakeRegistry) -> None:
    with session(plain(fake.host)) as made:
        with made.send(call(fake)) as answer:
            assert answer.response.status_code == 200
        assert answer.response.is_closed
