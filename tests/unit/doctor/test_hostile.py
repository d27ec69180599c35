"""Mirrors that mean harm: nothing crashes, nothing leaks, and it ends in time."""

import json
import time

import pytest

from imgverify.doctor.check import Mark, Topic
from imgverify.doctor.jsonreport import render_json
from imgverify.doctor.judgement import MirrorReport
from imgverify.doctor.text import render_text
from imgverify.oci import limits
from imgverify.oci.reference import Registry
from imgverify.registry.credentials import Credentials, CredentialStore
from imgverify.verdict import Decision
from tests.support.fault import ALWAYS, BLOBS, MANIFESTS, Fault, When
from tests.support.faults import (
    Body,
    Drip,
    DripHeaders,
    Endless,
    Gzip,
    Hang,
    Header,
    LoopingPages,
    NotModified,
    Redirect,
    Reset,
    Schema1,
    Stall,
    Status,
    Truncate,
)
from tests.support.registry import FakeRegistry
from tests.support.tokens import BasicGuard, BearerGuard, TokenService
from tests.unit.doctor.scene import FEW, NEW, Clinic, at_root, check, examine, place
from tests.unit.report.harm import commands, unseen

pytestmark = pytest.mark.slow

SECRET = "X-Amz-Signature=5ec2e7"
PASSWORD = "pa55w0rd"
#: What a terminal or a CI runner would obey, as far as HTTP lets it through a header.
HARM = "\x1b[31m::error::\u202e##[x]"

HOSTILE: dict[str, Fault] = {
    "endless-manifest": Endless(when=MANIFESTS),
    "endless-blob": Endless(when=BLOBS),
    "endless-everything": Endless(),
    "drip": Drip(1, 0.3, when=MANIFESTS),
    "drip-headers": DripHeaders(0.3, when=MANIFESTS),
    "hang": Hang(when=MANIFESTS),
    "hang-at-once": Hang(),
    "stall": Stall(5, when=MANIFESTS),
    "gzip": Gzip(9),
    "loop": Redirect("{path}"),
    "loop-elsewhere": Redirect("http://127.0.0.1:1/{path}"),
    "redirect-to-nothing": Redirect(""),
    "redirect-to-a-file": Redirect("file:///etc/passwd"),
    "redirect-with-password": Redirect(f"http://user:{PASSWORD}@127.0.0.1/{{path}}"),
    "not-modified": NotModified(),
    "reset": Reset(),
    "cut": Truncate(7),
    "empty": Body(b""),
    "not-json": Body(b"\xff\xfe\x00"),
    "deep-json": Body(b"[" * 100_000),
    "schema1": Schema1(),
    "server-error": Status(500, body=b"\x00" * 100_000),
    "strange-status": Status(299, body=b"x"),
    "teapot": Status(418),
    "pages": LoopingPages(),
    "long-challenge": at_root(Status(401, (("WWW-Authenticate", "Bearer " + "a=b," * 5000),))),
    "harm-in-headers": Header("Docker-Content-Digest", "sha256:::x"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_slow_and_endless_no_mirror_holds_the_doctor_up_or_breaks_it(
    pair: Clinic, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROBE_TIMEOUT", 0.5)
    pair.mirror.play(HOSTILE[name])
    started = time.monotonic()
    report = pair.examine()
    assert time.monotonic() - started < 15
    assert report.sent <= FEW
    assert harmless(report)


def test_slow_and_endless_the_deadline_is_for_all_mirrors_together(pair: Clinic) -> None:
    pair.mirror.play(Hang())
    images = (pair.image(),)
    started = time.monotonic()
    with FakeRegistry(faults=[Hang()]) as other:
        places = tuple(place(each, *images) for each in (pair.mirror, other))
        reports = examine(places, images, pair.upstream, pair.mirror, other, seconds=3)
    assert time.monotonic() - started < 5.5
    assert {each.decision for each in reports} == {Decision.INCONCLUSIVE}


def harmless(report: MirrorReport) -> bool:
    """Nothing that is obeyed or hidden, and no secret, in any report."""
    texts = [render_text([report], colour=False, width=width) for width in (None, 40, 80)]
    assert PASSWORD not in "".join(texts)
    for text in (*texts, json.dumps(json.loads(render_json([report])), ensure_ascii=False)):
        assert unseen(text) <= {"\n"}
        assert SECRET not in text
        assert not any(map(commands, text.splitlines()))
    return True


def test_secret_redaction_a_signed_redirect_is_shown_by_its_host_alone(pair: Clinic) -> None:
    with FakeRegistry(pair.mirror.shelf) as store:
        pair.mirror.play(Redirect(f"{store.url}{{path}}?{SECRET}", when=BLOBS))
        images = (pair.image(),)
        places = (place(pair.mirror, *images),)
        (report,) = examine(places, images, pair.upstream, pair.mirror, store)
        assert store.requests[-1].parameter("X-Amz-Signature") == "5ec2e7"
        assert check(report, Topic.REDIRECTS).text == f"blobs to {store.host}"
    assert harmless(report)


@pytest.mark.parametrize("status", [404, 500, 403])
def test_secret_redaction_a_signed_redirect_that_fails_is_not_quoted(
    pair: Clinic, status: int
) -> None:
    with FakeRegistry(faults=[Status(status)]) as store:
        pair.mirror.play(Redirect(f"{store.url}{{path}}?{SECRET}", when=ALWAYS))
        images = (pair.image(),)
        places = (place(pair.mirror, *images),)
        (report,) = examine(places, images, pair.upstream, pair.mirror, store)
    assert harmless(report)


def test_redirect_auth_strip_credentials_stay_with_the_mirror(pair: Clinic) -> None:
    pair.mirror.guard = BasicGuard({"alice": PASSWORD})
    host = Registry.parse(pair.mirror.host)
    store = CredentialStore({host: Credentials("alice", PASSWORD)})
    with FakeRegistry(pair.mirror.shelf) as other:
        pair.mirror.play(Redirect(f"{other.url}{{path}}", when=BLOBS))
        images = (pair.image(),)
        places = (place(pair.mirror, *images),)
        plain = (pair.upstream, pair.mirror, other)
        (report,) = examine(places, images, *plain, credentials=store)
        assert {each.header("Authorization") for each in other.requests} == {None}
    assert report.decision is Decision.ALLOW
    assert {each.header("Authorization") for each in pair.upstream.requests} == {None}
    assert harmless(report)


def test_realm_exfil_a_foreign_token_server_gets_no_secret(pair: Clinic) -> None:
    host = Registry.parse(pair.mirror.host)
    store = CredentialStore({host: Credentials("alice", PASSWORD)})
    with FakeRegistry() as thief:
        realm = f'Bearer realm="{thief.url}/token",service="x"'
        pair.mirror.guard = BearerGuard(TokenService(), challenge=realm)
        report = pair.examine(credentials=store)
        assert thief.requests == ()
        login = check(report, Topic.LOGIN)
        assert login.mark is Mark.UNKNOWN
        assert login.text.startswith(f"Bearer: tokens from {thief.host}; ")
        assert "wants its credentials to be sent to another host" in login.text
    assert harmless(report)


def test_terminal_escapes_what_headers_hold_is_shown_as_text(pair: Clinic) -> None:
    pair.mirror.play(
        Header("Docker-Distribution-API-Version", "registry/\x1b[31m2"),
        Header("RateLimit-Remaining", "::error::1"),
        Header("Retry-After", "\x9b31m"),
    )
    pair.mirror.guard = BearerGuard(TokenService(), challenge='Bearer realm="http://\x1b[31m/"')
    assert harmless(pair.examine())


def test_terminal_escapes_in_what_an_error_says(pair: Clinic) -> None:
    document = json.dumps({"errors": [{"code": HARM}]}).encode()
    pair.upstream.play(Status(405, body=document))
    report = pair.examine()
    # What is no code of the specification's is not quoted at all.
    assert "answered 405\n" in render_text([report], colour=False, width=None)
    assert harmless(report)


def test_what_a_mirror_lists_as_referrers_is_counted_and_not_followed(pair: Clinic) -> None:
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": str(NEW.digest),
        "size": 1,
        "urls": ["http://127.0.0.1:1/x"],
    }
    listed = json.dumps({"schemaVersion": 2, "manifests": [entry] * 900}).encode()
    kind = (("Content-Type", "application/vnd.oci.image.index.v1+json"),)
    pair.mirror.play(Status(200, kind, listed, when=When(path="/referrers/")))
    report = pair.examine()
    assert check(report, Topic.REFERRERS).text == "lists 1 manifest"
    assert report.sent <= FEW
