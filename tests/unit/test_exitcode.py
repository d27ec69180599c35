"""The exit status of the process."""

import itertools

import pytest

from imgverify.errors import (
    AllSourcesFailed,
    ContentError,
    ImgverifyError,
    InputError,
    Interrupted,
    InvalidReference,
    Malformed,
    NotFound,
    RateLimited,
    StoreError,
    Unauthorized,
    Unreachable,
)
from imgverify.exitcode import ExitCode, of_error, of_verdicts
from imgverify.oci.reference import Reference
from imgverify.verdict import Decision, UpstreamResult, Verdict

PINNED = Reference.parse("nginx@sha256:" + "0" * 64)
ALLOW, DENY, INCONCLUSIVE = Decision.ALLOW, Decision.DENY, Decision.INCONCLUSIVE


def verdict(decision: Decision) -> Verdict:
    pinned = PINNED if decision is Decision.ALLOW else None
    return Verdict("nginx", UpstreamResult(PINNED), decision=decision, pinned=pinned)


def test_the_numbers_are_the_documented_ones() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "ALLOWED": 0,
        "DENIED": 1,
        "USAGE": 2,
        "INCONCLUSIVE": 3,
        "NOT_STORED": 4,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    ("decisions", "code"),
    [
        ([], 2),
        ([ALLOW], 0),
        ([ALLOW, ALLOW], 0),
        ([DENY], 1),
        ([INCONCLUSIVE], 3),
        ([ALLOW, INCONCLUSIVE], 3),
        ([ALLOW, DENY], 1),
        ([INCONCLUSIVE, DENY], 1),
        ([ALLOW, INCONCLUSIVE, DENY], 1),
    ],
)
def test_the_worst_image_decides_in_any_order(decisions: list[Decision], code: int) -> None:
    for order in itertools.permutations(decisions):
        assert of_verdicts([verdict(each) for each in order]) == code


def test_nothing_checked_is_not_success() -> None:
    assert of_verdicts([]) is ExitCode.USAGE


def test_only_allow_for_every_image_is_success() -> None:
    for count in range(1, 4):
        for decisions in itertools.product(Decision, repeat=count):
            code = of_verdicts([verdict(each) for each in decisions])
            assert (code == 0) == (set(decisions) == {ALLOW})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError(""), 2),
        (InvalidReference(""), 2),
        (Unreachable(""), 3),
        (Unauthorized(""), 3),
        (NotFound(""), 3),
        (RateLimited(""), 3),
        (AllSourcesFailed("", ()), 3),
        (ContentError(""), 3),
        (Malformed(""), 3),
        (ImgverifyError(""), 3),
        (StoreError(""), 4),
        (Interrupted(""), 130),
        (KeyboardInterrupt(), 130),
        (RuntimeError(), 3),
        (SystemExit(0), 3),
        (MemoryError(), 3),
    ],
)
def test_an_error_has_its_own_status_and_never_0(error: BaseException, code: int) -> None:
    assert of_error(error) == code
