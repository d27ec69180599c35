"""What other projects' own tests say of these files; see tests/unit/oci/test_vectors.py.

Every row behaves, or is listed in the one differences.json with the reason why it does not.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imgverify.errors import InputError, InvalidReference
from imgverify.oci.reference import Reference
from imgverify.registry.hostconfig.certificates import CertificateFolder
from imgverify.registry.hostconfig.containerd import ContainerdConfiguration, HostFolder
from imgverify.registry.hostconfig.containers import (
    ContainersConfiguration,
    matched,
    merge,
    rewritten,
)
from imgverify.registry.hostconfig.hoststoml import Host, parse_hosts
from imgverify.registry.hostconfig.model import (
    Endpoint,
    Origin,
    Protection,
    TlsFiles,
)
from imgverify.registry.hostconfig.read import HostPlaces, read_containers, registries_files
from imgverify.registry.hostconfig.registriesconf import (
    Location,
    RegistryEntry,
    is_whole,
    parse_registries,
)
from imgverify.registry.tls import ClientCertificate
from tests.unit.oci.samples import as_list, as_object
from tests.unit.oci.test_vectors import VECTORS, Row, listed

pytestmark = pytest.mark.skipif(not VECTORS, reason="IMGVERIFY_VECTORS names no folder")
CONF = "pkg/sysregistriesv2"
TESTDATA = Path(VECTORS, "containers-image", CONF, "testdata")
HERE = Path("/etc/containers/registries.conf")

Check = Callable[[Row, Path], bool]


def tables(source: str) -> list[dict[str, object]]:
    document = json.loads(Path(VECTORS, "tables", f"{source}.json").read_text(encoding="utf-8"))
    return [as_object(each) for each in as_list(as_object(document)["tables"])]


# --- registries.conf ------------------------------------------------------------------------------


def is_matched(row: Row, _folder: Path) -> bool:
    expected = row["expected"]
    # The table writes the length as what it is the length of.
    length = len(str(as_list(expected["args"])[0])) if isinstance(expected, dict) else expected
    return matched(str(row["ref"]), str(row["prefix"])) == length


def is_rewritten(row: Row, _folder: Path) -> bool:
    text, origin = str(row["inputRef"]), Origin(HERE)
    entry = RegistryEntry(str(row["prefix"]), Location(str(row["location"]), origin))
    try:
        image = Reference.parse(text)
    except InvalidReference:
        return False
    expected = str(row["expected"])
    return rewritten(image, entry, entry.location) == Reference.parse(expected)


def is_looked_for(row: Row, _folder: Path) -> bool:
    data = (TESTDATA / "pull-sources-from-reference.conf").read_bytes()
    configuration = merge([parse_registries(data, HERE)])
    name = f"{row['matchedPrefix']}/{row['repo']}"
    return all(
        looked_for(configuration, f"{name}{suffix}")
        == (
            [f"{prefix}/{row['repo']}" for prefix in as_list(row[f"{kind}Prefixes"])],
            as_list(row[f"{kind}Insecure"]),
        )
        for kind, suffix in (("tag", ":1"), ("digest", f"@sha256:{'a' * 64}"))
    )


def looked_for(configuration: ContainersConfiguration, name: str) -> tuple[list[str], list[bool]]:
    endpoints = configuration.sources(Reference.parse(name)).endpoints
    names = [str(each.image.repository) for each in endpoints]
    return names, [each.protection is Protection.OPTIONAL for each in endpoints]


def is_chosen(row: Row, folder: Path) -> bool:
    """Which file is read, with a user's own or without."""
    context = as_object(row["sys"] or {})
    root, home = folder / "root", folder / "home"
    named = context.get("SystemRegistriesConfPath")
    own = home / ".config/containers/registries.conf"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.unlink(missing_ok=True)
    if row["userfilePresent"]:
        own.touch()
    expected = {
        "systemRegistriesConfPath": root / "etc/containers/registries.conf",
        "userRegistriesFilePath": own,
    }
    wanted = row["expected"]
    path = Path(named) if isinstance(named, str) else None
    found, _ = registries_files(HostPlaces(root, home, path))
    if isinstance(wanted, dict):  # the usual place below another root, which ours is already
        return found == expected["systemRegistriesConfPath"]
    return found == expected.get(str(wanted), Path(str(wanted)))


def is_refused(row: Row, _folder: Path) -> bool:
    file = TESTDATA.parent / str(row["value"])
    try:
        parse_registries(file.read_bytes(), file)
    except InputError:
        return True
    return False


def is_a_mode(row: Row, _folder: Path) -> bool:
    text = f"short-name-mode = {json.dumps(row['input'])}".encode()
    try:
        parse_registries(text, HERE)
    except InputError:
        return row["mustFail"] is True
    return row["mustFail"] is False


def is_an_alias(row: Row, _folder: Path) -> bool:
    return is_whole(str(row["input"])) == row["valid"]


def is_resolved(row: Row, _folder: Path) -> bool:
    data = (TESTDATA / "aliases.conf").read_bytes()
    configuration = merge([parse_registries(data, HERE)])
    return configuration.readings(str(row["name"])) == (row["value"],)


CHECKS: dict[str, Check | None] = {
    "TestRefMatchingSubdomainPrefix/c": is_matched,
    "TestNewConfigWrapper/c": is_chosen,
    "TestV1BackwardsCompatibility/c": is_refused,
    "TestRewriteReferenceSuccess/c": is_rewritten,
    "TestPullSourcesFromReference/tc": is_looked_for,
    "TestParseShortNameMode/tests": is_a_mode,
    # Which credential helpers there are is not a question of mirrors.
    "TestCredentialHelpers/tests": None,
    # How the peer's own structures tell that they are empty.
    "(package level)/v2RegistriesConfEmptyTestData": None,
    "TestParseShortNameValue/tests": is_an_alias,
    "TestResolveShortNameAlias/aliases": is_resolved,
    # Names that a test of theirs adds, without what they stand for.
    "TestAliasesWithDropInConfigs/alias": None,
}


def test_every_row_of_registries_conf_behaves_or_is_listed(tmp_path: Path) -> None:
    differing, seen = set(), set()
    for fields in tables("containers-image"):
        if not str(fields["file"]).startswith(CONF):
            continue
        name = f"{fields['test']}/{fields['var']}"
        seen.add(name)
        check = CHECKS[name]
        for row in map(as_object, as_list(fields["cases"])):
            if check is not None and not check(row, tmp_path):
                text = row.get("inputRef", row.get("input", row))
                differing.add(f"{fields['test']}: {text}")
    assert seen == set(CHECKS)
    assert differing == listed("containers-image")


REFUSED = {
    *("blocked-conflicts", "insecure-conflicts", "missing-mirror-location", "mixing-v1-v2"),
    *("mixing-v1-v2-empty", "invalid-prefix", "invalid-search", "invalid-short-name-mode"),
    *("invalid-aliases", "invalid-config-level-mirror", "invalid-conflict-mirror"),
    *("invalid-value-mirror", "v1-invalid-block", "v1-invalid-insecure", "v1-invalid-search"),
    "try-update-cache-invalid",
}


def test_every_file_of_registries_conf_is_read_or_refused_as_theirs() -> None:
    seen = set()
    for file in sorted(TESTDATA.glob("*.conf")):
        seen.add(file.stem)
        if file.stem in REFUSED:
            with pytest.raises(InputError, match=str(file)):
                parse_registries(file.read_bytes(), file)
        else:
            parse_registries(file.read_bytes(), file)
    assert seen > REFUSED


@pytest.mark.parametrize(
    ("name", "location"),
    [
        ("simple-prefix.com/foo/bar", "registry.com:5000"),
        ("not.so.simple-prefix.com/x", "subdomain-prefix.com"),
        ("not.quite.simple-prefix.com:5000/with/path", "subdomain-prefix-2.com"),
        (
            "really.not.quite.simple-prefix.com:5000/with/path",
            "subdomain-prefix-1-overridden-by-dropin-location.com",
        ),
        ("foo.docker.io:5000/omg/wtf/bbq", "subdomain-prefix-2.com"),
        (
            "foo.bar.example.com:6000/omg/wtf/bbq",
            "subdomain-prefix-3-overridden-by-dropin-location.com",
        ),
        ("foo.bar.docker.io:5000/omg/wtf/bbq", "subdomain-prefix-4.com"),
        ("foo.bar.example.com:5000/omg/wtf/bbq", "subdomain-prefix-5.com"),
        ("complex-prefix.com:4000/with/path/and/beyond", "another-registry.com:5000"),
        ("no-prefix.com/foo", "no-prefix.com"),
        ("empty-prefix.com/foo", "empty-prefix.com"),
        ("simple-prefix.comx/foo", None),
    ],
)
def test_the_longest_prefix_is_found_over_all_files(
    tmp_path: Path, name: str, location: str | None
) -> None:
    folder = tmp_path / "etc/containers"
    folder.mkdir(parents=True)
    (folder / "registries.conf.d").symlink_to(TESTDATA / "registries.conf.d")
    (folder / "registries.conf").symlink_to(TESTDATA / "find-registry.conf")
    found = read_containers(HostPlaces(tmp_path))
    assert len(found.entries) == 19
    entry = found.entry(name)
    assert (entry and entry.location.name) == location


def test_a_file_of_version_1_is_understood() -> None:
    file = TESTDATA / "v1-compatibility.conf"
    found = merge([parse_registries(file.read_bytes(), file)])
    assert found.search == ("registry-a.com", "registry-c.com", "registry-d.com")
    assert len(found.entries) == 4
    entry = found.entry("registry-b.com/bar/foo")
    assert entry is not None
    assert (entry.location.insecure, entry.blocked) == (True, True)


# --- hosts.toml -----------------------------------------------------------------------------------


def is_host(host: Host, expected: Row) -> bool:
    address = host.address
    if address is None:
        return False
    capabilities = set(map(str, as_list(expected["capabilities"])))
    return (
        (address.scheme, address.host, address.path, host.pulls, host.resolves)
        == (
            expected["scheme"],
            expected["host"],
            expected["path"],
            "pull" in capabilities,
            "resolve" in capabilities,
        )
        and host.skip_verify == expected.get("skip_verify")
        and host.tls == files_expected(expected)
        and bool(host.notes) == ("header" in expected)
    )


def files_expected(expected: Row) -> TlsFiles:
    pairs = [list(map(str, as_list(each))) for each in as_list(expected.get("client", []))]
    return TlsFiles(
        tuple(Path(str(each)) for each in as_list(expected.get("ca", []))),
        tuple(ClientCertificate(Path(each[0]), Path(each[1] or each[0])) for each in pairs),
    )


def usual(host: str) -> Endpoint:
    (endpoint,) = ContainerdConfiguration().sources(Reference.parse(f"{host}/x:1")).endpoints
    return endpoint


def test_every_row_of_hosts_toml_behaves_or_is_listed() -> None:
    parsed, defaults, fallbacks = tables("containerd-hosts")
    differing = set()
    found = parse_hosts(str(parsed["hosts_toml"]).encode(), Path("/etc/certs/x/hosts.toml"))
    expected = list(map(as_object, as_list(parsed["expected_in_order"])))
    hosts = (*found.hosts, found.server)
    assert len(hosts) == len(expected)
    for host, row in zip(hosts, expected, strict=True):
        if not is_host(host, row):
            differing.add(f"hosts.toml: {row['host']}")
    for case in map(as_object, as_list(defaults["cases"])):
        (row,) = map(as_object, as_list(case["expected"]))
        endpoint = usual(str(case["host"]))
        address = f"{row['scheme']}://{row['host']}{row['path']}"
        if endpoint.address != address or not endpoint.resolves:
            differing.add(f"default: {case['host']}")
    for case in map(as_object, as_list(fallbacks["cases"])):
        if not is_as_protected(case):
            scheme, tls = case["default_scheme"], "TLS" if case["default_tls"] else "no TLS"
            differing.add(f"fallback: {case['host']} {scheme or 'no scheme'} {tls}")
    assert differing == listed("containerd-hosts")


def is_as_protected(case: Row) -> bool:
    try:
        endpoint = usual(str(case["host"]))
    except InvalidReference:
        return False
    scheme = endpoint.address.partition(":")[0]
    falls_back = endpoint.protection is Protection.OPTIONAL
    return (scheme, falls_back) == (case["expected_scheme"], case["uses_http_fallback"])


def test_a_folder_without_hosts_toml_is_read_for_certificates() -> None:
    folder = HostFolder(CertificateFolder(Path("/c/m.example"), ("a.crt", "b.cert", "b.key")))
    found = ContainerdConfiguration((), ({"m.example": folder},))
    (endpoint,) = found.sources(Reference.parse("m.example/x:1")).endpoints
    assert [each.name for each in endpoint.tls.authorities] == ["a.crt"]
    assert [each.key.name for each in endpoint.tls.clients] == ["b.key"]
