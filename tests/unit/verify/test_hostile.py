"""Answers that are meant to mislead, or to do harm on their way to a verdict."""

import pytest

from imgverify.verdict import Coverage, Decision, Grade, Rule
from tests.support.faults import BLOBS, Fault, Gzip, Header, Redirect
from tests.unit.verify.world import NEW_AMD64, SAME_CONTENT, World, grade, only, rules


@pytest.mark.parametrize(
    "fault",
    [
        Gzip(when=BLOBS),
        Header("Content-Encoding", "br", when=BLOBS),
        Redirect("http://u:p@evil.test/", when=BLOBS),
        Redirect("{path}", when=BLOBS),
    ],
    ids=["gzip", "br", "user-information", "loop"],
)
def test_http_decompression_a_layer_that_cannot_be_read_is_no_falsification(
    pair: World, fault: Fault
) -> None:
    pair.holds(NEW_AMD64, NEW_AMD64)
    pair.play("mirror", fault)
    verdict = pair.ask(deep=True, policy=SAME_CONTENT)
    assert (verdict.decision, grade(verdict)) == (Decision.INCONCLUSIVE, Grade.INCONCLUSIVE)
    assert rules(verdict) == {Rule.MALFORMED}
    assert only(verdict).coverage is Coverage.LAYERS
