"""What is written: text for people, JSON for programs."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from imgverify.doctor.check import ANSWERS, ANYWHERE, Check, Mark, Topic
from imgverify.doctor.host.model import Gap
from imgverify.doctor.jsonreport import render_json, schema_text
from imgverify.doctor.judgement import MirrorReport, Use
from imgverify.doctor.observation import Scheme
from imgverify.doctor.text import render_text
from imgverify.exitcode import of_decisions
from imgverify.registry.hostconfig.model import Protection, Runtime
from imgverify.verdict import Decision, Grade
from tests.unit.doctor.reports import GOOD, REPORTS, image, report
from tests.unit.report.harm import commands, unseen

SCHEMA = json.loads(schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)
HARM = "\x1b[31m\u202e\n::error::x\x07"
ENUMS: dict[str, type[Enum]] = {
    "mark": Mark,
    "mirror.use": Use,
    "mirror.decision": Decision,
    "mirror.scheme": Scheme,
    "check.topic": Topic,
    "image.grade": Grade,
    "runtime.runtime": Runtime,
    "endpoint.protection": Protection,
    "bypass.gap": Gap,
}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_report_satisfies_the_schema() -> None:
    VALIDATOR.validate(json.loads(render_json(list(REPORTS.values()))))
    VALIDATOR.validate(json.loads(render_json([replace(GOOD, rate_limit=None)])))
    VALIDATOR.validate(json.loads(render_json([])))


@pytest.mark.parametrize(("place", "enum"), ENUMS.items(), ids=ENUMS)
def test_schema_and_code_know_the_same_values(place: str, enum: type[Enum]) -> None:
    definition, _, field = place.partition(".")
    node = SCHEMA["$defs"][definition]
    listed = (node["properties"][field] if field else node)["enum"]
    assert set(listed) == {each.value for each in enum}


def test_schema_and_code_know_the_same_answers() -> None:
    anywhere, *topics = SCHEMA["$defs"]["check"]["oneOf"]
    assert tuple(anywhere["properties"]["answer"]["enum"]) == ANYWHERE
    listed = {
        each["properties"]["topic"]["const"]: tuple(each["properties"]["answer"]["enum"])
        for each in topics
    }
    assert listed == {topic.value: answers for topic, answers in ANSWERS.items()}


def test_every_object_of_the_schema_is_closed_and_complete() -> None:
    described = [each for each in _objects(SCHEMA) if "properties" in each and "type" in each]
    assert len(described) == 13
    for each in described:
        assert each["additionalProperties"] is False
        assert set(each["required"]) == set(each["properties"])


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each)


def test_an_answer_that_is_not_documented_cannot_be_given() -> None:
    with pytest.raises(ValueError, match="'maybe' is no answer to api"):
        Check(Topic.API, "maybe", Mark.GOOD, "")


def test_the_text_of_a_mirror() -> None:
    assert render_text([GOOD], colour=False, width=80) == (
        "mirror.example: tags-and-digests: in words\n"
        "  ok    API         registry/2.0, over https\n"
        "  ok    login       Bearer: tokens from auth.mirror.example\n"
        "  note  referrers   the mirror does not have the API (404)\n"
        "                    hint: do\n"
        "  -     not asked: Range, Accept (the image was not given)\n"
        "  ok    docker.io/library/nginx:1.27\n"
        "        identical: in words\n"
        f"        sha256:{'a' * 64}\n"
        "  13 requests\n"
    )


def test_several_mirrors_have_a_table_first() -> None:
    other = replace(REPORTS[Use.DO_NOT_USE], name="m.example:5000")
    lines = render_text([GOOD, other], colour=False, width=None).splitlines()
    assert lines[:4] == [
        "MIRROR          JUDGEMENT",
        "mirror.example  tags-and-digests: in words",
        "m.example:5000  do-not-use: in words",
        "",
    ]


@pytest.mark.parametrize("width", [40, 80, 132])
def test_lines_are_broken_at_the_width_but_for_what_is_copied_whole(width: int) -> None:
    wordy = replace(GOOD, sentence="word " * 60)
    for line in render_text([wordy, *REPORTS.values()], colour=False, width=width).splitlines():
        assert len(line) <= width or "sha256:" in line or "docker.io/" in line, line


def test_colour_changes_no_column() -> None:
    reports = list(REPORTS.values())
    plain = render_text(reports, colour=False, width=80)
    painted = render_text(reports, colour=True, width=80)
    for code in ("1;31", "1;32", "1;33", "31", "32", "33", "0"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == plain


def test_terminal_escapes_nothing_remote_is_obeyed() -> None:
    bad = replace(
        REPORTS[Use.UNKNOWN],
        name=HARM,
        sentence=HARM,
        checks=tuple(replace(each, text=HARM, hint=HARM) for each in REPORTS[Use.UNKNOWN].checks),
        images=tuple(replace(each, summary=HARM) for each in REPORTS[Use.UNKNOWN].images),
        redirects={"manifests": (HARM,), "blobs": (HARM,)},
    )
    for text in (render_text([bad, bad], colour=False, width=60), render_json([bad])):
        assert unseen(text) <= {"\n"}
        assert not any(map(commands, text.splitlines()))
    VALIDATOR.validate(json.loads(render_json([bad])))


DECIDED: list[tuple[MirrorReport, Decision, int]] = [
    (report(Use.TAGS_AND_DIGESTS), Decision.ALLOW, 0),
    (report(Use.UNASKED), Decision.ALLOW, 0),
    (report(Use.NOTHING, images=(image(Grade.MISSING, Mark.NOTE),)), Decision.ALLOW, 0),
    (report(Use.DIGESTS_ONLY, images=(image(Grade.STALE, Mark.NOTE),)), Decision.ALLOW, 0),
    (
        report(Use.TAGS_AND_DIGESTS, (Check(Topic.RANGE, "unknown", Mark.UNKNOWN, ""),)),
        Decision.INCONCLUSIVE,
        3,
    ),
    (report(Use.UNKNOWN, images=(image(Grade.STALE, Mark.UNKNOWN),)), Decision.INCONCLUSIVE, 3),
    (
        report(Use.DO_NOT_USE, (Check(Topic.RANGE, "unknown", Mark.UNKNOWN, ""),)),
        Decision.DENY,
        1,
    ),
]


@pytest.mark.parametrize(("found", "decision", "status"), DECIDED)
def test_what_follows_for_a_mirror(found: MirrorReport, decision: Decision, status: int) -> None:
    assert found.decision is decision
    assert of_decisions([found.decision]) == status


def test_the_worst_mirror_decides() -> None:
    for one, two in itertools.permutations(DECIDED, 2):
        worst = 1 if 1 in (one[2], two[2]) else max(one[2], two[2])
        assert of_decisions([one[1], two[1]]) == worst
    assert of_decisions([]) == 2
