"""PEM (RFC 7468), read strictly: each block has the one base64 form of its bytes."""

from __future__ import annotations

import re
from typing import Final

from imgverify.errors import LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.signature.document import decode_base64

Block = tuple[str, bytes]

_BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/= \t\r\n]*)-----END \1-----"
)
_BEGIN: Final = b"-----BEGIN "


def read_blocks(text: bytes) -> tuple[Block, ...]:
    """Return what each block is called and holds; text around them is passed over.

    Raises `Malformed` for a block that is none, and `LimitExceeded` for too many.
    """
    count = text.count(_BEGIN)
    if count > limits.CERTIFICATES:
        msg = f"there are {count} blocks of PEM, {limits.CERTIFICATES} are the most"
        raise LimitExceeded(msg)
    found = tuple(
        (label.decode(), decode_base64(b"".join(body.split()).decode(), "a block of PEM"))
        for label, body in _BLOCK.findall(text)
    )
    if len(found) != count:
        msg = "the text has a block of PEM that does not end, or holds what no block holds"
        raise Malformed(msg)
    return found


def read_block(text: bytes) -> Block:
    """Return the one block of a text that has nothing around it; raises `Malformed`."""
    stripped = text.strip(b" \t\r\n")
    found = read_blocks(stripped) if _BLOCK.fullmatch(stripped) else ()
    if len(found) != 1:
        msg = "the text is not one block of PEM"
        raise Malformed(msg)
    return found[0]
