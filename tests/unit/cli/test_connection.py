"""Certificates and proxies as a user names them: what they do, and what is said of them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificate import Authority
from tests.support.image import put
from tests.support.proxy import ForwardProxy
from tests.support.registry import FakeRegistry
from tests.unit.cli.conftest import NEW, PATH, TAG, Pair, Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = f"up.test/{PATH}:{TAG}"
PASSWORD = "open-sesame"
AUTHORIZATION = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
WELL_KNOWN = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WELL_KNOWN:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[Pair]:
    """An upstream `up.test` and a mirror `mirror.test` behind TLS, which only a proxy finds."""
    files = authority.issue("both", names="DNS:up.test,DNS:mirror.test,IP:127.0.0.1")
    with FakeRegistry(certificate=files) as upstream, FakeRegistry(certificate=files) as mirror:
        for each in (upstream, mirror):
            put(each.shelf, PATH, NEW, TAG)
        yield Pair(upstream, mirror)


@pytest.fixture
def proxy(secured: Pair) -> Iterator[ForwardProxy]:
    routes = {"up.test:443": secured.upstream.host, "mirror.test:443": secured.mirror.host}
    with ForwardProxy(routes, user=f"alice:{PASSWORD}") as running:
        yield running


@pytest.fixture
def trust(authority: Authority) -> list[str]:
    hosts = ("up.test", "mirror.test")
    return [word for each in hosts for word in ("--tls-ca", f"{each}={authority.certificate}")]


def with_user(proxy: ForwardProxy) -> str:
    return proxy.url.replace("://", f"://alice:{PASSWORD}@")


def said_of_proxies(report: dict[str, Any]) -> list[str]:
    (image,) = report["images"]
    return [each["message"] for each in image["findings"] if each["rule"] == "proxied"]


# --- certificates -----------------------------------------------------------------------------


def test_an_authority_is_named_for_each_host(run: Run, secured: Pair, authority: Authority) -> None:
    name, mirror = secured.name(), secured.mirror.host
    words = ["verify", name, "--mirror", mirror]
    named = [f"{each}={authority.certificate}" for each in (secured.upstream.host, mirror)]
    assert run(*words, "--tls-ca", named[0], "--tls-ca", named[1]).status == 0
    done = run(*words, "--tls-ca", named[0])
    assert done.status == 3
    assert f"--tls-ca {mirror}=FILE" in " ".join(done.out.split())


def test_a_directory_of_hosts_is_read(
    run: Run, secured: Pair, authority: Authority, tmp_path: Path
) -> None:
    for each in (secured.upstream.host, secured.mirror.host):
        folder = tmp_path / "certs.d" / each
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
    words = ["verify", secured.name(), "--mirror", secured.mirror.host]
    assert run(*words, "--certs-dir", tmp_path / "certs.d").status == 0
    (tmp_path / "certs.d" / secured.mirror.host / "client.key").touch()
    done = run(*words, "--certs-dir", tmp_path / "certs.d")
    assert done.status == 2
    assert "client.key without client.cert" in done.err


@pytest.mark.parametrize("in_one_file", [False, True])
def test_a_client_certificate_is_named(
    run: Run, authority: Authority, tmp_path: Path, *, in_one_file: bool
) -> None:
    files = authority.issue("server")
    certificate, key = authority.issue("client")
    with FakeRegistry(certificate=files, clients=authority.certificate) as registry:
        put(registry.shelf, PATH, NEW, TAG)
        put(registry.shelf, "library/copy", NEW, TAG)
        words = ["compare", f"{registry.host}/{PATH}:{TAG}", f"{registry.host}/library/copy:{TAG}"]
        words += ["--tls-ca", f"{registry.host}={authority.certificate}"]
        assert run(*words).status == 3
        pair = f"{certificate}:{key}"
        if in_one_file:
            both = tmp_path / "both.pem"
            both.write_bytes(certificate.read_bytes() + key.read_bytes())
            pair = str(both)
        assert run(*words, "--tls-client-cert", f"{registry.host}={pair}").status == 0


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--tls-ca", "/some/ca.crt", "write --tls-ca HOST[:PORT]=FILE"),
        ("--tls-ca", "up.test=", "write --tls-ca HOST[:PORT]=FILE"),
        ("--tls-ca", "up test=/some/ca.crt", "is not a reference"),
        ("--tls-ca", "up.test=/absent/ca.crt", "/absent/ca.crt, a TLS file for up.test, cannot"),
        ("--tls-client-cert", "up.test", "write --tls-client-cert HOST[:PORT]=CERT[:KEY]"),
        ("--tls-client-cert", "up.test=/absent/a:/b", "/absent/a, a TLS file for up.test, cannot"),
        ("--certs-dir", "/absent", "/absent cannot be listed"),
        ("--proxy", "ftp://x.test", "--proxy is not the URL of a proxy"),
        ("--proxy", "up.test=proxy.test:3128", "neither URL, HOST[:PORT]=URL"),
        ("--proxy", "=http://proxy.test", "empty"),
        ("--proxy", "unix:///run/proxy.sock", "a socket of this machine"),
        ("--mirror", "unix:///run/registry.sock", "a socket of this machine"),
        ("--insecure-http", "npipe://registry", "a socket of this machine"),
    ],
)
def test_what_cannot_be_used_is_the_callers_error(
    run: Run, option: str, value: str, words: str
) -> None:
    done = run("verify", IMAGE, "--mirror", "mirror.test", option, value, "--timeout", "5")
    assert done.status == 2
    assert words in done.err
    assert done.out == ""


# --- proxies ----------------------------------------------------------------------------------


def test_a_proxy_for_everything_is_used_and_noted(
    run: Run, proxy: ForwardProxy, trust: list[str]
) -> None:
    words = ["verify", IMAGE, "--mirror", "mirror.test", *trust, "--proxy", with_user(proxy)]
    done = run(*words, "--format", "json")
    assert done.status == 0
    assert said_of_proxies(done.report) == [
        f"{host} was asked through the proxy {proxy.url} (--proxy)"
        for host in ("up.test", "mirror.test")
    ]
    assert {each.target for each in proxy.seen} == {"up.test:443", "mirror.test:443"}


def test_a_proxy_for_one_host_is_used_for_no_other(
    run: Run, proxy: ForwardProxy, trust: list[str], secured: Pair
) -> None:
    mirror = secured.mirror.host
    words = ["verify", IMAGE, "--mirror", mirror, *trust]
    words += ["--tls-ca", trust[-1].replace("mirror.test", mirror), "--format", "json"]
    for proxies in (
        [f"up.test={with_user(proxy)}"],
        [with_user(proxy), f"{mirror}=direct"],
        ["http://nowhere.test", with_user(proxy), f"{mirror}=direct"],
    ):
        done = run(*words, *(word for each in proxies for word in ("--proxy", each)))
        assert done.status == 0
        (note,) = said_of_proxies(done.report)
        assert note.startswith("up.test ")
    assert {each.target for each in proxy.seen} == {"up.test:443"}


def test_netrc_env_the_environments_proxies_count_only_where_that_is_asked_for(
    run: Run, proxy: ForwardProxy, trust: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*WELL_KNOWN, "ALL_PROXY", "all_proxy"):
        if "NO" not in name.upper():
            monkeypatch.setenv(name, with_user(proxy))
    words = ["verify", IMAGE, "--mirror", "mirror.test", *trust, "--format", "json"]
    done = run(*words)
    assert done.status == 3
    assert proxy.seen == ()
    assert said_of_proxies(done.report) == []
    done = run(*words, "--proxy-from-env")
    assert done.status == 0
    assert [each.rpartition(" ")[2] for each in said_of_proxies(done.report)] == [
        "(HTTPS_PROXY)",
        "(HTTPS_PROXY)",
    ]
    monkeypatch.setenv("NO_PROXY", ".test")
    done = run(*words, "--proxy-from-env")
    assert done.status == 3
    assert said_of_proxies(done.report) == []


def test_a_variable_that_names_no_proxy_is_the_callers_error_where_it_counts(
    run: Run, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://alice:{PASSWORD}@proxy.test")
    words = ["verify", pair.name(), *pair.options]
    assert run(*words).status == 0
    done = run(*words, "--proxy-from-env")
    assert done.status == 2
    assert "HTTPS_PROXY names a SOCKS proxy" in done.err
    assert PASSWORD not in done.err


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("loud", [(), ("-v",), ("--debug",), ("-v", "--debug")])
def test_who_we_are_to_a_proxy_is_never_shown(
    run: Run, trust: list[str], loud: tuple[str, ...], form: str
) -> None:
    with ForwardProxy(user="somebody:else") as proxy:
        given = with_user(proxy)
        for value in (given, f"up.test={given}", f"{given}/path", f"alice:{PASSWORD}@x@y"):
            words = ["verify", IMAGE, "--mirror", "mirror.test", *trust, "--proxy", value]
            done = run(*loud, *words, "--format", form)
            assert done.status in (2, 3)
            for secret in (PASSWORD, AUTHORIZATION):
                assert secret not in done.out + done.err
