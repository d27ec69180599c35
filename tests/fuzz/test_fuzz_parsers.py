"""The fuzzer gets behind every parser's door, and finds a bug that is there."""

import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from imgverify.oci.manifest import Manifest
from tests.fuzz import fuzz_parsers
from tests.fuzz.fuzz_parsers import REFUSED, TARGETS, Tally, attempt, fuzz, mutate, seeds
from tests.fuzz.line_targets import TAKE_ANYTHING

if TYPE_CHECKING:
    from tests.fuzz.fuzz_parsers import Target

pytestmark = pytest.mark.slow


def test_fuzzing_finds_nothing_and_reaches_everything() -> None:
    tallies = fuzz(TARGETS, range(400))
    assert tallies.keys() == TARGETS.keys()
    for name, tally in tallies.items():
        assert tally.crashes == []
        assert tally.accepted > 10
        assert tally.refused > 10 or name in TAKE_ANYTHING


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_accepted(name: str) -> None:
    tally = Tally()
    for data in seeds(name):
        if name != "media-type" or b";" not in data:
            attempt(TARGETS[name], data, tally)
    assert tally.accepted > 1
    assert (tally.refused, tally.crashes) == (0, [])


def planted(name: str) -> "Target":
    """Return the target with a bug in what it does with input that is valid, but says no seed."""
    read, usual = TARGETS[name], set()
    for data in seeds(name):
        with contextlib.suppress(*REFUSED):
            usual.add(str(read(data)))

    def target(data: bytes) -> object:
        result = read(data)
        if str(result) not in usual:
            raise KeyError(name)
        return result

    return target


@pytest.mark.parametrize("name", TARGETS)
def test_a_bug_behind_a_parser_s_door_is_found(name: str) -> None:
    crashes = fuzz({name: planted(name)}, range(5000))[name].crashes
    assert crashes
    assert all(isinstance(error, KeyError) for _, error in crashes)


def test_a_bug_deep_in_a_manifest_is_found() -> None:
    def target(data: bytes) -> object:
        result = TARGETS["manifest"](data)
        empty_layer = isinstance(result, Manifest) and any(not each.size for each in result.layers)
        if empty_layer:
            raise ZeroDivisionError
        return result

    assert fuzz({"manifest": target}, range(3000))["manifest"].crashes


def test_a_found_bug_is_reported_and_fails_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "digest", planted("digest"))
    assert fuzz_parsers.main(["--plain", "--seconds", "1", "digest"]) == 1
    assert "KeyError" in capsys.readouterr().out


def test_a_clean_run_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_parsers.main(["--plain", "--seconds", "0"]) == 0
    assert "manifest: 0 accepted, 0 refused" in capsys.readouterr().out


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(SystemExit, match="2"):
        fuzz_parsers.main(["nothing"])


def test_a_run_can_be_repeated() -> None:
    data = seeds("manifest")[0]
    one, two = ([mutate(data, random.Random(7)) for _ in range(20)] for _ in range(2))  # noqa: S311
    assert one == two
