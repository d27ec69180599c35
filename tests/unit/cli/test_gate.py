"""`imgverify gate`: every image of many files, once, and one exit status for all."""

import json
import os
import sys
from pathlib import Path

import pytest

from imgverify.oci import limits
from tests.support.faults import MANIFESTS, Status, When
from tests.support.image import put
from tests.unit.cli.conftest import FORGED, NEW, OLD, PATH, TAG, Pair, Run

WEB = "library/web"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def two(pair: Pair) -> Pair:
    for each in (pair.upstream, pair.mirror):
        put(each.shelf, WEB, NEW, TAG)
    return pair


def compose(*images: str) -> str:
    services = (f"  s{at}:\n    image: {image}\n" for at, image in enumerate(images))
    return "services:\n" + "".join(services)


def test_what_is_allowed_passes(run: Run, two: Pair, here: Path) -> None:
    (here / "compose.yaml").write_text(compose(two.name(), two.name(WEB), two.name()))
    (here / "sub").mkdir()
    (here / "sub" / "Dockerfile").write_text(f"FROM {two.name()}\n")
    done = run("gate", ".", *two.options)
    assert done.status == 0, done.out + done.err
    assert f"compose.yaml:3:12: ALLOWED {two.name()}@sha256:" in done.out
    assert f"sub/Dockerfile:1:6: ALLOWED {two.name()}@sha256:" in done.out
    assert done.out.endswith("4 references to 2 images in 2 files: 2 allowed\n")
    assert done.err == ""


def test_each_image_is_asked_for_once(run: Run, two: Pair, here: Path) -> None:
    spellings = [two.name(), two.name(), f"{two.upstream.host.upper()}/{PATH}:{TAG}"]
    (here / "compose.yaml").write_text(compose(*spellings * 5))
    done = run("gate", "compose.yaml", *two.options, "--format", "json")
    assert done.status == 0
    (image,) = done.report["images"]
    assert len(image["locations"]) == 15
    assert image["requested"] == two.name()
    asked = [each.count() for each in (two.upstream, two.mirror)]
    for each in (two.upstream, two.mirror):
        each.forget()
    run("verify", two.name(), *two.options)
    assert [each.count() for each in (two.upstream, two.mirror)] == asked


def test_one_denied_image_denies_and_the_others_are_still_decided(
    run: Run, two: Pair, here: Path
) -> None:
    put(two.mirror.shelf, PATH, FORGED, TAG)
    (here / "compose.yaml").write_text(compose(two.name(), two.name(WEB)))
    done = run("gate", ".", *two.options)
    assert done.status == 1
    assert f"compose.yaml:3:12: DENIED {two.name()}" in done.out
    assert "is diverged" in done.out
    assert f"compose.yaml:5:12: ALLOWED {two.name(WEB)}" in done.out


def test_one_that_cannot_be_decided_does_not_stop_the_others(
    run: Run, two: Pair, here: Path
) -> None:
    two.upstream.play(Status(500, when=When(path=f"/{PATH}/")))
    (here / "compose.yaml").write_text(compose(two.name(), two.name(WEB)))
    done = run("gate", ".", *two.options)
    assert done.status == 3
    assert "INCONCLUSIVE" in done.out
    assert f"ALLOWED {two.name(WEB)}" in done.out


def test_a_denial_outweighs_what_is_not_known(run: Run, two: Pair, here: Path) -> None:
    put(two.mirror.shelf, PATH, OLD, TAG)
    (here / "compose.yaml").write_text(compose(two.name(), "${X}"))
    assert run("gate", ".", *two.options).status == 1


@pytest.mark.parametrize(
    "case",
    [
        ("compose.yaml", compose("${IMAGE}"), "UNRESOLVABLE ${IMAGE}"),
        ("compose.yaml", compose("Not/An:Image:At:All"), "UNRESOLVABLE Not/An"),
        ("compose.yaml", "services: [", "UNREADABLE"),
        ("Dockerfile", "FROM a\nRUN <<X\n", "UNREADABLE"),
    ],
)
def test_what_names_no_image_is_not_passed_over(
    run: Run, two: Pair, here: Path, case: tuple[str, str, str]
) -> None:
    name, text, word = case
    (here / name).write_text(text)
    (here / "images.txt").write_text(two.name())
    done = run("gate", ".", *two.options, "--format", "json")
    assert done.status == 3
    assert done.report["decision"] == "inconclusive"
    assert word in run("gate", ".", *two.options).out


def test_an_unresolvable_reference_has_no_upstream(run: Run, pair: Pair, here: Path) -> None:
    (here / "compose.yaml").write_text(compose("app:${TAG}", "db:${TAG:-1}${X}"))
    done = run("gate", ".", *pair.options, "--format", "json")
    one, other = done.report["images"]
    assert (one["requested"], one["upstream"]) == ("app:${TAG}", None)
    assert other["requested"] == "db:1${X}"
    assert one["locations"] == [{"file": "compose.yaml", "line": 3, "column": 12}]
    assert one["findings"][0]["rule"] == "unresolvable-reference"
    assert pair.upstream.count() == 0


def test_nothing_found_is_not_success(run: Run, pair: Pair, here: Path) -> None:
    (here / "values.yaml").write_text("image: {repository: x}\n")
    done = run("gate", ".", *pair.options)
    assert done.status == 2
    assert "no image is named" in done.err
    allowed = run("gate", ".", "--allow-empty", *pair.options, "--format", "json")
    assert allowed.status == 0
    assert allowed.report == {
        "schemaVersion": 1,
        "decision": "allow",
        "images": [],
        "unreadable": [],
        "emptyAllowed": True,
    }
    assert run("gate", ".", *pair.options, "--format", "json").report["decision"] == "inconclusive"


def test_allowing_nothing_allows_nothing_else(run: Run, pair: Pair, here: Path) -> None:
    (here / "compose.yaml").write_text("services: [")
    assert run("gate", ".", "--allow-empty", *pair.options).status == 3


def test_nothing_to_hold_against_is_refused_before_anything_is_asked(
    run: Run, pair: Pair, here: Path
) -> None:
    (here / "images.txt").write_text(pair.name())
    done = run("gate", "images.txt", "--insecure-http", pair.upstream.host)
    assert done.status == 2
    assert "nothing to hold" in done.err
    assert pair.upstream.count() == 0


def test_an_image_that_the_mirror_itself_is_named_for_does_not_stop_the_run(
    run: Run, two: Pair, here: Path
) -> None:
    (here / "images.txt").write_text(f"{two.mirror.host}/{PATH}:{TAG}\n{two.name(WEB)}\n")
    done = run("gate", "images.txt", *two.options)
    assert done.status == 3
    assert "named as upstream and as its own mirror" in done.out
    assert "ALLOWED" in done.out


@pytest.mark.parametrize(
    "words",
    [
        ("--mirror", "m.example/a/b:1"),
        ("--upstream", "docker.io/library/nginx:1"),
        ("--mirror", "bad host"),
        ("--platform", "amiga"),
        ("--image-path", "spec.image"),
    ],
)
def test_words_that_go_with_no_image_are_refused(
    run: Run, pair: Pair, here: Path, words: tuple[str, str]
) -> None:
    (here / "images.txt").write_text(pair.name())
    assert run("gate", "images.txt", *words).status == 2


def test_standard_input_is_read(run: Run, two: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: {two.name()}\n"
    read, write = os.pipe()
    os.write(write, pod.encode())
    os.close(write)
    with os.fdopen(read) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        done = run("gate", "-", *two.options)
    assert done.status == 0
    assert done.out.startswith("-:5:14: ALLOWED")


def test_any_file_that_is_named_is_a_list(run: Run, two: Pair, here: Path) -> None:
    (here / "mirrored").write_text(f"# all of them\n{two.name()}\n")
    assert run("gate", ".", *two.options).status == 2
    assert run("gate", "mirrored", *two.options).status == 0


def test_custom_resources_are_looked_into_by_paths(run: Run, two: Pair, here: Path) -> None:
    text = f"apiVersion: x/v1\nkind: Farm\nspec: {{pools: [{{image: '{two.name()}'}}]}}\n"
    (here / "farm.yaml").write_text(text)
    assert run("gate", ".", *two.options).status == 2
    done = run("gate", ".", "--image-path", "Farm=spec.pools[*].image", *two.options)
    assert done.status == 0
    assert "farm.yaml:3:25" in done.out


def test_links_are_not_followed(run: Run, two: Pair, here: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "Dockerfile").write_text(f"FROM {two.name()}\n")
    (here / "Dockerfile").symlink_to(outside / "Dockerfile")
    (here / "linked").symlink_to(outside)
    assert run("gate", ".", *two.options).status == 2
    for each in ("Dockerfile", "linked"):
        done = run("gate", each, *two.options)
        assert done.status == 2
        assert "symbolic link" in done.err


def test_hidden_folders_are_read_and_git_s_own_is_not(run: Run, two: Pair, here: Path) -> None:
    for folder in (".git", ".github/workflows"):
        (here / folder).mkdir(parents=True)
    (here / ".git" / "Dockerfile").write_text("FROM not/this:1\n")
    workflow = f"on: push\njobs: {{a: {{container: '{two.name()}'}}}}\n"
    (here / ".github" / "workflows" / "ci.yml").write_text(workflow)
    done = run("gate", ".", *two.options)
    assert done.status == 0
    assert done.out.endswith("1 reference to 1 image in 1 file: 1 allowed\n")


def test_what_is_not_there_is_refused(run: Run, pair: Pair, here: Path) -> None:
    done = run("gate", str(here / "nowhere"), *pair.options)
    assert done.status == 2
    assert "No such file" in done.err


def test_a_pipe_in_a_file_s_place_is_not_waited_for(run: Run, two: Pair, here: Path) -> None:
    os.mkfifo(here / "Dockerfile")
    (here / "images.txt").write_text(two.name())
    assert run("gate", ".", *two.options).status == 0  # it is no file, so it is passed over
    done = run("gate", "Dockerfile", *two.options)
    assert done.status == 3
    assert "no regular file" in done.out


def test_a_file_that_is_too_large_is_named(
    run: Run, two: Pair, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GATE_FILE_SIZE", 100)
    (here / "images.txt").write_text(two.name())
    (here / "Dockerfile").write_text("FROM a\n" + "# long\n" * 100)
    done = run("gate", ".", *two.options)
    assert done.status == 3
    assert "Dockerfile:1:1: UNREADABLE" in done.out
    assert "more than 100 bytes" in done.out


def test_more_than_is_ever_looked_through_is_inconclusive(
    run: Run, two: Pair, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (here / name / "c").mkdir(parents=True)
        (here / name / "c" / "images.txt").write_text(f"{two.name()}\n{two.name()}\n")
    small = ("GATE_FILES", "GATE_SIZE", "GATE_ENTRIES", "GATE_FOLDER_DEPTH")
    for bound in (*small, "GATE_REFERENCES", "GATE_REFERENCES_ALL"):
        with monkeypatch.context() as patch:
            patch.setattr(limits, bound, 1)
            assert run("gate", ".", *two.options).status == 3, bound
    assert run("gate", ".", *two.options).status == 0


def test_paths_outside_are_named_whole(run: Run, two: Pair, here: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.list"
    outside.write_text(two.name())
    (here / "in.list").write_text(two.name())
    done = run("gate", outside, "in.list", "./in.list", here / "in.list", *two.options)
    assert [line.split(":")[0] for line in done.out.splitlines()[:2]] == [str(outside), "in.list"]
    assert done.out.endswith("2 references to 1 image in 2 files: 1 allowed\n")


def test_who_answered_is_told_to_those_who_ask(run: Run, two: Pair, here: Path) -> None:
    (here / "images.txt").write_text(two.name())
    done = run("-v", "gate", "images.txt", *two.options)
    assert f"answered by {two.upstream.host}" in done.err


def test_all_container_kinds_are_verified(run: Run, two: Pair, here: Path) -> None:
    put(two.mirror.shelf, PATH, FORGED, TAG)
    bad, good = two.name(), two.name(WEB)
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for at, workload in enumerate(("{spec}", "{template: {spec}}", "{x: {template: {spec}}}")):
            spec = workload.replace(
                "spec", f"spec: {{{kind}: [{{image: '{good}'}}, {{image: '{bad}'}}]}}"
            )
            owner = "metadata: {ownerReferences: [{kind: Trusted}], annotations: {skip: 'true'}}"
            (here / f"{kind}{at}.yaml").write_text(
                f"apiVersion: v1\nkind: Any\n{owner}\nobject: {spec}\n"
            )
    done = run("gate", ".", *two.options)
    assert done.status == 1
    assert done.out.count(": DENIED") == done.out.count(": ALLOWED") == 9


def test_insecure_settings_are_told(run: Run, two: Pair, here: Path) -> None:
    (here / "images.txt").write_text(two.name())
    done = run("gate", "images.txt", *two.options)
    assert "note: insecure (upstream)" in done.out


def test_github_gets_annotations_and_a_summary(
    run: Run, two: Pair, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = here / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    page.write_text("before\n")
    put(two.mirror.shelf, PATH, FORGED, TAG)
    (here / "compose.yaml").write_text(compose(two.name()))
    done = run("gate", "compose.yaml", "--github", *two.options, "--format", "json")
    assert done.status == 1
    assert done.report["decision"] == "deny"  # annotations do not disturb what is for programs
    errors = [line for line in done.err.splitlines() if line.startswith("::error ")]
    (error,) = errors
    assert error.startswith("::error file=compose.yaml,line=3,col=12,title=imgverify%3A not-acc")
    assert page.read_text().startswith("before\n## imgverify gate\n")
    assert "**denied**" in page.read_text()


def test_the_summary_is_written_only_where_it_is_asked_for(
    run: Run, two: Pair, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(here / "summary.md"))
    (here / "images.txt").write_text(two.name())
    assert run("gate", "images.txt", *two.options).status == 0
    assert not (here / "summary.md").exists()
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert run("gate", "images.txt", "--github", *two.options).status == 0
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(here))
    assert run("gate", "images.txt", "--github", *two.options).status == 4


@pytest.mark.parametrize("form", ["sarif", "junit", "markdown", "gitlab"])
def test_every_format_goes_where_it_is_asked_for(
    run: Run, two: Pair, here: Path, form: str
) -> None:
    (here / "images.txt").write_text(f"{two.name()}\n${{X}}\n")
    shown = run("gate", "images.txt", *two.options, "--format", form)
    written = run("gate", "images.txt", *two.options, "--format", form, "-o", "out")
    assert shown.status == written.status == 3
    assert (here / "out").read_text() == shown.out
    assert "images.txt" in shown.out
    if form in ("sarif", "gitlab"):
        json.loads(shown.out)


def test_mirrors_of_this_host_may_be_used(run: Run, two: Pair, here: Path) -> None:
    config = here / "registries.conf"
    config.write_text(
        f'[[registry]]\nlocation = "{two.upstream.host}"\n'
        f'[[registry.mirror]]\nlocation = "{two.mirror.host}"\n'
    )
    (here / "images.txt").write_text(f"{two.name()}\n{two.mirror.host}/{PATH}:{TAG}\n")
    done = run("gate", "images.txt", "--mirrors-from", config, *two.options[2:])
    assert f"ALLOWED {two.name()}" in done.out


def test_a_policy_may_refuse_before_anything_is_asked(run: Run, two: Pair, here: Path) -> None:
    (here / "policy.yaml").write_text(
        f"version: 1\nrules:\n  - match: {two.upstream.host}/{PATH}\n    accept: [identical]\n"
    )
    (here / "images.txt").write_text(f"{two.name()}\n{two.name(WEB)}\n")
    done = run("--policy", "policy.yaml", "gate", "images.txt", *two.options)
    assert done.status == 1
    assert "no-matching-rule" in done.out
    assert two.upstream.count(path=WEB) == 0


def test_manifests_that_fail_are_told_with_their_side(run: Run, two: Pair, here: Path) -> None:
    two.mirror.play(Status(503, when=MANIFESTS))
    (here / "images.txt").write_text(two.name())
    done = run("gate", "images.txt", *two.options)
    assert done.status == 3
    assert "unreachable (mirror)" in done.out
