"""A secret is seen by the one it is for: by no other server, and by nobody who reads the output.

One listener stands for each role. Every server sets cookies and says what it was sent back again.
"""

import base64
import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest

from imgverify.registry import session as session_module
from imgverify.serve.loopback import Request, Response
from tests.support.fault import MANIFESTS, Call
from tests.support.faults import BLOBS, Body, Fault, Redirect, Status, When
from tests.support.image import put
from tests.support.registry import FakeRegistry, Shelf
from tests.support.tokens import BearerGuard, TokenService
from tests.unit.cli.conftest import NEW, PATH, TAG, Run

pytestmark = pytest.mark.slow

ROLES = ("upstream", "mirror", "upstream_tokens", "mirror_tokens", "target", "attacker")
CANARY = "c4nary"
COOKIES = {role: f"{CANARY}-cookie-of-{role}" for role in ROLES}
REFRESH = f"{CANARY}-refresh-token"
PASSWORD = f"{CANARY}-mirror-password"
UPSTREAM_TOKEN, MIRROR_TOKEN = f"{CANARY}-upstream-bearer", f"{CANARY}-mirror-bearer"
TARGETS, ATTACKERS = f"{CANARY}-target-password", f"{CANARY}-attacker-password"
SIGNATURE = f"{CANARY}-signature"
HELPERS, NETRC, ENVIRONMENT = f"{CANARY}-helper", f"{CANARY}-netrc", f"{CANARY}-environment"
MIRROR_PAIR = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()

#: Who may see what; all else that has the canary in it nobody may.
SEEN_BY = {
    REFRESH: {"upstream_tokens"},
    UPSTREAM_TOKEN: {"upstream"},
    MIRROR_PAIR: {"mirror_tokens"},
    MIRROR_TOKEN: {"mirror"},
    SIGNATURE: {"target"},
}


@dataclass(frozen=True, slots=True)
class Echo(Fault):
    """Sends a cookie, and in its headers what it was sent."""

    cookie: str

    def apply(self, call: Call) -> Response:
        sent = call.request.header("Authorization") or "nothing"
        more = (("Set-Cookie", f"session={self.cookie}"), ("Warning", f'299 - "{sent}"'))
        return replace(call.response, headers=(*call.headers, *more))


@dataclass(frozen=True, slots=True)
class Refusal(Fault):
    """Fails, and says in the body what it was sent, as an error's code and as a token."""

    code: int

    def apply(self, call: Call) -> Response:
        sent = f"{call.request.header('Authorization')} {call.request.body.decode()}"
        document = {"errors": [{"code": sent, "message": sent}], "token": f"{sent}\n"}
        return Response(self.code, (), json.dumps(document).encode())


class Scene:
    """The listeners, and a home that holds a secret for each."""

    def __init__(self, listeners: dict[str, FakeRegistry], home: Path) -> None:
        self.listeners = listeners
        self.home = home
        self.tokens = {
            role: TokenService(anonymous=False) for role in ("upstream_tokens", "mirror_tokens")
        }

    def __getitem__(self, role: str) -> FakeRegistry:
        return self.listeners[role]

    def reset(self) -> None:
        """Let everything work."""
        for role, each in self.listeners.items():
            each.shelf = Shelf()
            each.heal()
            each.forget()
            each.guard = None
            each.mounts = ()
            each.play(Echo(COOKIES[role]))
            put(each.shelf, PATH, NEW, TAG)
        for side, token in (("upstream", UPSTREAM_TOKEN), ("mirror", MIRROR_TOKEN)):
            tokens = TokenService(anonymous=False, users={"bob": PASSWORD})
            tokens.refresh_tokens = frozenset({REFRESH})
            tokens.sign = lambda _user, _scopes, token=token: token
            issuer = self[f"{side}_tokens"]
            issuer.mounts = (tokens,)
            self[side].guard = BearerGuard(tokens, realm=f"{issuer.url}/token")

    def write_home(self) -> None:
        """Keep secrets where users keep them."""
        auths = {
            self["mirror"].host: {"auth": MIRROR_PAIR},
            self["target"].host: {"username": "bob", "password": TARGETS},
            self["attacker"].host: {"username": "bob", "password": ATTACKERS},
        }
        folder = self.home / ".docker"
        folder.mkdir()
        document = {"auths": auths, "credHelpers": {self["upstream"].host: "canary"}}
        (folder / "config.json").write_text(json.dumps(document), encoding="ascii")
        helper = self.home / "docker-credential-canary"
        answer = json.dumps({"Username": "<token>", "Secret": REFRESH})
        helper.write_text(f"#!/bin/sh\necho {HELPERS} >&2\necho '{answer}'\n", encoding="ascii")
        helper.chmod(0o755)
        netrc = self.home / ".netrc"
        netrc.write_text(f"default login bob password {NETRC}\n", encoding="ascii")
        netrc.chmod(0o600)

    @property
    def options(self) -> list[str]:
        plain = [
            word for each in self.listeners.values() for word in ("--insecure-http", each.host)
        ]
        shared = [
            word
            for side in ("upstream", "mirror")
            for word in ("--token-server", f"{self[side].host}={self[f'{side}_tokens'].host}")
        ]
        return ["--mirror", self["mirror"].host, *plain, *shared]


@pytest.fixture(scope="module")
def listeners() -> Iterator[dict[str, FakeRegistry]]:
    with contextlib.ExitStack() as stack:
        yield {role: stack.enter_context(FakeRegistry()) for role in ROLES}


@pytest.fixture
def scene(
    listeners: dict[str, FakeRegistry],
    clean_home: None,  # noqa: ARG001 - comes first
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    made = Scene(listeners, tmp_path)
    made.reset()
    made.write_home()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("REGISTRY_PASSWORD", ENVIRONMENT)
    monkeypatch.setattr(session_module, "_BACKOFF", 0.001)
    return made


# --- what may go wrong ------------------------------------------------------------------------

AT_TOKEN = When(path="/token")


def nothing(_scene: Scene) -> None:
    """All is well."""


def foreign_realm(scene: Scene) -> None:
    scene["mirror"].guard = BearerGuard(TokenService(), realm=f"{scene['attacker'].url}/token")


def upstreams_realm(scene: Scene) -> None:
    """The mirror wants upstream's tokens to be shown to it."""
    realm = f"{scene['upstream_tokens'].url}/token"
    scene["mirror"].guard = BearerGuard(TokenService(), realm=realm)


def signed_redirect(scene: Scene) -> None:
    to = f"{scene['target'].url}{{path}}?sig={SIGNATURE}"
    scene["mirror"].play(Redirect(to, when=MANIFESTS), Redirect(to, when=BLOBS))


def target_wants_credentials(scene: Scene) -> None:
    signed_redirect(scene)
    scene["target"].play(Status(401, (("WWW-Authenticate", 'Basic realm="x"'),)))


def redirect_to_attacker(scene: Scene) -> None:
    scene["mirror"].play(Redirect(f"{scene['attacker'].url}{{path}}"))
    realm = f"{scene['attacker'].url}/token"
    scene["attacker"].guard = BearerGuard(TokenService(), realm=realm)


def passwords_refused(scene: Scene) -> None:
    for side in ("upstream", "mirror"):
        scene[f"{side}_tokens"].play(Refusal(401))


def tokens_refused(scene: Scene) -> None:
    for side in ("upstream", "mirror"):
        scene[side].play(Refusal(403))


def token_servers_broken(scene: Scene) -> None:
    scene["mirror_tokens"].play(Refusal(500))
    scene["upstream_tokens"].play(Refusal(503))


def mirror_broken(scene: Scene) -> None:
    scene["mirror"].play(Refusal(500))


def upstream_broken(scene: Scene) -> None:
    scene["upstream"].play(Refusal(404))


def token_answers_wrong(scene: Scene) -> None:
    body = json.dumps({"token": f"{CANARY} \r\nX: y"}).encode()
    scene["mirror_tokens"].play(Body(body, when=AT_TOKEN))
    scene["upstream_tokens"].play(Refusal(200))


def no_post(scene: Scene) -> None:
    scene["upstream_tokens"].play(Status(404, when=When("POST")))


Trouble = Callable[[Scene], None]
TROUBLES: dict[Trouble, int] = {
    nothing: 0,
    signed_redirect: 0,
    foreign_realm: 3,
    upstreams_realm: 3,
    target_wants_credentials: 3,
    redirect_to_attacker: 3,
    passwords_refused: 3,
    tokens_refused: 3,
    token_servers_broken: 3,
    mirror_broken: 3,
    upstream_broken: 3,
    token_answers_wrong: 3,
    no_post: 3,
}
VERBOSITIES = [(), ("-q",), ("-v",), ("--debug",), ("-v", "--debug")]


def text_of(request: Request) -> str:
    """All that a request says, and what it says in base64."""
    kind, _, encoded = (request.header("Authorization") or "").partition(" ")
    said = base64.b64decode(encoded).decode() if kind == "Basic" else ""
    return (
        f"{request.method} {request.path} {request.query} {request.headers} {request.body!r} {said}"
    )


def check_listeners(scene: Scene) -> set[str]:
    """Hold what every listener saw against who may see it; returns all secrets that were seen."""
    found: set[str] = set()
    for role, listener in scene.listeners.items():
        for request in listener.requests:
            text = text_of(request)
            for secret, roles in SEEN_BY.items():
                if secret in text or quote(secret) in text:
                    found.add(secret)
                    assert role in roles, f"{role} saw {secret}"
                    text = text.replace(secret, "")
            if role == "mirror_tokens":
                text = text.replace(f"bob:{PASSWORD}", "")
            if role == "upstream_tokens":
                # Where POST is not supported it goes by GET, as a password.
                text = text.replace(f":{REFRESH}", "")
            assert CANARY not in text, f"{role} saw {text}"
            assert request.header("Cookie") is None
    return found


def check_output(*texts: str) -> None:
    for text in texts:
        assert CANARY not in text
        for secret in (MIRROR_PAIR, base64.b64encode(f":{REFRESH}".encode()).decode()):
            assert secret not in text


@pytest.mark.parametrize("words", VERBOSITIES, ids=lambda words: "".join(words) or "plain")
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_cross_source_creds_every_secret_is_seen_by_its_role_alone(
    run: Run,
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    *,
    trouble: Trouble,
    words: tuple[str, ...],
) -> None:
    caplog.set_level(logging.DEBUG)
    trouble(scene)
    name = f"{scene['upstream'].host}/{PATH}:{TAG}"
    report = scene.home / "report.json"
    written = ("--format", "json", "-o", report)
    for command in (
        ("verify", name, "--deep"),
        ("verify", name, *written),
        ("compare", name, f"{scene['mirror'].host}/{PATH}:{TAG}"),
        ("pull", name, "--to", f"oci:{scene.home}/out"),
    ):
        options = scene.options if command[0] != "compare" else scene.options[2:]
        done = run(*words, *command, *options)
        if command[0] == "verify":
            assert done.status == TROUBLES[trouble], done.out
        check_output(done.out, done.err)
    check_output(report.read_text(encoding="utf-8"), caplog.text)
    found = check_listeners(scene)
    if trouble is nothing:
        assert found == {REFRESH, UPSTREAM_TOKEN, MIRROR_PAIR, MIRROR_TOKEN}
    if trouble is signed_redirect:
        assert found == set(SEEN_BY)


@pytest.mark.parametrize("words", VERBOSITIES, ids=lambda words: "".join(words) or "plain")
def test_secret_redaction_a_defect_shows_no_secret_either(
    run: Run, scene: Scene, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session_module, "refuse_encoding", broken)
    name = f"{scene['upstream'].host}/{PATH}:{TAG}"
    done = run(*words, "verify", name, *scene.options)
    assert done.status == 3
    assert "internal error: ZeroDivisionError" in done.err
    assert ("Traceback" in done.err) is ("--debug" in words)
    check_output(done.out, done.err)
    check_listeners(scene)
