"""What really goes out: to which address, with which first bytes, in which request line."""

import ast
import contextlib
import functools
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast
from unittest import mock

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import imgverify
from imgverify.errors import ContentError, ImgverifyError, InvalidReference, Side, Unreachable
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry import session as module
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from imgverify.registry.urls import registry_of, resolve_server_url
from tests.support.registry import FakeRegistry
from tests.support.tokens import BearerGuard, TokenService
from tests.unit.registry.scene import (
    PATH,
    call,
    ipv6_works,
    named,
    network,
    plain,
    raw_server,
    receive_head,
    session,
    transport,
)
from tests.unit.registry.test_urls import BASE, ODD

PACKAGE = Path(imgverify.__file__).parent
TLS_HANDSHAKE = 0x16


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF", 0.001)


# --- TLS first, and nothing else --------------------------------------------------------------


def closes(_: socket.socket) -> bytes:
    return b""


def speaks_http(_: socket.socket) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def redirects(_: socket.socket) -> bytes:
    return b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/v2/\r\nContent-Length: 0\r\n\r\n"


def breaks_off(_: socket.socket) -> bytes:
    return b"\x15\x03\x03\x00\x02\x02\x28"  # an alert: the handshake failed


@contextlib.contextmanager
def listening(
    family: socket.AddressFamily, answer: Callable[[socket.socket], bytes]
) -> Iterator[tuple[list[int], int]]:
    """A server that keeps the first byte of every connection."""
    first: list[int] = []

    def serve(connection: socket.socket) -> None:
        connection.settimeout(5)
        first.extend(connection.recv(65536)[:1])
        connection.sendall(answer(connection))

    with raw_server(serve, family=family) as host:
        yield first, int(host.rpartition(":")[2])


@pytest.mark.parametrize("answer", [closes, speaks_http, redirects, breaks_off])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "localhost.evil.test", "127.0.0.1.evil.test", "[::1]"]
)
def test_implicit_insecure_localhost_no_http_fallback_nothing_but_tls_is_tried(
    monkeypatch: pytest.MonkeyPatch, host: str, answer: Callable[[socket.socket], bytes]
) -> None:
    if host == "[::1]" and not ipv6_works():
        pytest.skip("no IPv6 on this machine")
    family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
    asked: list[tuple[str, int]] = []
    look_up = socket.getaddrinfo

    def to_loopback(name: str, port: int, *more: int, **options: int) -> object:
        asked.append((name, port))
        return look_up("127.0.0.1" if name.endswith(".test") else name, port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", to_loopback)
    with listening(family, answer) as (first, port):
        place = f"{host}:{port}"
        with network() as net, pytest.raises(Unreachable) as caught:
            net.at(named(place).repository, Side.UPSTREAM).manifest(named(place))
        assert place in caught.value.message
        assert set(first) == {TLS_HANDSHAKE}
        assert set(asked) == {(host.strip("[]"), port)}


def test_implicit_insecure_localhost_one_spelling_that_is_named_is_not_all() -> None:
    with listening(socket.AF_INET, speaks_http) as (first, port):
        settings = plain(f"127.0.0.1:{port}")
        place = f"localhost:{port}"
        with network(settings=settings) as net, pytest.raises(Unreachable):
            net.at(named(place).repository, Side.MIRROR).manifest(named(place))
        assert set(first) == {TLS_HANDSHAKE}


@pytest.mark.parametrize("warm", [False, True])
def test_insecure_scope_a_token_server_is_not_covered_by_its_registry(
    certificate: tuple[Path, Path], *, warm: bool
) -> None:
    tokens = TokenService()
    with (
        FakeRegistry(mounts=[tokens], certificate=certificate) as issuer,
        FakeRegistry(certificate=certificate) as running,
    ):
        insecure = NetworkSettings(insecure_tls=frozenset({Registry.parse(running.host)}))
        with session(insecure) as made:
            if warm:
                made.fetch(call(running), 1000)
            running.guard = BearerGuard(tokens, realm=f"{issuer.url}/token")
            for _ in range(2):
                with pytest.raises(Unreachable, match="certificate is not valid") as caught:
                    made.send(call(running, f"/v2/{PATH}/manifests/x"))
                assert issuer.host in caught.value.message
        assert issuer.requests == ()


# --- the address ------------------------------------------------------------------------------


@contextlib.contextmanager
def nothing_resolves(but: str = "") -> Iterator[list[tuple[str, int]]]:
    """Keep what is looked up to be connected to; only one host is there."""
    asked: list[tuple[str, int]] = []
    look_up = socket.getaddrinfo

    def recorded(name: str, port: int, *more: int, **options: int) -> object:
        asked.append((name, port))
        if f"{name}:{port}" == but:
            return look_up(name, port, *more, **options)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with mock.patch.object(socket, "getaddrinfo", recorded):
        yield asked


def dialled(url: httpx.URL) -> tuple[str, int]:
    """Where the transport connects to for a URL."""
    deadline, host = {"deadline": Deadline.after(5)}, {"Host": "x"}
    request = httpx.Request("GET", url, headers=host, extensions=deadline)
    with (
        nothing_resolves() as asked,
        transport(insecure_tls=True) as made,  # else the system's certificates are read each time
        contextlib.suppress(httpx.TransportError),
    ):
        made.handle_request(request)
    (where,) = set(asked)
    return where


HOSTS = ["good.test", "evil.test", "[::1]", "127.0.0.1", "xn--a", "GOOD.test:443", "x:80", "x:5000"]
LINKS = st.lists(
    st.sampled_from([*HOSTS, "https:", "http:", "//", "/", "\\", "@", ":", "%2f", "?", "#", ".."]),
    max_size=7,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(LINKS | st.text(st.characters(max_codepoint=0x180), max_size=30).map("https://".__add__))
@example("https://good.test\\@evil.test/")
@example("//evil.test:443/x")
@example("https://xn--zzzzzzzz/")
def test_url_parser_differential_the_approved_host_is_the_one_that_is_dialled(text: str) -> None:
    try:
        url = resolve_server_url(BASE, text)
        approved = registry_of(url)
    except ContentError:
        return
    port = approved.port or {"http": 80, "https": 443}[url.scheme]
    assert dialled(url) == (approved.api.host, port)


@pytest.mark.parametrize("text", [each for each in ODD if each == each.strip()])
def test_url_parser_differential_of_an_odd_url_nothing_is_dialled(text: str) -> None:
    location = re.sub(r"[\r\n]", " ", text).encode()
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    with raw_server(answer) as host, session(plain(host)) as made, nothing_resolves(host) as asked:
        where, url = Registry.parse(host), httpx.URL(f"http://{host}/")
        with pytest.raises(ImgverifyError):
            made.send(module.Call("GET", url, where, Deadline.after(5)))
        assert {f"{name}:{port}" for name, port in asked} == {host}


# --- the request line -------------------------------------------------------------------------

TEXT = st.text(
    st.sampled_from("abz019._-/:@%?#&=+\\ \t\r\n\0\x7f\x85\u00e9\u2028\uff11"),
    min_size=1,
    max_size=12,
)


@contextlib.contextmanager
def heads(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that keeps every request's head, and gives the answers in order."""
    kept: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        kept.append(receive_head(connection))
        connection.sendall(answers[min(len(kept), len(answers)) - 1])

    with raw_server(serve) as host:
        yield host, kept


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def assert_one_request(head: bytes, target: str) -> None:
    line, _, rest = head.partition(b"\r\n")
    method, found, version = line.split(b" ")
    assert (method, version) == (b"GET", b"HTTP/1.1")
    assert found.decode("ascii") == target
    headers = rest.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert all(re.fullmatch(rb"[A-Za-z-]+: [!-~][ -~]*", each) for each in headers)
    assert b"\n" not in head.replace(b"\r\n", b"")


def test_header_injection_parse_a_name_is_in_one_line_as_it_is() -> None:
    with heads(NOT_FOUND) as (host, kept), network(host) as net:
        taken = 0

        @settings(max_examples=100, deadline=None)
        @given(TEXT, TEXT)
        @example("library/app", "1.4")
        @example("a__b/c--d", "A.-_")
        def ask(path: str, tag: str) -> None:
            nonlocal taken
            try:
                reference = Reference(Repository(Registry.parse(host), path), tag)
            except InvalidReference:
                return
            taken += 1
            with pytest.raises(ImgverifyError):
                net.at(reference.repository, Side.MIRROR).manifest(reference)
            assert_one_request(kept[-1], f"/v2/{path}/manifests/{tag}")

        ask()
        assert taken == len(kept) >= 2


@pytest.mark.parametrize(
    "service",
    [
        "a&scope=repository:other:push",
        "a b#c?d",
        "a%0d%0aX-Evil: 1",
        "a\r\n X-Evil: 1",
        "a\r\n\tX-Evil: 1",
        "\u00e9\u00ff",
        'a\\"b',
    ],
)
def test_header_injection_parse_what_a_challenge_says_stays_in_its_place(service: str) -> None:
    quoted = service.replace("\\", "\\\\").replace('"', '\\"').encode("latin-1")
    challenge = b'Bearer realm="http://HOST/token?a=1",service="' + quoted + b'"'
    answers: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        answers.append(receive_head(connection))
        own = connection.getsockname()
        said = challenge.replace(b"HOST", b"%s:%d" % (own[0].encode(), own[1]))
        connection.sendall(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n"
            b"WWW-Authenticate: " + said + b"\r\n\r\n"
        )

    with raw_server(serve) as host, network(host) as net, pytest.raises(ImgverifyError):
        net.at(named(host).repository, Side.MIRROR).manifest(named(host))
    head = answers[1]
    target = head.split(b" ")[1].decode("ascii")
    assert_one_request(head, target)
    read = httpx.URL(f"http://x{target}").params
    said = re.sub(r"\r\n[ \t]", lambda found: found[0], service)
    assert [*read.multi_items()] == [
        ("a", "1"),
        ("service", said),
        ("scope", f"repository:{PATH}:pull"),
    ]


@pytest.mark.parametrize("encoded", ["../../x", "../..", "", "a/../b", "%2e%2e", "x?y", "x#y"])
def test_path_traversal_ref_a_layer_that_is_no_digest_is_never_asked_for(encoded: str) -> None:
    blank = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "", "size": 1}
    document = {
        "schemaVersion": 2,
        "config": blank | {"digest": str(Digest.of(b"x"))},
        "layers": [blank | {"digest": f"sha256:{encoded}"}],
    }
    body = json.dumps(document).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with heads(answer) as (host, kept), network(host) as net, pytest.raises(ContentError):
        net.at(named(host).repository, Side.MIRROR).manifest(named(host))
    assert len(kept) == 1


# --- one door ---------------------------------------------------------------------------------


def test_server_urls_one_door_the_transport_takes_no_text() -> None:
    with transport() as made, pytest.raises(AttributeError):
        made.handle_request(cast("httpx.Request", "http://evil.test/"))


@functools.cache
def calls() -> frozenset[tuple[str, str]]:
    """Every module of the package, and the name of every call in it."""
    return frozenset(
        (file.relative_to(PACKAGE).as_posix(), ast.unparse(node.func))
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    )


def uses(pattern: str) -> set[str]:
    """The modules in which a call's name is like this."""
    return {module for module, name in calls() if re.fullmatch(pattern, name)}


def test_server_urls_one_door_no_other_way_leads_to_a_socket() -> None:
    # The loopback server's own listener is bound, and never connects to anything.
    assert uses(r"(socket\.)?(socket|create_connection)") == {"registry/dial.py"}
    assert uses(r"(.*\.)?handle_request") == {"registry/session.py"}
    assert (
        uses(r"(httpx\.)?(Client|get|post|request|stream)|urlopen|(.*\.)?HTTPS?Connection") == set()
    )


def test_server_urls_one_door_text_becomes_a_url_in_one_place() -> None:
    assert uses(r"(httpx\.)?URL") == {"registry/urls.py"}
    assert uses(r"base\.join|urljoin|(.*\.)?urljoin") == {"registry/urls.py"}
    callers = uses(r"resolve_server_url")
    registry = {"registry/tokenserver.py", "registry/listing.py", "registry/session.py"}
    # A TUF repository chooses the names of its files.
    assert callers == registry | {"refresh.py"}
