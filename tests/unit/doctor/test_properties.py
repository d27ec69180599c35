"""Whatever a mirror answers, something is said of it, and it is harmless and of the right shape."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from imgverify.compare.image import Image
from imgverify.doctor.jsonreport import render_json, schema_text
from imgverify.doctor.judgement import Use, judge
from imgverify.doctor.observation import (
    Failure,
    Fault,
    Gathered,
    Observed,
    Ranged,
    Reply,
    Scheme,
    Sighting,
    Traits,
    Upstream,
    is_rest_of,
)
from imgverify.doctor.text import render_text
from imgverify.oci import mediatype
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import parse_manifest
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.verdict import Decision
from tests.unit.doctor.scene import NEW, OLD
from tests.unit.report.harm import commands, unseen

VALIDATOR = Draft202012Validator(json.loads(schema_text()))
NOW = datetime(2026, 3, 20, tzinfo=UTC)
NAME = Reference.parse("docker.io/library/app:1.4")
THERE = NAME.at(Repository(Registry("m.example"), NAME.repository.path))
LAYER = NEW.images[0].layers[0]

TYPES = [
    *(str(each) for each in (mediatype.OCI_INDEX, mediatype.DOCKER_MANIFEST)),
    *(str(each) for each in (mediatype.SCHEMA1_SIGNED, mediatype.OCI_MANIFEST)),
    "text/html",
    "",
]
DIGESTS = [NEW.digest, OLD.digest, NEW.images[0].digest, Digest.of(b"x")]
BODIES = [
    NEW.manifest,
    OLD.manifest,
    NEW.images[0].manifest,
    LAYER.blob,
    LAYER.blob[1:],
    b"",
    b"{}",
    b'{"errors":[{"code":"NAME_UNKNOWN"}, 1]}',
    b'{"schemaVersion":2,"manifests":[]}',
]
words = st.one_of(st.text(max_size=20), st.sampled_from(["\x1b[31m", "::error::", "98;w=60"]))
hosts = st.sampled_from(["m.example", "cdn.example:5000", "::error::\x1b"])
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(TYPES),
        "docker-content-digest": st.one_of(st.sampled_from(list(map(str, DIGESTS))), words),
        "docker-distribution-api-version": words,
        "www-authenticate": st.one_of(
            words, st.builds('Bearer realm="https://{}/"'.format, words), st.just("Basic")
        ),
        "content-range": st.sampled_from(["bytes 1-9/10", "bytes 0-9/*", "x"]),
        "oci-namespace": words,
        "retry-after": words,
        "ratelimit-remaining": words,
        "ratelimit-limit": words,
    },
)
replies = st.builds(
    Reply,
    st.sampled_from([200, 200, 206, 299, 400, 401, 403, 404, 405, 416, 418, 429, 500, 503]),
    headers,
    st.one_of(st.sampled_from(BODIES), st.binary(max_size=30)),
    st.lists(hosts, min_size=1, max_size=3).map(tuple),
)
answers = st.one_of(replies, st.builds(Failure, words, words, st.sampled_from(Fault)))
maybe = st.none() | answers
traits = st.builds(
    Traits,
    answers,
    maybe,
    maybe,
    st.booleans(),
    maybe,
    st.none() | st.just(mediatype.DOCKER_MANIFEST),
    maybe,
    maybe,
    maybe,
    st.none() | st.tuples(st.sampled_from(DIGESTS), answers),
    st.none() | st.builds(Ranged, st.just(LAYER.descriptor), answers, maybe),
)
sightings = st.builds(
    Sighting,
    st.sampled_from([THERE, THERE.pinned(NEW.digest)]),
    answers,
    st.none() | st.tuples(st.just(NEW.digest), answers),
)
images = st.sampled_from(
    [
        Image(parse_manifest(Content.of(each), content_type=kind))
        for each, kind in ((NEW.manifest, NEW.media_type), (NEW.images[0].manifest, None))
    ]
)
upstreams = st.builds(
    Upstream,
    st.just(NAME),
    st.none() | st.just(NEW.digest),
    st.none() | st.builds(Failure, words),
    st.lists(hosts, max_size=2).map(tuple),
    st.none() | st.lists(st.sampled_from(DIGESTS), max_size=2, unique=True).map(tuple),
    st.none() | images,
    st.frozensets(st.sampled_from(DIGESTS)),
)


@st.composite
def gathered(draw: st.DrawFn) -> Gathered:
    asked = draw(st.booleans())
    observed = Observed(
        draw(hosts),
        THERE.registry,
        draw(st.sampled_from(Scheme)),
        draw(answers),
        (draw(sightings),) if asked else (),
        draw(traits) if asked else None,
        None if asked else draw(maybe),
        draw(st.integers(0, 20)),
    )
    return Gathered((observed,), (draw(upstreams),) if asked else ())


@settings(max_examples=300, deadline=timedelta(seconds=2))
@given(gathered())
def test_whatever_is_answered_something_is_said(found: Gathered) -> None:
    (report,) = judge(found, NOW)
    text = render_text([report], colour=False, width=60)
    said = render_json([report])
    VALIDATOR.validate(json.loads(said))
    for each in (text, said, json.dumps(json.loads(said), ensure_ascii=False)):
        assert unseen(each) <= {"\n"}
        assert not any(map(commands, each.splitlines()))
    assert (report.use is Use.DO_NOT_USE) == (report.decision is Decision.DENY)


@settings(max_examples=200)
@given(gathered())
def test_a_good_mirror_gave_bytes_that_hash_to_upstreams_digest(found: Gathered) -> None:
    (report,) = judge(found, NOW)
    if report.use is not Use.TAGS_AND_DIGESTS:
        return
    (observed,), (upstream,) = found.mirrors, found.upstreams
    served = observed.sightings[0].served
    assert isinstance(served, Reply)
    assert upstream.digest is not None
    assert upstream.digest.matches(served.body)


@given(st.binary(min_size=1, max_size=64))
def test_the_rest_of_a_blob_is_known_by_its_digest(data: bytes) -> None:
    blob = type(LAYER.descriptor)(mediatype.OCI_LAYER, Digest.of(data), len(data))
    assert is_rest_of(blob, data[1:])
    assert not is_rest_of(blob, data)
