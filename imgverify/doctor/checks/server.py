"""The server itself: what it speaks, who is let in, where it sends callers, how much it gives."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from imgverify.doctor.check import NOT_GIVEN, Check, Mark, Topic, unasked, unknown
from imgverify.doctor.observation import Failure, Fault, Reply, Scheme, all_seen
from imgverify.errors import ContentError, InvalidReference
from imgverify.oci.reference import Registry
from imgverify.registry.challenge import parse_challenges
from imgverify.registry.ratelimit import parse_rate_limit
from imgverify.report.explain import age_text

if TYPE_CHECKING:
    from imgverify.doctor.observation import Observed, Seen
    from imgverify.registry.challenge import Challenge
    from imgverify.registry.ratelimit import RateLimit

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_VERSION: Final = re.compile(r"[a-z]{1,16}/[0-9.]{1,8}", re.ASCII)
_REALM: Final = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@\\]+)(?:[/?#].*)?", re.ASCII)
_SCHEMES: Final = {
    Scheme.HTTPS: "over https",
    Scheme.UNCHECKED: "over https, its certificate not checked (--insecure-tls)",
    Scheme.HTTP: "over plain HTTP (--insecure-http)",
}


def check_api(seen: Observed) -> Check:
    """Tell whether a registry answers there (distribution-spec, "Determining Support")."""
    greeting, topic = seen.greeting, Topic.API
    if isinstance(greeting, Failure):
        return unknown(topic, greeting)
    way = _SCHEMES[seen.scheme]
    if greeting.status not in (_OK, _UNAUTHORIZED):
        text = f"/v2/ answered {greeting.status}, which no registry does; {way}"
        return Check(topic, "not-v2", Mark.NOTE, text, "check the name and the port")
    version = greeting.headers.get("docker-distribution-api-version", "")
    said = version if _VERSION.fullmatch(version) else ""
    if not said and "html" in greeting.headers.get("content-type", ""):
        text = f"/v2/ answered {greeting.status} with a web page; {way}"
        return Check(topic, "web-page", Mark.NOTE, text, "check the name and the port")
    mark = Mark.GOOD if seen.scheme is Scheme.HTTPS else Mark.NOTE
    return Check(topic, "v2", mark, f"{said or 'version 2'}, {way}")


def check_login(seen: Observed) -> Check:
    """Tell what login is wanted, and whether the caller was let in."""
    topic = Topic.LOGIN
    answer, mark, text = _login(seen)
    head = seen.traits.head if seen.traits else None
    asked = (head, *(each.served for each in seen.sightings), seen.absent)
    refusal = next(filter(None, map(_refusal, asked)), None)
    if refusal is None:
        return Check(topic, answer, mark, text)
    hint = f"log in (docker login {seen.registry}), and check the image's name"
    return Check(topic, answer, Mark.UNKNOWN, f"{text}; {refusal}", hint)


def _refusal(seen: Seen | None) -> str | None:
    if isinstance(seen, Reply):
        return f"refuses access ({seen.status})" if seen.refuses_access else None
    return seen.message if seen is not None and seen.fault is Fault.REFUSED else None


def _login(seen: Observed) -> tuple[str, Mark, str]:
    greeting = seen.greeting
    if isinstance(greeting, Failure) or greeting.status != _UNAUTHORIZED:
        return "none", Mark.GOOD, "none wanted"
    try:
        challenges = parse_challenges(greeting.headers.get("www-authenticate", ""))
    except ContentError as error:
        return "unreadable", Mark.NOTE, error.message
    known = {each.scheme: each for each in challenges}
    if "bearer" in known:
        return _bearer(seen, known["bearer"])
    if "basic" in known:
        return "basic", Mark.GOOD, "Basic: a user name and a password"
    return "unreadable", Mark.NOTE, "wants a login, and does not say which in a known way"


def _bearer(seen: Observed, challenge: Challenge) -> tuple[str, Mark, str]:
    realm = _REALM.fullmatch(challenge.parameter("realm"))
    try:
        issuer = Registry.parse(realm["host"]) if realm else None
    except InvalidReference:
        issuer = None
    if realm is None or issuer is None:
        return "bearer", Mark.NOTE, "Bearer, and names no token server that can be asked"
    if realm["scheme"] == "http" and seen.scheme is not Scheme.HTTP:
        text = f"Bearer: tokens from {issuer} over plain HTTP, which is refused"
        return "bearer", Mark.NOTE, text
    return "bearer", Mark.GOOD, f"Bearer: tokens from {issuer}"


def redirects_of(seen: Observed) -> dict[str, tuple[str, ...]]:
    """Return the hosts that callers are sent to, for manifests and for blobs."""
    ranged = seen.traits.ranged if seen.traits else None
    asked = {
        "manifests": [each.served for each in seen.sightings],
        "blobs": [ranged.part] if ranged else [],
    }
    hosts = {
        kind: [host for each in answers if isinstance(each, Reply) for host in each.served_by[1:]]
        for kind, answers in asked.items()
    }
    return {kind: tuple(dict.fromkeys(each)) for kind, each in hosts.items()}


def check_redirects(seen: Observed) -> Check:
    """Name the hosts that callers are sent to: they see what is pulled, and have to be reached."""
    topic = Topic.REDIRECTS
    if seen.traits is None:
        return unasked(topic)
    hosts = redirects_of(seen).items()
    texts = [f"{kind} to {', '.join(each)}" for kind, each in hosts if each]
    if texts:
        return Check(topic, "elsewhere", Mark.GOOD, "; ".join(texts))
    if seen.traits.ranged is None:
        return unasked(topic, NOT_GIVEN)
    return Check(topic, "none", Mark.GOOD, "none: it answers for itself")


def rate_limit_of(seen: Observed) -> RateLimit | None:
    """Return what the server told last."""
    told = None
    for each in all_seen(seen):
        if isinstance(each, Reply):
            told = parse_rate_limit(each.headers) or told
    return told


def check_rate_limit(seen: Observed) -> Check:
    """Tell how much may still be asked for, if the server tells."""
    topic, told = Topic.RATE_LIMIT, rate_limit_of(seen)
    replies = (each for each in all_seen(seen) if isinstance(each, Reply))
    limited = next((each for each in replies if each.is_rate_limited), None)
    if limited is not None:
        wait = limited.headers.get("retry-after", "")
        when = f"in {wait} s" if wait.isascii() and wait.isdigit() else "later"
        return Check(topic, "used-up", Mark.UNKNOWN, "used up (429)", f"try again {when}")
    if told is None:
        return Check(topic, "untold", Mark.GOOD, "none told")
    most = f" of {told.limit}" if told.limit is not None else ""
    per = f", over {age_text(timedelta(seconds=told.window))}" if told.window is not None else ""
    return Check(topic, "told", Mark.GOOD, f"{told.remaining}{most} left{per}")
