"""Private images: the same tests against the tests' own registry and against three real ones."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import RateLimited, Side, Unauthorized
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry.authfile import AuthFile, read_credentials
from imgverify.registry.client import Network
from imgverify.registry.credentials import ANONYMOUS, Credentials, CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings
from tests.support.access import ALICE, MALLORY, ByPassword, ByToken, Login, Signer
from tests.support.image import put, release
from tests.support.processes import running_registry
from tests.support.push import push_shelf
from tests.support.registry import FakeRegistry, Shelf
from tests.support.tokens import BasicGuard, BearerGuard, TokenService
from tests.system.commands import imgverify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.commands import Done

PATH = "team/private/app"
TAG = "1.4"
IMAGE = release("app", "1.4.2")
SERVICE = "registry.test"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A registry that lets one user in, and the host of its token server if it has another."""

    host: str
    login: Login
    issuer: str = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.host, self.issuer)))

    @property
    def options(self) -> tuple[str, ...]:
        return ("--token-server", f"{self.host}={self.issuer}") if self.issuer else ()

    @property
    def settings(self) -> NetworkSettings:
        hosts = tuple(map(Registry.parse, self.hosts))
        shared = frozenset({(hosts[0], hosts[-1])})
        return NetworkSettings(frozenset(hosts), token_servers=shared)

    @property
    def reference(self) -> Reference:
        return Reference(Repository(Registry.parse(self.host), PATH), TAG)

    @contextlib.contextmanager
    def network(self, credentials: Credentials | None, seconds: float = 60) -> Iterator[Network]:
        store = CredentialStore({self.reference.registry: credentials or ANONYMOUS})
        with Network(self.settings, store, Deadline.after(seconds)) as network:
            yield network

    def read(self, credentials: Credentials | None) -> bytes:
        """Read the manifest and a layer, and return the layer."""
        with self.network(credentials) as network:
            remote = network.at(self.reference.repository, Side.MIRROR)
            assert remote.manifest(self.reference).manifest.digest == IMAGE.digest
            with remote.blob(IMAGE.layers[0].descriptor) as (chunks, _):
                return b"".join(bytes(each) for each in chunks)


def shelf() -> Shelf:
    made = Shelf()
    put(made, PATH, IMAGE, TAG)
    return made


@contextlib.contextmanager
def guarded(kind: str, folder: Path, login: Login) -> Iterator[Guarded]:
    """Start a registry of a kind such as `olareg-basic`; what it holds was put there before."""
    program, _, how = kind.rpartition("-")
    issuing = TokenService(SERVICE, users={login.user: login.password}, anonymous=False)
    with contextlib.ExitStack() as stack:
        if program == "fake":
            guard = BasicGuard(issuing.users) if how == "basic" else BearerGuard(issuing)
            registry = FakeRegistry(shelf(), mounts=[issuing], guard=guard)
            yield Guarded(stack.enter_context(registry).host, login)
            return
        with running_registry(program, folder) as host:
            push_shelf(host, shelf())
        if how in ("basic", "own"):
            access = ByPassword(login, own_tokens=how == "own")
            host = stack.enter_context(running_registry(program, folder, access=access))
            yield Guarded(host, login)
            return
        signer = Signer(folder / "tokens", how.upper(), SERVICE)
        issuing.sign = signer.sign
        issuer = stack.enter_context(FakeRegistry(mounts=[issuing]))
        issued = ByToken(signer, f"{issuer.url}/token", SERVICE)
        host = stack.enter_context(running_registry(program, folder, access=issued))
        yield Guarded(host, login, issuer.host)


KINDS = [
    "fake-basic",
    "fake-token",
    "docker-registry-basic",
    "docker-registry-rs256",
    "docker-registry-es256",
    "distribution-basic",
    "distribution-rs256",
    "distribution-es256",
    "olareg-basic",
    "olareg-own",
]


def system(kind: str) -> object:
    program = kind.rpartition("-")[0]
    return kind if program == "fake" else pytest.param(kind, marks=pytest.mark.system(program))


@pytest.fixture(scope="module", params=[*map(system, KINDS)])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    with guarded(request.param, tmp_path_factory.mktemp(request.param), ALICE) as made:
        yield made


def of(login: Login) -> Credentials:
    return Credentials(login.user, login.password)


def test_the_right_password_reads_a_private_image(registry: Guarded) -> None:
    assert registry.read(of(ALICE)) == IMAGE.layers[0].blob


@pytest.mark.parametrize(
    "credentials",
    [
        None,
        replace(of(ALICE), password="upstream-pa56"),
        replace(of(ALICE), password=""),
        of(MALLORY),
    ],
    ids=["none", "wrong", "empty", "other"],
)
def test_no_other_password_does(registry: Guarded, credentials: Credentials | None) -> None:
    with pytest.raises(Unauthorized) as caught:
        registry.read(credentials)
    assert registry.host in caught.value.message
    assert f"docker login {registry.host}" in caught.value.hint
    assert caught.value.side is Side.MIRROR


def test_threads_read_with_one_password(registry: Guarded) -> None:
    with registry.network(of(ALICE)) as network, ThreadPoolExecutor(8) as pool:
        remote = network.at(registry.reference.repository, Side.MIRROR)
        read = pool.map(lambda _: remote.manifest(registry.reference).manifest.digest, range(32))
        assert set(read) == {IMAGE.digest}


def test_credentials_for_a_part_are_used_in_it(registry: Guarded) -> None:
    place = registry.reference.registry
    store = CredentialStore(
        {
            place: of(MALLORY),
            Repository(place, "team/private"): of(ALICE),
            Repository(place, "t"): of(MALLORY),
        }
    )
    with Network(registry.settings, store, Deadline.after(60)) as network:
        remote = network.at(registry.reference.repository, Side.UPSTREAM)
        assert remote.resolve(registry.reference).digest == IMAGE.digest


# --- the command, between two private registries ----------------------------------------------

PAIRS = [
    ("fake-token", "fake-basic"),
    ("docker-registry-rs256", "distribution-basic"),
    ("distribution-es256", "docker-registry-basic"),
    ("olareg-own", "olareg-basic"),
]


def pair_of_kinds(pair: tuple[str, str]) -> object:
    programs = {kind.rpartition("-")[0] for kind in pair} - {"fake"}
    return pytest.param(
        pair, id="-".join(pair), marks=[pytest.mark.system(*programs)] if programs else []
    )


@pytest.fixture(scope="module", params=[*map(pair_of_kinds, PAIRS)])
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Guarded, Guarded]]:
    folder = tmp_path_factory.mktemp("sides")
    upstream, mirror = request.param
    with (
        guarded(upstream, folder / "upstream", ALICE) as one,
        guarded(mirror, folder / "mirror", MALLORY) as other,
    ):
        yield one, other


def write(path: Path, *entries: tuple[str, Login]) -> Path:
    def encoded(login: Login) -> str:
        return base64.b64encode(f"{login.user}:{login.password}".encode()).decode()

    auths = {key: {"auth": encoded(login)} for key, login in entries}
    path.write_text(json.dumps({"auths": auths}), encoding="ascii")
    return path


def run(sides: tuple[Guarded, Guarded], config: Path, command: str, *words: str) -> Done:
    upstream, mirror = sides
    options = (*upstream.options, *mirror.options, *words)
    name = ("--mirror", mirror.host, str(upstream.reference))
    plain = (*upstream.hosts, *mirror.hosts)
    done = imgverify("--config", config, "-v", command, *name, *options, plain=plain)
    for login in (ALICE, MALLORY):
        assert login.password not in done.out + done.err
    return done


def test_a_private_image_is_pulled_through_a_private_mirror(
    sides: tuple[Guarded, Guarded], tmp_path: Path
) -> None:
    upstream, mirror = sides
    config = write(tmp_path / "auth.json", (f"{upstream.host}/team", ALICE), (mirror.host, MALLORY))
    done = run(sides, config, "pull", "--to", f"oci:{tmp_path}/out:1")
    assert done.status == 0, done.err
    assert done.out == f"{upstream.host}/{PATH}@{IMAGE.digest}\n"
    assert f"{upstream.host}/team: credentials from {config}" in done.err
    assert f"{mirror.host}: credentials from {config}" in done.err
    assert (tmp_path / "out" / "index.json").exists()


@pytest.mark.parametrize("wrong", ["upstream", "mirror"])
@pytest.mark.parametrize("there", [True, False], ids=["wrong", "absent"])
def test_a_wrong_password_is_inconclusive_and_says_whose_it_is(
    sides: tuple[Guarded, Guarded], tmp_path: Path, wrong: str, *, there: bool
) -> None:
    upstream, mirror = sides
    # Each side gets the password of the other, or none.
    logins = [(upstream.host, ALICE), (mirror.host, MALLORY)]
    at = 0 if wrong == "upstream" else 1
    entry = (logins[at][0], replace(logins[at][1], password="not-it"))
    others = [each for each in logins if each[0] != entry[0]]
    config = write(tmp_path / "config.json", *others, *([entry] if there else []))
    done = run(sides, config, "verify")
    assert done.status == 3, done.out
    assert f"unreachable ({wrong}" in done.out
    assert entry[0] in done.out
    again = " again" if there else ""
    assert f"log in{again} (docker login {entry[0]})" in done.out
    assert (f"from {config}" in done.out) is there


# --- the same file, read by skopeo ------------------------------------------------------------


@pytest.fixture(scope="module")
def by_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded("docker-registry-basic", tmp_path_factory.mktemp("skopeo"), ALICE) as made:
        yield made


@pytest.mark.system("docker-registry", "skopeo")
@pytest.mark.parametrize(
    "keys",
    [
        ["{}"],
        ["{}/team"],
        ["{}/team/private"],
        ["{}/team/private/app"],
        ["https://{}"],
        ["http://{}/v2/"],
        ["{}/tea"],
        ["{}/team/private/apps"],
        ["{}/team/private/app/deeper"],
        ["{}/other"],
        ["other.test"],
        ["{}/team", "wrong {}"],
        ["{}", "wrong {}/other"],
        ["{}", "wrong {}/team/private"],
        ["{}/team/private", "wrong {}/team"],
        ["{}", "wrong https://{}/v1/"],
    ],
    ids=str,
)
def test_skopeo_reads_the_same_in_a_file(
    by_password: Guarded, tmp_path: Path, keys: list[str]
) -> None:
    wrong = replace(ALICE, password="not-it")
    entries = [
        (
            key.removeprefix("wrong ").format(by_password.host),
            wrong if key.startswith("wrong ") else ALICE,
        )
        for key in keys
    ]
    config = write(tmp_path / "auth.json", *entries)
    name = f"docker://{by_password.reference}"
    words = ["skopeo", "inspect", "--tls-verify=false", "--authfile", str(config), name]
    theirs = subprocess.run(words, capture_output=True, check=False, timeout=60)
    store = read_credentials([AuthFile(config, namespaces=True)], {})
    with Network(by_password.settings, store, Deadline.after(60)) as network:
        remote = network.at(by_password.reference.repository, Side.MIRROR)
        try:
            remote.resolve(by_password.reference)
        except Unauthorized:
            read = False
        else:
            read = True
    assert read is (theirs.returncode == 0), theirs.stderr


# --- a real rate limit ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("limited")
    with running_registry("olareg", folder) as host:
        push_shelf(host, shelf())
    with running_registry("olareg", folder, options=("--rate-limit", "3")) as host:
        yield Guarded(host, ALICE)


@pytest.mark.system("olareg")
def test_a_real_rate_limit_is_waited_for(limited: Guarded) -> None:
    with limited.network(None) as network:
        remote = network.at(limited.reference.repository, Side.MIRROR)
        for _ in range(6):
            assert remote.resolve(limited.reference).digest == IMAGE.digest


@pytest.mark.system("olareg")
def test_a_real_rate_limit_without_time_to_wait_is_told(limited: Guarded) -> None:
    with limited.network(None, seconds=0.9) as network:
        remote = network.at(limited.reference.repository, Side.MIRROR)

        def hurry() -> None:
            for _ in range(20):
                remote.resolve(limited.reference)

        with pytest.raises(RateLimited, match="429") as caught:
            hurry()
    assert caught.value.hint == "the rate limit is used up: try again in 1 s"
