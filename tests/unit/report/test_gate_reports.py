"""Every format tells the same, in a form that its readers take, and nothing in it can harm them."""

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from imgverify.gate.mention import Location
from imgverify.gate.outcome import GateImage, Outcome
from imgverify.report.annotations import render_annotations
from imgverify.report.gatejson import render_gate_json
from imgverify.report.gatetext import render_gate_text
from imgverify.report.gitlab import render_gitlab
from imgverify.report.jsonreport import schema_text
from imgverify.report.junit import render_junit
from imgverify.report.markdown import render_markdown
from imgverify.report.sarif import render_sarif, uri_of
from imgverify.verdict import HELP_URI, Decision, Rule
from tests.support.schemas import sarif_schema
from tests.unit.report.harm import commands, unseen
from tests.unit.report.outcomes import (
    ALL,
    EMPTY,
    EMPTY_ALLOWED,
    GOOD,
    NASTY,
    OUTCOMES,
    hostile_outcome,
    named,
)
from tests.unit.report.verdicts import IDENTICAL

VALIDATOR = Draft202012Validator(json.loads(schema_text()))


def text_of(outcome: Outcome) -> str:
    return render_gate_text(outcome, colour=False, width=None)


def github(outcome: Outcome) -> str:
    return "\n".join(render_annotations(outcome))


def sarif(outcome: Outcome) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(render_sarif(outcome))
    Draft7Validator(sarif_schema()).validate(report)
    (run,) = report["runs"]
    found: dict[str, Any] = run
    return found


RENDERERS: dict[str, Callable[[Outcome], str]] = {
    "text": text_of,
    "json": render_gate_json,
    "sarif": render_sarif,
    "junit": render_junit,
    "markdown": render_markdown,
    "gitlab": render_gitlab,
}


# --- what is told -----------------------------------------------------------------------------


def test_the_text_has_a_line_for_each_place_and_one_that_sums_it_up() -> None:
    lines = text_of(ALL).splitlines()
    assert lines[0] == "k8s/web.yaml:12:16: DENIED docker.io/library/nginx:1.27"
    assert lines[1] == "Dockerfile:1:6: DENIED docker.io/library/nginx:1.27"
    assert lines[2].startswith("  malformed (mirror): the mirror's image is not upstream's; take")
    assert "mirror m.example.cn/library/nginx is diverged: as far" in lines[3]
    assert "compose.yaml:3:12: UNRESOLVABLE ${IMAGE}" in lines
    assert "chart/templates/x.yaml:4:9: UNREADABLE" in lines
    assert lines[-1] == (
        "5 references to 4 images in 6 files:"
        " 1 allowed, 1 denied, 1 inconclusive, 1 unresolvable, 1 unreadable place"
    )


def test_colour_and_width_are_the_reader_s() -> None:
    coloured = render_gate_text(ALL, colour=True, width=60)
    assert "\x1b[1;31mDENIED\x1b[0m" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert all(len(line) <= 60 or line[0] != " " for line in plain.splitlines())


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [(ALL, "deny"), (GOOD, "allow"), (EMPTY, "inconclusive"), (EMPTY_ALLOWED, "allow")],
)
def test_the_json_is_of_the_published_shape(outcome: Outcome, decision: str) -> None:
    report = json.loads(render_gate_json(outcome))
    VALIDATOR.validate(report)
    assert report["decision"] == decision


def test_the_json_names_every_place() -> None:
    report = json.loads(render_gate_json(ALL))
    assert [len(each["locations"]) for each in report["images"]] == [2, 1, 1, 1]
    assert report["images"][3]["upstream"] is None
    (unreadable,) = report["unreadable"]
    assert (unreadable["file"], unreadable["line"]) == ("chart/templates/x.yaml", 4)


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "allow"},
        {"unreadable": [{}]},
        {"emptyAllowed": "yes"},
        {"images": [{}]},
    ],
)
def test_the_schema_refuses_what_contradicts_itself(change: dict[str, Any]) -> None:
    report = json.loads(render_gate_json(ALL))
    assert not VALIDATOR.is_valid(report | change)


def test_the_schema_refuses_a_pass_beside_something_unreadable() -> None:
    report = json.loads(render_gate_json(GOOD))
    assert VALIDATOR.is_valid(report)
    place = {"file": "x", "line": 1, "column": 1, "message": "x"}
    assert not VALIDATOR.is_valid(report | {"unreadable": [place]})
    empty = json.loads(render_gate_json(EMPTY_ALLOWED))
    assert not VALIDATOR.is_valid(empty | {"emptyAllowed": False})


def test_sarif_has_one_result_for_each_place_that_is_not_allowed() -> None:
    results = sarif(ALL)["results"]
    places = [
        (
            each["ruleId"],
            each["level"],
            each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            each["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for each in results
    ]
    assert places == [
        ("unreadable-file", "error", "chart/templates/x.yaml", 4),
        ("malformed", "error", "k8s/web.yaml", 12),
        ("malformed", "error", "Dockerfile", 1),
        ("unreachable", "error", "b.list", 2),
        ("unresolvable-reference", "error", "compose.yaml", 3),
        ("insecure", "note", "a/%C3%A9%20x.yaml", 5),
    ]


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_every_rule_in_sarif_leads_to_its_page(outcome: Outcome) -> None:
    run = sarif(outcome)
    rules = run["tool"]["driver"]["rules"]
    assert len({each["id"] for each in rules}) == len(rules)
    for each in run["results"]:
        rule = rules[each["ruleIndex"]]
        assert rule["id"] == each["ruleId"]
        assert Rule(rule["id"])
        assert rule["helpUri"] == f"{HELP_URI}#{rule['id']}"


def test_a_result_keeps_its_fingerprint_when_lines_move() -> None:
    one, other = (
        sarif(Outcome((GateImage("x", named(("a", line, 1)), ALL.images[0].verdict),)))["results"]
        for line in (1, 9)
    )
    assert one[0]["partialFingerprints"] == other[0]["partialFingerprints"]


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a/b c.yaml", "a/b%20c.yaml"),
        ("/tmp/x", "file:///tmp/x"),  # noqa: S108 - a name
        ("a:b?c#d%", "a%3Ab%3Fc%23d%25"),
        ("bad\udcff", "bad%FF"),
        ("-", "-"),
    ],
)
def test_a_path_becomes_a_uri(path: str, uri: str) -> None:
    assert uri_of(path) == uri


def test_junit_counts_what_it_lists() -> None:
    root = ET.fromstring(render_junit(ALL))  # noqa: S314 - our own
    (suite,) = root
    cases = suite.findall("testcase")
    failures = [each for each in cases if each.find("failure") is not None]
    errors = [each for each in cases if each.find("error") is not None]
    for each in (root, suite):
        assert int(each.attrib["tests"]) == len(cases) == 6
        assert int(each.attrib["failures"]) == len(failures) == 2
        assert int(each.attrib["errors"]) == len(errors) == 3
    assert cases[0].attrib["classname"] == "k8s/web.yaml:12:16"
    assert [each.tag for each in cases[3]] == []


def junit_problems(root: ET.Element) -> list[str]:
    """Say what Jenkins' schema of these files would not take."""
    counts = {"tests", "failures", "errors", "skipped"}
    taken = {
        "testsuites": ({"testsuite"}, {"name", *counts}),
        "testsuite": ({"testcase"}, {"name", *counts}),
        "testcase": ({"failure", "error"}, {"name", "classname"}),
        "failure": (set[str](), {"type", "message"}),
        "error": (set[str](), {"type", "message"}),
    }
    problems = [] if root.tag == "testsuites" else [root.tag]
    for each in root.iter():
        children, attributes = taken[each.tag]
        problems += [child.tag for child in each if child.tag not in children]
        problems += [name for name in each.attrib if name not in attributes]
        numbers = counts & each.attrib.keys()
        problems += [name for name in numbers if not each.attrib[name].isdigit()]
    return problems


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_junit_is_of_the_usual_shape(outcome: Outcome) -> None:
    assert junit_problems(ET.fromstring(render_junit(outcome))) == []  # noqa: S314 - our own


def test_markdown_tells_what_is_not_allowed_first() -> None:
    text = render_markdown(ALL)
    assert text.index("**denied**") < text.index("**unreadable**") < text.index("<details>")
    assert "<details>" not in render_markdown(EMPTY)


def test_markdown_lists_no_more_places_than_somebody_reads() -> None:
    many = named(*(("a", line, 1) for line in range(1, 31)))
    text = render_markdown(Outcome((GateImage("x", many, IDENTICAL),)))
    assert "and 10 more" in text
    assert "a:20:1" in text
    assert "a:21:1" not in text


def test_gitlab_gets_one_entry_for_each_place() -> None:
    entries = json.loads(render_gitlab(ALL))
    assert len({each["fingerprint"] for each in entries}) == len(entries) == 6
    for each in entries:
        assert each.keys() == {"description", "check_name", "fingerprint", "severity", "location"}
        assert each["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert each["location"]["lines"]["begin"] >= 1


def test_annotations_name_file_line_and_column() -> None:
    lines = github(ALL).splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("::error file=k8s/web.yaml,line=12,col=16,title=imgverify%3A ma")
    assert lines[-1].startswith("::notice ")


def test_one_outcome_has_one_decision_in_every_format() -> None:
    assert ALL.decision is Decision.DENY
    assert GOOD.decision is Decision.ALLOW
    for render in RENDERERS.values():
        assert "nginx" in unescape(render(GOOD)) or render in (render_sarif, render_gitlab)
    assert json.loads(render_gitlab(GOOD)) == sarif(GOOD)["results"] == []


# --- what must not happen ---------------------------------------------------------------------

WHOLE = pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)


@WHOLE
@pytest.mark.parametrize("name", RENDERERS)
def test_report_formats_nothing_hostile_gets_through(text: str, name: str) -> None:
    rendered = RENDERERS[name](hostile_outcome(text))
    assert rendered.encode("utf-8")
    assert not unseen(rendered) - {"\n"}
    assert [found for line in rendered.splitlines() for found in commands(line)] == []


@WHOLE
def test_ci_commands_annotations_begin_only_where_they_are_meant_to(text: str) -> None:
    outcome = hostile_outcome(text)
    lines = github(outcome).splitlines()
    assert len(lines) == len(github(hostile_outcome("x")).splitlines())
    for line in lines:
        assert not unseen(line)
        head, _, rest = line[2:].partition("::")
        assert re.fullmatch(r"(error|notice) file=[^,:]*,line=\d+,col=\d+,title=[^,:]*", head)
        assert "\n" not in rest


@WHOLE
def test_report_formats_sarif_stays_valid_and_its_text_is_text(text: str) -> None:
    run = sarif(hostile_outcome(text))
    for each in run["results"]:
        message = each["message"]["text"]
        assert not re.search(r"(?<!\\)\[[^\]]*(?<!\\)\]\(", message)
        uri = each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[A-Za-z0-9%/._~-]*", uri)
        assert unquote(uri) is not None


@WHOLE
def test_report_formats_junit_stays_parsable(text: str) -> None:
    rendered = render_junit(hostile_outcome(text))
    assert rendered.isascii()
    root = ET.fromstring(rendered)  # noqa: S314 - our own
    assert junit_problems(root) == []
    friendly = ET.fromstring(render_junit(hostile_outcome("x")))  # noqa: S314 - our own
    assert [each.tag for each in root.iter()] == [each.tag for each in friendly.iter()]


@WHOLE
def test_report_formats_markdown_keeps_its_table(text: str) -> None:
    rendered, friendly = (render_markdown(hostile_outcome(each)) for each in (text, "x"))
    shape = [[line.count("|"), line[:1]] for line in rendered.splitlines()]
    assert shape == [[line.count("|"), line[:1]] for line in friendly.splitlines()]
    tags = set(re.findall(r"<[^>]*>", rendered))
    assert tags <= {"<code>", "</code>", "<br>", "<!-- -->"}
    assert "`" not in rendered
    assert "](" not in rendered
    assert "://" not in rendered
    assert "@" not in rendered


@WHOLE
def test_report_formats_json_stays_of_its_shape(text: str) -> None:
    rendered = render_gate_json(hostile_outcome(text))
    assert rendered.isascii()
    VALIDATOR.validate(json.loads(rendered))


def test_a_place_is_shown_as_editors_have_it() -> None:
    assert str(Location("a", 2, 3)) == "a:2:3"
