"""Just enough DER to put the certificates of a timestamp in order.

DER wants the elements of a SET sorted, `rfc3161_client` insists on it, and `openssl ts` and several
authorities do not care. That SET is covered by no signature, so sorting it changes nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imgverify.errors import Malformed

_SEQUENCE: Final = 0x30
_FIRST_CONTEXT: Final = 0xA0
_LONG: Final = 0x80
_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Element:
    """One element by its place: where it starts, where its content does, and where both end."""

    tag: int
    start: int
    content: int
    end: int


def sorted_certificates(response: bytes) -> bytes:
    """Return a TimeStampResp with the certificates of its token sorted; raises `Malformed`."""
    at = Element(_SEQUENCE, 0, 0, len(response))
    # TimeStampResp, its token, the [0] there, SignedData, and its own [0]: the certificates.
    for tag, position in (
        (_SEQUENCE, 0),
        (_SEQUENCE, 1),
        (_FIRST_CONTEXT, 1),
        (_SEQUENCE, 0),
        (_FIRST_CONTEXT, 3),
    ):
        inner = elements(response, at)
        if len(inner) <= position or inner[position].tag != tag:
            return response
        at = inner[position]
    parts = sorted(response[each.start : each.end] for each in elements(response, at))
    return response[: at.content] + b"".join(parts) + response[at.end :]


def elements(data: bytes, outer: Element) -> list[Element]:
    """Return the elements within another; raises `Malformed`."""
    found, position = [], outer.content
    while position < outer.end:
        found.append(_element(data, position, outer.end))
        position = found[-1].end
    return found


def _element(data: bytes, start: int, end: int) -> Element:
    content = start + 2
    length = data[start + 1] if content <= end else _LONG
    if length > _LONG:
        size = length - _LONG
        length = int.from_bytes(data[content : content + size], "big")
        content += size if size <= _LENGTH_BYTES else end
    elif length == _LONG:
        content = end + 1
    if content + length > end:
        msg = "the timestamp is not written in DER"
        raise Malformed(msg)
    return Element(data[start], start, content, content + length)
