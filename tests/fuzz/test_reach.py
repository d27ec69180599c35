"""Fuzzing reaches nearly every line of what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgverify.oci import (
    config,
    descriptor,
    digest,
    local,
    manifest,
    mediatype,
    platform,
    reference,
    strictjson,
)
from imgverify.registry import listing, ratelimit, urls
from imgverify.report import escape
from imgverify.store import documents, saved, tarhead
from tests.fuzz import copy_targets, line_targets
from tests.fuzz.fuzz_parsers import TARGETS, fuzz
from tests.fuzz.reach import lines_of, unreached

if TYPE_CHECKING:
    from collections.abc import Callable

TURNS = 600
#: What each target is about, and the share of its lines that has to be reached.
FLOOR = 0.85
ABOUT: dict[str, tuple[Callable[..., object], ...]] = {
    "reference": (*(reference.Reference.parse, reference.Registry.parse),),
    "digest": (digest.Digest.parse, digest.Digest.__post_init__),
    "media-type": (mediatype.MediaType.parse, mediatype.MediaType.from_header),
    "descriptor": (
        *(descriptor.Descriptor.from_json, descriptor.Descriptor.__post_init__),
        *(descriptor._check_data, descriptor._urls, descriptor.annotations_from_json),
        platform.Platform.from_json,
    ),
    "manifest": (
        *(manifest.parse_manifest, manifest._refuse_schema1, manifest._agreed_media_type),
        *(manifest._shape, manifest._index, manifest._manifest, manifest._descriptors),
        *(strictjson.loads, strictjson._check, strictjson.refuse_case_variants),
    ),
    "config": (
        *(config.parse_config, config._diff_ids, config._created, config._fields),
        config._canonical,
    ),
    "mirror": (reference.parse_mirror,),
    "link": (listing._next_page, urls.resolve_server_url, urls.same_origin),
    "retry-after": (ratelimit.parse_retry_after, ratelimit._utc),
    "server-url": (urls.resolve_server_url, urls.registry_of),
    "escape": (escape.escape, escape._is_harmful, escape._code),
    "redact-url": (escape.redact_url,),
    "local-copy": (local.LocalCopy.parse,),
    "tar": (tarhead.read_members, tarhead._parse, tarhead._number, tarhead._records),
    "tar-list": (tarhead._add, tarhead._target, tarhead._inside, tarhead._decoded),
    "saved": (saved.parse_saved, saved._image, saved._texts, saved._same),
    "layout-index": (documents.read_index, documents.entries_of),
}


@pytest.mark.parametrize("name", ABOUT)
def test_a_target_reaches_what_it_is_about(name: str) -> None:
    missed = unreached(lambda: fuzz({name: TARGETS[name]}, range(TURNS)), ABOUT[name])
    assert len(missed) <= (1 - FLOOR) * lines_of(ABOUT[name]), missed


def test_every_target_is_about_something() -> None:
    assert ABOUT.keys() <= TARGETS.keys()
    assert line_targets.TARGETS.keys() | copy_targets.TARGETS.keys() <= ABOUT.keys()


def _reached(number: int) -> int:
    if number > 1:
        return 1

    def inner() -> int:
        return number

    return inner()


def test_what_is_not_reached_is_named() -> None:
    start = _reached.__code__.co_firstlineno
    assert lines_of([_reached]) == 5
    assert unreached(lambda: _reached(1), [_reached]) == [f"_reached:{start + 2}"]
    inside = f"_reached.<locals>.inner:{start + 5}"
    assert inside in unreached(lambda: _reached(2), [_reached])
    assert unreached(lambda: [_reached(1), _reached(2)], [_reached]) == []
