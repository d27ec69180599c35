"""The files that credentials are in: what is read from one, and which are read at all."""

import base64
import json
from pathlib import Path

import pytest

from imgverify.errors import InputError, Malformed
from imgverify.oci import limits
from imgverify.oci.reference import Reference, Registry
from imgverify.registry.authfile import (
    AuthFile,
    files_to_read,
    parse_credentials,
    read_credentials,
)
from imgverify.registry.credentials import ANONYMOUS, Credentials, CredentialStore
from imgverify.registry.deadline import Deadline
from tests.unit.registry.scene import everything_said

SECRET = "hunter2-secret"
PAIR = base64.b64encode(f"bob:{SECRET}".encode()).decode()
BOB = Credentials("bob", SECRET)
DOCKER = AuthFile(Path("/d/config.json"), namespaces=False)
CONTAINERS = AuthFile(Path("/c/auth.json"), namespaces=True)


def parsed(file: AuthFile = DOCKER, **document: object) -> CredentialStore:
    return parse_credentials(json.dumps(document).encode(), {}, file)


def found(store: CredentialStore, host: str) -> Credentials:
    return store.lookup(Registry.parse(host), Deadline.after(10))


def user(store: CredentialStore, name: str) -> str:
    """Whom one would be for an image."""
    return store.lookup(Reference.parse(name).repository, Deadline.after(10)).username


def users(*keys: str) -> dict[str, dict[str, str]]:
    """Entries whose users are called like their keys."""
    return {key: {"username": key, "password": "p"} for key in keys}


@pytest.mark.parametrize("file", [DOCKER, CONTAINERS], ids=["docker", "containers"])
@pytest.mark.parametrize(
    ("key", "host", "hit"),
    [
        ("azurecr.io", "azurecr.io", True),
        ("azurecr.io", "AZURECR.io", True),
        ("AzureCR.io", "azurecr.io", True),
        ("azurecr.io/", "azurecr.io", True),
        ("azurecr.io", "evil.azurecr.io", False),
        ("azurecr.io", "xazurecr.io", False),
        ("azurecr.io", "azurecr.io.evil.test", False),
        ("azurecr.io", "azurecr.io:443", False),
        ("azurecr.io", "azurecr.io:5000", False),
        ("azurecr.io:5000", "azurecr.io:5000", True),
        ("azurecr.io:5000", "azurecr.io", False),
        ("azurecr.io.", "azurecr.io", False),
        ("*.azurecr.io", "x.azurecr.io", False),
        ("https://azurecr.io", "azurecr.io", True),
        ("https://azurecr.io/v2/", "azurecr.io", True),
        ("https://azurecr.io/some/path/", "azurecr.io", True),
        ("HTTPS://azurecr.io", "azurecr.io", True),
        ("azurecr.io/team", "azurecr.io", False),
        ("https://azurecr.io@evil.test", "azurecr.io", False),
        ("https://azurecr.io@evil.test", "evil.test", False),
        ("https://evil.test/?https://azurecr.io", "azurecr.io", False),
        ("evil.test/https://azurecr.io", "azurecr.io", False),
        ("evil.test#https://azurecr.io", "azurecr.io", False),
        ("https://index.docker.io/v1/", "docker.io", True),
        ("docker.io", "registry-1.docker.io", True),
        ("[::1]:5000", "[::1]:5000", True),
        ("::1", "[::1]", False),
    ],
)
def test_cred_host_match_is_equality_of_host_and_port(
    file: AuthFile, key: str, host: str, *, hit: bool
) -> None:
    store = parsed(file, auths={key: {"auth": PAIR}})
    assert found(store, host) == (BOB if hit else ANONYMOUS)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("reg.test/team/app/web", "reg.test/team/app/web"),
        ("reg.test/team/app/web/deep", "reg.test/team/app/web"),
        ("reg.test/team/app", "reg.test/team"),
        ("reg.test/team/app/webs", "reg.test/team"),
        ("reg.test/team", "reg.test/team"),
        ("reg.test/teams/app", "reg.test"),
        ("reg.test/tea/m", "reg.test"),
        ("reg.test/other", "reg.test"),
        ("reg.test:443/team/app", ""),
        ("reg.test.evil.test/team/app", ""),
        ("busybox", "docker.io/library/busybox"),
        ("library/alpine", "docker.io/library"),
        ("vendor/app", "docker.io"),
        ("index.docker.io/vendor/app", "docker.io"),
    ],
)
def test_cred_host_match_the_longest_path_counts_component_by_component(
    image: str, name: str
) -> None:
    keys = (
        *("reg.test/team/app/web", "reg.test/team", "reg.test"),
        *("docker.io/library/busybox", "docker.io/library", "docker.io"),
    )
    assert user(parsed(CONTAINERS, auths=users(*keys)), image) == name


@pytest.mark.parametrize("key", ["reg.test/Team", "reg.test/team/", "reg.test/../x", "reg.test//"])
def test_a_path_that_names_no_repository_is_passed_over(key: str) -> None:
    assert parsed(CONTAINERS, auths=users(key)).auths == {}


def test_a_path_is_a_namespace_in_containers_files_alone() -> None:
    entries = users("reg.test/v1", "reg.test/team", "other.test/v2/")
    assert parsed(DOCKER, auths=entries).auths.keys() == {
        Registry("reg.test"),
        Registry("other.test"),
    }
    store = parsed(CONTAINERS, auths=entries)
    assert user(store, "reg.test/v1/app") == "reg.test/v1"
    assert user(store, "reg.test/app") == ""


@pytest.mark.parametrize(
    ("file", "keys", "counts"),
    [
        (DOCKER, ("docker.io", "https://index.docker.io/v1/", "index.docker.io"), 1),
        (CONTAINERS, ("https://index.docker.io/v1/", "docker.io", "index.docker.io"), 1),
        (DOCKER, ("https://index.docker.io/v1/", "index.docker.io"), 0),
        (DOCKER, ("reg.test", "https://reg.test", "http://reg.test/v2/"), 0),
        (CONTAINERS, ("https://reg.test/v1/", "http://reg.test"), 1),
    ],
)
def test_of_several_entries_for_one_host_the_one_counts_that_a_login_writes(
    file: AuthFile, keys: tuple[str, ...], counts: int
) -> None:
    host = "docker.io" if "docker" in keys[0] else "reg.test"
    assert found(parsed(file, auths=users(*keys)), host).username == keys[counts]


def test_an_entry_that_holds_nothing_hides_no_other() -> None:
    entries = {"reg.test": {}, **users("https://reg.test/v1/")}
    assert found(parsed(auths=entries), "reg.test").username == "https://reg.test/v1/"


@pytest.mark.parametrize(
    ("entry", "credentials"),
    [
        ({"auth": PAIR}, BOB),
        ({"username": "bob", "password": SECRET}, BOB),
        ({"auth": PAIR, "username": "eve", "password": "x"}, BOB),
        ({"auth": base64.b64encode(f"bob:{SECRET}\0\0".encode()).decode()}, BOB),
        ({"auth": base64.b64encode(b"bob:a:b").decode()}, Credentials("bob", "a:b")),
        ({"auth": base64.b64encode(b":token").decode()}, Credentials("", "token")),
        ({"identitytoken": "i"}, Credentials(identity_token="i")),
        ({"auth": PAIR, "identitytoken": "i"}, Credentials("bob", SECRET, "i")),
        ({"registrytoken": "r"}, Credentials(registry_token="r")),
        ({}, ANONYMOUS),
        ({"auth": None, "username": None}, ANONYMOUS),
        ({"auth": "", "email": 5}, ANONYMOUS),
    ],
)
def test_an_entry_is_read_in_all_of_dockers_forms(
    entry: dict[str, object], credentials: Credentials
) -> None:
    store = parsed(auths={"reg.test": entry})
    assert found(store, "reg.test") == credentials
    assert found(store, "reg.test").source == ("" if credentials == ANONYMOUS else "/d/config.json")


@pytest.mark.parametrize(
    "text",
    [
        f"[{json.dumps(SECRET)}]",
        f"not json {SECRET}",
        json.dumps({"auths": SECRET}),
        json.dumps({"auths": [SECRET]}),
        json.dumps({"auths": []}),
        json.dumps({"auths": {"reg.test": SECRET}}),
        json.dumps({"auths": {"reg.test": {"auth": SECRET + "!"}}}),
        json.dumps({"auths": {"reg.test": {"auth": base64.b64encode(b"no-colon").decode()}}}),
        json.dumps({"auths": {"reg.test": {"auth": base64.b64encode(b"\xff:\xff").decode()}}}),
        json.dumps({"auths": {"reg.test": {"password": [SECRET]}}}),
        json.dumps({"auths": {"reg.test": {"password": 0, "auth": SECRET}}}),
        json.dumps({"auths": {"reg.test": {"registrytoken": f"{SECRET}\r\nX: y"}}}),
        json.dumps({"auths": {f"https://u:{SECRET}@reg.test": {}, "reg.test": 5}}),
        json.dumps({"credsStore": f"../{SECRET}"}),
        json.dumps({"credsStore": [SECRET]}),
        json.dumps({"credHelpers": {"reg.test": f"{SECRET}; rm -rf"}}),
        f'{{"auths": {{"a": {{"password": "{SECRET}"}}}}, "auths": {{}}}}',
    ],
)
def test_a_file_that_is_wrong_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.json") as caught:
        read_credentials([AuthFile(path, namespaces=False)], {})
    assert SECRET not in everything_said(caught.value)
    assert "--config" in caught.value.hint


def test_a_wrong_entry_is_named_by_its_place() -> None:
    with pytest.raises(Malformed, match=r"for reg\.test/team is not base64"):
        parsed(CONTAINERS, auths={"reg.test/team": {"auth": "!"}})


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b" " * (limits.CREDENTIALS_FILE_SIZE + 1))
    with pytest.raises(InputError, match="larger"):
        read_credentials([AuthFile(path, namespaces=False)], {})


def test_a_file_that_is_absent_or_empty_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for place in (path, path / "below"):
        assert found(read_credentials([AuthFile(place, namespaces=False)], {}), "a") == ANONYMOUS
        path.write_bytes(b"")
    assert found(read_credentials([], {}), "reg.test") == ANONYMOUS


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    file = AuthFile(tmp_path / "auth.json", namespaces=True, required=True)
    with pytest.raises(InputError, match="is not there"):
        read_credentials([file], {})


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="directory") as caught:
        read_credentials([AuthFile(tmp_path, namespaces=False)], {})
    assert "--config" in caught.value.hint


def test_keys_that_are_no_hosts_are_passed_over() -> None:
    store = parsed(auths={"not a host": {}, "": {}}, credHelpers={"also not": "x"})
    assert not store.auths
    assert not store.helpers


def test_a_helper_is_for_a_host_and_never_for_a_namespace() -> None:
    store = parsed(CONTAINERS, credHelpers={"reg.test/team": "x", "reg.test": "y"})
    assert store.helpers == {Registry("reg.test"): "y"}


# --- which files, and in which order ----------------------------------------------------------

HOME = Path("/home/bob")


def paths(environment: dict[str, str], *, home: Path | None = HOME) -> list[str]:
    return [str(each.path) for each in files_to_read(None, environment, home, 1000)]


def test_dockers_file_is_read_first_and_then_podmans() -> None:
    assert paths({}) == [
        "/home/bob/.docker/config.json",
        "/run/containers/1000/auth.json",
        "/home/bob/.config/containers/auth.json",
    ]
    assert paths({"DOCKER_CONFIG": "/d", "XDG_RUNTIME_DIR": "/r", "XDG_CONFIG_HOME": "/x"}) == [
        "/d/config.json",
        "/r/containers/auth.json",
        "/x/containers/auth.json",
    ]


def test_what_is_empty_or_no_absolute_path_is_as_good_as_unset() -> None:
    names = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")
    assert paths(dict.fromkeys(names, "")) == paths({})
    assert paths({"XDG_RUNTIME_DIR": "r", "XDG_CONFIG_HOME": "./x"}) == paths({})


def test_without_a_home_nothing_is_read_from_one() -> None:
    assert paths({}, home=None) == ["/run/containers/1000/auth.json"]
    assert paths({"DOCKER_CONFIG": "d"}, home=None)[0] == "d/config.json"


def test_registry_auth_file_counts_alone() -> None:
    environment = {"REGISTRY_AUTH_FILE": "/a/config.json", "DOCKER_CONFIG": "/d"}
    (file,) = files_to_read(None, environment, HOME, 0)
    assert file == AuthFile(Path("/a/config.json"), namespaces=True, required=True)


@pytest.mark.parametrize(("name", "namespaces"), [("config.json", False), ("auth.json", True)])
def test_a_file_that_is_named_counts_alone_and_is_dockers_by_its_name(
    name: str, *, namespaces: bool
) -> None:
    environment = {"REGISTRY_AUTH_FILE": "/a", "DOCKER_CONFIG": "/d"}
    (file,) = files_to_read(Path("/n", name), environment, HOME, 0)
    assert file == AuthFile(Path("/n", name), namespaces=namespaces, required=True)


def written(folder: Path, name: str, **document: object) -> AuthFile:
    path = folder / name
    path.write_text(json.dumps(document))
    return AuthFile(path, namespaces=name != "config.json")


def test_the_first_file_that_knows_a_place_gives_all_of_its_credentials(tmp_path: Path) -> None:
    first = written(
        tmp_path,
        "config.json",
        auths={"one.test": {"username": "docker"}, "both.test": {"identitytoken": "t"}, "x": {}},
        credHelpers={"helped.test": ""},
    )
    second = written(
        tmp_path,
        "auth.json",
        auths=users("both.test", "both.test/team", "helped.test", "two.test"),
    )
    store = read_credentials([first, second], {})
    assert user(store, "one.test/app") == "docker"
    assert user(store, "two.test/app") == user(store, "two.test/x") == "two.test"
    assert user(store, "helped.test/app") == "helped.test"
    both = store.lookup(Reference.parse("both.test/team/app").repository, Deadline.after(1))
    assert both == Credentials(identity_token="t")


def test_where_two_files_differ_it_is_said_which_one_is_not_used(tmp_path: Path) -> None:
    first = written(tmp_path, "config.json", auths=users("a.test", "b.test"))
    second = written(tmp_path, "auth.json", auths={**users("a.test"), "b.test": {"auth": PAIR}})
    store = read_credentials([first, second], {})
    assert found(store, "a.test").source == str(first.path)
    assert found(store, "b.test").source == f"{first.path}, not from {second.path}"
