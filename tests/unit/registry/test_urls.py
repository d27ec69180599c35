import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import ContentError, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.reference import Registry
from imgverify.registry.transport import _origin
from imgverify.registry.urls import (
    api_url,
    is_among,
    is_ip_literal,
    registry_of,
    resolve_server_url,
    same_origin,
)

BASE = httpx.URL("https://good.test/v2/app/blobs/x")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/v2/next?n=2", "https://good.test/v2/next?n=2"),
        ("next", "https://good.test/v2/app/blobs/next"),
        ("?last=b", "https://good.test/v2/app/blobs/x?last=b"),
        ("//cdn.test/x", "https://cdn.test/x"),
        ("HTTPS://CDN.test/X", "https://cdn.test/X"),
        ("https://cdn.test:8443/x#part", "https://cdn.test:8443/x"),
        ("http://[::1]:5000/x", "http://[::1]:5000/x"),
        ("https://cdn.test/?sig=a%2Fb%3D&x=@", "https://cdn.test/?sig=a%2Fb%3D&x=@"),
        ("https://xn--bcher-kva.test/x", "https://xn--bcher-kva.test/x"),
    ],
)
def test_server_urls_one_door_what_is_plain_is_resolved(text: str, result: str) -> None:
    assert str(resolve_server_url(BASE, text)) == result


ODD = [
    "",
    " ",
    "https://good.test\\@evil.test/",
    "https:\\\\evil.test/",
    "\\\\evil.test/x",
    "/\\evil.test/x",
    "https://good.test@evil.test/",
    "https://user:secret@evil.test/",
    "https://@evil.test/",
    "https://good.test%2f@evil.test/",
    "https://good.test%2fevil.test/",
    "https://good.test%00.evil.test/",
    "https://evil.test /",
    "https://evil.test/\r\nX: y",
    "https://evil.test/\n",
    "\thttps://evil.test/",
    "https://evil.test/\x00",
    "https://évil.test/",
    "https://evil。test/",
    "file:///etc/passwd",
    "ftp://evil.test/",
    "javascript:alert(1)",
    "data:,x",
    "gopher://evil.test/",
    "unix:///run/docker.sock",
    "https://[::1",
    "https://[::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://evil.test:port/",
    "https://evil.test:-1/",
    "https://:443/",
    "https:///path",
    "https://evil.test:0/",
    "https://evil.test:70000/",
    "https://evil..test/",
    "https://-evil.test/",
    "https://evil_.test/",
    "https://evil.test./",
]


@pytest.mark.parametrize("text", ODD)
def test_url_parser_differential_what_two_parsers_read_differently_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        registry_of(resolve_server_url(BASE, text))
    assert "secret" not in str(caught.value)


def test_a_url_of_more_than_eight_kib_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="8193 characters"):
        resolve_server_url(BASE, "/" + "a" * limits.URL_LENGTH)


@given(st.text(st.characters(max_codepoint=0x180), max_size=40), st.sampled_from(["", "https://"]))
def test_url_parser_differential_what_the_guard_approves_is_what_is_dialled(
    text: str, start: str
) -> None:
    try:
        url = resolve_server_url(BASE, start + text)
        approved = registry_of(url)
    except ContentError:
        return
    scheme, host, port = _origin(url)
    assert (scheme, host) == (url.scheme, url.raw_host.decode())
    assert host.isascii()
    assert (approved.api.host, approved.port or {"http": 80, "https": 443}[scheme]) == (host, port)


@pytest.mark.parametrize("host", ["xn--zzzzzzzz", "xn--a.test", f"xn--{'a' * 200}", "xn--"])
def test_regex_idna_cpu_malformed_crash_an_ascii_name_is_never_decoded(host: str) -> None:
    url = resolve_server_url(BASE, f"https://{host}/token")
    assert not is_ip_literal(url)
    assert _origin(url) == ("https", host, 443)


def test_idna_a_registry_by_its_ascii_name_is_dialled_by_that_name() -> None:
    registry = Registry.parse("xn--bcher-kva.test:5000")
    url = api_url(registry, "/v2/", insecure_http=())
    assert registry_of(url) == registry
    assert _origin(url) == ("https", "xn--bcher-kva.test", 5000)


@pytest.mark.parametrize(
    ("registry", "insecure", "url"),
    [
        ("reg.test", (), "https://reg.test/v2/"),
        ("reg.test:5000", (), "https://reg.test:5000/v2/"),
        ("reg.test:5000", ("reg.test:5000",), "http://reg.test:5000/v2/"),
        ("reg.test:5000", ("reg.test",), "https://reg.test:5000/v2/"),
        ("[::1]:5000", ("[::1]:5000",), "http://[::1]:5000/v2/"),
        ("docker.io", (), "https://registry-1.docker.io/v2/"),
        ("localhost", (), "https://localhost/v2/"),
    ],
)
def test_no_http_fallback_only_a_named_host_and_port_is_plain_http(
    registry: str, insecure: tuple[str, ...], url: str
) -> None:
    named = frozenset(Registry.parse(each) for each in insecure)
    assert str(api_url(Registry.parse(registry), "/v2/", insecure_http=named)) == url


@pytest.mark.parametrize(
    ("url", "registry"),
    [
        ("https://reg.test/", "reg.test"),
        ("https://reg.test:443/", "reg.test"),
        ("http://reg.test:80/", "reg.test"),
        ("http://reg.test:443/", "reg.test:443"),
        ("https://REG.test:5000/", "reg.test:5000"),
        ("https://[::1]/", "[::1]"),
        ("https://registry-1.docker.io/v2/", "docker.io"),
    ],
)
def test_a_url_leads_to_a_host_and_port(url: str, registry: str) -> None:
    assert registry_of(httpx.URL(url)) == Registry.parse(registry)


@pytest.mark.parametrize(
    ("url", "named", "found"),
    [
        ("https://reg.test/", "reg.test", True),
        ("https://reg.test/", "reg.test:443", True),
        ("http://reg.test/", "reg.test:80", True),
        ("http://reg.test/", "reg.test:443", False),
        ("https://reg.test/", "reg.test:80", False),
        ("https://reg.test:5000/", "reg.test", False),
        ("https://xreg.test/", "reg.test", False),
    ],
)
def test_insecure_scope_a_default_port_may_be_spelled_out(
    url: str, named: str, *, found: bool
) -> None:
    assert is_among(httpx.URL(url), {Registry.parse(named)}) is found


@pytest.mark.parametrize(
    ("host", "literal"),
    [
        ("169.254.169.254", True),
        ("127.1", True),
        ("2130706433", True),
        ("0x7f000001", True),
        ("0x7f.1", True),
        ("[::1]", True),
        ("[::ffff:169.254.169.254]", True),
        ("reg.test", False),
        ("1.reg.test", False),
        ("localhost", False),
        ("1e100.net", False),
        ("xn--zzzzzzzz", False),
        ("xn--a.test", False),
    ],
)
def test_realm_exfil_an_address_is_one_in_every_spelling(host: str, *, literal: bool) -> None:
    assert is_ip_literal(httpx.URL(f"https://{host}/")) is literal


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.test/x", "https://a.test/y", True),
        ("https://a.test/x", "https://A.TEST:443/y", True),
        ("https://a.test/", "http://a.test/", False),
        ("https://a.test/", "https://a.test:8443/", False),
        ("https://a.test/", "https://b.a.test/", False),
        ("http://127.0.0.1/", "http://localhost/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, *, same: bool) -> None:
    assert same_origin(httpx.URL(one), httpx.URL(other)) is same
