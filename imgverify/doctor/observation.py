"""What mirrors and upstreams answered, as values: read here, judged elsewhere."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, Malformed, Unauthorized
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import Index, parse_manifest
from imgverify.oci.mediatype import OCI_INDEX, MediaType
from imgverify.oci.strictjson import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgverify.compare.image import Image
    from imgverify.errors import ImgverifyError
    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.manifest import Manifest
    from imgverify.oci.reference import Reference, Registry

_OK: Final = 200
_SUCCESS: Final = range(200, 300)
_NOT_LET_IN: Final = frozenset({401, 403})
_TOO_MANY: Final = 429
#: What registries answer to a method or an endpoint that they do not know.
_NOT_KNOWN: Final = frozenset({400, 405, 406, 501})


@dataclass(frozen=True, slots=True)
class Place:
    """A mirror as it was named, and what each image is called there."""

    name: str
    registry: Registry
    references: tuple[Reference, ...] = ()


class Fault(enum.StrEnum):
    """Why there is no answer: none came, none would be given, or it broke the protocol."""

    SILENT = "silent"
    REFUSED = "refused"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Failure:
    """A question without an answer; `message` and `hint` may hold text that a server sent."""

    message: str
    hint: str = ""
    fault: Fault = Fault.SILENT

    @classmethod
    def of(cls, error: ImgverifyError) -> Failure:
        """Keep what an error says."""
        fault = Fault.BROKEN if isinstance(error, ContentError) else Fault.SILENT
        fault = Fault.REFUSED if isinstance(error, Unauthorized) else fault
        return cls(error.message, error.hint, fault)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of whatever status; header names are in lower case.

    `served_by` are the hosts asked, in order, redirects included.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    served_by: tuple[str, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self.status in _SUCCESS

    @property
    def refuses_access(self) -> bool:
        """Whether other credentials are wanted, or none would do."""
        return self.status in _NOT_LET_IN

    @property
    def is_unsupported(self) -> bool:
        """Whether the status is one of those that stand for "I do not know how to"."""
        return self.status in _NOT_KNOWN

    @property
    def is_rate_limited(self) -> bool:
        """Whether too much was asked already."""
        return self.status == _TOO_MANY

    @property
    def media_type(self) -> MediaType | None:
        """What the Content-Type header says."""
        return MediaType.from_header(self.headers.get("content-type", ""))

    @property
    def claimed(self) -> Digest | None:
        """What the Docker-Content-Digest header says, if that can be read."""
        try:
            return Digest.parse(self.headers.get("docker-content-digest"))
        except Malformed:
            return None

    @property
    def digest(self) -> Digest:
        """The hash of the body."""
        return Digest.of(self.body)

    @property
    def error_codes(self) -> frozenset[str]:
        """The codes of an error in the API's own form (distribution-spec, "Error Codes")."""
        try:
            errors = load_object(self.body, "").get("errors")
        except ContentError:
            return frozenset()
        listed = errors if isinstance(errors, list) else []
        return frozenset(str(each.get("code")) for each in listed if isinstance(each, dict))


Seen = Reply | Failure


@dataclass(frozen=True, slots=True)
class Ranged:
    """A blob that was asked for without its first byte, and whole where that did not go well."""

    blob: Descriptor
    part: Seen
    whole: Seen | None = None

    @property
    def gave_all(self) -> bool:
        """Whether the whole blob came though a part was asked for."""
        return isinstance(self.part, Reply) and self.part.status == _OK


@dataclass(frozen=True, slots=True)
class Traits:
    """What is asked once for each mirror, with the first image; None is what was not asked.

    `again` is a second HEAD, where the first one's digest is not that of the bytes.
    `accepted` is the one type that `narrow` was asked with.
    `carried` asks for a referrer that upstream lists and the mirror does not;
    `odd` asks for the referrers of something that is no digest.
    `by_digest` asks for what the mirror itself gave the digest of.
    """

    head: Seen
    again: Seen | None = None
    namespaced: Seen | None = None
    needs_namespace: bool = False
    narrow: Seen | None = None
    accepted: MediaType | None = None
    referrers: Seen | None = None
    carried: Seen | None = None
    odd: Seen | None = None
    by_digest: tuple[Digest, Seen] | None = None
    ranged: Ranged | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """One image at a mirror: by the name that was asked for, and by the digest upstream gave it.

    `current` is None where the name alone already gave that digest, or upstream gave none.
    """

    reference: Reference
    served: Seen
    current: tuple[Digest, Seen] | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """An image at its upstream; `failure` says why not all of it is known.

    `image` is what was read of it, where a mirror differs, and `earlier` the digests that
    mirrors gave and upstream still serves.  `referrers` is None where they could not be looked up.
    """

    reference: Reference
    digest: Digest | None = None
    failure: Failure | None = None
    served_by: tuple[str, ...] = ()
    referrers: tuple[Digest, ...] | None = None
    image: Image | None = None
    earlier: frozenset[Digest] = frozenset()


class Scheme(enum.StrEnum):
    """How a mirror was reached."""

    HTTPS = "https"
    UNCHECKED = "https-unchecked"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Observed:
    """All that one mirror was asked; `requests` counts what that took.

    `absent` asks for the referrers of an absent digest, where no image was named.
    """

    name: str
    registry: Registry
    scheme: Scheme
    greeting: Seen
    sightings: tuple[Sighting, ...] = ()
    traits: Traits | None = None
    absent: Seen | None = None
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Gathered:
    """What all mirrors and upstreams answered; `upstreams` has one for each image asked for."""

    mirrors: tuple[Observed, ...]
    upstreams: tuple[Upstream, ...] = ()


def read_manifest(seen: Seen | None, digest: Digest | None = None) -> Manifest | Index | None:
    """Read a manifest that was served (under `digest`); None for anything else."""
    if not isinstance(seen, Reply) or not seen.is_success:
        return None
    try:
        content = Content.of(seen.body) if digest is None else Content(seen.body, digest)
        return parse_manifest(content, content_type=seen.media_type)
    except ContentError:
        return None


def read_referrers(seen: Seen | None) -> tuple[Descriptor, ...] | None:
    """Read a list of referrers; None for an answer that is none."""
    if not isinstance(seen, Reply) or seen.media_type != OCI_INDEX:
        return None
    index = read_manifest(seen)
    return index.manifests if isinstance(index, Index) else None


def all_seen(seen: Observed) -> tuple[Seen, ...]:
    """Return every answer, those about the images last."""
    traits = seen.traits
    found: list[Seen | None] = [seen.greeting, seen.absent]
    if traits is not None:
        found += [traits.head, traits.again, traits.namespaced, traits.narrow, traits.referrers]
        found += [traits.carried, traits.odd, traits.by_digest[1] if traits.by_digest else None]
        found += [traits.ranged.part, traits.ranged.whole] if traits.ranged else []
    for each in seen.sightings:
        found += [each.served, each.current[1] if each.current else None]
    return tuple(each for each in found if each is not None)


def digest_of(seen: Seen | None) -> Digest | None:
    """Hash what was served; None where nothing was."""
    return seen.digest if isinstance(seen, Reply) and seen.is_success else None


def was_given(seen: Observed) -> bool:
    """Tell whether a mirror gave the first image, by name or by upstream's digest."""
    if not seen.sightings:
        return False
    first = seen.sightings[0]
    current = first.current[1] if first.current else None
    return any(digest_of(each) is not None for each in (first.served, current))


def is_rest_of(blob: Descriptor, data: bytes) -> bool:
    """Tell whether `data` is a blob without its first byte, which is found by trying them all."""
    return any(blob.digest.matches(bytes((first,)) + data) for first in range(256))
