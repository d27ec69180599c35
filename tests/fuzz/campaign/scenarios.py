"""What imgverify is asked, and what the hosts hold, before anything is changed.

To add a scenario, add a line to `SCENARIOS`: a command, its hosts, and the exit status that it
has while every answer is as it should be. What is asked in it is found out by running it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from imgverify.oci import mediatype
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.mediatype import Compression
from imgverify.serve.shelf import Shelf
from tests.fuzz.campaign import hosts, library
from tests.fuzz.campaign.hosts import AUTH, CDN, EVIL, HOSTS, MIRROR, SECOND, UP, Site
from tests.fuzz.campaign.truth import Examined, Listed, Pulled, Verified
from tests.support.image import (
    AMD64,
    ARM64,
    Image,
    ImageIndex,
    artifact,
    docker,
    docker_original,
    index,
    list_with,
    multi_platform,
    put,
    recompressed,
    release,
    reserialised,
    skopeo_oci,
    tamper,
    trimmed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.fuzz.campaign.hosts import Answer, Serving
    from tests.fuzz.campaign.truth import Truth

    Item = Image | ImageIndex | Shelf
    Sites = Mapping[str, Site]

PATH: Final = "library/app"
TAG: Final = "1.4"
NAME: Final = f"{UP}/{PATH}:{TAG}"
TARGET: Final = f"/v2/{PATH}/manifests/{TAG}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`command` has `{out}` where the destination goes; `call` is there instead of a command.

    `exit` is the status while nothing is changed; `truth` says what is wrong with a 0.
    """

    name: str
    sites: Sites
    exit: int
    truth: Truth
    command: tuple[str, ...] = ()
    call: Callable[[float], int] | None = None
    credentials: Mapping[str, object] = field(default_factory=dict)
    weight: int = 3

    def answers(self) -> dict[str, Answer]:
        """Return what each host answers; what it counts starts anew."""
        return {host: site.serving(site.shelf) for host, site in self.sites.items()}

    def words(self, folder: Path, seconds: float) -> list[str]:
        """Return the command line; `folder` has the credentials, and room for the destination."""
        command = [each.replace("{out}", str(folder / "out")) for each in self.command]
        insecure = [word for host in HOSTS for word in ("--insecure-http", host)]
        return [
            "--config",
            str(folder / "config.json"),
            *command,
            *insecure,
            "--timeout",
            f"{seconds}",
        ]


# --- content ----------------------------------------------------------------------------------

_TWO: Final = (AMD64, ARM64)
NEW: Final = index(tuple(release("app", "1.4.2", each) for each in _TWO))
OLD: Final = index(tuple(release("app", "1.4.1", each) for each in _TWO))
FORGED: Final = index(tuple(release("app", "1.4.2-x.9", each) for each in _TWO))
ATTESTED: Final = multi_platform("app", "1.4.2")
ONE: Final = release("app", "1.4.2")
DOCKER: Final = tuple(docker(release("app", "1.4.2", each)) for each in _TWO)
LIST: Final = index(DOCKER, media_type=mediatype.DOCKER_INDEX)
CLASSIC: Final = docker_original()
NEVER: Final = Shelf()


def holding(*items: Item) -> Shelf:
    """Put images on a shelf, the first of them under the tag."""
    shelf = Shelf()
    shelf.add_repository(PATH)
    for position, each in enumerate(items):
        if isinstance(each, Shelf):
            return each
        put(shelf, PATH, each, TAG if position == 0 else None)
    return shelf


def _tampered(item: Image) -> Shelf:
    """Hold an image whose last layer was changed where it lies."""
    shelf = holding(item)
    tamper(shelf, item)
    return shelf


def _layerless(item: Image) -> Shelf:
    """Hold an image without its layers."""
    shelf = holding(item)
    for each in item.layers:
        shelf.remove_blob(each.descriptor.digest)
    return shelf


def _nested() -> Shelf:
    """Hold an index in an index."""
    shelf = holding(NEW)
    inner = Descriptor(NEW.media_type, NEW.digest, len(NEW.manifest))
    outer = list_with(NEW, inner)
    shelf.put_manifest(PATH, outer.manifest, outer.media_type, tag=TAG)
    return shelf


def _listed() -> Shelf:
    """Hold an image with tags, with referrers, and with the tag that lists them."""
    shelf = holding(ONE)
    for number in range(5):
        shelf.tag(PATH, f"1.{number}", ONE.digest)
        put(shelf, PATH, artifact(ONE, str(number).encode()))
    signature = artifact(ONE)
    document = json.loads(index((signature,)).manifest)
    document["manifests"][0]["artifactType"] = "application/vnd.test.sig"
    fallback = json.dumps(document).encode()
    shelf.put_manifest(PATH, fallback, mediatype.OCI_INDEX, tag=f"sha256-{ONE.digest.encoded}")
    return shelf


def both(
    up: Item, mirror: Item, serving: Serving = hosts.plain, *, up_serving: Serving = hosts.plain
) -> dict[str, Site]:
    """Return the hosts of a scenario with one mirror, and those that may come into play."""
    shelf = holding(mirror)
    return {
        UP: Site(holding(up), up_serving),
        MIRROR: Site(shelf, serving),
        CDN: Site(shelf, hosts.plain),
        AUTH: Site(Shelf(), hosts.token_server),
        EVIL: Site(holding(FORGED, ONE, NEW), hosts.plain),
    }


def beside(sites: Sites, second: Item) -> dict[str, Site]:
    """Return the hosts of a scenario with another mirror."""
    return {**sites, SECOND: Site(holding(second), hosts.plain)}


# --- commands ---------------------------------------------------------------------------------

_IMAGE: Final = ("--image", NAME)
_AMD64: Final = ("--platform", "linux/amd64")
_LOGIN: Final = {"auths": {MIRROR: {"auth": hosts.BASIC.removeprefix("Basic ")}}}
_SIGNED_OUT: Final[Mapping[str, object]] = {}


def verify(
    name: str,
    sites: Sites,
    status: int,
    *words: str,
    credentials: Mapping[str, object] = _SIGNED_OUT,
) -> Scenario:
    """Ask for a verdict on the mirrors that the sites have."""
    mirrors = tuple(each for each in (MIRROR, SECOND) if each in sites)
    claim = Verified(UP, mirrors, TARGET, _platforms(words), deep="--deep" in words)
    named = [word for each in mirrors for word in ("--mirror", each)]
    return Scenario(name, sites, status, claim, ("verify", NAME, *named, *words), None, credentials)


def verify_pinned(name: str, sites: Sites, status: int, digest: str, *, tag: str = "") -> Scenario:
    """Ask for a verdict on what has a digest, and perhaps a tag that has to name it."""
    target = TARGET if tag else f"/v2/{PATH}/manifests/{digest}"
    claim = Verified(UP, (MIRROR,), target, digest=digest)
    reference = f"{UP}/{PATH}{tag}@{digest}"
    return Scenario(name, sites, status, claim, ("verify", reference, "--mirror", MIRROR))


def compare(name: str, sites: Sites, status: int, *words: str) -> Scenario:
    """Ask whether the mirror has the very same."""
    claim = Verified(UP, (MIRROR,), TARGET, _platforms(words), deep="--deep" in words, same=True)
    command = ("compare", NAME, f"{MIRROR}/{PATH}:{TAG}", *words)
    return Scenario(name, sites, status, claim, command)


def pull(
    name: str,
    sites: Sites,
    status: int,
    *words: str,
    to: str = "oci:{out}:app",
    credentials: Mapping[str, object] = _SIGNED_OUT,
) -> Scenario:
    """Ask for the image itself."""
    mirrors = tuple(each for each in (MIRROR, SECOND) if each in sites)
    named = [word for each in mirrors for word in ("--mirror", each)]
    claim = Pulled(UP, TARGET, _platforms(words))
    command = ("pull", NAME, *named, "--to", to, *words)
    return Scenario(name, sites, status, claim, command, None, credentials, weight=2)


def examine(
    name: str,
    sites: Sites,
    status: int,
    *words: str,
    credentials: Mapping[str, object] = _SIGNED_OUT,
) -> Scenario:
    """Ask what the mirror does."""
    command = ("doctor", MIRROR, *words)
    return Scenario(name, sites, status, Examined(MIRROR, TARGET), command, None, credentials)


def listing(name: str, sites: Sites, ask: library.Ask, *, digest: str = "") -> Scenario:
    """Ask for what no command asks for by itself."""
    reference = f"{UP}/{PATH}@{digest}" if digest else NAME
    call = library.listing(reference, HOSTS, ask)
    return Scenario(name, sites, 0, Listed(UP), call=call)


def _platforms(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word.startswith("linux/"))


def _scenarios() -> tuple[Scenario, ...]:
    same, alone = both(NEW, NEW), both(ONE, ONE)
    of_service = hosts.guarded(hosts.bearer(AUTH, "mirror", PATH), "Bearer token-for-mirror")
    of_upstream = hosts.guarded(hosts.bearer(AUTH, "up", PATH), "Bearer token-for-up")
    own = hosts.guarded(
        hosts.bearer(MIRROR, "mirror", PATH),
        f"Bearer {hosts.USER_TOKEN}",
        "Bearer token-for-mirror",
    )
    away = hosts.behind(own, hosts.redirecting("/blobs/"))
    basic = hosts.guarded('Basic realm="registry"', hosts.BASIC)
    zstd = recompressed(ONE, Compression.ZSTD)
    later = hosts.failing(HTTPStatus.TOO_MANY_REQUESTS, ("Retry-After", "0"), times=1)
    never = hosts.failing(HTTPStatus.TOO_MANY_REQUESTS, ("Retry-After", "3600"))
    tokens = both(NEW, NEW, of_service, up_serving=of_upstream)
    subject = str(ONE.digest)
    return (
        verify("index", same, 0),
        verify("image", alone, 0),
        verify("image-for-platform", alone, 0, *_AMD64),
        verify("docker-list", both(LIST, LIST), 0),
        verify("docker-image", both(CLASSIC, CLASSIC), 0),
        verify("attested", both(ATTESTED, ATTESTED), 0),
        verify("nested", both(_nested(), _nested()), 0),
        verify("deep", alone, 0, "--deep"),
        verify("deep-index", same, 0, "--deep"),
        verify("two-mirrors", beside(alone, ONE), 0),
        verify("subset", both(NEW, trimmed(NEW, AMD64)), 0, *_AMD64),
        verify("subset-deep", both(ATTESTED, trimmed(ATTESTED, AMD64)), 0, *_AMD64, "--deep"),
        verify("platform-lacking", both(NEW, trimmed(NEW, AMD64)), 1),
        verify("stale", both(NEW, OLD), 1),
        verify("stale-known", both(holding(NEW, OLD), OLD), 1),
        verify("diverged", both(NEW, FORGED), 1),
        verify("repackaged", both(ONE, zstd), 1, "--deep"),
        verify("reserialised", both(NEW, reserialised(NEW)), 1),
        verify("converted", both(CLASSIC, skopeo_oci(CLASSIC)), 1, "--deep"),
        verify("tampered", both(ONE, _tampered(ONE)), 1, "--deep"),
        verify("layerless", both(ONE, _layerless(ONE)), 1, "--deep"),
        verify("missing", both(ONE, Shelf()), 1),
        verify("gone", both(Shelf(), ONE), 3),
        verify_pinned("pinned", both(ONE, ONE), 0, str(ONE.digest)),
        verify_pinned("pinned-and-tagged", same, 0, str(NEW.digest), tag=f":{TAG}"),
        verify_pinned(
            "pinned-to-another",
            both(holding(NEW, OLD), holding(NEW, OLD)),
            1,
            str(OLD.digest),
            tag=f":{TAG}",
        ),
        verify("no-head", both(NEW, NEW, up_serving=hosts.without_head), 0),
        verify("no-digest", both(NEW, NEW, up_serving=hosts.without_digest), 0),
        verify("tokens", tokens, 0),
        verify("login", both(ONE, ONE, own), 0, "--deep", credentials=_LOGIN),
        verify("login-redirected", both(ONE, ONE, away), 0, "--deep", credentials=_LOGIN),
        verify("basic", both(ONE, ONE, basic), 0, credentials=_LOGIN),
        verify("redirected", both(NEW, NEW, hosts.redirecting("/manifests/")), 0),
        verify(
            "upstream-redirected", both(NEW, NEW, up_serving=hosts.redirecting("/manifests/")), 0
        ),
        verify("blobs-redirected", both(ONE, ONE, hosts.redirecting("/blobs/")), 0, "--deep"),
        verify("limited-once", both(ONE, ONE, later, up_serving=later), 0),
        verify("limited", both(ONE, ONE, never), 3),
        verify("forbidden", both(ONE, ONE, hosts.failing(HTTPStatus.FORBIDDEN)), 3),
        verify("upstream-failing", both(ONE, ONE, up_serving=hosts.failing(HTTPStatus(500))), 3),
        compare("same", same, 0),
        compare("same-deep", alone, 0, "--deep"),
        compare("subset-compared", both(NEW, trimmed(NEW, AMD64)), 1),
        compare("docker-and-oci", both(LIST, NEW), 1),
        pull("pulled-image", alone, 0),
        pull("pulled-index", same, 0),
        pull("pulled-platform", both(ATTESTED, ATTESTED), 0, *_AMD64),
        pull("pulled-archive", alone, 0, to="oci-archive:{out}"),
        pull("pulled-for-docker", both(CLASSIC, CLASSIC), 0, to="docker-archive:{out}"),
        pull("pulled-from-both", both(ONE, _layerless(ONE)), 0),
        pull("pulled-past-a-liar", both(ONE, _tampered(ONE)), 0),
        pull("pulled-past-a-stale-one", both(holding(NEW, OLD), OLD), 0, *_AMD64),
        pull("pulled-from-upstream", both(ONE, Shelf()), 0),
        pull("pulled-in-halves", both(ONE, ONE, hosts.breaking_off), 0),
        pull("pulled-redirected", both(ONE, ONE, hosts.redirecting("/blobs/")), 0),
        pull("pulled-logged-in", both(ONE, ONE, own), 0, credentials=_LOGIN),
        pull("pulled-nothing", both(ONE, release("app", "1.4.2-x.9")), 1),
        examine("doctor", same, 0, *_IMAGE),
        examine("doctor-image", alone, 0, *_IMAGE),
        examine("doctor-without-image", same, 0),
        examine("doctor-stale", both(holding(NEW, OLD), OLD), 0, *_IMAGE),
        examine("doctor-diverged", both(NEW, FORGED), 3, *_IMAGE),
        examine("doctor-missing", both(ONE, Shelf()), 0, *_IMAGE),
        examine("doctor-tokens", tokens, 0, *_IMAGE),
        examine("doctor-login", both(ONE, ONE, own), 0, *_IMAGE, credentials=_LOGIN),
        examine("doctor-redirected", both(ONE, ONE, hosts.redirecting("/blobs/")), 0, *_IMAGE),
        examine("doctor-referrers", both(_listed(), _listed()), 0, *_IMAGE),
        examine("doctor-limited", both(ONE, ONE, never), 3, *_IMAGE),
        listing("tags", both(_listed(), NEVER), library.tags),
        listing("tag-pages", both(_listed(), NEVER, up_serving=hosts.in_pages(2)), library.tags),
        listing("referrers", both(_listed(), NEVER), library.referrers, digest=subject),
        listing(
            "referrer-pages",
            both(_listed(), NEVER, up_serving=hosts.in_pages(2)),
            library.referrers,
            digest=subject,
        ),
        listing(
            "referrer-tag",
            both(_listed(), NEVER, up_serving=hosts.without_referrers),
            library.referrers,
            digest=subject,
        ),
    )


#: All of them, by their names.
SCENARIOS: Final = {each.name: each for each in _scenarios()}
