"""Credentials files of other projects; see tests/unit/oci/test_vectors.py.

Every row behaves, or is listed in the one differences.json with the reason why it does not.
"""

import json
from pathlib import Path

import pytest

from imgverify.errors import InputError
from imgverify.oci.reference import Reference, Registry
from imgverify.registry.authfile import AuthFile, parse_credentials, read_credentials
from imgverify.registry.credentials import ANONYMOUS, Credentials, CredentialStore
from imgverify.registry.deadline import Deadline
from tests.unit.oci.samples import as_list, as_object
from tests.unit.oci.test_vectors import VECTORS, Row, listed

pytestmark = pytest.mark.skipif(not VECTORS, reason="IMGVERIFY_VECTORS names no folder")
DOCKER = AuthFile(Path("config.json"), namespaces=False)


def parse(row: Row) -> CredentialStore:
    return parse_credentials(str(row["config"]).encode(), {}, DOCKER)


def is_host(row: Row) -> bool:
    """Tell whether a key is read as the host that the table says."""
    key = json.dumps({"auths": {str(row["input"]): {"username": "bob"}}})
    return [*map(str, parse({"config": key}).auths)] == [row["expected"]]


def is_loaded(row: Row) -> bool:
    store = parse(row)
    if "username" in row:
        wanted = Credentials(str(row["username"]), str(row["password"]))
        return store.auths == {Registry("docker.io"): wanted}
    if "credsStore" in row:
        return store.default_helper == row["credsStore"]
    if "credHelpers" in row:
        names = {str(registry): name for registry, name in store.helpers.items()}
        return names == row["credHelpers"]
    return row["expect"] == "loads without error, no auths" and not store.auths


CHECKS = {"TestConvertToHostname": is_host, "config loading": is_loaded}


def test_every_row_of_dockers_table_behaves_or_is_listed() -> None:
    file = Path(VECTORS, "tables", "docker-cli-config.json")
    differing, tables = set(), set()
    for table in map(as_object, as_list(as_object(json.loads(file.read_text()))["tables"])):
        name = str(table["test"])
        tables.add(name)
        for row in map(as_object, as_list(table["cases"])):
            if not CHECKS[name](row):
                differing.add(
                    f"input: {row['input']}" if "input" in row else f"test: {row['test']}"
                )
    assert tables == set(CHECKS)
    assert differing == listed("docker-cli-config")


def user(file: Path, name: str, *, namespaces: bool = True) -> str:
    store = read_credentials([AuthFile(file, namespaces=namespaces, required=True)], {})
    place = Reference.parse(name).repository if "/" in name else Registry.parse(name)
    found = store.lookup(place, Deadline.after(1))
    return f"{found.username}:{found.password}" if found != ANONYMOUS else ""


# Written by hand from what the files say: each user is called like the entry.
CONTAINERS = [
    ("full", "example.org", "example:org"),
    ("full", "docker.io", "docker:io"),
    ("full", "localhost", "local:host"),
    ("full", "localhost:5000", "local:host-5000"),
    ("full", "10.10.30.45", "10.10:30.45"),
    ("full", "10.10.30.45:5000", "10.10:30.45-5000"),
    ("full", "normalize.example.org", "normalize:example"),
    ("full", "example.com", ""),
    ("abnormal", "example.org", "example:org"),
    ("abnormal", "docker.io", "index:docker.io"),
    ("abnormal", "127.0.0.1:5000", "127.0:0.1-5000"),
    ("abnormal", "localhost", "local:host"),
    ("abnormal", "localhost:5000", "local:host-5000"),
    ("abnormal", "localhost:5001", "local:host-5001"),
    ("refpath", "example.org/repo", "example:org"),
    ("refpath", "example.org/repo/sub", "example:org"),
    ("refpath", "example.org/repos", "local:host"),
    ("refpath", "docker.io/vendor/app", "first:level"),
    ("refpath", "docker.io/library/busybox", "library:busybox"),
    ("refpath", "docker.io/library/alpine", "library:other"),
    ("refpath", "docker.io/other/app", "top:level"),
    ("example", "example.org", "example:org"),
    ("empty", "example.org", ""),
    ("example_identitytoken", "example.org", "00000000-0000-0000-0000-000000000000:"),
]


def test_every_file_of_the_containers_tools_is_read() -> None:
    folder = Path(VECTORS, "containers-image/pkg/docker/config/testdata")
    differing = {
        f"{name}: {host}"
        for name, host, wanted in CONTAINERS
        if user(folder / f"{name}.json", host) != wanted
    }
    assert differing == set()


ORAS = [
    ("valid_auths_config", "registry1.example.com", "username:password"),
    ("valid_auths_config", "registry2.example.com", ":"),
    ("valid_auths_config", "registry4.example.com", "username:password"),
    ("valid_auths_config", "registry5.example.com", ""),
    ("valid_auths_config", "registry6.example.com", "username:password"),
    ("valid_auths_config", "registry7.example.com", "username:password"),
    *(
        (
            "legacy_auths_config",
            f"registry{number}.example.com",
            f"username{number}:password{number}",
        )
        for number in range(1, 7)
    ),
    ("credHelpers_config", "registry3.example.com", "foo:bar"),
    ("no_auths_config", "registry1.example.com", ""),
]


def test_every_file_of_oras_is_read_or_refused() -> None:
    folder = Path(VECTORS, "oras-go/registry/remote/internal/configuration/testdata")
    differing = {
        f"{name}: {host}"
        for name, host, wanted in ORAS
        if user(folder / f"{name}.json", host, namespaces=False) != wanted
    }
    assert differing == set()
    for name in ("invalid_auths_config", "invalid_auths_entry_config", "bad_config"):
        file = folder / (f"{name}.json" if name != "bad_config" else name)
        with pytest.raises(InputError):
            user(file, "registry1.example.com")
