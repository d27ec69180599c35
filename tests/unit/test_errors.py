"""The tree of exceptions."""

import pytest

import imgverify.errors as module
from imgverify.errors import (
    AllSourcesFailed,
    ContentError,
    DigestMismatch,
    ImgverifyError,
    InputError,
    Interrupted,
    InvalidPolicy,
    InvalidReference,
    LimitExceeded,
    Malformed,
    NotFound,
    Problem,
    RateLimited,
    Reason,
    Side,
    SignatureRejected,
    SourceError,
    StoreError,
    Unauthorized,
    Unparsable,
    Unreachable,
)

PARENTS: dict[type[ImgverifyError], type[Exception]] = {
    ImgverifyError: Exception,
    InputError: ImgverifyError,
    InvalidReference: InputError,
    InvalidPolicy: InputError,
    SourceError: ImgverifyError,
    Unreachable: SourceError,
    Unauthorized: SourceError,
    NotFound: SourceError,
    RateLimited: SourceError,
    AllSourcesFailed: SourceError,
    ContentError: ImgverifyError,
    DigestMismatch: ContentError,
    LimitExceeded: ContentError,
    Malformed: ContentError,
    SignatureRejected: ContentError,
    Unparsable: ContentError,
    StoreError: ImgverifyError,
    Interrupted: ImgverifyError,
}
PLAIN = [
    each
    for each in PARENTS
    if each not in {AllSourcesFailed, InvalidPolicy, SignatureRejected, Unparsable}
]


def drawn(docstring: str) -> dict[str, str]:
    """Read the tree of a docstring: each class with the class above it."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in docstring.splitlines():
        name = next((word for word in line.split() if word.isalnum() and word[0].isupper()), "")
        if name not in vars(module) or not line.startswith("    "):
            continue
        column = line.index(name)
        while above and above[-1][0] >= column:
            above.pop()
        parents[name] = above[-1][1] if above else "Exception"
        above.append((column, name))
    return parents


@pytest.mark.parametrize(("error", "parent"), PARENTS.items(), ids=lambda each: each.__name__)
def test_an_error_is_a_kind_of_the_one_above_it(
    error: type[Exception], parent: type[Exception]
) -> None:
    assert error.__bases__ == (parent,)
    assert error.__doc__


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert drawn(module.__doc__ or "") == {
        error.__name__: parent.__name__ for error, parent in PARENTS.items()
    }


def test_no_error_is_missing_here() -> None:
    defined = {
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Exception)
    }
    assert defined == set(PARENTS)


@pytest.mark.parametrize("error", PLAIN)
def test_an_error_says_what_on_which_side_and_what_to_do(error: type[ImgverifyError]) -> None:
    plain = error("what")
    assert (plain.message, plain.side, plain.hint, str(plain)) == ("what", Side.LOCAL, "", "what")
    full = error("what", side=Side.MIRROR, hint="do")
    assert (full.message, full.side, full.hint) == ("what", Side.MIRROR, "do")


def test_a_rate_limit_may_say_how_long_to_wait() -> None:
    assert RateLimited("slow down").retry_after is None
    assert RateLimited("slow down", retry_after=1.5).retry_after == 1.5


def test_when_all_sources_failed_each_cause_is_kept() -> None:
    causes = (NotFound("a", side=Side.MIRROR), Unreachable("b", side=Side.UPSTREAM))
    error = AllSourcesFailed("none", causes, side=Side.UPSTREAM, hint="wait")
    assert (error.causes, error.side, error.hint) == (causes, Side.UPSTREAM, "wait")


def test_a_rejected_signature_says_why() -> None:
    error = SignatureRejected("no", Reason.SIGNATURE_INVALID, side=Side.MIRROR, hint="look")
    assert (error.message, error.reason, error.side, error.hint) == (
        "no",
        Reason.SIGNATURE_INVALID,
        Side.MIRROR,
        "look",
    )
    assert SignatureRejected("no", Reason.MALFORMED).side is Side.LOCAL


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_s_name_can_be_an_anchor(reason: Reason) -> None:
    assert reason.value == reason.name.lower().replace("_", "-")


def test_every_mistake_of_a_policy_has_its_line() -> None:
    found = InvalidPolicy((Problem(1, 2, "one"), Problem(3, 4, "two")))
    assert found.named("p.yaml").message == "p.yaml:1:2: one\np.yaml:3:4: two"
