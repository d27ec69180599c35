"""JSON taken apart and put together wrongly: every way in which a document can break its schema.

Objects are lists of members here, so that a key may come twice, and `Raw` is text that need not
be JSON at all.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

    #: Values that documents have, by their key.
    Pool = Mapping[str, Sequence[Any]]


class Members(list[tuple[str, Any]]):
    """An object of JSON."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Text that stands for a value as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Site:
    """A member of an object or an element of a list."""

    holder: list[Any]
    index: int

    @property
    def key(self) -> str:
        """The member's key; an element has none."""
        return str(self.holder[self.index][0]) if isinstance(self.holder, Members) else ""

    @property
    def value(self) -> Any:  # noqa: ANN401 - any JSON
        """What is there."""
        found = self.holder[self.index]
        return found[1] if isinstance(self.holder, Members) else found

    def put(self, value: object) -> None:
        """Put something else there."""
        self.holder[self.index] = (self.key, value) if isinstance(self.holder, Members) else value

    def add(self, key: str, value: object) -> None:
        """Put something beside it."""
        self.holder.append((key, value) if isinstance(self.holder, Members) else value)


def read(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Take a document apart; raises `ValueError` for what is no JSON."""
    return json.loads(data, object_pairs_hook=Members)


def write(node: object, *, escaped: bool = True) -> str:
    """Put a document together; `escaped` writes only ASCII."""
    if isinstance(node, Raw):
        return node.text
    if isinstance(node, Members):
        pairs = (f"{_text(key, escaped)}:{write(value, escaped=escaped)}" for key, value in node)
        return "{" + ",".join(pairs) + "}"
    if isinstance(node, list):
        return "[" + ",".join(write(each, escaped=escaped) for each in node) + "]"
    return _text(node, escaped)


def _text(value: object, escaped: bool) -> str:  # noqa: FBT001 - as json's own argument
    return json.dumps(value, ensure_ascii=escaped)


def sites(node: object) -> Iterator[Site]:
    """Go through every member and element, in the document's order."""
    if isinstance(node, list):
        for index in range(len(node)):
            site = Site(node, index)
            yield site
            yield from sites(site.value)


#: Text that does something to who reads it: a terminal, a log, a CI runner.
HARMFUL_TEXT = (
    *("\x00", "\x1b[2J", "a\x1b]0;b\x07", "\r\n", "\u202e", "\u2028", "\ufeff", "\x9b2J"),
    *("\n::error::x", "##[error]x", "##vso[task.setvariable]x", "a\u200bb", "\U000e0041"),
)
ODD_TEXT = (
    *("", " ", "a", "null", "0", "../..", "/etc/passwd", "-", "%2e%2e", "latest", "a" * 300),
    *("\u212a", "\uff11", "\ud800", "sha256:", "sha256:" + "0" * 64, "sha512:" + "0" * 128),
    *("sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256:../../x", "application/json", "http://x/"),
)
ODD_NUMBERS = (
    *("0", "-0", "-1", "1", "2", "1.0", "1e3", "1e400", "-1e400", "1E-400", "0.1", "00", "+1"),
    *("2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551616"),
    *("9" * 19, "9" * 400, "9" * 5000, "0x10", "NaN", "Infinity", "-Infinity", "1_0"),
)
SECURITY_KEYS = (
    *("manifests", "layers", "config", "fsLayers", "mediaType", "digest", "size", "urls", "data"),
    *("platform", "subject", "artifactType", "annotations", "schemaVersion", "rootfs", "diff_ids"),
    *("token", "access_token", "expires_in", "tags", "errors", "os", "architecture", "variant"),
)
RETYPED: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, "", "a", "1", [], Members(), [None], [[]], ["a"]),
    *(Members([("a", 1)]), [Members()], [1, 2]),
)


def drop(site: Site, _rng: random.Random, _pool: Pool) -> None:
    """Leave it out."""
    del site.holder[site.index]


def null(site: Site, _rng: random.Random, _pool: Pool) -> None:
    """Write null."""
    site.put(None)


def retype(site: Site, rng: random.Random, _pool: Pool) -> None:
    """Write a value of another type."""
    others = [each for each in RETYPED if type(each) is not type(site.value)]
    site.put(copy.deepcopy(rng.choice(others)))


def duplicate(site: Site, rng: random.Random, pool: Pool) -> None:
    """Write it twice, with the same or another value."""
    other = rng.choice((site.value, None, _other_value(site, rng, pool)))
    site.holder.insert(
        site.index + rng.randint(0, 1),
        (site.key, other) if isinstance(site.holder, Members) else other,
    )


def spell(site: Site, rng: random.Random, pool: Pool) -> None:
    """Add or leave only a key that some readers take for this one."""
    key = site.key
    forms = [
        key.upper(),
        key.lower(),
        key.title(),
        key.swapcase(),
        f"{key} ",
        f" {key}",
        f"{key}\0",
    ]
    forms += [key.replace("s", "\u017f"), key.replace("k", "\u212a"), key.replace("e", "\u0435")]
    value = rng.choice((site.value, _other_value(site, rng, pool)))
    if rng.random() < 0.5:
        site.add(rng.choice(forms), value)
    elif isinstance(site.holder, Members):
        site.holder[site.index] = (rng.choice(forms), value)


def swap(site: Site, rng: random.Random, pool: Pool) -> None:
    """Write what another document has under this key."""
    site.put(_other_value(site, rng, pool))


def number(site: Site, rng: random.Random, _pool: Pool) -> None:
    """Write a number that not everybody can hold, or that is none."""
    site.put(Raw(rng.choice(ODD_NUMBERS)))


def text(site: Site, rng: random.Random, _pool: Pool) -> None:
    """Write text that is meant for somebody else than the reader, or very much of it."""
    if rng.random() < 0.1:
        site.put(rng.choice("a/:[") * rng.choice((1000, 100_000, 3_000_000)))
        return
    before = site.value if isinstance(site.value, str) else ""
    odd = rng.choice(rng.choice((ODD_TEXT, HARMFUL_TEXT)))
    at = rng.randint(0, len(before))
    site.put(rng.choice((odd, odd, before[:at] + odd + before[at:], before[:at])))


def rename(site: Site, rng: random.Random, _pool: Pool) -> None:
    """Give it another name, which a report may quote."""
    if isinstance(site.holder, Members):
        site.holder[site.index] = (rng.choice((*HARMFUL_TEXT, *ODD_TEXT)), site.value)


def nest(site: Site, rng: random.Random, _pool: Pool) -> None:
    """Write something very deep."""
    opened, closed = rng.choice((("[", "]"), ('{"a":', "}"), ('{"manifests":[', "]}")))
    depth = rng.choice((10, 31, 32, 33, 100, 1000, 20_000, 1_000_000 // len(opened)))
    inner = rng.choice(("1", "null", "[]", ""))
    site.put(Raw(opened * depth + inner + closed * rng.choice((depth, depth, depth - 1))))


def swell(site: Site, rng: random.Random, most: int) -> None:
    """Write very many values; each takes a reader many times the memory that it takes a wire."""
    one = rng.choice(("1", "{}", "[]", '""', "null", "1.5", write(site.value)[:400]))
    count = min(rng.choice((10, 257, 1001, 20_000, most)), most // (len(one) + 1))
    if rng.random() < 0.5:
        site.put(Raw("[" + ",".join([one] * count) + "]"))
    else:
        count = min(count, most // (len(one) + 11))
        site.put(Raw("{" + ",".join(f'"{at:07}":{one}' for at in range(count)) + "}"))


def repeat(site: Site, rng: random.Random, _pool: Pool) -> None:
    """Write what a list has once more, or very often, or the other way round."""
    value = site.value
    if not isinstance(value, list) or not value:
        site.add(site.key, copy.deepcopy(value))
        return
    match rng.randrange(4):
        case 0:
            again = value[::-1]
        case 1:
            again = value[:1] * rng.choice((2, 257, 513, 1001))
        case 2:
            again = value[: rng.randrange(len(value))]
        case _:
            again = [*value, rng.choice(value)]
    # A slice of an object's members is a list, which an object is not.
    site.put(copy.deepcopy(type(value)(again)))


def intrude(site: Site, rng: random.Random, pool: Pool) -> None:
    """Add a key that means something, or nothing, where nobody expects it."""
    key = rng.choice((*SECURITY_KEYS, *SECURITY_KEYS, "x", "", "$schema", "__proto__"))
    values = pool.get(key) or RETYPED
    site.add(key, copy.deepcopy(rng.choice((*values[:20], *RETYPED))))


CHANGES: dict[str, Callable[[Site, random.Random, Pool], None]] = {
    each.__name__: each
    for each in (
        *(drop, null, retype, duplicate, spell, swap, number, text, rename, nest, repeat, intrude),
    )
}
#: What takes long or much memory comes less often.
_WEIGHTS = {**dict.fromkeys(CHANGES, 6), "nest": 2, "swell": 1}
#: In bytes: the most that a document is swollen to.
LARGEST = 4_000_000


def change(
    data: bytes, rng: random.Random, pool: Pool, *, most: int = LARGEST
) -> tuple[str, bytes]:
    """Change one or two places of a document; raises `ValueError` for what is no JSON.

    `most` bounds the size of what is made very large.
    """
    node = read(data)
    names: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        found = list(sites(node))
        if not found:
            break
        (name,) = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        site = rng.choice(found)
        if name == "swell":
            swell(site, rng, most)
        else:
            CHANGES[name](site, rng, pool)
        names.append(name)
    if not names or rng.random() < 0.04:
        name = rng.choice(list(WHOLE))
        return f"document.{name}", WHOLE[name](write(node))
    written = write(node, escaped=rng.random() < 0.7)
    return f"document.{'+'.join(names)}", written.encode("utf-8", "surrogatepass")


#: What can be wrong with a document as a whole.
WHOLE: dict[str, Callable[[str], bytes]] = {
    "trailing": lambda written: f"{written}x".encode(),
    "twice": lambda written: (written * 2).encode(),
    "mark": lambda written: b"\xef\xbb\xbf" + written.encode(),
    "utf-16": lambda written: written.encode("utf-16"),
    "utf-32": lambda written: written.encode("utf-32-le"),
    "latin-1": lambda written: written.replace("a", "\xe4").encode("latin-1", "replace"),
    "comment": lambda written: f"/* {written} */ {written}".encode(),
    "list": lambda written: f"[{written}]".encode(),
    "blank": lambda written: written.encode() + b" " * 1_000_000,
    "nothing": lambda _: b"",
    "null": lambda _: b"null",
    "number": lambda _: b"1" * 5000,
}


def _other_value(site: Site, rng: random.Random, pool: Pool) -> Any:  # noqa: ANN401 - any JSON
    values = pool.get(site.key) or RETYPED
    return copy.deepcopy(rng.choice(values))


def values_of(documents: Sequence[bytes]) -> dict[str, list[Any]]:
    """Collect what documents have under each key, each value once.

    Not tokens: one that was given for a purpose is not to turn up elsewhere by our own doing.
    """
    pool: dict[str, dict[str, Any]] = {}
    for data in documents:
        try:
            node = read(data)
        except ValueError:
            continue
        for site in sites(node):
            if site.key and "token" not in site.key:
                pool.setdefault(site.key, {}).setdefault(write(site.value), site.value)
    return {key: list(found.values()) for key, found in sorted(pool.items())}
