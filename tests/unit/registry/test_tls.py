import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from imgverify.errors import Unreachable
from imgverify.oci.reference import Registry
from imgverify.registry.deadline import Deadline
from imgverify.registry.handshake import shake_hands
from imgverify.registry.tls import Security, client_context
from imgverify.registry.transport import Transport
from tests.support.registry import FakeRegistry
from tests.unit.registry.scene import OK, body, ipv6_works, raw_server, receive_head, transport

HOST = Registry.parse("reg.test")
PLAIN = Security(HOST)


def idle(made: Transport) -> int:
    return sum(len(each) for each in made._idle.values())


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


def silent(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.settimeout(10)
        while connection.recv(65536):
            pass


def https(host: str, *, seconds: float = 5.0) -> httpx.Request:
    return httpx.Request(
        "GET", f"https://{host}/", extensions={"deadline": Deadline.after(seconds)}
    )


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]) -> None:
    paths = ssl.DefaultVerifyPaths("", "", "", str(certificate[0]), "", "/nonexistent")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)


@pytest.mark.usefixtures("trusted")
def test_a_trusted_certificate_is_taken_and_the_connection_used_again(
    certificate: tuple[Path, Path],
) -> None:
    with FakeRegistry(certificate=certificate) as fake, transport() as made:
        for _ in range(3):
            assert body(made.handle_request(https(fake.host)))
            assert idle(made) == 1
        (kept,) = next(iter(made._idle.values()))
        assert kept.sock is kept.wire


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(certificate: tuple[Path, Path]) -> None:
    with FakeRegistry(certificate=certificate) as fake:
        sock = socket.create_connection(("127.0.0.1", fake.port))
        with pytest.raises(ssl.SSLCertVerificationError, match="match"):
            shake_hands(sock, "reg.test", client_context(PLAIN), Deadline.after(5))


def test_no_http_fallback_a_certificate_nobody_vouches_for_is_final(
    certificate: tuple[Path, Path],
) -> None:
    with FakeRegistry(certificate=certificate) as fake, transport() as made:
        with pytest.raises(httpx.ConnectError, match="certificate is not valid: self"):
            made.handle_request(https(fake.host))
        assert fake.requests == ()


def test_insecure_tls_takes_any_certificate(certificate: tuple[Path, Path]) -> None:
    with FakeRegistry(certificate=certificate) as fake, transport(insecure_tls=True) as made:
        assert body(made.handle_request(https(fake.host)))


@pytest.mark.parametrize(
    ("host", "address", "name"),
    [
        ("localhost", "127.0.0.1", "localhost"),
        ("127.0.0.1", "127.0.0.1", None),
        pytest.param(
            *("[::1]", "::1", None),
            marks=pytest.mark.skipif(not ipv6_works(), reason="no IPv6 on this machine"),
        ),
    ],
)
@pytest.mark.usefixtures("trusted")
def test_a_name_is_sent_for_a_name_and_none_for_an_address(
    certificate: tuple[Path, Path], host: str, address: str, name: str | None
) -> None:
    named: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _socket, said, _context: named.append(said)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    seen: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as secured:
            seen.append(receive_head(secured))
            secured.sendall(OK + b"Content-Length: 5\r\n\r\nhello")

    with socket.create_server((address, 0), family=family) as listener, transport() as made:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        place = f"{host}:{listener.getsockname()[1]}"
        assert body(made.handle_request(https(place))) == b"hello"
        thread.join(5)
    assert named == [name]
    assert f"Host: {place}\r\n".encode() in seen[0]


def test_tls_with_a_server_that_speaks_none_is_a_connect_error(fake: FakeRegistry) -> None:
    with transport() as made, pytest.raises(httpx.ConnectError, match="TLS failed"):
        made.handle_request(https(fake.host))


def test_slow_and_endless_a_handshake_ends_at_the_deadline() -> None:
    start = time.monotonic()
    with raw_server(silent) as host, transport() as made, pytest.raises(Unreachable):
        made.handle_request(https(host, seconds=0.2))
    assert time.monotonic() - start < 8


def test_a_handshake_that_the_server_ends_is_an_error() -> None:
    with (
        raw_server(lambda _: None) as host,
        transport() as made,
        pytest.raises(httpx.TransportError),
    ):
        made.handle_request(https(host))


def test_netrc_env_ssl_cert_file_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]
) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate[0]))
    monkeypatch.setenv("SSL_CERT_DIR", str(certificate[0].parent))
    with (
        FakeRegistry(certificate=certificate) as fake,
        transport() as made,
        pytest.raises(httpx.ConnectError, match="certificate"),
    ):
        made.handle_request(https(fake.host))


def test_without_system_certificates_those_of_certifi_are_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = ssl.DefaultVerifyPaths("", "", "", "/nonexistent", "", "/nonexistent")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    context = client_context(PLAIN)
    assert context.get_ca_certs()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_tls_is_at_least_1_2_even_where_certificates_do_not_count() -> None:
    for insecure in (False, True):
        context = client_context(Security(HOST, insecure=insecure))
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
