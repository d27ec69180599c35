"""Answers in pages (distribution-spec, "Listing Tags" and "Listing Referrers")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imgverify.errors import LimitExceeded, Malformed, NotFound, Unreachable
from imgverify.oci import limits
from imgverify.oci.digest import Content
from imgverify.oci.manifest import Index, parse_manifest
from imgverify.oci.mediatype import OCI_INDEX, MediaType
from imgverify.oci.strictjson import load_object
from imgverify.registry.urls import resolve_server_url, same_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from imgverify.oci.descriptor import Descriptor
    from imgverify.oci.digest import Digest
    from imgverify.registry.session import Answer

    FetchPage = Callable[[str | httpx.URL, str], tuple[Answer, bytes]]

# One target of a Link header (RFC 8288 §3) and its parameters, up to the next target.
_LINK: Final = re.compile(r"<([^<>]*)>([^<>]*)", re.ASCII)
_RELATION: Final = re.compile(
    r';\s*rel\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s;,"]+))', re.ASCII | re.IGNORECASE
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_JSON: Final = "application/json"
#: What registries without the referrers API answer; anything else is an error, not "none".
_NO_API: Final = frozenset({400, 405, 406, 501})


@dataclass(frozen=True, slots=True)
class Referrers:
    """Descriptors of manifests that name a digest as their subject, each digest once.

    `has_api` tells a registry that answered through the referrers API from one that has none.
    An empty list proves nothing: nobody signs the absence of a referrer.
    """

    descriptors: tuple[Descriptor, ...]
    has_api: bool


def list_tags(fetch_page: FetchPage, path: str) -> tuple[str, ...]:
    """Collect the tags of all pages, in the registry's order, each once."""
    tags: dict[str, None] = {}
    for body, _ in _pages(fetch_page, path, _JSON, limits.TAG_PAGES):
        page = load_object(body, "the list of tags").get("tags") or []
        if not isinstance(page, list) or not all(
            isinstance(each, str) and _TAG.fullmatch(each) for each in page
        ):
            msg = "the list of tags has entries that are no tags"
            raise Malformed(msg)
        tags |= dict.fromkeys(page)
        if len(tags) > limits.TAGS:
            msg = f"more than {limits.TAGS} tags"
            raise LimitExceeded(msg)
    return tuple(tags)


def list_referrers(fetch_page: FetchPage, path: str) -> tuple[Descriptor, ...] | None:
    """Collect what the referrers API lists; None where the registry has no such API."""
    found: list[Descriptor] = []
    try:
        for body, content_type in _pages(fetch_page, path, str(OCI_INDEX), limits.REFERRER_PAGES):
            if content_type != OCI_INDEX:
                return None
            index = parse_manifest(Content.of(body), content_type=OCI_INDEX)
            found += index.manifests if isinstance(index, Index) else ()
    except NotFound:
        return None
    except Unreachable as error:
        if error.status in _NO_API:
            return None
        raise
    return tuple(found)


def merge_referrers(
    digest: Digest,
    api: tuple[Descriptor, ...] | None,
    tagged: tuple[Descriptor, ...],
    artifact_type: MediaType | None,
) -> Referrers:
    """Join the two places, each digest once; keep one artifact type if one is given."""
    both = {each.digest: each for each in (*(api or ()), *tagged)}
    if len(both) > limits.REFERRERS:
        msg = f"more than {limits.REFERRERS} manifests refer to {digest}"
        raise LimitExceeded(msg)
    kept = (each for each in both.values() if artifact_type in (None, each.artifact_type))
    return Referrers(tuple(kept), has_api=api is not None)


def _pages(
    fetch_page: FetchPage, path: str, accept: str, most: int
) -> Iterator[tuple[bytes, MediaType | None]]:
    target: str | httpx.URL = path
    for _ in range(most):
        answer, body = fetch_page(target, accept)
        response = answer.response
        yield body, MediaType.from_header(response.headers.get("Content-Type", ""))
        following = _next_page(response)
        if following is None:
            return
        target = following
    msg = f"a list of more than {most} pages"
    raise LimitExceeded(msg)


def _next_page(response: httpx.Response) -> httpx.URL | None:
    header = response.headers.get("Link", "")
    if len(header) > limits.URL_LENGTH:
        msg = f"the registry sent a Link header of {len(header)} characters"
        raise LimitExceeded(msg)
    links = (each[1] for each in _LINK.finditer(header) if _is_next(each[2]))
    target = next(links, None)
    if target is None:
        return None
    url = resolve_server_url(response.request.url, target)
    if not same_origin(url, response.request.url):
        msg = "the registry's next page is on another host"
        raise Malformed(msg)
    return url


def _is_next(parameters: str) -> bool:
    # The words are looked at one by one: as part of the pattern they would be looked for again
    # and again in a text that is never closed.
    return any(
        "next" in (each["quoted"] or each["plain"] or "").lower().split()
        for each in _RELATION.finditer(parameters)
    )
