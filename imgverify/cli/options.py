"""Options that commands share, and what becomes of their text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from imgverify.errors import InputError
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference, Registry, parse_mirror

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.verify.question import Question

F = TypeVar("F", bound="Callable[..., Any]")

_LONGEST: Final = 7 * 24 * 3600

mirror = click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    metavar="HOST|REF",
    help="A mirror: a host that takes the upstream host's place, or a whole reference. Repeatable.",
)
upstream = click.option(
    "--upstream",
    metavar="HOST|REF",
    help="What IMAGE is called upstream; IMAGE itself is then a mirror's.",
)
platform = click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH[/VARIANT]",
    help="A platform that is needed. Repeatable. Default: all that upstream has.",
)
deep = click.option(
    "--deep", is_flag=True, help="Also read and hash every layer that the mirror serves."
)
report_format = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the verdict is written.",
)
output = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the verdict there instead of to standard output.",
)


def timeout(default: int) -> Callable[[F], F]:
    """Make the option that bounds the whole command, in seconds."""
    return click.option(
        "--timeout",
        type=click.FloatRange(0, _LONGEST, min_open=True),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help="Give up after this long.",
    )


def insecure(command: F) -> F:
    """Add the options that name hosts to be reached without the protection of TLS."""
    http = click.option(
        "--insecure-http",
        multiple=True,
        metavar="HOST[:PORT]",
        help="Use plain HTTP for this host, and no other. Repeatable; noted in the verdict.",
    )
    tls = click.option(
        "--insecure-tls",
        multiple=True,
        metavar="HOST[:PORT]",
        help="Do not check this host's certificate. Repeatable; noted in the verdict.",
    )
    return http(tls(command))


def registries(texts: tuple[str, ...]) -> frozenset[Registry]:
    """Read the values of an insecure option; raises `InvalidReference`."""
    return frozenset(Registry.parse(each) for each in texts)


def platforms_from(texts: tuple[str, ...]) -> tuple[Platform, ...]:
    """Read the values of --platform, each once; raises `InputError`."""
    return tuple(dict.fromkeys(map(Platform.parse, texts)))


def questions_from(
    images: tuple[str, ...],
    mirrors: tuple[str, ...],
    upstream_name: str | None,
    platforms: tuple[str, ...],
    *,
    deep_reading: bool = False,
) -> tuple[Question, ...]:
    """Read what is asked; raises `InputError` for words that do not go together."""
    if len(images) > 1 and (upstream_name or any("/" in each for each in mirrors)):
        msg = "a whole reference after --mirror or --upstream goes with one IMAGE only"
        raise InputError(msg, hint="name hosts, or call imgverify once for each image")
    wanted = platforms_from(platforms)
    asked = (_question(each, mirrors, upstream_name, wanted, deep_reading) for each in images)
    return tuple({each.upstream: each for each in asked}.values())


def _question(
    image: str,
    mirrors: tuple[str, ...],
    upstream_name: str | None,
    platforms: tuple[Platform, ...],
    deep_reading: bool,  # noqa: FBT001 - private, called in one place
) -> Question:
    from imgverify.verify.question import Question  # noqa: PLC0415 - keeps --help quick

    named = Reference.parse(image)
    original = parse_mirror(upstream_name, named) if upstream_name else named
    places = (named,) if upstream_name else ()
    places += tuple(parse_mirror(each, original) for each in mirrors)
    return Question(image, original, tuple(dict.fromkeys(places)), platforms, deep_reading)


def comparison_from(
    one: str, other: str, platforms: tuple[str, ...], *, deep_reading: bool
) -> Question:
    """Read two references; neither takes anything from the other."""
    from imgverify.verify.question import Question  # noqa: PLC0415 - keeps --help quick

    references = Reference.parse(one), Reference.parse(other)
    wanted = platforms_from(platforms)
    return Question(one, references[0], (references[1],), wanted, deep_reading)
