"""When exit status 0 is right: the campaign's oracle, which takes nothing from imgverify.

It looks at what was sent over every connection, byte for byte, and at what lies at the
destination. It hashes and reads JSON by itself, in the simplest way that there is.

*Upstream's word* for a tag is every digest in the last answer to HEAD that has one, and the hash
of the body of the last answer to GET: of upstream itself or of a host that it redirected to, and
whether or not the campaign changed them, for nobody but upstream can say what it published.

*A host gave bytes* if they are the body of one of its answers of 2xx, or of a host that it
redirected to, in any reading of that answer's framing.

`verify` and `compare` may end with 0 only if for every mirror there is a document that the mirror
gave for the tag, and

1. it hashes to upstream's word; or, for `verify` alone, every entry of it is an entry of a
   document that upstream or the mirror gave and that hashes to upstream's word;
2. for every platform that is wanted (without --platform all that the document lists) the mirror
   gave bytes that hash to the digest under which that image is listed;
3. with --deep the mirror gave bytes that hash to the digest of the config and of every layer of
   each of these images;
4. a digest that was asked for is upstream's word.

`pull` may end with 0 only if the destination holds an image whose digest is upstream's word (with
one --platform: is listed for it in a document that hashes to upstream's word) and is the one that
was printed, every manifest, config and layer that it names is there and hashes to its name, and
so does everything else that is there. Any other status leaves no image at the destination.

`doctor` may end with 0 only if all bodies that the mirror gave for a digest (whole ones, without
Range or a coding) hash to it, and one of those that it gave for the tag hashes to what its last
answer to HEAD names.

Listings may end with 0 only if all that was printed is in a body that the host gave.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.fuzz.campaign.wire import Exchange

    #: Says what is wrong with an exit status of 0; empty where nothing is.
    Truth = Callable[["Evidence"], str]

_DEPTH = 3
_BLANK = re.compile(rb"\r?\n\r?\n")
# As lenient as any reader: for Python 0x85 and 0xa0 are blanks, and +0200 is a number.
_STATUS = re.compile(rb"\s*HTTP/[^\s\x85\xa0]*[\s\x85\xa0]+\+?0*(\d{3})(?!\d)")
_LENGTH = re.compile(rb"\bcontent-length:\s*(\d{1,9})\b", re.IGNORECASE)
_DIGEST = re.compile(rb"docker-content-digest:\s*(sha\d{3}:[0-9a-f]{64,128})", re.IGNORECASE)
_LOCATION = re.compile(rb"\blocation:\s*(\S+)", re.IGNORECASE)
_NOT_IMAGES = "attestation-manifest"
_PLATFORM = ("os", "architecture", "variant", "os.version", "os.features")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is to look at after a run."""

    log: Sequence[Exchange]
    printed: str
    out: Path


@dataclass(frozen=True, slots=True)
class Verified:
    """What an exit 0 of `verify` says, or with `same` that of `compare`."""

    upstream: str
    mirrors: tuple[str, ...]
    target: str
    platforms: tuple[str, ...] = ()
    deep: bool = False
    same: bool = False
    digest: str = ""

    def __call__(self, evidence: Evidence) -> str:
        """Hold every mirror against upstream."""
        word = _word(evidence.log, self.upstream, self.target)
        if self.digest and self.digest not in word:
            return f"{self.digest} was asked for, and upstream names something else"
        published = [each for each in _given(evidence.log) if _is_named(word, each)]
        for mirror in self.mirrors:
            given = _given(evidence.log, mirror)
            asked = _answers(evidence.log, mirror, self._target_of_mirror)
            tops = [
                body for each in asked for body in readings(each) if each.request.method == "GET"
            ]
            complaints = [self._wrong_with(top, word, published, given) for top in tops]
            if "" not in complaints:
                all_of_them = "; ".join(dict.fromkeys(complaints))
                return f"{mirror}: {all_of_them or 'it gave nothing for the tag'}"
        return ""

    @property
    def _target_of_mirror(self) -> str:
        """A mirror is asked by digest where there is one."""
        start, _, _ = self.target.rpartition("/")
        return f"{start}/{self.digest}" if self.digest else self.target

    def _wrong_with(
        self, top: bytes, word: set[str], published: Sequence[bytes], given: Sequence[bytes]
    ) -> str:
        try:
            if not _is_named(word, top) and (
                self.same or not any(_is_part(top, each) for each in published)
            ):
                return "what the mirror gave for the tag is not what upstream says it is"
            return _lacking(top, given, self.platforms, deep=self.deep)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return f"a document that cannot be read was accepted: {error!r:.100}"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What an exit 0 of `pull` says."""

    upstream: str
    target: str
    platforms: tuple[str, ...] = ()

    def __call__(self, evidence: Evidence) -> str:
        """Look at the destination."""
        word = _word(evidence.log, self.upstream, self.target)
        try:
            return self._wrong_with(evidence, word, contents(evidence.out))
        except (ValueError, TypeError, KeyError, AttributeError, LookupError, OSError) as error:
            return f"the destination cannot be read: {error!r:.100}"

    def _wrong_with(self, evidence: Evidence, word: set[str], found: dict[str, bytes]) -> str:
        (entry,) = _object(found["index.json"])["manifests"]
        root = str(entry["digest"])
        # A report names what was verified; of one platform's image that is the index.
        told = evidence.printed.startswith("{") and self.platforms
        if not told and not _pinned(evidence.printed).endswith(f"@{root}"):
            return f"{root} is there, and something else was printed"
        blobs = {
            name.removeprefix("blobs/").replace("/", ":", 1): data
            for name, data in found.items()
            if name.startswith("blobs/")
        }
        for name, data in blobs.items():
            if not _hashes_to(name, data):
                return f"what lies under {name} hashes to something else"
        published = [each for each in _given(evidence.log) if _is_named(word, each)]
        named = _is_named(word, blobs[root])
        if not named and not (self.platforms and any(_lists(each, root) for each in published)):
            return f"{root} is there, which upstream does not name"
        return _lacking(
            blobs[root], list(blobs.values()), self.platforms if named else (), deep=True
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """What an exit 0 of a listing says; it prints one thing a line."""

    host: str

    def __call__(self, evidence: Evidence) -> str:
        """Look for every line in what the host gave."""
        given = _given(evidence.log, self.host)
        for line in evidence.printed.splitlines():
            if not any(line.encode() in each for each in given):
                return f"{line!r:.100} was listed, and nobody said so"
        return ""


@dataclass(frozen=True, slots=True)
class Examined:
    """What an exit 0 of `doctor` says of a mirror."""

    host: str
    target: str

    def __call__(self, evidence: Evidence) -> str:
        """Look for a lie that should have been noticed."""
        for each in _answers(evidence.log, self.host):
            digest = each.target.partition("?")[0].rpartition("/")[2]
            asked = each.request.method == "GET" and each.request.header("Range") is None
            by_digest = digest.startswith("sha256:") and "/referrers/" not in each.target
            if asked and by_digest and _is_whole(each):
                bodies = readings(each)
                if bodies and not any(_hashes_to(digest, one) for one in bodies):
                    return f"the mirror gave something else for {digest}"
        answers = list(_answers(evidence.log, self.host, self.target))
        names = [_digests(each) for each in answers if each.request.method == "HEAD"]
        given = [one for each in answers if _is_whole(each) for one in readings(each)]
        if names and names[-1] and given and not any(_is_named(names[-1], one) for one in given):
            return "what the mirror's header names is not what it gave"
        return ""


def contents(out: Path) -> dict[str, bytes]:
    """Return the files of a layout or an archive by their names."""
    if out.is_file():
        with tarfile.open(out) as archive:
            files = {each.name: archive.extractfile(each) for each in archive if each.isfile()}
            return {name: file.read() for name, file in files.items() if file is not None}
    return {
        str(each.relative_to(out)): each.read_bytes()
        for each in out.rglob("*")
        if each.is_file() and not each.relative_to(out).parts[0].startswith(".")
    }


def _pinned(printed: str) -> str:
    """Return the name with a digest that was printed, by itself or in a report."""
    if printed.startswith("{"):
        return str(json.loads(printed)["images"][0]["pinned"])
    return printed.rstrip()


def has_image(out: Path) -> bool:
    """Tell whether a reader would find an image there."""
    return out.is_file() or (out / "index.json").exists()


# --- what was sent ----------------------------------------------------------------------------


def readings(exchange: Exchange) -> list[bytes]:
    """Return what a reader may take for the body of an answer of 2xx: one for each framing."""
    head, body = _final(exchange.play.text)
    status = _STATUS.match(head)
    if status is None or not status[1].startswith(b"2"):
        return []
    lengths = [int(each) for each in _LENGTH.findall(head)]
    found = [body, *(body[:each] for each in lengths if each <= len(body))]
    if b"chunked" in head.lower():
        found.append(_dechunked(body))
    return found


def _final(text: bytes) -> tuple[bytes, bytes]:
    """Return the head and the rest of an answer, interim ones left out."""
    while True:
        blank = _BLANK.search(text)
        if blank is None:
            return text, b""
        head, rest = text[: blank.start()], text[blank.end() :]
        status = _STATUS.match(head)
        if status is None or not status[1].startswith(b"1") or not rest:
            return head, rest
        text = rest


def _dechunked(body: bytes) -> bytes:
    pieces: list[bytes] = []
    # As Python's own int() reads a number, which takes more for one than RFC 9112 does.
    while found := re.match(rb"\s*\+?(?:0[xX])?([0-9a-fA-F_]{1,9})[^\r\n]*\r?\n", body):
        size = int(found[1].replace(b"_", b"") or b"0", 16)
        pieces.append(body[found.end() : found.end() + size])
        body = body[found.end() + size :]
        if not size:
            break
    return b"".join(pieces)


def _answers(log: Sequence[Exchange], host: str, target: str = "") -> Iterator[Exchange]:
    """Go through a host's answers, one target's or all, and those it redirected to."""
    followed: set[tuple[str, str]] = set()
    for each in log:
        here = (each.host, each.target)
        own = each.host == host and target in ("", each.target)
        if not own and here not in followed:
            continue
        yield each
        head, _ = _final(each.play.text)
        for location in _LOCATION.findall(head):
            to = urlsplit(_joined(f"http://{each.host}{each.target}", location.decode("latin-1")))
            query = f"?{to.query}" if to.query else ""
            followed.add((to.netloc.removesuffix(":80"), f"{to.path}{query}"))


def _joined(base: str, location: str) -> str:
    try:
        return urljoin(base, location)
    except ValueError:
        return base


def _given(log: Sequence[Exchange], host: str = "") -> list[bytes]:
    """Return all bodies that a host gave, or anybody."""
    answers: Iterable[Exchange] = _answers(log, host) if host else log
    return [body for each in answers if each.request.method == "GET" for body in readings(each)]


def _is_whole(exchange: Exchange) -> bool:
    """Tell whether an answer to GET has as many bytes as it says, says so once, and no coding."""
    head, body = _final(exchange.play.text)
    told = _LENGTH.findall(head) == [b"%d" % len(body)]
    return told and b"-encoding" not in head.lower() and exchange.request.method == "GET"


def _digests(exchange: Exchange) -> set[str]:
    """Return what the head of an answer of 2xx names."""
    head, _ = _final(exchange.play.text)
    status = _STATUS.match(head)
    if status is None or not status[1].startswith(b"2"):
        return set()
    return {found.decode("latin-1") for found in _DIGEST.findall(head)}


def _word(log: Sequence[Exchange], host: str, target: str) -> set[str]:
    """Return upstream's word: the digests that its tag may be said to name."""
    by_head: set[str] = set()
    by_body: set[str] = set()
    for each in _answers(log, host, target):
        head, _ = _final(each.play.text)
        status = _STATUS.match(head)
        if status is None or not status[1].startswith(b"2"):
            continue
        if each.request.method == "HEAD":
            by_head = _digests(each) or by_head
        else:
            by_body = {f"sha256:{hashlib.sha256(body).hexdigest()}" for body in readings(each)}
    return by_head | by_body


# --- what it says -----------------------------------------------------------------------------


def _hashes_to(digest: str, data: bytes) -> bool:
    algorithm, _, wanted = digest.partition(":")
    known = algorithm in ("sha256", "sha384", "sha512")
    return known and hashlib.new(algorithm, data).hexdigest() == wanted


def _is_named(word: Iterable[str], data: bytes) -> bool:
    return any(_hashes_to(each, data) for each in word)


def _object(data: bytes) -> dict[str, Any]:
    document = json.loads(data.decode("utf-8"), object_pairs_hook=_unambiguous)
    if not isinstance(document, dict):
        raise TypeError(document)
    return document


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        message = "a key is there twice"
        raise ValueError(message)
    return dict(pairs)


def _children(document: dict[str, Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = document["manifests"] or []
    return listed


def _entries(data: bytes) -> set[str]:
    """Return every entry of an index in one form; a document that is no index has only itself."""
    document = _object(data)
    if "manifests" not in document:
        return {f"sha256:{hashlib.sha256(data).hexdigest()}"}
    return {json.dumps(_entry(each), sort_keys=True) for each in _children(document)}


def _entry(child: dict[str, Any]) -> list[Any]:
    """Return what a runtime looks at when it chooses; absent, empty and null are the same."""
    platform = child.get("platform") or {}
    chosen_by = [platform.get(key) or None for key in _PLATFORM]
    return [child.get("mediaType"), child["digest"], child["size"], chosen_by]


def _is_part(top: bytes, whole: bytes) -> bool:
    """Tell whether all that a document lists is listed by another; one reading may be no JSON."""
    try:
        return _entries(top) <= _entries(whole)
    except (ValueError, TypeError):
        return False


def _lists(data: bytes, digest: str) -> bool:
    """Tell whether a document lists a digest; one reading of an answer may be no JSON."""
    try:
        return any(each.get("digest") == digest for each in _children(_object(data)))
    except (ValueError, TypeError, KeyError):
        return False


def _is_image(child: dict[str, Any]) -> bool:
    marked = (child.get("annotations") or {}).get("vnd.docker.reference.type") == _NOT_IMAGES
    platform = child.get("platform") or {}
    return not (marked and platform.get("os") == platform.get("architecture") == "unknown")


def _is_for(child: dict[str, Any], wanted: str) -> bool:
    platform = child.get("platform") or {}
    os, architecture, *variant = wanted.split("/")
    own = [platform.get("os"), platform.get("architecture"), platform.get("variant")]
    return own[: 2 + len(variant)] == [os, architecture, *variant]


def _lacking(
    top: bytes,
    given: Sequence[bytes],
    platforms: tuple[str, ...],
    *,
    deep: bool,
    depth: int = 0,
) -> str:
    """Say what of a document's images is not among `given`; empty where nothing is lacking."""
    document = _object(top)
    if "manifests" not in document:
        return _lacking_blobs(document, given) if deep else ""
    if depth > _DEPTH:
        return "an index in an index, and so on"
    children = [each for each in _children(document) if _is_image(each)]
    for wanted in platforms:
        if not any(_is_for(each, wanted) for each in children):
            return f"there is nothing for {wanted}"
    chosen = [
        each for each in children if not platforms or any(_is_for(each, one) for one in platforms)
    ]
    for each in chosen:
        found = next((one for one in given if _hashes_to(each["digest"], one)), None)
        if found is None:
            return f"nobody gave {each['digest']}"
        problem = _lacking(found, given, (), deep=deep, depth=depth + 1)
        if problem:
            return problem
    return ""


def _lacking_blobs(document: dict[str, Any], given: Sequence[bytes]) -> str:
    for each in (document["config"], *(document["layers"] or [])):
        foreign = ".foreign." in each["mediaType"] or ".nondistributable." in each["mediaType"]
        if not foreign and not any(_hashes_to(each["digest"], one) for one in given):
            return f"nobody gave {each['digest']}"
    return ""
