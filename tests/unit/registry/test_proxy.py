"""Which proxy is chosen: options, the environment's variables, and what they exempt."""

from __future__ import annotations

import base64

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InputError
from imgverify.oci.reference import Registry
from imgverify.registry.proxy import (
    Environment,
    Proxies,
    Proxy,
    parse_environment,
    parse_proxies,
    parse_proxy,
)
from tests.unit.registry.scene import everything_said

SECRET = "open-sesame"


@pytest.mark.parametrize(
    ("text", "shown", "port"),
    [
        ("http://proxy.test:3128", "http://proxy.test:3128", 3128),
        ("http://proxy.test:3128/", "http://proxy.test:3128", 3128),
        ("HTTP://Proxy.Test", "http://proxy.test", 80),
        ("https://proxy.test", "https://proxy.test", 443),
        ("https://proxy.test:8443", "https://proxy.test:8443", 8443),
        ("proxy.test:3128", "http://proxy.test:3128", 3128),
        ("http://[::1]:3128", "http://[::1]:3128", 3128),
        ("10.0.0.1:3128", "http://10.0.0.1:3128", 3128),
    ],
)
def test_a_proxy_is_read(text: str, shown: str, port: int) -> None:
    proxy = parse_proxy(text, "--proxy")
    assert (str(proxy), proxy.port, proxy.named_by) == (shown, port, "--proxy")
    assert proxy.authorization == ""


@pytest.mark.parametrize(
    ("user", "pair"),
    [
        (f"alice:{SECRET}", f"alice:{SECRET}"),
        (f"alice:%40{SECRET}%2F", f"alice:@{SECRET}/"),
        ("alice", "alice:"),
        (f"alice:{SECRET}:more", f"alice:{SECRET}:more"),
        (f"alice:{SECRET}@more", f"alice:{SECRET}@more"),
        (f"alice:http://{SECRET}", f"alice:http://{SECRET}"),
        (f":{SECRET}", f":{SECRET}"),
    ],
)
def test_who_we_are_to_a_proxy_is_read_and_never_shown(user: str, pair: str) -> None:
    proxy = parse_proxy(f"http://{user}@proxy.test:3128", "--proxy")
    assert base64.b64decode(proxy.authorization.removeprefix("Basic ")).decode() == pair
    assert str(proxy) == "http://proxy.test:3128"
    assert SECRET not in repr(proxy)
    assert proxy.authorization not in repr(proxy)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not the URL of a proxy"),
        ("http://", "not the URL of a proxy"),
        (f"http://alice:{SECRET}@", "not the URL of a proxy"),
        (f"http://alice:{SECRET}/x@proxy.test:3128/path", "not the URL of a proxy"),
        (f"http://alice:{SECRET}@proxy.test:port", "not the URL of a proxy"),
        (f"http://alice:{SECRET}@proxy.test:99999", "not the URL of a proxy"),
        (f"http://alice:{SECRET}@proxy test", "not the URL of a proxy"),
        (f"http://proxy.test:3128?{SECRET}", "not the URL of a proxy"),
        (f"http://proxy.test:3128#{SECRET}", "not the URL of a proxy"),
        (f"http://%2Frun%2F{SECRET}.sock", "not the URL of a proxy"),
        (f"alice:http://{SECRET}@proxy.test", "not the URL of a proxy"),
        (f"ftp://alice:{SECRET}@proxy.test", "not the URL of a proxy"),
        (f"socks5h://alice:{SECRET}@proxy.test", "a SOCKS proxy"),
        (f"unix:///run/{SECRET}.sock", "a socket of this machine"),
        (f"npipe:////./pipe/{SECRET}", "a socket of this machine"),
        (f"http://alice%3Abob:{SECRET}@proxy.test", "a colon"),
    ],
)
def test_what_is_no_proxy_is_refused_and_not_quoted(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        parse_proxy(text, "HTTPS_PROXY")
    assert "HTTPS_PROXY" in caught.value.message
    assert SECRET not in everything_said(caught.value)


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "socks5://"]))
def test_any_text_is_a_proxy_or_the_callers_error(text: str, scheme: str) -> None:
    try:
        proxy = parse_proxy(f"{scheme}alice:{text}@proxy.test:1", "--proxy")
    except InputError as error:
        assert error.hint  # noqa: PT017 - both endings are right
    else:
        assert str(proxy) in ("http://proxy.test:1", "https://proxy.test:1")


# --- the environment --------------------------------------------------------------------------

PLAIN = {"HTTP_PROXY": "http://plain.test:1", "HTTPS_PROXY": "http://secure.test:2"}


def chosen(url: str, **variables: str) -> str:
    return str(parse_environment(PLAIN | variables).choose(httpx.URL(url)) or "")


def test_a_variable_is_for_its_scheme_and_capitals_outweigh() -> None:
    assert chosen("http://reg.test/") == "http://plain.test:1"
    assert chosen("https://reg.test/") == "http://secure.test:2"
    assert chosen("https://reg.test/", https_proxy="http://other.test") == "http://secure.test:2"
    small = {"https_proxy": "https://small.test", "no_proxy": "x.test"}
    found = parse_environment(small)
    assert str(found.choose(httpx.URL("https://reg.test/"))) == "https://small.test"
    assert found.choose(httpx.URL("http://reg.test/")) is None
    assert found.choose(httpx.URL("https://x.test/")) is None


def test_empty_variables_and_others_say_nothing() -> None:
    assert parse_environment({"HTTPS_PROXY": "", "ALL_PROXY": "http://x.test"}) == Environment()


def test_the_variable_that_names_a_bad_proxy_is_named() -> None:
    with pytest.raises(InputError, match="https_proxy names a SOCKS proxy"):
        parse_environment({"https_proxy": "socks5://x.test"})


def test_in_a_cgi_program_http_proxy_is_the_callers_and_not_read() -> None:
    variables = {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil.test"}
    assert parse_environment(variables) == Environment()
    found = parse_environment(variables | {"http_proxy": "http://good.test"})
    assert str(found.http) == "http://good.test"


@pytest.mark.parametrize(
    "url",
    [
        *("https://localhost/", "https://localhost:5000/", "https://127.0.0.1:5000/"),
        *("https://127.9.9.9/", "https://[::1]:5000/", "http://[::ffff:127.0.0.1]/"),
    ],
)
def test_loopback_is_never_asked_through_the_environments_proxy(url: str) -> None:
    assert chosen(url) == ""


@pytest.mark.parametrize(
    ("listed", "exempt", "others"),
    [
        ("*", ["https://reg.test/", "http://10.1.2.3/"], []),
        ("reg.test", ["https://reg.test/", "https://a.b.reg.test:5000/"], ["https://xreg.test/"]),
        (".reg.test", ["https://a.reg.test/"], ["https://reg.test/"]),
        ("*.reg.test", ["https://a.reg.test/"], ["https://reg.test/", "https://areg.test/"]),
        ("*reg.test", [], ["https://reg.test/", "https://areg.test/"]),
        ("REG.test", ["https://reg.TEST/"], []),
        ("reg.test:443", ["https://reg.test/"], ["https://reg.test:444/", "http://reg.test/"]),
        ("reg.test:80", ["http://reg.test/"], ["https://reg.test/"]),
        ("10.1.0.0/16", ["https://10.1.2.3/"], ["https://10.2.0.1/", "https://reg.test/"]),
        ("10.1.2.3", ["https://10.1.2.3:5000/"], ["https://10.1.2.4/"]),
        ("10.1.2.3:5000", ["https://10.1.2.3:5000/"], ["https://10.1.2.3/"]),
        ("fd00::/8", ["https://[fd00::1]:5000/"], ["https://[fe00::1]/"]),
        ("fd00::1", ["https://[fd00::1]/"], ["https://[fd00::2]/"]),
        ("[fd00::1]:443", ["https://[fd00::1]/"], ["https://[fd00::1]:444/"]),
        ("[fd00::1]", ["https://[fd00::1]/"], ["https://[fd00::2]/"]),
        ("10.1.2.3", ["https://[::ffff:10.1.2.3]/"], []),
        ("a.test, b.test c.test", [f"https://{each}.test/" for each in "abc"], ["https://d.test/"]),
        (" ,, . *. ", [], ["https://reg.test/"]),
        ("registry-1.docker.io", ["https://registry-1.docker.io/"], ["https://auth.docker.io/"]),
        ("docker.io", ["https://registry-1.docker.io/", "https://auth.docker.io/"], []),
        ("com", ["https://reg.com/"], ["https://recom/", "https://com.test/"]),
    ],
)
def test_no_proxy_means_what_it_means_to_go(
    listed: str, exempt: list[str], others: list[str]
) -> None:
    assert [each for each in exempt if chosen(each, NO_PROXY=listed)] == []
    assert [each for each in others if not chosen(each, NO_PROXY=listed)] == []


# --- what outweighs what ----------------------------------------------------------------------


def test_what_is_said_of_a_host_outweighs_what_is_said_of_all() -> None:
    one, two = parse_proxy("http://one.test", "--proxy"), parse_proxy("http://two.test", "--proxy")
    hosts: dict[Registry, Proxy | None] = {
        Registry.parse("reg.test:443"): two,
        Registry.parse("mirror.test"): None,
    }
    for proxies in (
        Proxies(one, hosts),
        Proxies(None, hosts, Environment(one, one)),
        Proxies(one, hosts, Environment(two, two)),
    ):
        assert proxies.choose(httpx.URL("https://reg.test/")) is two
        assert proxies.choose(httpx.URL("https://mirror.test/")) is None
        assert proxies.choose(httpx.URL("https://mirror.test:5000/")) is one
        assert proxies.choose(httpx.URL("https://other.test/")) is one
    assert Proxies().choose(httpx.URL("https://reg.test/")) is None


def test_what_was_said_is_read_in_order() -> None:
    texts = ["http://one.test", "reg.test=http://u:p=w@two.test", "mirror.test:5000=direct"]
    proxies = parse_proxies([*texts, "[::1]:5000=https://two.test"], "--proxy", Environment())
    for url, shown in (
        ("https://other.test/", "http://one.test"),
        ("https://reg.test/", "http://two.test"),
        ("https://mirror.test:5000/", "None"),
        ("https://[::1]:5000/", "https://two.test"),
    ):
        assert str(proxies.choose(httpx.URL(url))) == shown
    assert str(parse_proxies([*texts, "http://u:p=w@x"], "", Environment()).default) == "http://x"
    assert parse_proxies([], "--proxy", Environment()) == Proxies()


@pytest.mark.parametrize(
    "text",
    [
        f"alice:{SECRET}=more@proxy.test:3128",
        f"alice:5000={SECRET}@proxy.test:3128",
        f"alice:5000={SECRET}://@proxy.test:3128",
        f"alice:{SECRET}=more@http://proxy.test:3128",
        f"reg.test=alice:{SECRET}@proxy.test",
    ],
)
def test_what_cannot_be_told_from_a_password_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_proxies([text], "--proxy", Environment())
    assert SECRET not in everything_said(caught.value)
