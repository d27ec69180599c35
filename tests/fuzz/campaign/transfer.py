"""Every way in which bytes can arrive: cut short, changed, too many, too slowly, or never."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

from tests.fuzz.campaign.reply import FOREVER, Reply, mostly_closing
from tests.fuzz.campaign.wire import End, Play, Step

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

_MEBIBYTE = 1 << 20
_BLOCK = bytes(range(256)) * 256
_BOMB = gzip.compress(b"\0" * 64 * _MEBIBYTE, 9, mtime=0)
_HTML = b"<!DOCTYPE html><html><body>Sign in to the hotel's network</body></html>"


# --- the body, whose length is told truthfully ------------------------------------------------


def truncate(reply: Reply, rng: random.Random, _bodies: Sequence[bytes]) -> Reply:
    """Send less of it."""
    return reply.with_body(reply.body[: _place(reply.body, rng)])


def flip(reply: Reply, rng: random.Random, _bodies: Sequence[bytes]) -> Reply:
    """Flip some bits of it."""
    return reply.with_body(_flipped(reply.body, rng))


def insert(reply: Reply, rng: random.Random, _bodies: Sequence[bytes]) -> Reply:
    """Send something more in it."""
    at = _place(reply.body, rng)
    more = rng.choice((b"\0", b" ", b"\n", b"{}", rng.randbytes(8), reply.body[at : at + 40]))
    return reply.with_body(reply.body[:at] + more + reply.body[at:])


def grow(reply: Reply, rng: random.Random, _bodies: Sequence[bytes]) -> Play:
    """Send very much more, or blanks, which JSON allows."""
    block = rng.choice((_BLOCK, b" " * len(_BLOCK)))
    size = rng.choice((1, 64, 128, 1024)) * len(_BLOCK)
    grown = reply.with_header("Content-Length", str(len(reply.body) + size))
    if reply.bodiless:
        return grown.play
    return Play((Step(grown.text), Step(block, size // len(block))))


def exchange(reply: Reply, rng: random.Random, bodies: Sequence[bytes]) -> Reply:
    """Send what belongs to another question."""
    return reply.with_body(rng.choice((*bodies, b"", b"{}", b"[]", _HTML, b"null", b"\0" * 64)))


def compress(reply: Reply, rng: random.Random, _bodies: Sequence[bytes]) -> Reply:
    """Compress it, and say so or not."""
    bomb = rng.random() < 0.3
    packed = reply.with_body(_BOMB if bomb else gzip.compress(reply.body, mtime=0))
    return packed.with_header("Content-Encoding", "gzip") if rng.random() < 0.7 else packed


BODY: dict[str, Callable[[Reply, random.Random, Sequence[bytes]], Reply | Play]] = {
    "body.truncate": truncate,
    "body.flip": flip,
    "body.insert": insert,
    "body.grow": grow,
    "body.exchange": exchange,
    "body.compress": compress,
}


# --- the wire ---------------------------------------------------------------------------------


def cut(reply: Reply, rng: random.Random) -> Play:
    """Break off anywhere, in good order or not."""
    text = reply.text
    at = rng.choice((0, 1, len(reply.head) - 1, len(reply.head), _place(text, rng), len(text) - 1))
    return Play((Step(text[:at]),), rng.choice((End.CLOSE, End.RESET)))


def leave(reply: Reply, rng: random.Random) -> Play:
    """Answer, and break the connection after that."""
    return Play((Step(reply.text),), rng.choice((End.CLOSE, End.RESET)))


def garble(reply: Reply, rng: random.Random) -> Play:
    """Flip bits anywhere."""
    return Play((Step(_flipped(reply.text, rng)),), mostly_closing(rng))


def answer_twice(reply: Reply, rng: random.Random) -> Play:
    """Send more than was asked for, which would pass for the next answer."""
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
    more = rng.choice((reply.text, forged, reply.body or b"x", b"\r\n", b"HTTP/1.1 404 no\r\n\r\n"))
    return Play((Step(reply.text + more),))


def misframe(reply: Reply, rng: random.Random) -> Play:
    """Tell another length than there is; what is missing never comes, or the connection ends."""
    length = max(0, len(reply.body) + rng.choice((-1, 1, -10, 10, 1000, _MEBIBYTE, 1 << 40)))
    told = reply.with_header("Content-Length", str(length))
    return Play((Step(told.text),), mostly_closing(rng))


def chunk(reply: Reply, rng: random.Random) -> Play:
    """Send the body in chunks, rightly or not."""
    head = reply.without("Content-Length").with_header("Transfer-Encoding", "chunked").head
    at = _place(reply.body, rng)
    first, second = reply.body[:at], reply.body[at:]
    parts = [_one_chunk(each) for each in (first, second) if each]
    last = rng.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"0\r\n", b"\r\n\r\n")
    )
    if rng.random() < 0.4:
        odd = (
            b"-5\r\nabcde\r\n",
            b"xyz\r\nabc\r\n",
            b"5;a=b\r\nabcde\r\n",
            b"F" * 70_000 + b"\r\n",
        )
        more = (b"fffffffffffff\r\nabc\r\n", b"0x5\r\nabcde\r\n", b"\r\n", b"1_0\r\n" + b"a" * 16)
        parts.insert(rng.randint(0, len(parts)), rng.choice((*odd, *more)))
    body = b"" if reply.bodiless else b"".join(parts) + last
    return Play((Step(head + body),), mostly_closing(rng))


def embody(reply: Reply, _rng: random.Random) -> Play:
    """Send a body where none belongs: after the answer to a HEAD, say."""
    return Play((Step(reply.head + (reply.body or b"{}")),))


def say_nothing(_reply: Reply, rng: random.Random) -> Play:
    """Take the request, and end the connection."""
    return Play((), rng.choice((End.CLOSE, End.RESET)))


WIRE: dict[str, Callable[[Reply, random.Random], Play]] = {
    "wire.cut": cut,
    "wire.leave": leave,
    "wire.garble": garble,
    "wire.twice": answer_twice,
    "wire.misframe": misframe,
    "wire.chunk": chunk,
    "wire.embody": embody,
    "wire.nothing": say_nothing,
}


# --- slowness ---------------------------------------------------------------------------------


def hang(reply: Reply, rng: random.Random) -> Play:
    """Send some of it, or nothing, and no more."""
    text = reply.text
    at = rng.choice((0, 0, len(reply.head), _place(text, rng)))
    return Play((Step(text[:at]), Step(text[at:], pause=FOREVER)))


def drip(reply: Reply, rng: random.Random) -> Play:
    """Send it byte by byte."""
    text = reply.text
    start = rng.choice((0, len(reply.head), max(0, len(text) - 3)))
    pause = rng.choice((0.02, 0.3))
    steps = (Step(text[at : at + 1], pause=pause) for at in range(start, len(text)))
    return Play((Step(text[:start]), *steps))


def never_end_body(reply: Reply, rng: random.Random) -> Play:
    """Send a body without end, as fast as it is taken."""
    head = reply.without("Content-Length").with_header("Transfer-Encoding", "chunked").head
    block = rng.choice((_one_chunk(_BLOCK), _one_chunk(b" " * 4096), _one_chunk(b"[")))
    start = rng.choice((b"", _one_chunk(reply.body) if reply.body else b""))
    return Play((Step(head + start), Step(block, 1 << 40, rng.choice((0.0, 0.0, 0.01)))))


def never_end_head(reply: Reply, rng: random.Random) -> Play:
    """Send headers, or interim answers, without end."""
    start, _, _ = reply.head.partition(b"\r\n")
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    kinds = ((start + b"\r\n", b"X-Padding: aaaaaaaaaaaaaaaa\r\n"), (b"", interim), (start, b"a"))
    first, again = rng.choice(kinds)
    return Play((Step(first), Step(again, 1 << 40, rng.choice((0.0, 0.005)))))


def send_late(reply: Reply, rng: random.Random) -> Play:
    """Send all of it, but late."""
    return Play((Step(b"", pause=rng.choice((0.1, 0.4, 0.9))), Step(reply.text)))


SLOW: dict[str, Callable[[Reply, random.Random], Play]] = {
    "slow.hang": hang,
    "slow.drip": drip,
    "slow.body": never_end_body,
    "slow.head": never_end_head,
    "slow.late": send_late,
}


def is_json(body: bytes) -> bool:
    """Tell whether there is a document to be changed."""
    if body[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _one_chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _place(data: bytes, rng: random.Random) -> int:
    return rng.randint(0, len(data))


def _flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)
