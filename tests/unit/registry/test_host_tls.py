"""What one host has of its own in TLS: who has it, who has not, and files that are none."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from imgverify.errors import InputError, Unreachable
from imgverify.oci.reference import Registry
from imgverify.registry.session import Call, NetworkSettings
from imgverify.registry.tls import (
    NOTHING_OWN,
    ClientCertificate,
    Contexts,
    HostTls,
    Security,
    client_context,
    read_certs_directory,
    read_host_folder,
)
from tests.support.certificate import Authority, encrypted
from tests.support.faults import Redirect
from tests.support.registry import FakeRegistry
from tests.support.tokens import BearerGuard, TokenService
from tests.unit.registry.scene import PATH, call, session, stock

if TYPE_CHECKING:
    from pathlib import Path

    from imgverify.registry.session import Session

HOST = Registry.parse("reg.test:5000")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def server(ours: Authority) -> tuple[Path, Path]:
    return ours.issue("server")


def knowing(own: HostTls, *registries: FakeRegistry) -> NetworkSettings:
    return NetworkSettings(tls={Registry.parse(each.host): own for each in registries})


def ask(made: Session, registry: FakeRegistry) -> bytes:
    return made.fetch(call(registry), 1000)[1]


def shown(certificate: tuple[Path, Path], *authorities: Path) -> HostTls:
    return HostTls(authorities, ClientCertificate(*certificate))


# --- whose it is ------------------------------------------------------------------------------


@pytest.mark.parametrize("known_first", [True, False])
def test_insecure_scope_an_authority_counts_for_one_host_alone(
    ours: Authority, server: tuple[Path, Path], *, known_first: bool
) -> None:
    own = HostTls((ours.certificate,))
    with FakeRegistry(certificate=server) as one, FakeRegistry(certificate=server) as two:
        with session(knowing(own, one)) as made:
            for registry in (one, two, one) if known_first else (two, one, two):
                if registry is one:
                    assert ask(made, one)
                else:
                    with pytest.raises(Unreachable, match="certificate is not valid") as caught:
                        ask(made, two)
                    assert f"--tls-ca {two.host}=FILE" in caught.value.hint
        assert two.requests == ()


def test_insecure_scope_a_redirect_takes_no_authority_along(
    ours: Authority, server: tuple[Path, Path]
) -> None:
    own = HostTls((ours.certificate,))
    with FakeRegistry(certificate=server) as target, FakeRegistry(certificate=server) as running:
        running.play(Redirect(f"{target.url}/v2/"))
        with session(knowing(own, running)) as made, pytest.raises(Unreachable) as caught:
            ask(made, running)
        assert target.host in caught.value.message
        assert target.requests == ()
        with session(knowing(own, running, target)) as made:
            assert ask(made, running)


def test_insecure_scope_a_token_server_has_no_authority_but_its_own(
    ours: Authority, server: tuple[Path, Path]
) -> None:
    own, tokens = HostTls((ours.certificate,)), TokenService()
    with (
        FakeRegistry(certificate=server, mounts=[tokens]) as issuer,
        FakeRegistry(certificate=server) as running,
    ):
        # A name and not an address: an https registry may send to no other address.
        realm = f"https://localhost:{issuer.port}/token"
        running.guard = BearerGuard(tokens, realm)
        host = Registry.parse(stock(running).host)
        named = Registry.parse(f"localhost:{issuer.port}")
        for settings, works in (
            (NetworkSettings(tls={host: own}), False),
            (NetworkSettings(tls={host: own, named: own}), True),
        ):
            with session(settings) as made:
                if works:
                    assert made.fetch(call(running, f"/v2/{PATH}/manifests/1.4"), 100_000)
                else:
                    with pytest.raises(Unreachable, match=f"localhost:{issuer.port}"):
                        made.send(call(running, f"/v2/{PATH}/manifests/1.4"))
            assert bool(issuer.requests) is works


def test_a_client_certificate_is_shown_to_the_host_it_is_for_and_no_other(
    ours: Authority, theirs: Authority, server: tuple[Path, Path]
) -> None:
    right = shown(ours.issue("client"), ours.certificate)
    wrong = shown(theirs.issue("client"), ours.certificate)
    without = HostTls((ours.certificate,))
    with (
        FakeRegistry(certificate=server, clients=ours.certificate) as running,
        FakeRegistry(certificate=server, clients=ours.certificate) as target,
    ):
        for own in (without, wrong):
            with session(knowing(own, running)) as made, pytest.raises(Unreachable) as caught:
                ask(made, running)
            assert f"--tls-client-cert {running.host}=CERT:KEY" in caught.value.hint
            assert "client certificate" in caught.value.message
        assert running.requests == ()
        with session(knowing(right, running)) as made:
            assert ask(made, running)
        running.play(Redirect(f"{target.url}/v2/"))
        host, other = Registry.parse(running.host), Registry.parse(target.host)
        settings = NetworkSettings(tls={host: right, other: without})
        with session(settings) as made, pytest.raises(Unreachable, match="client certificate"):
            ask(made, running)
        assert target.requests == ()


def test_a_client_certificate_is_shown_also_where_the_servers_does_not_count(
    ours: Authority, server: tuple[Path, Path]
) -> None:
    own = shown(ours.issue("client"))
    with FakeRegistry(certificate=server, clients=ours.certificate) as running:
        host = Registry.parse(running.host)
        settings = NetworkSettings(insecure_tls=frozenset({host}), tls={host: own})
        with session(settings) as made:
            assert ask(made, running)


@pytest.mark.parametrize("named", ["reg.test", "reg.test:443", "REG.test"])
@pytest.mark.parametrize("url", ["https://reg.test/v2/", "https://reg.test:443/v2/"])
def test_a_default_port_need_not_be_spelled_out(named: str, url: str) -> None:
    own = HostTls()
    settings = NetworkSettings(tls={Registry.parse(named): own})
    assert settings.security(httpx.URL(url)).own is own
    assert settings.security(httpx.URL("https://reg.test:444/")).own is NOTHING_OWN
    assert settings.security(httpx.URL("https://x.reg.test/")).own is NOTHING_OWN


def test_docker_hubs_material_is_for_its_api_and_not_for_its_token_server(
    ours: Authority,
) -> None:
    own = HostTls((ours.certificate,))
    settings = NetworkSettings(tls={Registry.parse("docker.io"): own})
    assert settings.security(httpx.URL("https://registry-1.docker.io/v2/")).own is own
    assert settings.security(httpx.URL("https://auth.docker.io/token")).own is NOTHING_OWN


def test_hosts_with_nothing_of_their_own_share_a_context_and_others_do_not(
    ours: Authority,
) -> None:
    contexts, own = Contexts(), HostTls((ours.certificate,))
    one, two = Registry.parse("one.test"), Registry.parse("two.test")
    assert contexts.of(Security(one)) is contexts.of(Security(two))
    assert contexts.of(Security(one)) is not contexts.of(Security(one, insecure=True))
    assert contexts.of(Security(one, own)) is contexts.of(Security(one, own))
    assert contexts.of(Security(one, own)) is not contexts.of(Security(two, own))
    assert contexts.of(Security(one, own)) is not contexts.of(Security(one))


# --- what is trusted --------------------------------------------------------------------------


def test_authorities_are_trusted_beside_those_of_the_system(ours: Authority) -> None:
    system = client_context(Security(HOST))
    both = client_context(Security(HOST, HostTls((ours.certificate,))))
    assert len(both.get_ca_certs()) == len(system.get_ca_certs()) + 1
    assert both.verify_mode is ssl.CERT_REQUIRED
    assert both.check_hostname


def test_a_servers_own_certificate_may_be_named_as_its_authority(
    certificate: tuple[Path, Path],
) -> None:
    own = HostTls((certificate[0],))
    with FakeRegistry(certificate=certificate) as running, session(knowing(own, running)) as made:
        assert ask(made, running)


def test_a_certificate_that_is_no_root_may_be_named(server: tuple[Path, Path]) -> None:
    # As with Docker: what is named is trusted, whoever vouches for it.
    own = HostTls((server[0],))
    with FakeRegistry(certificate=server) as running, session(knowing(own, running)) as made:
        assert ask(made, running)


@pytest.mark.parametrize(
    ("names", "days", "words"),
    [
        ("DNS:other.test", 2, "not valid for '127.0.0.1'"),
        ("DNS:localhost,IP:127.0.0.1", -1, "expired"),
        ("DNS:127.0.0.1", 2, "not valid for '127.0.0.1'"),
        ("email:loopback@example.test", 2, "not valid for '127.0.0.1'"),
    ],
)
def test_an_authority_does_not_make_a_certificate_right(
    ours: Authority, names: str, days: int, words: str
) -> None:
    files = ours.issue("bad", names=names, days=days)
    with FakeRegistry(certificate=files) as running:
        own = HostTls((ours.certificate,))
        with session(knowing(own, running)) as made, pytest.raises(Unreachable) as caught:
            ask(made, running)
        assert words in caught.value.message
        assert running.requests == ()


def test_a_common_name_is_no_name(ours: Authority) -> None:
    files = ours.issue("localhost", names="email:nobody@example.test")
    with FakeRegistry(certificate=files) as running:
        host = Registry.parse(f"localhost:{running.port}")
        settings = NetworkSettings(tls={host: HostTls((ours.certificate,))})
        wanted = call(running)
        url = httpx.URL(f"https://{host}/v2/")
        with session(settings) as made, pytest.raises(Unreachable, match="localhost"):
            made.send(Call("GET", url, host, wanted.deadline))
        assert running.requests == ()


# --- files ------------------------------------------------------------------------------------


def _refused(own: HostTls, server: tuple[Path, Path]) -> InputError:
    with FakeRegistry(certificate=server) as running, session(knowing(own, running)) as made:
        with pytest.raises(InputError) as caught:
            ask(made, running)
        assert running.requests == ()
        assert running.host in caught.value.message
        return caught.value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "no certificate"),
        (b"not PEM", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
    ],
)
def test_an_authority_that_cannot_be_read_is_the_callers_error(
    tmp_path: Path, server: tuple[Path, Path], content: bytes | None, words: str
) -> None:
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_bytes(content)
    error = _refused(HostTls((path,)), server)
    assert str(path) in error.message
    assert words in error.message


def test_client_certificates_that_cannot_be_used_are_the_callers_error(
    tmp_path: Path, ours: Authority, server: tuple[Path, Path]
) -> None:
    certificate, key = ours.issue("client")
    other = ours.issue("other")[1]
    absent, empty = tmp_path / "absent.key", tmp_path / "empty.key"
    empty.touch()
    locked = encrypted(key, "open-sesame")
    for pair, file, words in (
        ((certificate, absent), absent, "no such file"),
        ((absent, key), absent, "no such file"),
        ((certificate, empty), empty, "no certificate and key"),
        ((key, key), key, "no certificate and key"),
        ((certificate, other), other, "it is not the key of"),
        ((certificate, tmp_path), tmp_path, "is a directory"),
        ((certificate, locked), locked, "the key is encrypted"),
    ):
        error = _refused(HostTls((), ClientCertificate(*pair)), server)
        assert str(file) in error.message
        assert words in error.message


def test_certificate_and_key_may_be_in_one_file(
    tmp_path: Path, ours: Authority, server: tuple[Path, Path]
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(each.read_bytes() for each in ours.issue("client")))
    own = shown((both, both), ours.certificate)
    with (
        FakeRegistry(certificate=server, clients=ours.certificate) as running,
        session(knowing(own, running)) as made,
    ):
        assert ask(made, running)


# --- folders ----------------------------------------------------------------------------------


def _touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for each in names:
        (folder / each).touch()
    return folder


def test_a_hosts_folder_is_read_as_docker_reads_it(tmp_path: Path) -> None:
    folder = _touch(tmp_path / "x", "b.crt", "a.crt", "client.cert", "client.key", "notes.txt")
    own = read_host_folder(folder, HOST)
    assert own.authorities == (folder / "a.crt", folder / "b.crt")
    assert own.client == ClientCertificate(folder / "client.cert", folder / "client.key")


def test_a_host_without_a_folder_has_nothing_of_its_own(tmp_path: Path) -> None:
    assert read_host_folder(tmp_path / "absent", HOST) == NOTHING_OWN
    assert read_host_folder(_touch(tmp_path / "x", "file") / "file", HOST) == NOTHING_OWN


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a.cert",), "a.cert without a.key"),
        (("a.key", "ca.crt"), "a.key without a.cert"),
        (("a.cert", "b.key"), "a.cert without a.key"),
        (("a.cert", "a.key", "b.cert", "b.key"), "more than one client certificate"),
    ],
)
def test_a_folder_with_half_a_pair_or_two_is_the_callers_error(
    tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    folder = _touch(tmp_path / "x", *names)
    with pytest.raises(InputError, match=words) as caught:
        read_host_folder(folder, HOST)
    assert str(folder) in caught.value.message
    assert str(HOST) in caught.value.message


def test_a_directory_of_hosts_is_read_whole(tmp_path: Path) -> None:
    _touch(tmp_path / "reg.test:5000", "ca.crt")
    _touch(tmp_path / "[::1]:5000", "ca.crt")
    _touch(tmp_path / "docker.io", "a.crt", "old.cert", "old.key")
    _touch(tmp_path / "registry-1.docker.io", "b.crt", "new.cert", "new.key")
    _touch(tmp_path / "_default", "ca.crt", "odd.key")
    found = read_certs_directory(tmp_path)
    assert {str(each) for each in found} == {"reg.test:5000", "[::1]:5000", "docker.io"}
    hub = found[Registry.parse("docker.io")]
    assert [each.name for each in hub.authorities] == ["a.crt", "b.crt"]
    assert hub.client is not None
    assert hub.client.key.name == "new.key"


def test_a_directory_that_is_not_there_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be listed: no such file"):
        read_certs_directory(tmp_path / "absent")


def test_a_folder_that_cannot_be_listed_is_the_callers_error(tmp_path: Path) -> None:
    folder = tmp_path / "loop"
    folder.symlink_to(folder)
    with pytest.raises(InputError, match="cannot be listed"):
        read_host_folder(folder, HOST)
