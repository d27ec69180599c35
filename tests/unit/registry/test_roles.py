"""Every secret stays with the one it is for, whatever a server does and however much is said.

One listener for each role, secrets planted for each, one hostile scene for each way in which
secrets got lost elsewhere; the real command line asks, at every verbosity.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import pytest

from imgverify.cli.app import execute
from imgverify.oci.digest import Digest
from imgverify.registry import session
from imgverify.serve.loopback import Request, Response
from tests.support.fault import BLOBS, Call
from tests.support.faults import Custom, Redirect, Status
from tests.support.image import Image, put
from tests.support.registry import FakeRegistry, Shelf
from tests.support.tokens import BasicGuard
from tests.unit.registry.scene import IMAGE, PATH, TAG

pytestmark = pytest.mark.slow

MARK = "s3cr3t"
USER = "mirror-user"
PASSWORD, ISSUED = f"{MARK}-password", f"{MARK}-issued"
REFRESH, BEARER = f"{MARK}-refresh", f"{MARK}-bearer"
SIGNED, USERINFO = f"{MARK}-signed", f"{MARK}-userinfo"
NETRC, PROXY, STRAY = f"{MARK}-netrc", f"{MARK}-proxy", f"{MARK}-stray"
ROLES = ("mirror", "upstream", "issuer", "target", "attacker", "proxy", "secure")
COOKIES = {role: f"{MARK}-cookie-of-{role}" for role in ROLES}
# The only ones who may see a secret; whatever is absent here is for nobody.
HOLDERS: Mapping[str, frozenset[str]] = {
    PASSWORD: frozenset({"mirror"}),
    ISSUED: frozenset({"mirror"}),
    REFRESH: frozenset({"upstream"}),
    BEARER: frozenset({"upstream"}),
    SIGNED: frozenset({"target"}),
}
SECRETS = (*HOLDERS, USERINFO, NETRC, PROXY, STRAY, *COOKIES.values())
UPSTREAMS = frozenset({REFRESH, BEARER})
ALL = frozenset({PASSWORD, REFRESH, BEARER, SIGNED})
NOT_STORED = 4
LEAVING = {"host", "user-agent", "accept-encoding", "accept"}


@dataclass(frozen=True, slots=True)
class Cast:
    """A listener for each role; all but `secure` are reached over plain HTTP."""

    by_role: Mapping[str, FakeRegistry]

    def __getattr__(self, role: str) -> FakeRegistry:
        return self.by_role[role]

    @property
    def hosts(self) -> dict[str, str]:
        return {role: each.host for role, each in self.by_role.items()}


@dataclass(frozen=True, slots=True)
class Play:
    """What comes out: the status of verify and of pull, who saw what, who heard nothing.

    `named` are the roles that the user allows to be reached over plain HTTP.
    """

    statuses: tuple[int, int] = (3, 4)
    seen: frozenset[str] = frozenset({PASSWORD, REFRESH, BEARER})
    silent: frozenset[str] = frozenset({"attacker", "proxy", "issuer"})
    named: tuple[str, ...] = ("mirror", "upstream", "issuer", "target", "attacker", "proxy")
    words: tuple[str, ...] = ()
    auths: Mapping[str, object] = field(default_factory=dict)
    mirror: str = "mirror"


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def issuing(token: str, wanted: str = "") -> Callable[[Request], Response | None]:
    """A token server that gives one token to whoever brings what is wanted."""

    def answer(request: Request) -> Response | None:
        if request.path != "/token":
            return None
        if wanted not in request.body.decode():
            return Response(401, (), b"")
        return Response(200, (), json.dumps({"token": token}).encode())

    return answer


def bearing(token: str, realm: str) -> Callable[[Request], Response | None]:
    challenge = ("WWW-Authenticate", f'Bearer realm="{realm}",service="it"')

    def answer(request: Request) -> Response | None:
        if request.header("Authorization") == f"Bearer {token}":
            return None
        return Response(401, (challenge,), b"")

    return answer


def challenging(challenge: str) -> Callable[[Request], Response]:
    return lambda _: Response(401, (("WWW-Authenticate", challenge),), b"")


# --- the scenes -------------------------------------------------------------------------------


def realm_exfil(cast: Cast) -> Play:
    cast.mirror.guard = challenging(f'Bearer realm="{cast.attacker.url}/token",service="x"')
    return Play(seen=UPSTREAMS)


def foreign_url_creds(cast: Cast) -> Play:
    document = json.loads(IMAGE.manifest)
    absent = Digest.of(b"elsewhere")
    document["layers"][0] |= {"digest": str(absent), "urls": [f"{cast.attacker.url}/{absent}"]}
    for each in (cast.mirror, cast.upstream):
        _hold(each, replace(IMAGE, manifest=json.dumps(document).encode()))
    cast.attacker.guard = challenging('Basic realm="x"')
    return Play((1, 4))


def redirect_auth_strip(cast: Cast) -> Play:
    # The mirror takes anybody, with a token from a token server that is somebody else.
    cast.issuer.mounts = (issuing(ISSUED),)
    cast.mirror.guard = bearing(ISSUED, f"{cast.issuer.url}/token")
    _away(cast, cast.target)
    seen, silent = (ALL - {PASSWORD}) | {ISSUED}, frozenset({"attacker", "proxy"})
    return Play((0, 0), seen, silent, auths={cast.mirror.host: {}})


def redirect_custom_headers(cast: Cast) -> Play:
    _away(cast, cast.target)
    cast.target.play(Redirect(f"{cast.attacker.url}{{path}}"))
    cast.attacker.guard = challenging('Basic realm="x"')
    return Play(seen=ALL, silent=frozenset({"proxy", "issuer"}))


def server_urls_one_door(cast: Cast) -> Play:
    to = f"http://{USERINFO}:{USERINFO}@{cast.attacker.host}/x"
    cast.mirror.play(Redirect(to, when=BLOBS))
    return Play()


def netrc_env(cast: Cast) -> Play:
    _away(cast, cast.target)
    cast.target.guard = challenging('Basic realm="x"')
    return Play(seen=ALL)


def proxy_auth_leak(cast: Cast) -> Play:
    _away(cast, cast.target)
    cast.target.play(Status(407, (("Proxy-Authenticate", 'Basic realm="x"'),)))
    return Play(seen=ALL)


def no_http_fallback(_cast: Cast) -> Play:
    silent = frozenset({"attacker", "proxy", "issuer", "upstream"})
    return Play((3, 3), frozenset({PASSWORD}), silent, ("mirror", "target", "attacker"))


def insecure_scope(cast: Cast) -> Play:
    # No certificate is asked for of the mirror; the one it sends to has none that is valid.
    _away(cast, cast.secure)
    words = ("--insecure-tls", cast.mirror.host)
    silent = frozenset({"attacker", "proxy", "issuer", "secure"})
    return Play(silent=silent, words=words, auths={cast.secure.host: {"auth": basic(USER, STRAY)}})


def cred_host_match(cast: Cast) -> Play:
    port = cast.attacker.port
    near = (
        "127.0.0.1",
        f"localhost:{port}",
        f"x127.0.0.1:{port}",
        f"127.0.0.1.x:{port}",
        f"127.0.0.1:{port - 1}",
        f"user@127.0.0.1:{port}",
        "*",
    )
    cast.attacker.guard = BasicGuard({USER: STRAY})
    auths = {each: {"auth": basic(USER, STRAY)} for each in near}
    silent = frozenset({"proxy", "issuer"})
    return Play(seen=UPSTREAMS, silent=silent, auths=auths, mirror="attacker")


def cross_source_creds(cast: Cast) -> Play:
    # A mirror that names upstream's own token server, and would like upstream's token.
    cast.mirror.guard = challenging(f'Bearer realm="{cast.upstream.url}/token",service="it"')
    return Play(seen=UPSTREAMS)


def ssrf_dial_guard(cast: Cast) -> Play:
    cast.mirror.play(Redirect(f"http://2130706433:{cast.attacker.port}{{path}}", when=BLOBS))
    return Play()


def url_parser_differential(cast: Cast) -> Play:
    to = f"http://{cast.target.host}\\@{cast.attacker.host}/{SIGNED}"
    cast.mirror.play(Redirect(to, when=BLOBS))
    return Play(silent=frozenset({"attacker", "proxy", "issuer", "target"}))


def header_injection_parse(cast: Cast) -> Play:
    realm = f"{cast.mirror.url}/token"
    cast.mirror.guard = challenging(f'Bearer realm="{realm}",service="a\r\n X-Injected: b"')
    return Play()


SCENES = (
    realm_exfil,
    foreign_url_creds,
    redirect_auth_strip,
    redirect_custom_headers,
    server_urls_one_door,
    netrc_env,
    proxy_auth_leak,
    no_http_fallback,
    insecure_scope,
    cred_host_match,
    cross_source_creds,
    ssrf_dial_guard,
    url_parser_differential,
    header_injection_parse,
)


def _away(cast: Cast, target: FakeRegistry) -> None:
    """Send who wants a blob elsewhere, by a signed URL."""
    cast.mirror.play(Redirect(f"{target.url}{{path}}?X-Signature={SIGNED}", when=BLOBS))


def _hold(registry: FakeRegistry, image: Image) -> None:
    registry.shelf = Shelf()
    put(registry.shelf, PATH, image, TAG)


# --- the stage --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listeners(certificate: tuple[Path, Path]) -> Iterator[Cast]:
    with ExitStack() as stack:
        made = {
            role: FakeRegistry(certificate=certificate if role == "secure" else None)
            for role in ROLES
        }
        for each in made.values():
            stack.enter_context(each)
        yield Cast(made)


@pytest.fixture
def cast(listeners: Cast) -> Cast:
    for role, each in listeners.by_role.items():
        each.heal()
        each.forget()
        each.guard, each.mounts = None, ()
        _hold(each, IMAGE)
        each.play(Custom(_with_cookie(role)))
    listeners.mirror.guard = BasicGuard({USER: PASSWORD})
    # So that a pull which the mirror fails ends with an error, and not with upstream's bytes.
    listeners.upstream.play(Status(403, when=BLOBS))
    listeners.upstream.mounts = (issuing(BEARER, REFRESH),)
    listeners.upstream.guard = bearing(BEARER, f"{listeners.upstream.url}/token")
    return listeners


def _with_cookie(role: str) -> Callable[[Call], Response]:
    cookie = ("Set-Cookie", f"session={COOKIES[role]}; Path=/")

    def answer(call: Call) -> Response:
        return replace(call.response, headers=(*call.headers, cookie))

    return answer


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listeners: Cast) -> None:
    """An environment full of secrets that nobody asked imgverify to use."""
    monkeypatch.setattr(session, "_BACKOFF", 0.001)
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {NETRC}\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for spelled in (name, name.lower()):
            monkeypatch.setenv(spelled, f"http://{USER}:{PROXY}@{listeners.proxy.host}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)


def _config(cast: Cast, play: Play, folder: Path) -> Path:
    auths: dict[str, object] = {
        cast.mirror.host: {"auth": basic(USER, PASSWORD)},
        cast.upstream.host: {"identitytoken": REFRESH},
    }
    file = folder / "config.json"
    file.write_text(json.dumps({"auths": auths | dict(play.auths)}), encoding="utf-8")
    return file


def _commands(cast: Cast, play: Play, folder: Path) -> Iterator[tuple[int, list[str]]]:
    """The commands, and the status with which each has to end."""
    image = [f"{cast.upstream.host}/{PATH}:{TAG}", "--mirror", cast.by_role[play.mirror].host]
    hosts = [cast.by_role[each].host for each in play.named]
    plain = [word for host in hosts for word in ("--insecure-http", host)]
    verifying, pulling = play.statuses
    common = [*image, *plain, *play.words]
    yield verifying, ["verify", *common, "--deep"]
    yield verifying, ["verify", *common, "--deep", "--format", "json"]
    yield pulling, ["pull", *common, "--to", f"oci:{folder}/out:1"]


@pytest.mark.parametrize("verbosity", ["-q", "", "-v", "--debug"])
@pytest.mark.parametrize("scene", SCENES, ids=lambda each: each.__name__.replace("_", "-"))
def test_no_secret_leaves_its_role(
    cast: Cast,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    *,
    scene: Callable[[Cast], Play],
    verbosity: str,
) -> None:
    play = scene(cast)
    config = _config(cast, play, tmp_path)
    for status, words in _commands(cast, play, tmp_path):
        loud = [verbosity] if verbosity else []
        assert execute(["--config", str(config), *loud, *words]) == status, words
        said = capfd.readouterr()
        _assert_nothing_told(said.out + said.err)
        assert "internal error" not in said.err
        assert ("Traceback" in said.err) is (verbosity == "--debug" and status == NOT_STORED)
    _assert_everybody_has_only_theirs(cast, play)
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name not in (".netrc", "config.json"):
            _assert_nothing_told(file.read_bytes().decode("latin-1"))


def _assert_nothing_told(text: str) -> None:
    for secret in SECRETS:
        for spelled in _spellings(secret):
            assert spelled not in text


def _assert_everybody_has_only_theirs(cast: Cast, play: Play) -> None:
    seen: set[str] = set()
    for role, registry in cast.by_role.items():
        assert role not in play.silent or registry.requests == (), role
        for request in registry.requests:
            text = _all_of(request)
            assert "X-Injected" not in dict(request.headers)
            assert request.header("Cookie") is None
            assert request.header("Proxy-Authorization") is None
            for secret in SECRETS:
                if any(each in text for each in _spellings(secret)):
                    assert role in HOLDERS.get(secret, ()), (role, secret)
                    seen.add(secret)
            if role in ("target", "attacker", "proxy") and play.mirror != role:
                assert {name.lower() for name, _ in request.headers} <= LEAVING
    # What is not seen where it belongs would not be seen elsewhere either.
    assert seen == play.seen


def _all_of(request: Request) -> str:
    words = [request.method, request.path, repr(request.query), repr(request.headers)]
    return "\n".join([*words, request.body.decode("latin-1")])


def _spellings(secret: str) -> tuple[str, ...]:
    return (secret, quote(secret, safe=""), basic(USER, secret), basic(secret, secret))
