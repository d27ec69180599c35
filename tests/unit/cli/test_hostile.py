"""Whatever a side does, its image does not pass: by text, by JSON, by exit status, by file."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from imgverify.cli.options import Asked, questions_from
from imgverify.oci.digest import Digest
from imgverify.registry import session
from imgverify.serve.loopback import Response
from tests.support.faults import (
    MANIFESTS,
    Body,
    Custom,
    Endless,
    Fault,
    Gzip,
    Hang,
    Header,
    NotModified,
    Redirect,
    Reset,
    ServeOther,
    Stall,
    Status,
    Truncate,
    When,
    rate_limited,
)
from tests.support.image import put
from tests.support.tokens import BasicGuard
from tests.unit.cli.conftest import FORGED, NEW, PATH, TAG, Pair, Run

pytestmark = pytest.mark.slow

UNNAMED = Header("Docker-Content-Digest", None, when=MANIFESTS)
GETS = When("GET", "/manifests/")
SIDES = ("upstream", "mirror")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_BACKOFF", 0.001)


def play(pair: Pair, side: str, *faults: Fault) -> None:
    (pair.upstream if side == "upstream" else pair.mirror).play(*faults)


# --- a side that is down ----------------------------------------------------------------------

FAULTS: dict[str, tuple[Fault, ...]] = {
    "400": (Status(400),),
    "401": (Status(401),),
    "403": (Status(403),),
    "404": (Status(404),),
    "429": (rate_limited("3600"),),
    "500": (Status(500),),
    "503": (Status(503),),
    "304": (NotModified(),),
    "reset": (Reset(),),
    "hang": (Hang(),),
    "stall": (UNNAMED, Stall(10, when=GETS)),
    "truncated": (UNNAMED, Truncate(10, when=GETS)),
    "endless": (UNNAMED, Endless(when=GETS)),
    "encoded": (Gzip(),),
    "loop": (Redirect("{path}"),),
    "captive-portal": (Custom(lambda _: Response(200, (), b"<html>Please log in</html>")),),
    "nowhere": (Redirect("http://127.0.0.1:1{path}"),),
}
SLOW = ("hang", "stall")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", FAULTS)
def test_upstream_down_fail_open_nothing_passes_in_any_form(
    run: Run, pair: Pair, tmp_path: Path, *, name: str, side: str
) -> None:
    play(pair, side, *FAULTS[name])
    words = [*pair.options, *(("--timeout", "0.15") if name in SLOW else ())]
    expected = 1 if (side, name) == ("mirror", "404") else 3
    both = (pair.name(), f"{pair.mirror.host}/{PATH}:{TAG}")
    commands = [("verify", pair.name(), *words), ("compare", *both, *words[2:])]
    for command in commands[: 1 if name in SLOW else 2]:
        text = run(*command)
        assert text.status == expected
        assert "ALLOWED" not in text.out + text.err
        told = ("DENIED", "DIFFERENT") if expected == 1 else "INCONCLUSIVE"
        assert text.out.startswith(told)
        data = run(*command, "--format", "json")
        assert data.status == expected
        assert '"allow"' not in data.out
        (image,) = data.report["images"]
        assert (image["decision"], image["pinned"]) == (data.report["decision"], None)
    if side == "upstream":
        pulled = run("pull", pair.name(), *words, "--to", f"oci:{tmp_path}/out:1")
        assert (pulled.status, (tmp_path / "out").exists()) == (3, False)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid"])
def test_upstream_down_fail_open_a_side_that_is_not_there(
    run: Run, pair: Pair, side: str, host: str
) -> None:
    names = {"upstream": pair.upstream.host, "mirror": pair.mirror.host} | {side: host}
    plain = [word for each in names.values() for word in ("--insecure-http", each)]
    words = [f"{names['upstream']}/{PATH}:{TAG}", "--mirror", names["mirror"], *plain]
    done = run("verify", *words, "--format", "json")
    assert (done.status, done.report["decision"]) == (3, "inconclusive")


# --- 304 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [*SIDES, "both"])
@pytest.mark.parametrize("warm", [False, True])
def test_304_unverified_is_accepted_by_no_command(
    run: Run, pair: Pair, tmp_path: Path, side: str, *, warm: bool
) -> None:
    place = ("--to", f"oci:{tmp_path}/out:1")
    if warm:
        assert run("pull", pair.name(), *pair.options, *place).status == 0
    before = sorted(each.name for each in tmp_path.rglob("*"))
    for each in SIDES if side == "both" else (side,):
        play(pair, each, NotModified())
    pair.upstream.forget()
    pair.mirror.forget()
    both = (pair.name(), f"{pair.mirror.host}/{PATH}:{TAG}")
    # `compare` and `verify` ask by different policies; neither leaves anything to the other.
    assert run("verify", pair.name(), *pair.options).status == 3
    assert run("compare", *both, *pair.options[2:]).status == 3
    assert run("verify", pair.name(), *pair.options, "--deep").status == 3
    if side != "mirror":
        assert run("pull", pair.name(), *pair.options, *place).status == 3
    assert sorted(each.name for each in tmp_path.rglob("*")) == before
    conditions = ("If-None-Match", "If-Modified-Since")
    requests = (*pair.upstream.requests, *pair.mirror.requests)
    assert not any(each.header(name) for each in requests for name in conditions)


@pytest.mark.parametrize("nth", range(1, 5))
def test_304_unverified_after_good_answers_changes_nothing_about_it(
    run: Run, pair: Pair, nth: int
) -> None:
    pair.mirror.play(NotModified(when=When(first=nth)))
    status = run("verify", pair.name(), *pair.options, "--deep").status
    asked = pair.mirror.count()
    assert status == 3
    assert asked >= nth


# --- documents --------------------------------------------------------------------------------


def sized(size: str) -> bytes:
    document = json.loads(NEW.manifest)
    document["layers"][0]["size"] = "SIZE"
    return json.dumps(document).encode().replace(b'"SIZE"', size.encode())


DOCUMENTS = {
    "deep": b"[" * 100_000,
    "deep-objects": b'{"a":' * 100_000,
    "5000-digits": sized("9" * 5000),
    "true": sized("true"),
    "1e3": sized("1e3"),
    "1.0": sized("1.0"),
    "negative": sized("-1"),
    "text": sized('"1"'),
    "null": sized("null"),
    "2^63": sized(str(2**63)),
    "NaN": sized("NaN"),
    "-Infinity": sized("-Infinity"),
    "utf-16": NEW.manifest.decode().encode("utf-16"),
    "utf-32": NEW.manifest.decode().encode("utf-32"),
    "byte-order-mark": b"\xef\xbb\xbf" + NEW.manifest,
    "surrogate": NEW.manifest.replace(b"{", b'{"x": "\\ud800",', 1),
    "two-documents": NEW.manifest + b"{}",
    "duplicate-key": NEW.manifest.replace(b"{", b'{"layers": [],', 1),
    "key-in-another-case": NEW.manifest.replace(b"{", b'{"Layers": [],', 1),
    "no-object": b"[]",
    "nothing": b"",
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_json_types_limits_json_dialect_dup_and_case_keys_are_an_error_with_a_status(
    run: Run, pair: Pair, name: str, side: str
) -> None:
    play(pair, side, UNNAMED, Body(DOCUMENTS[name], when=GETS))
    done = run("verify", pair.name(), *pair.options, "--format", "json")
    assert (done.status, done.err) == (3, "")
    (image,) = done.report["images"]
    said = image["findings"] + [each for one in image["mirrors"] for each in one["findings"]]
    assert {each["rule"] for each in said} == {"malformed", "insecure"}


# --- other bytes than asked for ---------------------------------------------------------------


@pytest.mark.parametrize("sides", [("mirror",), ("upstream",), SIDES], ids="-".join)
@pytest.mark.parametrize("reference", [f"@{NEW.digest}", f":{TAG}@{NEW.digest}"])
def test_pinned_digest_ignored_by_a_server_is_noticed_by_every_command(
    run: Run, pair: Pair, tmp_path: Path, *, sides: tuple[str, ...], reference: str
) -> None:
    for each in (pair.upstream, pair.mirror):
        put(each.shelf, PATH, FORGED)
    for side in sides:
        play(pair, side, ServeOther(FORGED.digest, when=When("GET", "/manifests/sha256:")))
    names = [f"{each.host}/{PATH}{reference}" for each in (pair.upstream, pair.mirror)]
    hosts = pair.options[2:]
    for command in (("verify", names[0], "--mirror", pair.mirror.host), ("compare", *names)):
        done = run(*command, *hosts, "--deep")
        # What upstream names is said by its HEAD, and the mirror's bytes are what that names.
        assert done.status == (0 if sides == ("upstream",) else 1)
        assert str(FORGED.digest) not in done.out.split("\n")[0]
    place = tmp_path / "out"
    run("pull", names[0], *pair.options, "--to", f"oci:{place}:1")
    stored = {each.read_bytes() for each in place.rglob("*") if each.is_file()}
    assert FORGED.manifest not in stored


@pytest.mark.parametrize("encoded", ["../../x", "../..", "", "/etc/passwd", "..%2f..%2fx"])
def test_path_traversal_ref_writes_nothing_and_asks_for_nothing(
    run: Run, pair: Pair, tmp_path: Path, encoded: str
) -> None:
    document = json.loads(NEW.manifest)
    document["layers"][0]["digest"] = f"sha256:{encoded}"
    evil = replace(NEW, manifest=json.dumps(document).encode())
    for each in (pair.upstream, pair.mirror):
        each.shelf.put_manifest(PATH, evil.manifest, evil.media_type, tag=TAG)
    asked = len(str(Digest.of(b"")))
    for words in (("verify", "--deep"), ("pull", "--to", f"oci:{tmp_path}/a/b/out:1")):
        done = run(words[0], pair.name(), *pair.options, *words[1:])
        assert done.status in (3, 4)
    assert list(tmp_path.iterdir()) == []
    for request in (*pair.upstream.requests, *pair.mirror.requests):
        assert request.path.rpartition("/")[2] in (TAG, str(evil.digest))
        assert len(request.path.rpartition("/")[2]) <= asked


# --- names ------------------------------------------------------------------------------------


def test_hub_normalise_every_spelling_is_one_question() -> None:
    spellings = (
        "nginx",
        "library/nginx",
        "nginx:latest",
        "docker.io/nginx",
        "docker.io/library/nginx:latest",
        "index.docker.io/library/nginx",
        "registry-1.docker.io/nginx",
        "DOCKER.IO/library/nginx",
        "docker.io:443/nginx",
    )
    (question,) = questions_from(spellings, Asked(("mirror.example",), None, ()))
    assert str(question.upstream) == "docker.io/library/nginx:latest"
    assert str(question.mirrors[0]) == "mirror.example/library/nginx:latest"


@pytest.mark.parametrize("name", ["-x", "--privileged", "-v/x", "--help/x", "-x:1", "--to=oci:x"])
def test_arg_injection_a_name_that_begins_with_a_hyphen_is_no_image(run: Run, name: str) -> None:
    for words in (
        ("verify", "--mirror", "m.example", "--", name),
        ("verify", "nginx", f"--mirror={name}"),
        ("verify", "nginx", "--mirror", "m.example", f"--upstream={name}"),
        ("compare", "--", "nginx", name),
        ("pull", "--mirror", "m.example", "--to", "oci:x", "--", name),
    ):
        done = run(*words)
        assert (done.status, done.out) == (2, "")


HELPER = """#!/bin/sh
printf '%s\\n' "$#" "$@" >> "$SEEN"
cat >> "$SEEN"
echo '{"Username": "her", "Secret": "hers"}'
"""


@pytest.mark.parametrize("name", ["library/app:1.4", "a--b/c__d:_-.x"])
def test_arg_injection_a_helper_learns_of_the_server_and_of_nothing_else(
    run: Run, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, name: str
) -> None:
    program, seen = tmp_path / "docker-credential-mine", tmp_path / "seen"
    program.write_text(HELPER, encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SEEN", str(seen))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {pair.mirror.host: "mine"}}), encoding="utf-8")
    pair.mirror.guard = BasicGuard({"her": "hers"})
    try:
        image = f"{pair.upstream.host}/{name}"
        done = run("--config", config, "verify", image, *pair.options)
    finally:
        pair.mirror.guard = None
    assert done.status in (0, 3)
    # One word, and the server on standard input.
    assert seen.read_text(encoding="ascii") == f"1\nget\n{pair.mirror.host}"


@pytest.mark.parametrize("name", ["-x", "--get", "a b", "../evil", "x;id", "$(id)", "x\n", ""])
def test_arg_injection_a_helper_whose_name_is_none_is_not_run(
    run: Run, pair: Pair, tmp_path: Path, name: str
) -> None:
    config = tmp_path / "config.json"
    for document in ({"credHelpers": {pair.mirror.host: name}}, {"credsStore": name}):
        config.write_text(json.dumps(document), encoding="utf-8")
        done = run("--config", config, "verify", pair.name(), *pair.options)
        # An empty name is no helper at all, as Docker has it.
        assert done.status == (2 if name else 0)


# --- files ------------------------------------------------------------------------------------


def test_temp_files_a_report_is_never_written_to_by_others(
    run: Run, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    really = Path.replace

    def watched(path: Path, target: Path) -> Path:
        modes.append(path.stat().st_mode & 0o777)
        return really(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    before = os.umask(0)
    try:
        assert run("verify", pair.name(), *pair.options, "-o", tmp_path / "report").status == 0
    finally:
        os.umask(before)
    assert modes == [(tmp_path / "report").stat().st_mode & 0o777] == [0o644]
