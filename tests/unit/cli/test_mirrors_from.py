"""Mirrors by the names that images have there, and by what this host is configured with."""

import json
from pathlib import Path

import pytest

from imgverify.oci.reference import Registry
from imgverify.serve.loopback import Response
from tests.support.certificate import Authority
from tests.support.faults import Call, Custom, Redirect, When
from tests.support.image import put
from tests.support.registry import FakeRegistry
from tests.support.tokens import BasicGuard
from tests.unit.cli.conftest import FORGED, NEW, OLD, PATH, TAG, Pair, Run


def plain(pair: Pair) -> list[str]:
    """Only upstream was named for plain HTTP; the mirror has to be configured for it."""
    return ["--insecure-http", pair.upstream.host]


def registries_conf(pair: Pair, *mirrors: str, insecure: bool = True) -> str:
    entry = f'[[registry]]\nlocation = "{pair.upstream.host}"\n'
    for mirror in mirrors:
        entry += f'[[registry.mirror]]\nlocation = "{mirror}"\ninsecure = {str(insecure).lower()}\n'
    return entry


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A user's own registries.conf, which is read in place of the system's."""
    file = tmp_path / ".config/containers/registries.conf"
    file.parent.mkdir(parents=True)
    return file


@pytest.mark.parametrize("choice", ["containers", "auto"])
def test_the_mirror_is_the_one_that_podman_would_use(
    run: Run, pair: Pair, conf: Path, choice: str
) -> None:
    conf.write_text(registries_conf(pair, pair.mirror.host), encoding="utf-8")
    done = run("verify", pair.name(), "--mirrors-from", choice, *plain(pair), "--format", "json")
    assert done.status == 0
    (image,) = done.report["images"]
    (mirror,) = image["mirrors"]
    assert mirror["reference"] == f"{pair.mirror.host}/{PATH}:{TAG}"
    said = [each["message"] for each in image["findings"] if each["rule"] == "insecure"]
    assert f"{pair.mirror.host} was reached over plain HTTP, as {conf}:3 has it" in said
    assert f"{pair.upstream.host} was reached over plain HTTP" in said


def test_a_file_may_be_named(run: Run, pair: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "certs.d" / pair.upstream.host.replace(":", "_").join(("", "_"))
    folder.mkdir(parents=True)
    text = f'[host."http://{pair.mirror.host}"]\ncapabilities = ["pull", "resolve"]\n'
    text += 'header = {X-Team = "secret"}\n'
    (folder / "hosts.toml").write_text(text, encoding="utf-8")
    done = run("-v", "verify", pair.name(), "--mirrors-from", tmp_path / "certs.d", *plain(pair))
    assert done.status == 0
    assert f"{pair.mirror.host}: headers that are set for it are not sent: X-Team" in done.err
    assert "secret" not in done.err + done.out
    (asked,) = pair.mirror.seen(path=f"/manifests/{TAG}")
    assert asked.query == (("ns", pair.upstream.host),)


def test_a_mirror_that_containerd_asks_by_digest_alone_is_asked_so(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    put(pair.mirror.shelf, PATH, FORGED, TAG)
    folder = tmp_path / "_default"
    folder.mkdir()
    text = f'[host."http://{pair.mirror.host}"]\ncapabilities = ["pull"]\n'
    (folder / "hosts.toml").write_text(text, encoding="utf-8")
    words = [*plain(pair), "--format", "json"]
    done = run("verify", pair.name(), "--mirrors-from", folder / "hosts.toml", *words)
    assert done.status == 0
    ((mirror,),) = (each["mirrors"] for each in done.report["images"])
    assert mirror["reference"] == f"{pair.mirror.host}/{PATH}@{NEW.digest}"


def test_a_pull_takes_the_bytes_from_there(
    run: Run, pair: Pair, conf: Path, tmp_path: Path
) -> None:
    conf.write_text(registries_conf(pair, pair.mirror.host), encoding="utf-8")
    to = f"oci:{tmp_path}/out"
    done = run("pull", pair.name(), "--mirrors-from", "auto", "--to", to, *plain(pair))
    assert done.status == 0
    assert pair.mirror.count(path="/blobs/") > 0
    assert pair.upstream.count(path="/blobs/") == 0


def test_nothing_is_insecure_that_is_not_written(run: Run, pair: Pair, conf: Path) -> None:
    conf.write_text(registries_conf(pair, pair.mirror.host, insecure=False), encoding="utf-8")
    done = run("verify", pair.name(), "--mirrors-from", "containers", *plain(pair))
    assert done.status == 3
    assert "does not speak TLS" in done.out
    assert pair.mirror.requests == ()


def test_a_private_authority_is_found_where_the_runtime_finds_it(
    run: Run, pair: Pair, conf: Path, tmp_path: Path
) -> None:
    authority = Authority.create(tmp_path / "authority")
    with FakeRegistry(certificate=authority.issue("server")) as secure:
        put(secure.shelf, PATH, NEW, TAG)
        conf.write_text(registries_conf(pair, secure.host, insecure=False), encoding="utf-8")
        words = ["verify", pair.name(), "--mirrors-from", "containers", *plain(pair)]
        assert run(*words).status == 3
        folder = tmp_path / f".config/containers/certs.d/{secure.host}"
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
        assert run(*words).status == 0


def test_mirrors_of_both_kinds_are_asked(run: Run, pair: Pair, conf: Path) -> None:
    conf.write_text(registries_conf(pair, pair.mirror.host), encoding="utf-8")
    with FakeRegistry() as another:
        put(another.shelf, PATH, OLD, TAG)
        named = ["--mirror", another.host, "--insecure-http", another.host]
        done = run("verify", pair.name(), "--mirrors-from", "auto", *named, *plain(pair))
        assert done.status == 1
        assert another.host in done.out
        assert pair.mirror.host in done.out


def test_no_mirror_is_a_mistake(run: Run, pair: Pair, conf: Path) -> None:
    conf.write_text("", encoding="utf-8")
    done = run("verify", pair.name(), "--mirrors-from", "containers", *plain(pair))
    assert done.status == 2
    assert f"(containers) has no mirror of {pair.upstream.host}" in done.err
    assert str(conf) in done.err


def test_a_file_that_cannot_be_read_is_named_with_the_line(
    run: Run, pair: Pair, conf: Path
) -> None:
    conf.write_text("x = 1\ny = = 2\n", encoding="utf-8")
    done = run("verify", pair.name(), "--mirrors-from", "auto", *plain(pair))
    assert done.status == 2
    assert f"imgverify: {conf}:2:5: not TOML" in done.err


def test_a_short_name_that_podman_reads_otherwise_is_refused(run: Run, conf: Path) -> None:
    conf.write_text('[aliases]\nnginx = "quay.io/team/nginx"\n', encoding="utf-8")
    done = run("verify", "nginx", "--mirrors-from", "containers")
    assert done.status == 2
    assert "'nginx' means quay.io/team/nginx to containers" in done.err


def test_another_file_may_be_named_by_the_environment(
    run: Run, pair: Pair, conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.write_text("not TOML", encoding="utf-8")
    named = conf.with_name("named")
    named.write_text(registries_conf(pair, pair.mirror.host), encoding="utf-8")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(named))
    done = run("verify", pair.name(), "--mirrors-from", "containers", *plain(pair))
    assert done.status == 0


def test_the_daemon_of_a_user_has_no_mirrors_but_of_docker_hub(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    daemon = tmp_path / "daemon.json"
    text = json.dumps({"registry-mirrors": [f"http://{pair.mirror.host}"]})
    daemon.write_text(text, encoding="utf-8")
    done = run("verify", pair.name(), "--mirrors-from", daemon, *plain(pair))
    assert done.status == 2
    assert str(Registry.parse(pair.upstream.host)) in done.err


# --- names ----------------------------------------------------------------------------------------


def test_a_prefix_goes_before_upstreams_path(run: Run, pair: Pair) -> None:
    put(pair.mirror.shelf, f"hub/{PATH}", NEW, TAG)
    put(pair.mirror.shelf, "hub/library/web", NEW, TAG)
    put(pair.upstream.shelf, "library/web", NEW, TAG)
    names = pair.name(), pair.name("library/web")
    done = run("verify", *names, "--mirror", f"{pair.mirror.host}/hub/", *pair.options[2:])
    assert done.status == 0
    assert pair.mirror.count(path=f"/v2/hub/library/web/manifests/{TAG}") == 1


def test_a_prefix_or_reference_is_not_guessed(run: Run, pair: Pair) -> None:
    mirror = f"{pair.mirror.host}/hub"
    done = run("verify", pair.name(), "--mirror", mirror, *pair.options[2:])
    assert done.status == 2
    assert f"write {mirror}:{TAG} or {mirror}/" in done.err
    assert pair.mirror.requests == ()


def test_a_whole_reference_goes_with_one_image(run: Run, pair: Pair) -> None:
    mirror = f"{pair.mirror.host}/{PATH}"
    done = run("verify", pair.name(), "nginx", "--mirror", mirror)
    assert done.status == 2
    assert "one IMAGE only" in done.err


def test_a_name_in_prefix_form_needs_no_more(run: Run, pair: Pair) -> None:
    done = run(
        "verify",
        f"{pair.mirror.host}/docker.io/library/app:{TAG}",
        *("--insecure-http", pair.mirror.host, "--timeout", 20, "--format", "json"),
    )
    # Docker Hub is not to be had here; that it was asked is what matters.
    assert done.status == 3
    (image,) = done.report["images"]
    assert image["upstream"]["reference"] == f"docker.io/library/app:{TAG}"
    assert image["mirrors"][0]["reference"] == f"{pair.mirror.host}/docker.io/library/app:{TAG}"


def test_one_upstream_by_two_mirrors_names_is_two_questions(run: Run, pair: Pair) -> None:
    names = [f"{pair.mirror.host}/{path}/docker.io/app:{TAG}" for path in ("a", "b")]
    with FakeRegistry() as another:
        names = [f"{each.host}/docker.io/library/app:{TAG}" for each in (pair.mirror, another)]
        hosts = ["--insecure-http", pair.mirror.host, "--insecure-http", another.host]
        done = run("verify", *names, *hosts, "--timeout", 20, "--format", "json")
    assert len(done.report["images"]) == 2


def to_library(call: Call) -> Response:
    path = call.request.path.replace("/hub/app/", f"/hub/{PATH}/")
    return Response(301, (("Location", path),))


def test_harbor_s_redirect_to_library_is_followed_with_the_same_credentials(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    """Harbor answers for `hub/app` with a 301 to `hub/library/app` of the same host."""
    faults = [Custom(to_library, when=When(path="/hub/app/"))]
    with FakeRegistry(faults=faults, guard=BasicGuard({"me": "secret"})) as harbor:
        put(harbor.shelf, f"hub/{PATH}", NEW, TAG)
        config = tmp_path / ".docker/config.json"
        config.parent.mkdir()
        auths = {"auths": {harbor.host: {"username": "me", "password": "secret"}}}
        config.write_text(json.dumps(auths), encoding="utf-8")
        hosts = [*plain(pair), "--insecure-http", harbor.host]
        mirror = ["--mirror", f"{harbor.host}/hub/app", *hosts]
        assert run("verify", pair.name(), *mirror, "--deep").status == 0
        assert harbor.count(path=f"/v2/hub/{PATH}/blobs/") > 0
        assert all(each.header("Authorization") for each in harbor.seen(path=PATH))


def test_a_redirect_to_library_of_another_host_gets_no_credentials(
    run: Run, pair: Pair, tmp_path: Path
) -> None:
    elsewhere = f"http://{pair.mirror.host}/v2/{PATH}/manifests/{TAG}"
    redirect = Redirect(elsewhere, 301, when=When(path="/hub/app/"))
    with FakeRegistry(faults=[redirect], guard=BasicGuard({"me": "secret"})) as harbor:
        config = tmp_path / ".docker/config.json"
        config.parent.mkdir()
        auths = {"auths": {harbor.host: {"username": "me", "password": "secret"}}}
        config.write_text(json.dumps(auths), encoding="utf-8")
        hosts = [*plain(pair), "--insecure-http", harbor.host]
        hosts += ["--insecure-http", pair.mirror.host]
        mirror = ["--mirror", f"{harbor.host}/hub/app", *hosts]
        assert run("verify", pair.name(), *mirror).status == 0
    asked = pair.mirror.seen(path="/manifests/")
    assert asked
    assert not any(each.header("Authorization") for each in asked)
