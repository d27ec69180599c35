"""The addresses of endpoints."""

import pytest

from imgverify.errors import InvalidReference
from imgverify.oci.reference import Registry
from imgverify.registry.hostconfig.address import Address


@pytest.mark.parametrize(
    ("text", "written", "registry"),
    [
        ("https://m.example", "https://m.example", "m.example"),
        ("https://m.example/", "https://m.example", "m.example"),
        ("https://m.example:443/hub/", "https://m.example:443/hub", "m.example:443"),
        ("https://m.example:5000//a/../b", "https://m.example:5000/b", "m.example:5000"),
        ("http://m.example", "http://m.example", "m.example:80"),
        ("http://m.example:443", "http://m.example:443", "m.example:443"),
        ("http://[::1]:5000/v2", "http://[::1]:5000/v2", "[::1]:5000"),
        ("https://registry-1.docker.io", "https://registry-1.docker.io", "docker.io"),
        ("http://docker.io", "http://docker.io", "docker.io"),
    ],
)
def test_an_address_is_read(text: str, written: str, registry: str) -> None:
    address = Address.parse(text)
    assert str(address) == written
    assert str(address.registry) == registry
    assert address.is_plain == text.startswith("http://")


def test_plain_http_is_of_its_port_alone() -> None:
    """A registry without a port is reached by https; leave for that was not given."""
    plain, secure = Address.parse("http://m.example"), Address.parse("https://m.example")
    assert plain.registry == Registry("m.example", 80)
    assert secure.registry == Registry("m.example")
    assert (plain.port, secure.port) == (80, 443)


@pytest.mark.parametrize(
    "text",
    [
        *("", "m.example", "ftp://m.example", "https:///v2", "HTTPS://m.example", "https://"),
        *("https://u:secret@m.example", "https://m.example?x=secret", "https://m.example/#secret"),
        *(
            "https://m.example/%2e",
            "https://m example",
            "https://m.example\\@secret",
            "//m.example",
        ),
    ],
)
def test_what_is_no_plain_address_is_refused_unquoted(text: str) -> None:
    with pytest.raises(InvalidReference, match="not plain") as caught:
        Address.parse(text)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("text", ["https://m_x.example", "https://m.example:0", "https://[::1"])
def test_a_host_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        Address.parse(text)
