"""From what is configured to what is done on the network."""

from pathlib import Path

import pytest

from imgverify.oci.reference import Registry
from imgverify.registry.deadline import Deadline
from imgverify.registry.hostconfig.choice import HostAccess, HostRule
from imgverify.registry.hostconfig.model import Origin, Protection
from imgverify.registry.hostconfig.settle import settle
from imgverify.registry.session import NetworkSettings
from imgverify.registry.tls import NOTHING_OWN, HostTls
from tests.support.certificate import self_signed
from tests.support.registry import FakeRegistry

HOST = Registry("m.example", 5000)
FILE = Origin(Path("/etc/docker/daemon.json"), 3)
OWN = HostTls((Path("/x/ca.pem"),))


def access(protection: Protection, host: Registry = HOST, own: HostTls = NOTHING_OWN) -> HostAccess:
    return HostAccess({host: HostRule(protection, own, FILE)})


def settled(
    protection: Protection,
    host: Registry = HOST,
    own: HostTls = NOTHING_OWN,
    settings: NetworkSettings | None = None,
) -> NetworkSettings:
    given = settings or NetworkSettings()
    return settle(given, access(protection, host, own), Deadline.after(5))


@pytest.mark.parametrize(
    ("protection", "http", "tls"),
    [
        (Protection.CHECKED, False, False),
        (Protection.UNCHECKED, False, True),
        (Protection.NONE, True, False),
    ],
)
def test_what_is_configured_is_set_for_that_host(
    protection: Protection, *, http: bool, tls: bool
) -> None:
    found = settled(protection)
    assert found.insecure_http == ({HOST} if http else set())
    assert found.insecure_tls == ({HOST} if tls else set())
    said = {HOST: "/etc/docker/daemon.json:3"} if http or tls else {}
    assert found.said_by == said


def test_a_default_of_the_runtime_s_own_is_said_to_be_one() -> None:
    rule = HostRule(Protection.UNCHECKED, NOTHING_OWN, None)
    found = settle(NetworkSettings(), HostAccess({HOST: rule}), Deadline.after(5))
    assert found.said_by == {HOST: "the runtime's own default"}


def test_what_the_user_named_holds() -> None:
    given = NetworkSettings(insecure_tls=frozenset({HOST}))
    found = settled(Protection.NONE, own=OWN, settings=given)
    assert found.insecure_http == frozenset()
    assert found.insecure_tls == {HOST}
    assert found.said_by == {}
    assert found.tls == {HOST: OWN}


def test_tls_files_are_that_host_s() -> None:
    other = Registry("other.example")
    given = NetworkSettings(tls={other: HostTls((Path("/y"),)), HOST: HostTls((Path("/z"),))})
    found = settled(Protection.CHECKED, own=OWN, settings=given)
    assert found.tls[HOST].authorities == (Path("/x/ca.pem"), Path("/z"))
    assert found.tls[other] == HostTls((Path("/y"),))


def test_tls_that_is_optional_is_used_where_it_is_spoken(tmp_path: Path) -> None:
    with FakeRegistry(certificate=self_signed(tmp_path)) as secure, FakeRegistry() as plain:
        hosts = [Registry.parse(each.host) for each in (secure, plain)]
        found = [settled(Protection.OPTIONAL, host) for host in hosts]
    assert [each.insecure_tls for each in found] == [{hosts[0]}, frozenset()]
    assert [each.insecure_http for each in found] == [frozenset(), {hosts[1]}]
    assert plain.requests == ()


def test_a_host_that_is_down_is_found_out_later() -> None:
    with FakeRegistry() as gone:
        host = Registry.parse(gone.host)
    assert settled(Protection.OPTIONAL, host).insecure_http == {host}
