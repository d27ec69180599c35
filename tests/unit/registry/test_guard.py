"""Addresses that may be dialled where others choose the names: only what was checked."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import Unreachable
from imgverify.oci.reference import Registry
from imgverify.registry.deadline import Deadline
from imgverify.registry.dial import Dialer, system_lookup
from imgverify.registry.guard import DialGuard
from imgverify.registry.session import Call, NetworkSettings
from tests.support.faults import Redirect
from tests.support.registry import FakeRegistry
from tests.unit.registry.scene import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.registry.dial import Address

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
GUARDED = Dialer(guard=DialGuard())

#: Loopback, the metadata service and private hosts, in every spelling that gets to a resolver.
SPELLINGS = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1"),
    *("017700000001", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[::7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost"),
    *("169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376"),
    *("[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]"),
    *("[2002:a9fe:a9fe::]", "[fd00:ec2::254]", "[fe80::1]"),
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "0.0.0.0", "[::]"),  # noqa: S104 - refused
]

NOT_PUBLIC = [
    *("0.1.2.3", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "100.127.255.255"),
    *("fc00::1", "fec0::1", "ff02::1", "ff0e::1", "100::1", "2001::1", "2001:db8::1", "2001:20::1"),
    *("3fff::1", "5f00::1", "::8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::"),
    *("fe80::1%eth0", "4000::1", "", "reg.test", "127.0.0.1:80"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "2606:4700::1", "2a00:1450::1"]


def dial(host: str, dialer: Dialer = GUARDED, port: int = 1) -> socket.socket:
    return dialer.connect(host.strip("[]"), port, Deadline.after(5))


@pytest.mark.parametrize("host", SPELLINGS)
def test_ssrf_dial_guard_no_spelling_gets_to_an_address_that_is_not_public(host: str) -> None:
    # What no reference can be is looked at as well: a server may name it.
    with pytest.raises(Unreachable, match="is not public"):
        dial(host)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_ssrf_dial_guard_what_is_no_public_address_is_not_allowed(address: str) -> None:
    assert not DialGuard().allows(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert DialGuard().allows(address)


def test_only_the_permitted_networks_are_allowed_beside() -> None:
    guard = DialGuard(tuple(map(ipaddress.ip_network, ("10.1.0.0/16", "fd00::/64"))))
    for address in ("10.1.2.3", "fd00::1", "8.8.8.8"):
        assert guard.allows(address)
    for address in ("10.2.0.1", "fd00:0:0:1::1", "::ffff:10.1.2.3", "127.0.0.1"):
        assert not guard.allows(address)


@given(st.ip_addresses())
def test_ssrf_dial_guard_what_is_allowed_is_global(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if DialGuard().allows(str(address)):
        assert address.is_global
        assert not address.is_multicast
        if isinstance(address, ipaddress.IPv6Address):
            assert [address.ipv4_mapped, address.sixtofour, address.teredo] == [None] * 3


# --- looked up once, and dialled as checked ---------------------------------------------------


class Rebinding:
    """A resolver that gives one answer after another."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        address = self.answers.pop(0)
        return [(socket.AF_INET, (each, port)) for each in address.split()]


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


def test_ssrf_dial_guard_the_address_that_was_checked_is_the_one_that_is_dialled(
    fake: FakeRegistry,
) -> None:
    # The first answer passes; a second look-up would give an address that does not.
    lookup = Rebinding("127.0.0.1", "127.0.0.2")
    with dial("rebind.test", Dialer(lookup, DialGuard(LOOPBACK)), fake.port) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"
    assert lookup.asked == ["rebind.test"]


def test_ssrf_dial_guard_a_name_that_leads_elsewhere_a_moment_later_is_refused(
    fake: FakeRegistry,
) -> None:
    host = Registry.parse(f"rebind.test:{fake.port}")
    lookup = Rebinding("127.0.0.1", "169.254.169.254")
    settings = NetworkSettings(
        insecure_http=frozenset({host}), dialer=Dialer(lookup, DialGuard(LOOPBACK))
    )
    wanted = Call("GET", httpx.URL(f"http://{host}/v2/"), host, Deadline.after(5))
    with session(settings) as made:
        assert made.fetch(wanted, 1000)
    with session(settings) as made, pytest.raises(Unreachable, match="is not public") as caught:
        made.send(wanted)
    assert str(host) in caught.value.message
    assert lookup.asked == ["rebind.test", "rebind.test"]
    assert fake.count() == 1


def test_ssrf_dial_guard_of_several_addresses_only_the_allowed_are_dialled(
    fake: FakeRegistry,
) -> None:
    lookup = Rebinding("127.0.0.2 10.0.0.1 127.0.0.1")
    with dial("mixed.test", Dialer(lookup, DialGuard(LOOPBACK)), fake.port) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


def test_ssrf_dial_guard_redirects_and_token_servers_are_guarded_too(fake: FakeRegistry) -> None:
    fake.play(Redirect("http://127.0.0.2:1/v2/"))
    host = Registry.parse(fake.host)
    settings = NetworkSettings(
        insecure_http=frozenset({host, Registry.parse("127.0.0.2:1")}),
        dialer=Dialer(guard=DialGuard(LOOPBACK)),
    )
    with session(settings) as made, pytest.raises(Unreachable, match=r"127\.0\.0\.2, is not"):
        made.send(Call("GET", httpx.URL(f"{fake.url}/v2/"), host, Deadline.after(5)))


def test_without_a_guard_everything_is_dialled(fake: FakeRegistry) -> None:
    with dial("127.1", Dialer(), fake.port) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


def test_a_name_without_addresses_is_no_matter_of_the_guard() -> None:
    with pytest.raises(OSError, match="no address"):
        dial("nothing.test", Dialer(lambda _host, _port: [], DialGuard()))


def test_the_resolver_is_asked_in_a_thread_of_its_own() -> None:
    threads: list[str] = []

    def lookup(host: str, port: int) -> list[Address]:
        threads.append(threading.current_thread().name)
        return system_lookup(host, port)

    with pytest.raises(OSError, match="refused"):
        dial("127.0.0.1", Dialer(lookup))
    assert threads != [threading.current_thread().name]
