"""An answer as its parts, and every way in which it can break HTTP or the distribution API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http.client import responses
from typing import TYPE_CHECKING

from tests.fuzz.campaign.wire import End, Play, Step

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from imgverify.serve.distribution import Response

    #: Values that headers have, by their name in lower case; and whole bodies.
    Headers = Mapping[str, Sequence[str]]

Pairs = tuple[tuple[str, str], ...]
FOREVER = 3600.0
_BLOCK = b"a" * 4096


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to one request; the answer to a HEAD has a body that is not sent."""

    status: str
    headers: Pairs
    body: bytes
    bodiless: bool = False

    @classmethod
    def of(cls, response: Response, *, bodiless: bool) -> Reply:
        """Take over an answer, with its length among its headers."""
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        headers = tuple(response.headers)
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers = (*headers, ("Content-Length", str(len(body))))
        status = f"{response.status} {responses.get(response.status, '')}"
        return cls(status, headers, body, bodiless)

    @property
    def head(self) -> bytes:
        """The status line and the headers as they are sent."""
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    @property
    def text(self) -> bytes:
        """All that is sent."""
        return self.head if self.bodiless else self.head + self.body

    def has(self, name: str) -> bool:
        """Tell whether there is a header of this name."""
        return any(key.lower() == name.lower() for key, _ in self.headers)

    def value(self, name: str) -> str:
        """Return a header's first value, empty where it is absent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def without(self, name: str) -> Reply:
        """Leave a header out."""
        kept = tuple(each for each in self.headers if each[0].lower() != name.lower())
        return replace(self, headers=kept)

    def with_header(self, name: str, value: str) -> Reply:
        """Set a header."""
        return replace(self, headers=(*self.without(name).headers, (name, value)))

    def with_body(self, body: bytes) -> Reply:
        """Send another body, whose length is told truthfully."""
        return replace(self.with_header("Content-Length", str(len(body))), body=body)

    @property
    def play(self) -> Play:
        """The answer as it is sent.

        One that tells another length than it has ends with the connection: who believes it would
        wait for the rest until the deadline, every time.
        """
        lengths = [value for name, value in self.headers if name.lower() == "content-length"]
        honest = lengths == [str(len(self.body))] and not self.has("Transfer-Encoding")
        return Play((Step(self.text),), End.KEEP if honest else End.CLOSE)


def mostly_closing(rng: random.Random) -> End:
    """End the connection, but now and then: who waits for what never comes waits for long."""
    return rng.choices(list(End), (1, 20, 10))[0]


# --- headers ----------------------------------------------------------------------------------

ODD_HEADERS = (
    *("", " ", "a", "0", "-1", "null", "é\xff\x80", "a\tb", '"', "a,b,c", "a;b=c;d", "\x7f\x01"),
    *("a" * 200, "a" * 9000, "a" * 70_000, "," * 8000, "\\" * 4000, '"' + "a" * 4000, "=" * 5000),
)
ODD_VALUES: dict[str, tuple[str, ...]] = {
    "content-length": (
        *("0", "1", "5", "-1", "-0", "+5", " 7", "0x10", "1e3", "1_0", "99999", "9" * 18),
        *("9" * 20, "9" * 5000, "5, 5", "5,6", "", "abc"),
    ),
    "content-type": (
        *("application/json", "text/html", "application/octet-stream", "*/*", "", "/", "a/b/c"),
        *("application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"),
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.oci.image.index.v1+json; charset=utf-8",
        "APPLICATION/VND.OCI.IMAGE.INDEX.V1+JSON",
    ),
    "docker-content-digest": (
        *("sha256:" + "0" * 64, "sha512:" + "0" * 128, "sha256:", "sha256:" + "A" * 64, "md5:0"),
        *("sha256:" + "0" * 63, "sha256:" + "0" * 65, "0" * 64, "sha256:../../../../etc/passwd"),
    ),
    "transfer-encoding": ("chunked", "gzip, chunked", "identity", "chunked, chunked", "CHUNKED"),
    "content-encoding": ("gzip", "br", "zstd", "identity", "gzip, gzip", "x" * 500, "deflate"),
    "content-range": (
        *("bytes 0-0/1", "bytes */10", "bytes 5-4/3", "bytes 0-99999999/99999999", "items 1-2/3"),
        "bytes 0-" + "9" * 5000 + "/*",
    ),
    "location": (
        *("", "/", "//evil.example/", "http://evil.example/", "http://up.example{target}"),
        *("http://mirror.example{target}", "http://evil.example{target}", "{target}", "?a=b"),
        *("https://mirror.example{target}", "http://u:p@mirror.example/", "http://[::1", "http:"),
        *("http://mirror.example\\@evil.example/", "http://mirror.example:0/", "ftp://a/", "\\\\a"),
        *("http://mirror.example:99999/", "http://mirror.example:80{target}", "#", "http://%6d/"),
        *("http://\u212a.example/", "http://xn--a/", "http://1.1/", "http://a..b/", "../../.."),
        "http://mirror.example/" + "a" * 9000,
    ),
    "link": (
        *('<{target}>; rel="next"', "<>; rel=next", "<//evil.example/>; rel=next", "<" * 4000),
        *('<http://evil.example{target}>; rel="next"', '<a>; rel="prev", <b>; rel="next"'),
        *("<?last=z&n=1>; rel=next", "<../../v2/>; rel=next", "<" + "a" * 9000 + ">; rel=next"),
    ),
    "www-authenticate": (
        *("Bearer", "Basic", "Negotiate", "Basic realm=x", "Bearer realm=", 'Bearer realm="'),
        'Bearer realm="http://evil.example/token",service="s"',
        'Bearer realm="https://169.254.169.254/token",service="s"',
        'Bearer realm="/token"',
        'Bearer realm="http://auth.example/token",service="evil"',
        'Bearer realm="http://auth.example/token?a=b#c",service="\x01",scope="x"',
        'Bearer realm="http://xn--a/",service="s"',
        'Basic realm="a", Bearer realm="http://evil.example/token"',
        "Bearer " + ",".join(f'a{n}="b"' for n in range(400)),
        "Bearer " + 'a="\\' * 1000,
    ),
    "retry-after": (
        *("0", "1", "2", "-1", "61", "1e3", "9" * 30, "99999999999999999999999", "\uff11", "", "x"),
        *("Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 99 Foo 2026"),
        "Wed, 21 Oct 2015 07:28:00 +9999",
    ),
    "date": ("", "x", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"),
    "connection": ("close", "keep-alive", "upgrade", "close, close"),
}
_INTRUDERS = (*ODD_VALUES, "set-cookie", "upgrade", "refresh", "x", "trailer", "content-location")


#: Headers that send a client somewhere.
_SIGNPOSTS = ("location", "www-authenticate", "link", "retry-after")


def drop_header(reply: Reply, rng: random.Random, _known: Headers) -> Reply:
    """Leave a header out."""
    return reply.without(rng.choice(reply.headers)[0]) if reply.headers else reply


def garble_header(reply: Reply, rng: random.Random, _known: Headers) -> Reply:
    """Let a header say what no header says."""
    if not reply.headers:
        return reply
    return reply.with_header(rng.choice(reply.headers)[0], rng.choice(ODD_HEADERS))


def change_header(reply: Reply, rng: random.Random, known: Headers) -> Reply:
    """Let a header that means something say something else, or be there where it was not."""
    own = [key for key, _ in reply.headers]
    signs = [key for key in own if key.lower() in _SIGNPOSTS]
    name = rng.choices([rng.choice(each) for each in (signs, own, _INTRUDERS) if each])[0]
    values = (*ODD_VALUES.get(name.lower(), ()), *known.get(name.lower(), ()), *ODD_HEADERS[:4])
    return reply.with_header(name, rng.choice(values))


def repeat_header(reply: Reply, rng: random.Random, known: Headers) -> Reply:
    """Send a header twice, the second time with the same or another value."""
    if not reply.headers:
        return reply
    name, value = rng.choice(reply.headers)
    others = (value, *ODD_VALUES.get(name.lower(), ()), *known.get(name.lower(), ()))
    return replace(reply, headers=(*reply.headers, (name, rng.choice(others))))


def crowd_headers(reply: Reply, rng: random.Random, _known: Headers) -> Reply:
    """Send very many headers."""
    count = rng.choice((20, 99, 101, 3000))
    return replace(reply, headers=(*reply.headers, *((f"X-{at}", "a" * 20) for at in range(count))))


def break_header(reply: Reply, rng: random.Random, _known: Headers) -> Play:
    """Send a line among the headers that is none, or ends in another way."""
    line = rng.choice(
        (
            *(b"no colon", b": no name", b" folded", b"\tfolded", b"a b: c", b"\x00: \x00", b"\n"),
            *(b"\r", b"X: a\rLocation: http://evil.example/", b"X:\x0b\x0c", b"\xff\xfe: \xff"),
            *(b"a" * 66_000, b"X: " + b"a" * 66_000, b"HTTP/1.1 200 OK", "é: é".encode()),
        )
    )
    start, _, rest = reply.text.partition(b"\r\n")
    newline = rng.choice((b"\r\n", b"\r\n", b"\n", b"\r"))
    return Play((Step(start + b"\r\n" + line + newline + rest),), mostly_closing(rng))


# --- status -----------------------------------------------------------------------------------

STATUSES = (
    *(100, 101, 102, 103, 199, 200, 201, 202, 203, 204, 205, 206, 207, 226, 299, 300, 301, 302),
    *(303, 304, 305, 306, 307, 308, 399, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410),
    *(411, 412, 413, 414, 416, 417, 418, 421, 425, 426, 429, 431, 451, 499, 500, 501, 502, 503),
    *(504, 505, 507, 508, 511, 520, 599, 600, 999),
)
#: Those after which a client does something else than give up.
_EVENTFUL = (301, 302, 303, 307, 308, 401, 404, 405, 429, 503, 206, 204)
ODD_STATUSES = (
    *("0", "-1", "1", "99", "1000", "20", "2000", "abc", "", "200", "200  OK", "2OO OK", "200OK"),
    *("+200 OK", "0200 OK", "200 " + "a" * 70_000, "200 \x1b[2J", "200 \xff\xfe", "\uff12\uff10"),
)
ODD_STARTS = (
    *(b"HTTP/1.0 200 OK", b"HTTP/2 200 OK", b"HTTP/0.9 200 OK", b"HTTP/9.9 200 OK", b"ICY 200 OK"),
    *(b"http/1.1 200 OK", b"HTTP/1.1", b"", b"\r\n\r\n", b"SSH-2.0-OpenSSH_9.6", b"\x16\x03\x01"),
    *(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", b"<html>", b"220 ready", b"\x00" * 100),
)


def change_status(reply: Reply, rng: random.Random, known: Headers) -> Reply:
    """Answer with another status, and sometimes with what belongs to it."""
    code = rng.choice(_EVENTFUL if rng.random() < 0.5 else STATUSES)
    changed = replace(reply, status=f"{code} {responses.get(code, '')}")
    belongs = {3: "Location", 429: "Retry-After", 503: "Retry-After", 401: "WWW-Authenticate"}
    name = belongs.get(code, belongs.get(code // 100, ""))
    if name and rng.random() < 0.8:
        values = (*ODD_VALUES[name.lower()], *known.get(name.lower(), ()))
        changed = changed.with_header(name, rng.choice(values))
    return changed


def garble_status(reply: Reply, rng: random.Random, _known: Headers) -> Reply | Play:
    """Answer with a status line that is none."""
    if rng.random() < 0.5:
        return replace(reply, status=rng.choice(ODD_STATUSES))
    _, _, rest = reply.text.partition(b"\r\n")
    return Play((Step(rng.choice(ODD_STARTS) + b"\r\n" + rest),), mostly_closing(rng))


def interim(reply: Reply, rng: random.Random, _known: Headers) -> Play:
    """Send interim answers first."""
    code = rng.choice((100, 100, 102, 103, 101, 199))
    lines = rng.choice((b"", b"Link: <a>; rel=preload\r\n", b"Content-Length: 5\r\n"))
    one = f"HTTP/1.1 {code} x\r\n".encode() + lines + b"\r\n"
    return Play((Step(one * rng.choice((1, 2, 50, 500)) + reply.text),))


CHANGES: dict[str, Callable[[Reply, random.Random, Headers], Reply | Play]] = {
    "header.drop": drop_header,
    "header.garble": garble_header,
    "header.change": change_header,
    "header.repeat": repeat_header,
    "header.crowd": crowd_headers,
    "header.break": break_header,
    "status.change": change_status,
    "status.garble": garble_status,
    "status.interim": interim,
}
