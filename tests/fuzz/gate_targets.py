"""Targets for `fuzz_parsers` that are whole files: what names images, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.errors import Malformed
from imgverify.gate.find import find
from imgverify.gate.pinning import is_unpinned, pin
from imgverify.oci.digest import Algorithm, Digest
from imgverify.verdict import Decision, UpstreamResult, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.gate.mention import Mention

_DIGEST = Digest(Algorithm.SHA256, "f" * 64)


def _allowed(mention: Mention) -> Verdict:
    assert mention.reference is not None
    upstream = UpstreamResult(mention.reference, _DIGEST)
    pinned = mention.reference.pinned(_DIGEST)
    return Verdict(mention.text, upstream, decision=Decision.ALLOW, pinned=pinned)


def _read(path: str, data: bytes) -> object:
    """Find references; each is where it says, and pins change nothing else that is found."""
    reading = find(path, data)
    for each in reading.mentions:
        assert each.span is None or data[each.span.start : each.span.end] == each.text.encode()
        assert each.location.line <= data.count(b"\n") + 1
    verdicts = {str(each.reference): _allowed(each) for each in reading.mentions if each.reference}
    pinned = pin(data, reading, verdicts)
    again = find(path, pinned.data)
    assert len(again.mentions) == len(reading.mentions)
    unpinned = [each for each in again.mentions if is_unpinned(each)]
    assert len(unpinned) == sum(not each.after for each in pinned.pins)
    if reading.troubles or not reading.mentions:
        raise Malformed("nothing that can be read names an image there")
    return [(each.text, each.location.line, each.problem) for each in reading.mentions]


TARGETS: dict[str, Callable[[bytes], object]] = {
    "gate-yaml": lambda data: _read("x.yaml", data),
    "gate-dockerfile": lambda data: _read("Dockerfile", data),
    "gate-json": lambda data: _read("devcontainer.json", data),
}
