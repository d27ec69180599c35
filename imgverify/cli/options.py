"""Options that commands share, and the values they become."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
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


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question is made of, as typed."""

    mirrors: tuple[str, ...]
    upstream: str | None
    platforms: tuple[str, ...]
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Manner:
    """How to go about it: `form` and `output` of the report, and what bounds the network."""

    form: str
    output: str | None
    timeout: float
    insecure_http: tuple[str, ...]
    insecure_tls: tuple[str, ...]
    token_servers: tuple[str, ...]

    @property
    def insecure(self) -> tuple[frozenset[Registry], frozenset[Registry]]:
        """The hosts without TLS, and those without a checked certificate."""
        return _registries(self.insecure_http), _registries(self.insecure_tls)

    @property
    def shared(self) -> frozenset[tuple[Registry, Registry]]:
        """Pairs of a registry and a host that its credentials may be sent to, too."""
        return frozenset(map(_token_server, self.token_servers))


_MIRROR: Final = click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    metavar="HOST|REF",
    help="A mirror: a host that takes the upstream host's place, or a whole reference. Repeatable.",
)
_UPSTREAM: Final = click.option(
    "--upstream",
    metavar="HOST|REF",
    help="What IMAGE is called upstream; IMAGE itself is then a mirror's.",
)
_PLATFORM: Final = click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH[/VARIANT]",
    help="A platform that is needed. Repeatable. Default: all that upstream has.",
)
_DEEP: Final = click.option(
    "--deep", is_flag=True, help="Also read and hash every layer that the mirror serves."
)
_FORMAT: Final = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the verdict is written.",
)
_OUTPUT: Final = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the verdict there instead of to standard output.",
)
_HTTP: Final = click.option(
    "--insecure-http",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Use plain HTTP for this host, and no other. Repeatable; noted in the verdict.",
)
_TLS: Final = click.option(
    "--insecure-tls",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Do not check this host's certificate. Repeatable; noted in the verdict.",
)
_TOKEN_SERVER: Final = click.option(
    "--token-server",
    "token_servers",
    multiple=True,
    metavar="REGISTRY=HOST",
    help="Let the credentials for REGISTRY be sent to HOST, too, which issues its tokens."
    " Repeatable.",
)


def asks(command: F) -> F:
    """Give a command the options that make up a question, as `asked`."""
    return _MIRROR(_UPSTREAM(_PLATFORM(_collect(Asked, "asked", command))))


def asks_deep(command: F) -> F:
    """Give a command what `asks` gives, and --deep."""
    return _MIRROR(_UPSTREAM(_PLATFORM(_DEEP(_collect(Asked, "asked", command)))))


def compares(command: F) -> F:
    """Give a command --platform and --deep, as `asked`."""
    return _PLATFORM(_DEEP(_collect(Asked, "asked", command)))


def _duration(_context: click.Context, _option: click.Parameter, value: float) -> float:
    """Refuse what is no length of time; nan is neither too short nor too long."""
    if not 0 < value <= _LONGEST:
        msg = f"write seconds, more than 0 and at most {_LONGEST}."
        raise click.BadParameter(msg)
    return value


def in_manner(timeout: int) -> Callable[[F], F]:
    """Give a command the options on report, time limit and TLS, as `manner`."""
    bound = click.option(
        "--timeout",
        type=float,
        default=timeout,
        show_default=True,
        metavar="SECONDS",
        callback=_duration,
        help="Give up after this long.",
    )

    def decorate(command: F) -> F:
        collected = _collect(Manner, "manner", command)
        return _FORMAT(_OUTPUT(bound(_HTTP(_TLS(_TOKEN_SERVER(collected))))))

    return decorate


def _collect(kind: type[Any], name: str, command: F) -> F:
    """Hand a command some of its options as one value."""
    names = {each.name for each in fields(kind)}

    @functools.wraps(command)
    def collected(*arguments: object, **options: object) -> object:
        own = {key: options.pop(key) for key in names & options.keys()}
        empty = {"mirrors": (), "upstream": None} if kind is Asked else {}
        return command(*arguments, **options, **{name: kind(**(empty | own))})

    return collected  # type: ignore[return-value] # click sees the options, not the signature


def questions_from(images: tuple[str, ...], asked: Asked) -> tuple[Question, ...]:
    """Read what is asked; raises `InputError` for words that do not go together."""
    if len(images) > 1 and (asked.upstream or any("/" in each for each in asked.mirrors)):
        msg = "a whole reference after --mirror or --upstream goes with one IMAGE only"
        raise InputError(msg, hint="name hosts, or call imgverify once for each image")
    questions = [_question(each, asked) for each in images]
    return tuple({each.upstream: each for each in questions}.values())


def comparison_from(one: str, other: str, asked: Asked) -> Question:
    """Read two references; neither takes anything from the other."""
    from imgverify.verify.question import Question  # noqa: PLC0415 - keeps --help quick

    references = Reference.parse(one), Reference.parse(other)
    return Question(one, references[0], (references[1],), _platforms(asked), asked.deep)


def _question(image: str, asked: Asked) -> Question:
    from imgverify.verify.question import Question  # noqa: PLC0415 - keeps --help quick

    named = Reference.parse(image)
    original = parse_mirror(asked.upstream, named) if asked.upstream else named
    places = [named] if asked.upstream else []
    places += [parse_mirror(each, original) for each in asked.mirrors]
    mirrors = tuple(dict.fromkeys(places))
    return Question(image, original, mirrors, _platforms(asked), asked.deep)


def _platforms(asked: Asked) -> tuple[Platform, ...]:
    return tuple(dict.fromkeys(map(Platform.parse, asked.platforms)))


def _registries(texts: tuple[str, ...]) -> frozenset[Registry]:
    return frozenset(map(Registry.parse, texts))


def _token_server(text: str) -> tuple[Registry, Registry]:
    registry, equals, host = text.partition("=")
    if not equals:
        msg = f"{text!r} does not say whose token server it is"
        raise InputError(msg, hint="write --token-server REGISTRY=HOST")
    return Registry.parse(registry), Registry.parse(host)
