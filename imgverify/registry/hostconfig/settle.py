"""Network settings for hosts that runtimes reach as they can: with TLS, else without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgverify.errors import Unreachable
from imgverify.registry.connect import Connector
from imgverify.registry.hostconfig.model import Protection
from imgverify.registry.tls import NOTHING_OWN
from imgverify.registry.urls import origin_url

if TYPE_CHECKING:
    from imgverify.oci.reference import Registry
    from imgverify.registry.deadline import Deadline
    from imgverify.registry.hostconfig.choice import HostAccess, HostRule
    from imgverify.registry.session import NetworkSettings


def settle(settings: NetworkSettings, access: HostAccess, deadline: Deadline) -> NetworkSettings:
    """Add what is configured for the hosts of mirrors; what `settings` say already holds.

    A host with which TLS is optional is connected to, once, to learn which it is: its runtime
    would do the same.
    """
    for host, rule in access.hosts.items():
        settings = _with_host(settings, host, rule, deadline)
    return settings


def _with_host(
    settings: NetworkSettings, host: Registry, rule: HostRule, deadline: Deadline
) -> NetworkSettings:
    named = settings.insecure_http | settings.insecure_tls
    if rule.tls != NOTHING_OWN:
        own = settings.tls.get(host, NOTHING_OWN)
        settings = replace(settings, tls={**settings.tls, host: rule.tls.joined(own)})
    if rule.protection is Protection.CHECKED or host in named:
        return settings
    said_by = {**settings.said_by, host: str(rule.origin or "the runtime's own default")}
    unchecked = replace(settings, insecure_tls=settings.insecure_tls | {host}, said_by=said_by)
    plain = replace(settings, insecure_http=settings.insecure_http | {host}, said_by=said_by)
    if rule.protection is Protection.UNCHECKED:
        return unchecked
    if rule.protection is Protection.OPTIONAL and _speaks_tls(unchecked, host, deadline):
        return unchecked
    return plain


def _speaks_tls(settings: NetworkSettings, host: Registry, deadline: Deadline) -> bool:
    connector = Connector(settings.security, settings.proxies, settings.dialer)
    try:
        connector.open(origin_url(host.api, secure=True), deadline).close()
    except (OSError, Unreachable):
        return False
    return True
