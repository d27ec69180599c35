"""`imgverify doctor` as it is typed."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from imgverify.doctor.jsonreport import schema_text
from tests.support.fault import MANIFESTS, When
from tests.support.faults import Header, Reset
from tests.support.image import put
from tests.unit.cli.conftest import NEW, PATH, TAG, Done, Pair, Run

VALIDATOR = Draft202012Validator(json.loads(schema_text()))


def doctor(run: Run, pair: Pair, *words: object) -> Done:
    hosts = [
        word for each in (pair.upstream, pair.mirror) for word in ("--insecure-http", each.host)
    ]
    return run("doctor", *words, *hosts)


def test_a_good_mirror(run: Run, pair: Pair) -> None:
    done = doctor(run, pair, pair.mirror.host, "--image", pair.name())
    assert done.status == 0
    assert done.out.startswith(f"{pair.mirror.host}: good for tags and digests\n")
    assert done.err == ""


def test_a_liar(run: Run, pair: Pair) -> None:
    lie = Header("Docker-Content-Digest", f"sha256:{'0' * 64}", when=When("HEAD", "/manifests/"))
    pair.mirror.play(lie)
    done = doctor(run, pair, pair.mirror.host, "--image", pair.name())
    assert done.status == 1
    assert done.out.startswith(f"{pair.mirror.host}: do not use: its digest header lies\n")


def test_what_cannot_be_found_out(run: Run, pair: Pair) -> None:
    pair.mirror.play(Reset(when=MANIFESTS))
    done = doctor(run, pair, pair.mirror.host, "--image", pair.name())
    assert done.status == 3


def test_without_an_image(run: Run, pair: Pair) -> None:
    done = doctor(run, pair, pair.mirror.host)
    assert done.status == 0
    assert "to learn more, name an image with --image" in done.out
    assert pair.upstream.count() == 0


def test_a_report_for_programs_in_a_file(run: Run, pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "doctor.json"
    words = (pair.mirror.host, "--image", pair.name(), "--format", "json", "-o", file)
    done = doctor(run, pair, *words)
    assert (done.status, done.out) == (0, "")
    found = json.loads(file.read_text())
    VALIDATOR.validate(found)
    assert [each["use"] for each in found["mirrors"]] == ["tags-and-digests"]


def test_a_mirror_that_puts_a_path_before_the_name(run: Run, pair: Pair) -> None:
    put(pair.mirror.shelf, f"hub/{PATH}", NEW, TAG)
    mirror = f"{pair.mirror.host}/hub/"
    done = doctor(run, pair, mirror, "--image", pair.name())
    assert done.status == 0
    assert done.out.startswith(f"{mirror}: good for tags and digests\n")


def test_a_whole_reference_stands_for_one_image(run: Run, pair: Pair) -> None:
    put(pair.mirror.shelf, "team/copy", NEW, "now")
    mirror = f"{pair.mirror.host}/team/copy:now"
    assert doctor(run, pair, mirror, "--image", pair.name()).status == 0
    two = doctor(run, pair, mirror, "--image", pair.name(), "--image", f"{pair.name()}x")
    assert two.status == 2
    assert "is one image, and cannot stand for 2" in two.err


@pytest.mark.parametrize("mirror", ["m.example/hub/", "m.example/hub/nginx:1", "https://m.example"])
def test_without_an_image_a_mirror_is_a_host(run: Run, pair: Pair, mirror: str) -> None:
    done = doctor(run, pair, mirror)
    assert done.status == 2
    assert done.out == ""


def test_a_mirror_named_twice_is_asked_once(run: Run, pair: Pair) -> None:
    doctor(run, pair, pair.mirror.host, pair.mirror.host)
    assert pair.mirror.count(path="/v2/") == 2


# --- this host ------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Another system, whose Docker has a mirror."""
    file = tmp_path / "etc/docker/daemon.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"registry-mirrors": ["https://m.example"]}')
    return tmp_path


def test_where_this_host_would_look(run: Run, root: Path) -> None:
    done = run("doctor", "--root", root, "--image", "nginx:1.27", "--image", "quay.io/a/b:1")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Docker: asks m.example, then docker.io itself\n")
    assert "Docker: asks quay.io itself\n" in done.out


def test_where_this_host_would_look_for_programs(run: Run, root: Path) -> None:
    done = run("doctor", "--root", root, "--image", "nginx:1.27", "--format", "json")
    found = json.loads(done.out)
    VALIDATOR.validate(found)
    assert (found["mirrors"], [each["image"] for each in found["host"]]) == ([], ["nginx:1.27"])


def test_what_this_host_has_configured(run: Run, root: Path) -> None:
    done = run("doctor", "--root", root)
    assert done.status == 0
    assert done.out.startswith("Docker: configured for docker.io\n")


def test_what_cannot_be_read_is_not_found_out(run: Run, root: Path) -> None:
    (root / "etc/docker/daemon.json").write_text("{")
    done = run("doctor", "--root", root, "--image", "nginx")
    assert done.status == 3
    assert "Docker: cannot be told: " in done.out


@pytest.mark.parametrize("words", [["m.example"], ["--image", "a/b@x"], ["--image", "https://x/y"]])
def test_words_that_do_not_go_together(run: Run, root: Path, words: list[str]) -> None:
    done = run("doctor", "--root", root, *words)
    assert (done.status, done.out) == (2, "")


def test_this_users_own_configuration_is_read(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = root / "own.conf"
    file.write_text('[[registry]]\nlocation = "r.example"\nblocked = true\n')
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(file))
    done = run("doctor", "--image", "r.example/app:1")
    assert "CRI-O: is forbidden to look for it\n" in done.out
