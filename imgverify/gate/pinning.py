"""What a file says once each allowed image has its digest; nothing but references changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import InputError
from imgverify.gate.find import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imgverify.gate.kubernetes import ImagePath
    from imgverify.gate.mention import Mention, Reading
    from imgverify.gate.outcome import Found
    from imgverify.oci.reference import Reference
    from imgverify.verdict import Verdict

COMPOSED: Final = "it is put together from several places; write the digest there by hand"
_ELSEWHERE: Final = "the mirror that is named here has other bytes than upstream's digest names"
_UNSAFE: Final = "with the digest the file would be read in another way"


@dataclass(frozen=True, slots=True)
class Pin:
    """What becomes of one reference: the text that replaces it, or why there is none."""

    mention: Mention
    after: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file's bytes with all pins put in; without any they are what they were."""

    data: bytes
    pins: tuple[Pin, ...]


def is_unpinned(mention: Mention) -> bool:
    """Tell whether a reference names an image without saying its digest."""
    return mention.reference is not None and mention.reference.digest is None


def missing(found: Found) -> list[Mention]:
    """Return the references that have no digest, in the order of their places."""
    named = (each for mentions in found.resolvable.values() for each in mentions)
    return sorted(filter(is_unpinned, named), key=lambda each: each.location)


def pin(
    data: bytes,
    reading: Reading,
    verdicts: Mapping[str, Verdict | InputError],
    paths: tuple[ImagePath, ...] = (),
    *,
    is_named: bool = False,
) -> PinnedFile:
    """Put the verified digest behind every reference of a file that is allowed and has none."""
    found = [
        _pin(each, verdicts[str(each.reference)]) for each in reading.mentions if is_unpinned(each)
    ]
    pins = tuple(each for each in found if each is not None)
    after = _replaced(data, pins)
    read = find(reading.path, after, paths=paths, is_named=is_named)
    wanted = {each.mention.span: each.after for each in pins if each.after}
    if _said(read) == [wanted.get(each.span, each.text) for each in reading.mentions]:
        return PinnedFile(after, pins)
    return PinnedFile(data, tuple(Pin(each.mention, "", each.problem or _UNSAFE) for each in pins))


def _pin(mention: Mention, verdict: Verdict | InputError) -> Pin | None:
    reference = mention.reference
    allowed = None if isinstance(verdict, InputError) else verdict.pinned
    if reference is None or isinstance(verdict, InputError) or allowed is None:
        return None
    if mention.span is None:
        return Pin(mention, "", COMPOSED)
    if not _has(reference, allowed, verdict):
        return Pin(mention, "", _ELSEWHERE)
    # The name stays as it is written, however short.
    tagged = ":" in mention.text.rpartition("/")[2]
    tag = "" if tagged else f":{reference.tag}"
    return Pin(mention, f"{mention.text}{tag}@{allowed.digest}")


def _has(reference: Reference, allowed: Reference, verdict: Verdict) -> bool:
    """Tell whether the place that is named has what the digest names."""
    if reference.repository == verdict.upstream.reference.repository:
        return True
    mirrors = (
        each for each in verdict.mirrors if each.reference.repository == reference.repository
    )
    return any(each.digest == allowed.digest for each in mirrors)


def _replaced(data: bytes, pins: Iterable[Pin]) -> bytes:
    parts: list[bytes] = []
    at = 0
    for each in pins:
        if each.after and each.mention.span is not None:
            parts += data[at : each.mention.span.start], each.after.encode()
            at = each.mention.span.end
    return b"".join((*parts, data[at:]))


def _said(reading: Reading) -> list[str]:
    return [each.text for each in reading.mentions]
