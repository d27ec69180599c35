"""`imgverify keys`: what there is, what it consists of, and refreshing it by TUF."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click import Context

from imgverify.cli import app as application
from imgverify.cli.keys import command
from imgverify.oci import limits
from imgverify.signature.inventory import pieces_of
from imgverify.signature.trusted import TransparencyLog, TrustedRoot
from imgverify.trust import stored as store
from imgverify.trust.shipped import PUBLIC_GOOD, public_good, read_shipped
from imgverify.trust.stored import default_roots, read_stored
from imgverify.trust.trustedroot import parse_trusted_roots
from tests.support.authorities import new_key, public_pem
from tests.support.signer import Deployment
from tests.support.tuf import TARGET, Repository, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli.conftest import Done, Run

SIGSTORE = Deployment()
FIRST = json.dumps(SIGSTORE.trusted_root()).encode()
SECOND = json.dumps(Deployment().trusted_root()).encode()
PAST = timedelta(days=-1)


@pytest.fixture
def tuf() -> Iterator[Served]:
    repository = Repository()
    repository.publish(FIRST)
    with serving(repository) as served:
        yield served


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "imgverify" / "trust"


@pytest.fixture
def update(run: Run, home: Path, tuf: Served, tmp_path: Path) -> Callable[..., Done]:
    anchor = tmp_path / "first.root.json"
    anchor.write_bytes(tuf.repository.first)

    def command(*words: str) -> Done:
        where = ["--tuf-url", tuf.url, "--tuf-root", anchor, "--insecure-http", tuf.host]
        return run("keys", "update", *where, *words)

    assert not home.exists()
    return command


def kept(home: Path, tuf: Served) -> bytes | None:
    found = read_stored(home, tuf.url)
    return found.data if found else None


def test_a_deployments_trusted_root_is_fetched_and_named(
    run: Run, update: Callable[..., Done], home: Path, tuf: Served
) -> None:
    done = update()
    assert done.status == 0
    assert f"+ transparency log https://{SIGSTORE.rekor.host}" in done.out
    assert kept(home, tuf) == FIRST
    path = next(line.split()[1] for line in done.out.splitlines() if "  file " in line)
    assert Path(path).read_bytes() == FIRST
    shown = run("keys", "show", path)
    assert (shown.status, "certificate authority" in shown.out) == (0, True)


def test_nothing_is_said_to_change_where_nothing_did(
    update: Callable[..., Done], home: Path, tuf: Served
) -> None:
    assert update().status == 0
    again = update()
    assert (again.status, "nothing changed" in again.out) == (0, True)
    assert kept(home, tuf) == FIRST
    (folder,) = home.iterdir()
    assert len([*folder.glob("g-*")]) == 1


def test_what_changed_is_said(update: Callable[..., Done], tuf: Served) -> None:
    update()
    document = SIGSTORE.trusted_root()
    document["tlogs"][0]["publicKey"]["validFor"]["end"] = "2031-05-06T00:00:00Z"
    del document["tlogs"][1]
    tuf.repository.rotate()
    tuf.repository.publish(json.dumps(document).encode())
    done = update()
    assert done.status == 0
    assert any(line.startswith("  ~ transparency log") for line in done.out.splitlines())
    assert "to 2031-05-06" in done.out
    assert any(line.startswith("  - transparency log") for line in done.out.splitlines())


def test_programs_are_told_in_json(update: Callable[..., Done]) -> None:
    told: dict[str, Any] = json.loads(update("--format", "json").out)
    (material,) = told["material"]
    assert material["usedByDefault"] is False
    assert {each["role"] for each in material["pieces"]} >= {"certificate authority"}


# --- what has to fail, and change nothing -----------------------------------------------------


def freeze(tuf: Served) -> None:
    tuf.repository.publish(SECOND, lasts=PAST)


def expired_root(tuf: Served) -> None:
    tuf.repository.rotate(expires=datetime.now(UTC).replace(microsecond=0) + PAST)


def rollback(tuf: Served) -> None:
    tuf.repository.version = 0
    tuf.repository.publish(SECOND)


def too_few_signatures(tuf: Served) -> None:
    signers = tuf.repository.signers["root"]
    tuf.repository.signers["root"] = signers[:1]
    tuf.repository.rotate()
    tuf.repository.signers["root"] = signers


def one_key_counted_twice(tuf: Served) -> None:
    too_few_signatures(tuf)
    name = f"{tuf.repository.root.version}.root.json"
    document = json.loads(tuf.repository.files[name])
    document["signatures"] *= 2
    tuf.repository.files[name] = json.dumps(document).encode()


def stranger(tuf: Served) -> None:
    other = Repository()
    other.version = tuf.repository.version
    other.publish(SECOND)
    tuf.repository.files = other.files | {"1.root.json": tuf.repository.first}


def mix_and_match(tuf: Served) -> None:
    old = tuf.repository.files[f"{tuf.repository.version}.snapshot.json"]
    tuf.repository.publish(SECOND)
    tuf.repository.files[f"{tuf.repository.version}.snapshot.json"] = old


def mixed_targets(tuf: Served) -> None:
    old = tuf.repository.files[f"{tuf.repository.version}.targets.json"]
    tuf.repository.publish(SECOND)
    tuf.repository.files[f"{tuf.repository.version}.targets.json"] = old


def wrong_hash(tuf: Served) -> None:
    tuf.repository.publish(SECOND)
    tuf.repository.files[tuf.repository.target()] = SECOND[:-1] + b" "


def oversized(tuf: Served) -> None:
    tuf.repository.publish(SECOND, length=limits.TRUSTED_ROOT_SIZE + 1)


def longer_than_said(tuf: Served) -> None:
    tuf.repository.publish(SECOND)
    tuf.repository.files[tuf.repository.target()] = SECOND + b" "


def endless_timestamp(tuf: Served) -> None:
    tuf.endless.add("timestamp.json")


def endless_target(tuf: Served) -> None:
    tuf.repository.publish(SECOND)
    tuf.endless.add(tuf.repository.target())


def no_trusted_root(tuf: Served) -> None:
    tuf.repository.publish(SECOND, name="other.json")


def nonsense(tuf: Served) -> None:
    tuf.repository.publish(b'{"mediaType": "x"}')


def two_roots(tuf: Served) -> None:
    tuf.repository.publish(FIRST + b"\n" + SECOND)


def not_json(tuf: Served) -> None:
    tuf.repository.files["timestamp.json"] = b"<html>"


def refused(tuf: Served) -> None:
    tuf.instead["timestamp.json"] = (503, {}, b"")


def redirected(tuf: Served) -> None:
    away = {"Location": f"{tuf.url}/elsewhere.json"}
    tuf.repository.files["elsewhere.json"] = tuf.repository.files["timestamp.json"]
    tuf.instead["timestamp.json"] = (302, away, b"")


def encoded(tuf: Served) -> None:
    body = tuf.repository.files["timestamp.json"]
    tuf.instead["timestamp.json"] = (200, {"Content-Encoding": "gzip"}, body)


Attack = Callable[[Served], None]
_UNSIGNED, _OTHER = "not signed by as many keys", "is not what the metadata above it names"
_LONGER, _MALFORMED = "more bytes than can be right", "does not follow the specification"


@pytest.fixture
def unchanged(
    update: Callable[..., Done], home: Path, tuf: Served
) -> Callable[[Attack, str, bool], None]:
    """Try an attack, and see that it is told and leaves everything as it was."""

    def state() -> dict[Path, bytes]:
        files = (each for each in home.rglob("*") if each.is_file() and each.name != "lock")
        return {each: each.read_bytes() for each in files}

    def attempt(attack: Attack, told: str, first: bool) -> None:  # noqa: FBT001 - a parameter
        if not first:
            tuf.repository.publish(FIRST)
            assert update().status == 0
        before = state()
        attack(tuf)
        done = update()
        assert (done.status, done.out) == (3, "")
        assert told in done.err
        assert "nothing was changed" in done.err or attack is encoded
        assert kept(home, tuf) == (None if first else FIRST)
        assert state() == before

    return attempt


EITHER = pytest.mark.parametrize("first", [True, False], ids=["nothing kept", "something kept"])


@pytest.mark.parametrize(("attack", "told"), [(rollback, "a rollback")])
def test_tuf_rollback_an_older_state_is_refused(
    unchanged: Callable[[Attack, str, bool], None], attack: Attack, told: str
) -> None:
    unchanged(attack, told, False)  # noqa: FBT003 - what was never seen cannot be rolled back


@EITHER
@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (too_few_signatures, _UNSIGNED),
        (one_key_counted_twice, _MALFORMED),
        (stranger, _UNSIGNED),
    ],
)
def test_tuf_threshold_too_few_keys_are_refused(
    unchanged: Callable[[Attack, str, bool], None], attack: Attack, told: str, *, first: bool
) -> None:
    unchanged(attack, told, first)


@EITHER
@pytest.mark.parametrize("attack", [freeze, expired_root])
def test_root_expiry_freeze_what_is_over_is_refused(
    unchanged: Callable[[Attack, str, bool], None], attack: Attack, *, first: bool
) -> None:
    unchanged(attack, "has expired", first)


@EITHER
@pytest.mark.parametrize(
    ("attack", "told"),
    [(mix_and_match, _OTHER), (mixed_targets, "a rollback"), (wrong_hash, _OTHER)],
)
def test_mix_and_match_parts_of_two_states_are_refused(
    unchanged: Callable[[Attack, str, bool], None], attack: Attack, told: str, *, first: bool
) -> None:
    unchanged(attack, told, first)


@EITHER
@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (oversized, "too many"),
        (longer_than_said, _LONGER),
        (endless_timestamp, _LONGER),
        (endless_target, _LONGER),
        (no_trusted_root, "publishes no trusted_root.json"),
        (nonsense, "is not a trusted root"),
        (two_roots, "is not a trusted root, but 2 of them"),
        (not_json, _MALFORMED),
        (refused, "HTTP status 503"),
        (redirected, "a redirect is not followed"),
        (encoded, "encoded as gzip"),
    ],
)
def test_slow_and_endless_and_other_answers_change_nothing(
    unchanged: Callable[[Attack, str, bool], None], attack: Attack, told: str, *, first: bool
) -> None:
    unchanged(attack, told, first)


def test_after_a_failure_the_next_update_works(
    update: Callable[..., Done], home: Path, tuf: Served
) -> None:
    update()
    refused(tuf)
    assert update().status == 3
    tuf.instead.clear()
    tuf.repository.rotate()
    tuf.repository.publish(SECOND)
    assert update().status == 0
    assert kept(home, tuf) == SECOND


def test_cross_source_creds_nobody_is_told_who_asks(
    update: Callable[..., Done], tuf: Served, tmp_path: Path
) -> None:
    login = {"auths": {tuf.host: {"auth": "dXNlcjpzZWNyZXQ="}}}
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps(login))
    assert update().status == 0
    sent = {name.lower() for each in tuf.headers for name in each}
    assert not sent & {"authorization", "cookie"}


def test_a_host_that_cannot_be_reached_changes_nothing(
    run: Run, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "r").write_bytes(Repository().first)
    where = ["--tuf-url", "http://127.0.0.1:9", "--tuf-root", tmp_path / "r"]
    done = run("keys", "update", *where, "--insecure-http", "127.0.0.1:9")
    assert done.status == 3
    assert "127.0.0.1:9" in done.err
    assert not [*home.rglob(TARGET)]


def test_another_update_is_not_disturbed(
    update: Callable[..., Done], home: Path, tuf: Served
) -> None:
    folder = store.folder_of(home, tuf.url)
    folder.mkdir(parents=True)
    with store._locked(folder):
        done = update()
    assert done.status == 4
    assert "another update" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("--tuf-url", "https://a.example"),
        ("--tuf-root", "none"),
        ("--tuf-url", "https://a.example", "--tuf-root", "/nonexistent"),
        ("--tuf-url", "ftp://a.example", "--tuf-root", __file__),
        ("--tuf-url", "https://", "--tuf-root", __file__),
        ("--tuf-url", "https://me:secret@a.example", "--tuf-root", __file__),
        ("--tuf-url", "http://a.example", "--tuf-root", __file__),
        ("--tuf-url", "https://a.example:x", "--tuf-root", __file__),
        ("--tuf-url", "https://a.example:99999", "--tuf-root", __file__),
        ("--tuf-url", "https://a.example/?a=b", "--tuf-root", __file__),
        ("--tuf-url", "https://a.example/#a", "--tuf-root", __file__),
        ("--tuf-url", "https://a.example\\b", "--tuf-root", __file__),
        ("--tuf-url", "https://a.example/a b", "--tuf-root", __file__),
        ("--tuf-url", "", "--tuf-root", __file__),
    ],
    ids=" ".join,
)
def test_words_that_name_no_repository_are_refused(
    run: Run, home: Path, words: tuple[str, ...]
) -> None:
    done = run("keys", "update", *words)
    assert (done.status, done.out) == (2, "")
    assert "secret" not in done.err
    assert not home.exists()


def test_what_is_no_root_metadata_is_no_anchor(run: Run, home: Path, tuf: Served) -> None:
    where = ["--tuf-url", tuf.url, "--tuf-root", __file__, "--insecure-http", tuf.host]
    done = run("keys", "update", *where)
    assert done.status == 3
    assert kept(home, tuf) is None


# --- the public instance ----------------------------------------------------------------------


@pytest.fixture
def public(home: Path) -> Callable[[datetime, bytes], None]:
    """Keep something as if it had been fetched for the public instance."""

    def keep(taken: datetime, data: bytes) -> None:
        with store.next_generation(home, store.PUBLIC_GOOD_URL, taken) as generation:
            generation.target.write_bytes(data)

    return keep


def test_what_was_fetched_holds_by_default(
    run: Run, public: Callable[[datetime, bytes], None], home: Path
) -> None:
    public(datetime.now(UTC), FIRST)
    (root,) = default_roots(home)
    assert root.name == "the public Sigstore instance"
    assert {each.name for each in root.logs} != {each.name for each in public_good()[0].logs}
    listed = json.loads(run("keys", "list", "--format", "json").out)["material"]
    used = [each["path"] for each in listed if each["usedByDefault"]]
    assert used == [str(read_stored(home, store.PUBLIC_GOOD_URL).path)]  # type: ignore[union-attr]


def test_tuf_rollback_what_was_fetched_before_is_older_than_what_comes_along(
    run: Run, public: Callable[[datetime, bytes], None], home: Path
) -> None:
    public(datetime(2026, 11, 23, 23, 59, tzinfo=UTC), FIRST)
    assert default_roots(home) == public_good()
    told = run("keys", "list").out
    assert "what comes along is newer" in told


@pytest.mark.parametrize("name", ["trusted_root.json", "state.json"])
@pytest.mark.parametrize("data", [None, b"", b"{}", b'{"taken": "yesterday"}', FIRST + b" "])
def test_trust_material_that_is_damaged_is_not_passed_over(
    run: Run,
    public: Callable[[datetime, bytes], None],
    home: Path,
    *,
    name: str,
    data: bytes | None,
) -> None:
    public(datetime.now(UTC), FIRST)
    file = store.folder_of(home, store.PUBLIC_GOOD_URL) / "current" / name
    file.unlink() if data is None else file.write_bytes(data)
    key = home / "k"
    key.write_bytes(public_pem(new_key()))
    done = run("verify", "registry.example/a", "--key", key)
    assert done.status == 2
    assert "is damaged" in done.err
    assert "keys update" in done.err
    assert run("keys", "list").status == 2


def test_without_a_home_what_comes_along_holds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert "used where nothing is named" in run("keys", "list").out
    done = run("keys", "update")
    assert done.status == 2
    assert "HOME" in done.err


def test_a_relative_data_home_is_ignored(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    app = application.App(
        colour=False,
        quiet=False,
        verbose=False,
        config=None,
        policy_file=None,
        now=datetime.now(UTC),
    )
    assert app.trust_home == tmp_path / ".local" / "share" / "imgverify" / "trust"
    assert run("keys", "list").status == 0


def test_a_folder_that_cannot_be_written_is_told(update: Callable[..., Done], home: Path) -> None:
    # The data home is a file.
    home.parent.parent.write_text("")
    done = update()
    assert done.status == 4
    assert "cannot be written" in done.err


# --- show and check ---------------------------------------------------------------------------


@pytest.mark.usefixtures("home")
def test_what_comes_along_is_shown(run: Run) -> None:
    done = run("keys", "show")
    assert done.status == 0
    assert "transparency log https://rekor.sigstore.dev" in done.out
    assert "certificate log https://ctfe.sigstore.dev/2022" in done.out
    listed = run("keys", "list")
    assert "the TUF root of the public Sigstore instance" in listed.out
    assert "transparency log" not in listed.out


def test_a_key_is_shown_by_its_fingerprint(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_bytes(public_pem(new_key()))
    done = run("keys", "show", file, "--format", "json")
    (material,) = json.loads(done.out)["material"]
    (piece,) = material["pieces"]
    assert (piece["role"], piece["kind"]) == ("signer's key", "secp256r1")
    assert (piece["start"], piece["end"]) == (None, None)


def test_several_roots_on_lines_are_shown_together(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "roots.jsonl"
    file.write_bytes(FIRST + b"\n" + SECOND + b"\n")
    pieces = json.loads(run("keys", "show", file, "--format", "json").out)["material"][0]["pieces"]
    assert len(pieces) == 10


@pytest.fixture
def root(tmp_path: Path) -> Callable[..., Path]:
    def write(start: timedelta, end: timedelta | None) -> Path:
        document = json.loads(read_shipped(PUBLIC_GOOD))
        now = datetime.now(UTC).replace(microsecond=0)
        for each in document["tlogs"]:
            window = {"start": (now + start).isoformat().replace("+00:00", "Z")}
            if end is not None:
                window["end"] = (now + end).isoformat().replace("+00:00", "Z")
            each["publicKey"]["validFor"] = window
        file = tmp_path / "root.json"
        file.write_text(json.dumps(document))
        return file

    return write


AGO, SOON, LATE = timedelta(days=-90), timedelta(days=10), timedelta(days=90)


@pytest.mark.parametrize(
    ("start", "end", "status", "word"),
    [
        (AGO, None, 0, "good"),
        (AGO, LATE, 0, "good"),
        (AGO, SOON, 1, "about to end"),
        (AGO, -SOON, 1, "over"),
        (SOON, LATE, 1, "over"),
    ],
)
def test_a_root_is_checked_for_its_end(
    run: Run,
    root: Callable[..., Path],
    *,
    start: timedelta,
    end: timedelta | None,
    status: int,
    word: str,
) -> None:
    file = root(start, end)
    done = run("keys", "check", file)
    assert done.status == status
    assert f"{file}: {word}" in done.out


def test_how_soon_is_too_soon_can_be_said(run: Run, root: Callable[..., Path]) -> None:
    assert run("keys", "check", root(AGO, SOON), "--within", "5").status == 0


def test_every_file_is_checked_and_the_worst_counts(
    run: Run, root: Callable[..., Path], tmp_path: Path
) -> None:
    key, broken = tmp_path / "k", tmp_path / "broken"
    key.write_bytes(public_pem(new_key()))
    broken.write_bytes(b"-----BEGIN PUBLIC KEY-----\n")
    over = root(AGO, -SOON)
    done = run("keys", "check", key, broken, over, tmp_path / "none")
    assert done.status == 2
    words = [line.split(": ")[1] for line in done.out.splitlines()]
    assert words == ["good", "unusable", "over", "unusable"]
    assert run("keys", "check", key, over).status == 1
    assert run("keys", "check").status == 2


def test_other_json_with_keys_in_it_is_told_to_be_no_trusted_root(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "root.json"
    file.write_text(json.dumps({"keys": {"a": public_pem(new_key()).decode()}}))
    done = run("keys", "check", file)
    assert done.status == 2
    assert "is not a trusted root" in done.out


def test_a_root_that_has_nothing_in_it_is_over(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "empty.json"
    kind = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
    file.write_text(json.dumps({"mediaType": kind}))
    assert run("keys", "check", file).status == 1


def test_other_names_are_no_commands(run: Run) -> None:
    assert run("keys", "forget").status == 2


@pytest.mark.usefixtures("home")
def test_help_names_every_command_also_once_they_are_loaded(run: Run) -> None:
    assert run("keys", "list").status == 0
    assert "Fetch a newer trusted root by TUF." in run("keys", "--help").out


@pytest.mark.usefixtures("home")
def test_the_public_instance_is_asked_where_nothing_is_named(run: Run) -> None:
    # Through a proxy that is not there, so that the test asks nobody.
    done = run("keys", "update", "--proxy", "http://127.0.0.1:9", "--timeout", "20")
    assert done.status == 3
    assert "127.0.0.1:9" in done.err


def test_commands_are_known_to_the_shell() -> None:
    known = command.list_commands(Context(command))
    assert known == ["list", "show", "check", "update"]


def test_a_log_with_a_key_of_an_unknown_kind_is_shown_by_its_id() -> None:
    log = TransparencyLog("https://log.example", b"\x01\x02", None)
    (piece,) = pieces_of(TrustedRoot("a", logs=(log,)))
    assert (piece.kind, piece.fingerprint) == ("a key of an unknown kind", "0102")


def test_a_root_that_is_read_late_has_what_a_root_has_and_no_more() -> None:
    (late,) = public_good()
    assert late.name == "the public Sigstore instance"
    assert not hasattr(late, "other")
    (read,) = parse_trusted_roots(read_shipped(PUBLIC_GOOD), late.name)
    assert pieces_of(late) == pieces_of(read)
    assert late.thresholds == read.thresholds
    assert late == public_good()[0]
    assert late != read
    assert hash(late) == hash(public_good()[0])
