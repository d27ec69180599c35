"""What is said of this host's runtimes: the order, the gaps, and that the closings close them."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from imgverify.doctor.host.model import Gap
from imgverify.doctor.host.text import render_host
from imgverify.doctor.jsonreport import render_json, schema_text
from imgverify.registry.hostconfig.model import Protection, Runtime
from imgverify.verdict import Decision
from tests.unit.doctor.hosts import DAEMON, HUB, NGINX, REGISTRIES, Host, bypass, gaps
from tests.unit.report.harm import commands, unseen

VALIDATOR = Draft202012Validator(json.loads(schema_text()))
DOCKER, CONTAINERS, CONTAINERD = Runtime.DOCKER, Runtime.CONTAINERS, Runtime.CONTAINERD
DAEMON_JSON = json.dumps({"registry-mirrors": ["https://m.example"]})
ENTRY = """
[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "m.example/hub"
"""
HOSTS_TOML = """
server = "https://registry-1.docker.io"

[host."https://m.example"]
capabilities = ["pull", "resolve"]
"""
CONFIGURED = {
    DOCKER: (DAEMON, DAEMON_JSON),
    CONTAINERS: (REGISTRIES, ENTRY),
    CONTAINERD: (HUB, HOSTS_TOML),
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def configured(host: Host) -> Host:
    for name, text in CONFIGURED.values():
        host.write(name, text)
    return host


def text(host: Host, name: str = NGINX, width: int | None = None) -> str:
    return render_host(host.report(name), colour=False, width=width)


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", Runtime)
def test_a_mirror_before_the_registry(configured: Host, runtime: Runtime) -> None:
    lookup = configured.lookup(runtime)
    mirror, upstream = lookup.endpoints
    assert mirror.address == "https://m.example/v2"
    assert (mirror.is_upstream, upstream.is_upstream) == (False, True)
    other = [] if runtime is DOCKER else [Gap.OTHER_NAME]
    assert gaps(lookup) == [Gap.FALLS_THROUGH, *other, Gap.MIRROR_RESOLVES]


def test_the_text_of_a_runtime(host: Host) -> None:
    host.write(HUB, HOSTS_TOML)
    said = text(host, width=80).partition("containerd: ")
    file = host.root / HUB
    assert said[2] == (
        "asks m.example, then docker.io itself\n"
        f"  configured in {file}\n"
        "  1  https://m.example/v2\n"
        "     mirror; may say what a tag means\n"
        f"     set in {file}:4\n"
        "  2  https://registry-1.docker.io/v2\n"
        "     the registry itself\n"
        f"     set in {file}\n"
        "\n"
        "  falls-through: what the mirrors do not give, containerd gets from docker.io\n"
        "    itself: a mirror that refuses an image stops nobody\n"
        "    to close it: if https://m.example/v2 is your gate, begin the file so,\n"
        "      without another server\n"
        f"    in {file}:\n"
        '        server = "https://m.example/v2"\n'
        '        capabilities = ["pull", "resolve"]\n'
        "\n"
        "  other-name: the same image is to be had as registry-1.docker.io/library/nginx,\n"
        "    and no folder is about that name\n"
        "    to close it: lead the name to your gate\n"
        f"    in {host.root}/etc/containerd/certs.d/registry-1.docker.io/hosts.toml:\n"
        '        server = "https://m.example/v2"\n'
        '        capabilities = ["pull", "resolve"]\n'
        "\n"
        "  mirror-resolves: what '1.27' means is said by https://m.example/v2: whatever\n"
        "    it gives is run\n"
        "    to close it: if that is not your gate, change its table (line 4); the server\n"
        "      then says what tags mean\n"
        f"    in {file}:\n"
        '        capabilities = ["pull"]\n'
        "\n"
        "to see what the mirrors really do: imgverify doctor m.example --image\n"
        "  docker.io/library/nginx:1.27\n"
    )


def test_nothing_configured_means_that_the_registry_is_asked(host: Host) -> None:
    for runtime in Runtime:
        lookup = host.lookup(runtime)
        assert [each.is_upstream for each in lookup.endpoints] == [True]
        assert gaps(lookup) == [Gap.NO_MIRROR]
        assert not bypass(lookup, Gap.NO_MIRROR).closings
    said = text(host)
    assert said.count("no configuration was found: its defaults hold") == 3
    assert said.count("asks docker.io itself") == 3


def test_the_command_that_asks_the_mirrors(configured: Host) -> None:
    names = "m.example m.example/hub/library/nginx:1.27"
    command = f"imgverify doctor {names} --image {NGINX}"
    assert text(configured).endswith(f"\nto see what the mirrors really do: {command}\n")
    assert "really do" not in text(configured, "quay.io/team/app:1")


def test_docker_has_mirrors_of_docker_hub_alone(configured: Host) -> None:
    lookup = configured.lookup(DOCKER, "quay.io/team/app:1")
    words = "Docker has mirrors for Docker Hub alone: quay.io itself is asked"
    assert bypass(lookup, Gap.NO_MIRROR).text == words


@pytest.mark.parametrize(
    ("runtime", "name", "words"),
    [
        (CONTAINERS, "quay.io/team/app:1", "no entry is about quay.io: it is asked itself"),
        (CONTAINERD, "quay.io/team/app:1", "no folder is about quay.io: it is asked itself"),
        (CONTAINERS, "ghcr.io/team/app:1", "the entry about ghcr.io names no mirror for this"),
        (CONTAINERD, "ghcr.io/team/app:1", "the folder about ghcr.io names no other host"),
    ],
)
def test_why_nothing_stands_before_a_registry(
    configured: Host, runtime: Runtime, name: str, words: str
) -> None:
    configured.write(f"{REGISTRIES}.d/x.conf", '[[registry]]\nlocation = "ghcr.io"\n')
    configured.write("etc/containerd/certs.d/ghcr.io/hosts.toml", 'server = "https://ghcr.io"\n')
    found = bypass(configured.lookup(runtime, name), Gap.NO_MIRROR)
    assert found.text.startswith(words)


def test_a_digest_leaves_a_mirror_nothing_to_say(configured: Host) -> None:
    name = f"docker.io/library/nginx@sha256:{'0' * 64}"
    for runtime in Runtime:
        assert Gap.MIRROR_RESOLVES not in gaps(configured.lookup(runtime, name))
    assert "may say what a tag means" not in text(configured, name)


def test_a_mirror_that_may_not_resolve(host: Host) -> None:
    host.write(HUB, '[host."https://m.example"]\ncapabilities = ["pull"]\n')
    host.write(REGISTRIES, f'{ENTRY}pull-from-mirror = "digest-only"\n')
    assert gaps(host.lookup(CONTAINERD)) == [Gap.FALLS_THROUGH, Gap.OTHER_NAME]
    # For a tag the mirror is not even asked.
    assert gaps(host.lookup(CONTAINERS)) == [Gap.NO_MIRROR]
    assert "mirror; asked by digest alone" in text(host)


def test_what_is_forbidden_is_said_to_be(host: Host) -> None:
    host.write(REGISTRIES, '[[registry]]\nlocation = "docker.io"\nblocked = true\n')
    lookup = host.lookup(CONTAINERS)
    assert gaps(lookup) == []
    said = text(host)
    assert "Podman, Buildah, Skopeo, CRI-O: is forbidden to look for it" in said
    assert f"blocked by {host.root / REGISTRIES}:1: it ends here" in said


def test_another_path_and_the_name_that_is_asked_for(configured: Host) -> None:
    assert "; as m.example/hub/library/nginx:1.27\n" in text(configured)


def test_what_only_the_address_of_a_name_would_tell(host: Host) -> None:
    fields = {"registry-mirrors": ["https://m.example"], "insecure-registries": ["10.0.0.0/8"]}
    host.write(DAEMON, json.dumps(fields))
    assert "its certificate is not checked if its address is in 10.0.0.0/8" in text(host)


def test_nobody_who_may_resolve_is_noted(host: Host) -> None:
    host.write(HUB, 'server = "https://m.example"\ncapabilities = ["pull"]\n')
    assert "note: no host may say what a tag means" in text(host)


# --- short names ----------------------------------------------------------------------------------


def test_a_short_name_is_read_in_several_ways(host: Host) -> None:
    host.write(REGISTRIES, 'unqualified-search-registries = ["quay.io", "docker.io"]\n')
    first, second = host.runtime(CONTAINERS, "nginx:1").lookups
    assert (str(first.image), str(second.image)) == ("quay.io/nginx:1", "docker.io/library/nginx:1")
    found = bypass(first, Gap.SHORT_NAME)
    assert found.text == "'nginx:1' has no registry: the first that has the name gives the image"
    said = text(host, "nginx:1")
    assert "CRI-O: would look for 2 images, one after the other" in said
    assert "  as quay.io/nginx:1\n" in said
    (closing,) = found.closings
    host.apply(closing)
    assert host.runtime(CONTAINERS, "nginx:1").lookups == ()
    assert "refuses a name without a registry" in text(host, "nginx:1")


def test_a_short_name_with_an_alias_is_read_in_one_way(host: Host) -> None:
    aliases = '[aliases]\n"nginx" = "quay.io/team/nginx"\n'
    host.write(REGISTRIES, f'unqualified-search-registries = ["docker.io"]\n{aliases}')
    lookup = host.lookup(CONTAINERS, "nginx")
    assert str(lookup.image) == "quay.io/team/nginx:latest"
    words = "'nginx' has no registry, and is read as quay.io/team/nginx"
    assert bypass(lookup, Gap.SHORT_NAME).text == words


def test_docker_and_containerd_read_a_short_name_as_docker_hubs(host: Host) -> None:
    for runtime in (DOCKER, CONTAINERD):
        assert str(host.lookup(runtime, "nginx").image) == "docker.io/library/nginx:latest"


# --- what closes a gap ----------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", [CONTAINERS, CONTAINERD])
@pytest.mark.parametrize("gap", [Gap.FALLS_THROUGH, Gap.MIRROR_RESOLVES, Gap.OTHER_NAME])
def test_a_closing_closes_its_gap(configured: Host, runtime: Runtime, gap: Gap) -> None:
    (closing,) = bypass(configured.lookup(runtime), gap).closings
    configured.apply(closing)
    lookup = configured.lookup(runtime)
    assert gap not in gaps(lookup)
    if gap is Gap.FALLS_THROUGH:
        assert {each.address for each in lookup.endpoints} == {"https://m.example/v2"}
    elif gap is Gap.MIRROR_RESOLVES:
        assert {each.is_upstream for each in lookup.endpoints if each.resolves} == {True}


@pytest.mark.parametrize("runtime", [CONTAINERS, CONTAINERD])
def test_a_gate_that_is_the_only_way_leaves_no_other(configured: Host, runtime: Runtime) -> None:
    for gap in (Gap.FALLS_THROUGH, Gap.OTHER_NAME):
        (closing,) = bypass(configured.lookup(runtime), gap).closings
        configured.apply(closing)
    assert gaps(configured.lookup(runtime)) == [Gap.MIRROR_RESOLVES]


def test_docker_cannot_be_kept_from_docker_hub_by_its_own_file(configured: Host) -> None:
    lookup = configured.lookup(DOCKER)
    (through,) = bypass(lookup, Gap.FALLS_THROUGH).closings
    assert (through.file, through.text) == ("/etc/hosts", "0.0.0.0 registry-1.docker.io")
    (resolving,) = bypass(lookup, Gap.MIRROR_RESOLVES).closings
    assert (resolving.file, resolving.text) == ("", "docker pull docker.io/library/nginx@sha256:…")
    assert "    instead:\n        docker pull " in text(configured)


@pytest.mark.parametrize(
    "fields",
    [
        {"registry-mirrors": ["http://m.example"]},
        {"registry-mirrors": ["https://m.example"], "insecure-registries": ["m.example"]},
        {"registry-mirrors": ["https://10.0.0.5"], "insecure-registries": ["10.0.0.0/8", "x:1"]},
        {"registry-mirrors": ["http://10.0.0.5:5000"], "insecure-registries": ["10.0.0.0/8"]},
    ],
)
def test_unprotected_mirrors_of_docker(host: Host, fields: dict[str, list[str]]) -> None:
    host.write(DAEMON, json.dumps({"debug": True} | fields))
    (closing,) = bypass(host.lookup(DOCKER), Gap.UNPROTECTED).closings
    host.apply(closing)
    lookup = host.lookup(DOCKER)
    assert Gap.UNPROTECTED not in gaps(lookup)
    assert {each.protection for each in lookup.endpoints} == {Protection.CHECKED}


def test_a_mirror_that_is_the_registry_itself_before_another_location(host: Host) -> None:
    text = '[[registry]]\nprefix = "docker.io"\nlocation = "m.example"\n'
    host.write(REGISTRIES, f'{text}[[registry.mirror]]\nlocation = "docker.io"\n')
    lookup = host.lookup(CONTAINERS)
    assert gaps(lookup) == [Gap.FALLS_THROUGH, Gap.OTHER_NAME, Gap.MIRROR_RESOLVES]
    # A location is asked for tags, whatever is written.
    assert bypass(lookup, Gap.MIRROR_RESOLVES).closings == ()
    host.apply(bypass(lookup, Gap.FALLS_THROUGH).closings[0])
    assert {each.address for each in host.lookup(CONTAINERS).endpoints} == {"https://m.example/v2"}


def test_loopback_is_never_checked_by_docker(host: Host) -> None:
    host.write(DAEMON, json.dumps({"registry-mirrors": ["https://127.0.0.1:5000"]}))
    assert bypass(host.lookup(DOCKER), Gap.UNPROTECTED).closings == ()


def test_an_unprotected_registry_of_dockers_own(host: Host) -> None:
    host.write(DAEMON, json.dumps({"insecure-registries": ["r.example:5000"]}))
    name = "r.example:5000/app:1"
    found = bypass(host.lookup(DOCKER, name), Gap.UNPROTECTED)
    assert found.text.endswith("where TLS fails plain HTTP is used")
    host.apply(found.closings[0])
    assert gaps(host.lookup(DOCKER, name)) == [Gap.NO_MIRROR]


def test_unprotected_places_of_containers(host: Host) -> None:
    host.write(REGISTRIES, f"{ENTRY}insecure = true\n")
    found = bypass(host.lookup(CONTAINERS), Gap.UNPROTECTED)
    assert found.closings[0].how.endswith(f"change its table at {host.root / REGISTRIES}:5")
    # What else is closed is closed without a change of how the mirror is reached.
    for gap in (Gap.FALLS_THROUGH, Gap.MIRROR_RESOLVES):
        assert "insecure = true\n" in bypass(host.lookup(CONTAINERS), gap).closings[0].text
    host.apply(found.closings[0])
    assert Gap.UNPROTECTED not in gaps(host.lookup(CONTAINERS))


def test_an_unprotected_registry_of_containerds_own(host: Host) -> None:
    # On loopback plain HTTP is what it takes without a word.
    name = "127.0.0.1:5000/app:1"
    (closing,) = bypass(host.lookup(CONTAINERD, name), Gap.UNPROTECTED).closings
    assert closing.file == "/etc/containerd/certs.d/127.0.0.1:5000/hosts.toml"
    host.write(closing.file[1:], f"{closing.text}\n")
    assert gaps(host.lookup(CONTAINERD, name)) == [Gap.NO_MIRROR]


@pytest.mark.parametrize(
    "table",
    [
        '[host."https://m.example"]\nskip_verify = true\n',
        '[host."http://m.example"]\n',
        'server = "http://m.example"\n',
        'server = "https://m.example"\nskip_verify = true\n',
    ],
)
def test_unprotected_hosts_of_containerd(host: Host, table: str) -> None:
    host.write(HUB, table)
    (closing,) = bypass(host.lookup(CONTAINERD), Gap.UNPROTECTED).closings
    host.apply(closing)
    lookup = host.lookup(CONTAINERD)
    assert Gap.UNPROTECTED not in gaps(lookup)
    assert lookup.endpoints[0].address == "https://m.example/v2"


def test_a_server_of_containerd_keeps_how_the_mirror_is_reached(host: Host) -> None:
    host.write(
        HUB,
        '[host."https://m.example/api/hub"]\noverride_path = true\nskip_verify = true\n'
        'ca = "ca.pem"\nclient = [["c.cert", "c.key"]]\n',
    )
    before = host.lookup(CONTAINERD).endpoints[0]
    (closing,) = bypass(host.lookup(CONTAINERD), Gap.FALLS_THROUGH).closings
    host.apply(closing)
    (first, last) = host.lookup(CONTAINERD).endpoints
    for each in (first, last):
        assert (each.address, each.image) == (before.address, before.image)
        assert (each.protection, each.tls) == (Protection.UNCHECKED, before.tls)


def test_a_default_folder_is_about_every_name(host: Host) -> None:
    host.write("etc/containerd/certs.d/_default/hosts.toml", HOSTS_TOML.replace("server", "#"))
    lookup = host.lookup(CONTAINERD)
    assert gaps(lookup) == [Gap.FALLS_THROUGH, Gap.MIRROR_RESOLVES]
    (closing,) = bypass(lookup, Gap.FALLS_THROUGH).closings
    assert closing.file == f"{host.root}/etc/containerd/certs.d/_default/hosts.toml"


def test_a_users_own_file_has_drop_ins_of_its_own(host: Host) -> None:
    host.write(f"{REGISTRIES}.d/10-hub.conf", ENTRY)
    (closing,) = bypass(host.lookup(CONTAINERS), Gap.FALLS_THROUGH).closings
    assert closing.file == f"{host.root / REGISTRIES}.d/zz-imgverify.conf"
    host.apply(closing)
    assert Gap.FALLS_THROUGH not in gaps(host.lookup(CONTAINERS))


# --- what cannot be read, and reports -------------------------------------------------------------


def test_what_cannot_be_read_of_one_runtime_says_nothing_of_another(configured: Host) -> None:
    configured.write(DAEMON, "{")
    report = configured.report()
    assert report.decision is Decision.INCONCLUSIVE
    docker = report.runtimes[0]
    assert docker.failure.startswith(str(configured.root / DAEMON))
    assert docker.lookups == ()
    assert all(each.lookups for each in report.runtimes[1:])
    assert "Docker: cannot be told: " in text(configured)


def test_what_cannot_be_acted_on_is_a_failure_as_well(host: Host) -> None:
    host.write(HUB, '[host."https://m.example/a//b/%2f"]\n')
    report = host.report()
    assert report.decision is Decision.INCONCLUSIVE
    (docker, containers, containerd) = report.runtimes
    assert containerd.failure
    assert (docker.failure, containers.failure) == ("", "")


def test_without_an_image_the_files_and_registries_are_named(configured: Host) -> None:
    report = configured.report("")
    assert [each.registries for each in report.runtimes] == [("docker.io",)] * 3
    assert report.decision is Decision.ALLOW
    said = text(configured, "")
    assert said.count("configured for docker.io") == 3
    assert said.endswith("name an image: --image docker.io/library/nginx:1.27\n")
    nothing = text(Host(configured.root / "nothing"), "")
    assert nothing.count("configured for no registry in particular") == 3


@pytest.mark.parametrize("name", [NGINX, "nginx", "quay.io/a/b:1", ""])
def test_every_report_satisfies_the_schema(configured: Host, name: str) -> None:
    configured.write(f"{REGISTRIES}.d/x.conf", 'unqualified-search-registries = ["a.b", "c.d"]\n')
    VALIDATOR.validate(json.loads(render_json((), [configured.report(name)])))
    configured.write(DAEMON, "{")
    VALIDATOR.validate(json.loads(render_json((), [configured.report(name)])))


@pytest.mark.parametrize("width", [40, 80])
def test_lines_are_broken_but_for_what_is_copied_whole(configured: Host, width: int) -> None:
    whole = (str(configured.root), "        ", "https://", "registry-1.docker.io/library/nginx")
    for line in text(configured, width=width).splitlines():
        assert len(line) <= width or any(each in line for each in whole), line


def test_colour_changes_no_column(configured: Host) -> None:
    painted = render_host(configured.report(), colour=True, width=80)
    for code in ("1;31", "1;33", "33", "0"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == text(configured, width=80)


def test_terminal_escapes_no_path_is_obeyed(tmp_path: Path) -> None:
    host = Host(tmp_path / "\x1b[31m\u202e")
    for name, content in CONFIGURED.values():
        host.write(name, content)
    host.write(f"{REGISTRIES}.d/x.conf", "=")
    for said in (text(host, width=60), render_json((), [host.report()])):
        assert unseen(said) <= {"\n"}
        assert not any(map(commands, said.splitlines()))
