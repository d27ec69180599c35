"""Outcomes of a gate that every format has to tell."""

from imgverify.errors import InputError
from imgverify.gate.mention import Location, Mention, Trouble
from imgverify.gate.outcome import GateImage, Outcome
from imgverify.verdict import Finding, Level, Rule
from tests.unit.report.verdicts import (
    DIVERGED,
    HOSTILE,
    IDENTICAL,
    MIXED,
    NGINX,
    UNREACHABLE,
    hostile,
)

FILE = "k8s/web.yaml"


def named(*places: tuple[str, int, int]) -> tuple[Mention, ...]:
    return tuple(Mention(Location(*each), str(NGINX), NGINX) for each in places)


UNRESOLVED = GateImage(
    "${IMAGE}",
    (Mention(Location("compose.yaml", 3, 12), "${IMAGE}", None, "it has no value"),),
    None,
    (Finding(Rule.UNRESOLVABLE_REFERENCE, Level.ERROR, "it has no value", hint="write it out"),),
)
DENIED_IMAGE = GateImage(str(NGINX), named((FILE, 12, 16), ("Dockerfile", 1, 6)), DIVERGED)
UNKNOWN_IMAGE = GateImage(str(NGINX), named(("b.list", 2, 1)), UNREACHABLE)
ALLOWED_IMAGE = GateImage("nginx:1.27", named(("a/é x.yaml", 5, 9)), MIXED)
TROUBLE = Trouble(Location("chart/templates/x.yaml", 4, 9), "it does not parse")

ALL = Outcome((DENIED_IMAGE, UNKNOWN_IMAGE, ALLOWED_IMAGE, UNRESOLVED), (TROUBLE,), 6)
GOOD = Outcome((GateImage("nginx", named((FILE, 1, 1)), IDENTICAL),), (), 1)
EMPTY = Outcome(())
EMPTY_ALLOWED = Outcome((), allow_empty=True)
OUTCOMES = {"all": ALL, "good": GOOD, "empty": EMPTY, "empty-allowed": EMPTY_ALLOWED}

#: What has been used against those who read reports, beside terminals and runners.
NASTY = HOSTILE | {
    "cdata": "x]]>y<![CDATA[z",
    "markup": "<script>alert(1)</script>&amp;\"'",
    "table": "a | b || c",
    "code": "`x` ``` y",
    "link": "[x](http://evil.example) http://evil.example www.evil.example ![i](x)",
    "mention": "@somebody #1 a@b.example",
    "formula": "=cmd|'/c calc'!A1",
    "encoded": "%0A::error::x%0D",
    "properties": "a,line=1::x",
    "comment": "--> <!-- x",
}


def hostile_outcome(text: str) -> Outcome:
    """Put `text` wherever a gate takes text without looking at it."""
    place = Location(text, 1, 1)
    denied = GateImage(text, (Mention(place, text, NGINX),), hostile(text))
    error = InputError(text, hint=text)
    finding = Finding(Rule.UNRESOLVABLE_REFERENCE, Level.ERROR, error.message, hint=error.hint)
    unresolved = GateImage(text, (Mention(place, text, None, text or "x"),), None, (finding,))
    return Outcome((denied, unresolved), (Trouble(place, text),), 1)
