"""What was found out about mirrors, for people: one line each, then topic by topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.doctor.check import Mark, Topic
from imgverify.doctor.judgement import Use
from imgverify.oci import limits
from imgverify.report.escape import escape
from imgverify.report.explain import age_text, counted
from imgverify.report.layout import GREEN, RED, YELLOW, Style
from imgverify.verdict import Grade

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgverify.doctor.check import Check
    from imgverify.doctor.images import ImageReport
    from imgverify.doctor.judgement import MirrorReport

_WORDS: Final = {
    Mark.GOOD: "ok",
    Mark.NOTE: "note",
    Mark.BAD: "BAD",
    Mark.UNKNOWN: "?",
    Mark.UNASKED: "-",
}
_COLOURS: Final = {Mark.GOOD: GREEN, Mark.NOTE: YELLOW, Mark.BAD: RED, Mark.UNKNOWN: YELLOW}
_USES: Final = {Use.TAGS_AND_DIGESTS: GREEN, Use.DO_NOT_USE: RED}
_TITLES: Final = {
    Topic.API: "API",
    Topic.LOGIN: "login",
    Topic.HEAD: "HEAD",
    Topic.BY_DIGEST: "by digest",
    Topic.ACCEPT: "Accept",
    Topic.REFERRERS: "referrers",
    Topic.RANGE: "Range",
    Topic.NAMESPACE: "?ns=",
    Topic.REDIRECTS: "redirects",
    Topic.RATE_LIMIT: "rate limit",
}
_MARK: Final = max(map(len, _WORDS.values()))
_TITLE: Final = max(map(len, _TITLES.values()))
_INDENT: Final = 2 + _MARK + 2 + _TITLE + 2


def render_text(mirrors: Sequence[MirrorReport], *, colour: bool, width: int | None) -> str:
    """Write a table of judgements, where there are several, and a block for each mirror."""
    style = Style(colour=colour, width=width)
    blocks = ["\n".join(_block(each, style)) for each in mirrors]
    if len(mirrors) > 1:
        blocks.insert(0, "\n".join(_summary(mirrors, style)))
    return "\n\n".join(blocks) + "\n"


def _summary(mirrors: Sequence[MirrorReport], style: Style) -> Iterator[str]:
    width = max(len("MIRROR"), *(len(_name(each.name)) for each in mirrors))
    yield f"{'MIRROR':<{width}}  JUDGEMENT"
    for each in mirrors:
        name = _name(each.name)
        first, *rest = style.prose(escape(each.sentence), width + 2, 0) or [""]
        yield f"{name:<{width}}  {_painted(each, first.lstrip(), style)}"
        yield from rest


def _painted(mirror: MirrorReport, text: str, style: Style) -> str:
    return style.paint(text, f"1;{_USES.get(mirror.use, YELLOW)}")


def _block(mirror: MirrorReport, style: Style) -> Iterator[str]:
    head, *rest = style.prose(f"{_name(mirror.name)}: {escape(mirror.sentence)}", 0)
    name, colon, words = head.partition(": ")
    yield f"{name}{colon}{_painted(mirror, words, style)}"
    yield from rest
    for check in mirror.checks:
        if check.mark is not Mark.UNASKED:
            yield from _check(check, style)
    yield from _unasked(mirror, style)
    for image in mirror.images:
        yield from _image(image, style)
    yield f"  {counted(mirror.sent, 'request')}"


def _check(check: Check, style: Style) -> Iterator[str]:
    first, *rest = style.prose(escape(check.text), _INDENT, 0) or [""]
    yield f"  {_mark(check.mark, style)}  {_TITLES[check.topic]:<{_TITLE}}  {first[_INDENT:]}"
    yield from rest
    if check.hint:
        yield from style.prose(f"hint: {escape(check.hint)}", _INDENT)


def _unasked(mirror: MirrorReport, style: Style) -> Iterator[str]:
    """Say once for several topics why they were not asked about."""
    reasons: dict[str, list[str]] = {}
    for check in mirror.checks:
        if check.mark is Mark.UNASKED:
            reasons.setdefault(check.text, []).append(_TITLES[check.topic])
    for reason, titles in reasons.items():
        text = f"not asked: {', '.join(titles)} ({escape(reason)})"
        first, *rest = style.prose(text, 2 + _MARK + 2, 0)
        yield f"  {_mark(Mark.UNASKED, style)}  {first.lstrip()}"
        yield from rest


def _mark(mark: Mark, style: Style) -> str:
    word = _WORDS[mark]
    painted = style.paint(word, _COLOURS[mark]) if mark in _COLOURS else word
    return painted + " " * (_MARK - len(word))


def _image(image: ImageReport, style: Style) -> Iterator[str]:
    yield f"  {_mark(image.mark, style)}  {_name(str(image.upstream))}"
    indent = 2 + _MARK + 2
    age = f", behind by at least {age_text(image.age)}" if image.age is not None else ""
    yield from style.prose(f"{image.grade.value}{age}: {escape(image.summary)}", indent)
    if image.digest is not None and image.grade is Grade.IDENTICAL:
        yield f"{' ' * indent}{image.digest}"
        return
    for side, digest in (("upstream", image.upstream_digest), ("mirror", image.digest)):
        if digest is not None:
            yield f"{' ' * indent}{side:<8}  {digest}"


def _name(text: str) -> str:
    # A name that is cut short would be another name.
    return escape(text, limits.REFERENCE_LENGTH)
