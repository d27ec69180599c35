"""How hosts were reached, where that is worth a finding: in plain text, or through a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.errors import Side
from imgverify.oci.local import LocalCopy
from imgverify.registry.urls import api_url
from imgverify.verdict import Finding, Level, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.oci.reference import Registry
    from imgverify.registry.client import Network
    from imgverify.verify.question import Question


def route_findings(question: Question, network: Network) -> tuple[Finding, ...]:
    """Say of every host that may have been asked what an observer on the way could have done."""
    return (*_insecure_findings(question, network), *_proxy_findings(question, network))


def _insecure_findings(question: Question, network: Network) -> tuple[Finding, ...]:
    """Say of every host that was named as insecure how it was reached.

    Those that are neither upstream nor mirror may have been redirected to, or asked for tokens.
    """
    settings = network.settings
    sides = dict(reversed([*_sides(question)]))
    others = sorted((settings.insecure_http | settings.insecure_tls) - sides.keys(), key=str)
    findings = []
    for registry in (*reversed(sides), *others):
        was = "was" if registry in sides else "may have been"
        how = "without a check of its certificate" if registry in settings.insecure_tls else ""
        how = "over plain HTTP" if registry in settings.insecure_http else how
        said_by = settings.said_by.get(registry)
        where = f", as {said_by} has it" if said_by else ""
        if how:
            message = f"{registry} {was} reached {how}{where}"
            side = sides.get(registry, Side.LOCAL)
            findings.append(Finding(Rule.INSECURE, Level.NOTE, message, side))
    return tuple(findings)


def _proxy_findings(question: Question, network: Network) -> tuple[Finding, ...]:
    settings = network.settings
    findings: dict[str, Finding] = {}
    for registry, side in _sides(question):
        url = api_url(registry, "/", insecure_http=settings.insecure_http)
        proxy = settings.proxies.choose(url)
        if proxy is not None:
            message = f"{registry} was asked through the proxy {proxy} ({proxy.named_by})"
            findings[message] = Finding(Rule.PROXIED, Level.NOTE, message, side)
    return tuple(findings.values())


def _sides(question: Question) -> Iterator[tuple[Registry, Side]]:
    if not question.offline:
        yield question.upstream.registry, Side.UPSTREAM
    for mirror in question.mirrors:
        if not isinstance(mirror, LocalCopy):
            yield mirror.registry, Side.MIRROR
    if question.signatures is not None:
        yield question.signatures.registry, Side.SIGNATURES
