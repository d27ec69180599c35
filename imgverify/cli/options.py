"""Options that commands share, and the values they become."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from imgverify.cli.connection import Connection
from imgverify.errors import InputError, InvalidReference
from imgverify.oci.local import LocalCopy, names_local_copy
from imgverify.oci.platform import Platform
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry.mirrors import (
    Located,
    Namespace,
    is_reference,
    locate,
    read_mirror,
    read_upstream,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.oci.local import MirrorName
    from imgverify.registry.hostconfig.choice import HostMirrors
    from imgverify.registry.hostconfig.model import Endpoint
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
    mirrors_from: str | None = None
    offline: bool = False
    signature_repository: str | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How to go about it: `form` and `output` of the report, and what bounds the network."""

    form: str
    output: str | None
    timeout: float
    insecure_http: tuple[str, ...]
    insecure_tls: tuple[str, ...]
    connection: Connection
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
    metavar="HOST|REF|COPY",
    help="A mirror: a host that takes the upstream host's place, such a host with a path that goes"
    " before upstream's (m.example/docker.io, m.example/any/path/), or a whole reference. Or a"
    " copy on this machine: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF]."
    " Repeatable.",
)
_MIRRORS_FROM: Final = click.option(
    "--mirrors-from",
    metavar="RUNTIME|FILE",
    help="Use the mirrors that this host is configured with: docker, containers, containerd, auto"
    " (whichever are there), or a configuration file of one of them.",
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
    help="A platform that is needed, such as linux/arm64 or windows/amd64:10.0.20348.2113."
    " Repeatable. Default: all that upstream has.",
)
_DEEP: Final = click.option(
    "--deep", is_flag=True, help="Also read and hash every layer that the mirror serves."
)
_OFFLINE: Final = click.option(
    "--offline",
    is_flag=True,
    help="Ask no registry but those named beside it; signatures have to vouch for what they have.",
)
_SIGNATURES: Final = click.option(
    "--signature-repository",
    metavar="REPO",
    help="Look for signatures there, too; what cosign takes from COSIGN_REPOSITORY.",
)
_FORMATS: Final = ("text", "json")


def _named(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty name, which is the working directory's to the system."""
    if value == "":
        msg = "an empty text is not a file."
        raise click.BadParameter(msg)
    return value


_OUTPUT: Final = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    callback=_named,
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
_CA: Final = click.option(
    "--tls-ca",
    multiple=True,
    metavar="HOST[:PORT]=FILE",
    help="Trust these authorities for this host, beside the system's. Repeatable.",
)
_CLIENT: Final = click.option(
    "--tls-client-cert",
    multiple=True,
    metavar="HOST[:PORT]=CERT[:KEY]",
    help="Show this certificate to this host. Repeatable.",
)
_CERTS: Final = click.option(
    "--certs-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Read both from DIR/HOST[:PORT]/, as Docker does from /etc/docker/certs.d.",
)
_PROXY: Final = click.option(
    "--proxy",
    multiple=True,
    metavar="[HOST[:PORT]=]URL",
    help="Reach this host, or all, through an HTTP proxy; HOST=direct takes one out. Repeatable; "
    "noted in the verdict.",
)
_AROUND: Final = click.option(
    "--proxy-from-env",
    is_flag=True,
    help="Use HTTPS_PROXY, HTTP_PROXY and NO_PROXY, which are not read otherwise; noted in the "
    "verdict.",
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
    collected = collect(Asked, "asked", command)
    return _MIRROR(_MIRRORS_FROM(_UPSTREAM(_PLATFORM(_OFFLINE(_SIGNATURES(collected))))))


def asks_deep(command: F) -> F:
    """Give a command what `asks` gives, and --deep."""
    return asks(_DEEP(command))


def compares(command: F) -> F:
    """Give a command --platform and --deep, as `asked`."""
    return _PLATFORM(_DEEP(collect(Asked, "asked", command)))


def _duration(_context: click.Context, _option: click.Parameter, value: float) -> float:
    """Refuse what is no length of time; nan is neither too short nor too long."""
    if not 0 < value <= _LONGEST:
        msg = f"write seconds, more than 0 and at most {_LONGEST}."
        raise click.BadParameter(msg)
    return value


def in_manner(timeout: int, formats: tuple[str, ...] = _FORMATS) -> Callable[[F], F]:
    """Give a command the options on report, time limit and connections, as `manner`."""
    form = click.option(
        "--format",
        "form",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How the verdict is written.",
    )
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
        collected = _connects(collect(Manner, "manner", command))
        return form(_OUTPUT(bound(_HTTP(_TLS(_TOKEN_SERVER(collected))))))

    return decorate


def _connects(command: F) -> F:
    return _CA(_CLIENT(_CERTS(_PROXY(_AROUND(collect(Connection, "connection", command))))))


def collect(kind: type[Any], name: str, command: F) -> F:
    """Hand a command some of its options as one value."""
    names = {each.name for each in fields(kind)}

    @functools.wraps(command)
    def collected(*arguments: object, **options: object) -> object:
        own = {key: options.pop(key) for key in names & options.keys()}
        empty: dict[str, Any] = {"mirrors": (), "upstream": None} if kind is Asked else {}
        return command(*arguments, **options, **{name: kind(**(empty | own))})

    return collected  # type: ignore[return-value] # click sees the options, not the signature


def questions_from(
    images: tuple[str, ...], asked: Asked, host: HostMirrors | None = None
) -> tuple[Question, ...]:
    """Read what is asked; raises `InputError` for words that do not go together.

    `host` is what this host is configured with, where that was asked for.
    """
    named = (*asked.mirrors, asked.upstream or "")
    if len(images) > 1 and any(map(_is_of_one_image, filter(None, named))):
        msg = "a whole reference or copy after --mirror or --upstream goes with one IMAGE only"
        raise InputError(msg, hint="name hosts, or call imgverify once for each image")
    questions = [_question(each, asked, host) for each in images]
    # Not by upstream alone: the same image on another mirror is another question.
    return tuple({(each.upstream, each.mirrors): each for each in questions}.values())


def questions_each(
    images: tuple[str, ...], asked: Asked, host: HostMirrors | None = None
) -> tuple[Question | InputError, ...]:
    """Read what is asked of images that files name; what cannot be asked is an error in its place.

    Raises `InputError` for words that go with no image.
    """
    _platforms(asked)
    for each in filter(None, (*asked.mirrors, asked.upstream)):
        if _is_of_one_image(each):
            msg = "a whole reference or copy after --mirror or --upstream goes with one IMAGE only"
            raise InputError(msg, hint="name hosts, or what names start with")
        Namespace.parse(each.removesuffix("/"))
    return tuple(_question_or_error(each, asked, host) for each in images)


def _question_or_error(image: str, asked: Asked, host: HostMirrors | None) -> Question | InputError:
    try:
        return _question(image, asked, host)
    except InputError as error:
        return error


def comparison_from(one: str, other: str, asked: Asked) -> Question:
    """Read two references; neither takes anything from the other."""
    from imgverify.verify.question import Question  # noqa: PLC0415 - keeps --help quick

    original = _published(one)
    copy = LocalCopy.parse(other) if names_local_copy(other) else Reference.parse(other)
    if original.repository == copy.repository:
        msg = f"A and B are both in {copy.repository}, and an original is no copy of itself"
        raise InputError(msg, hint="name B by the registry or repository that it was copied to")
    return Question(one, original, (copy,), _platforms(asked), asked.deep)


def _question(image: str, asked: Asked, host: HostMirrors | None) -> Question:
    from imgverify.verify.question import Question  # noqa: PLC0415 - keeps --help quick

    located = _located(_published(image), asked)
    upstream = located.upstream
    endpoints: tuple[Endpoint, ...] = ()
    if host is not None:
        host.refuse_short_name(image, upstream)
        endpoints = host.mirrors(upstream)
    named = [*located.mirrors, *(_mirror(each, upstream) for each in asked.mirrors)]
    mirrors = tuple(dict.fromkeys((*named, *(each.image for each in endpoints))))
    by_digest = frozenset(
        each.image.repository for each in endpoints if not each.resolves and each.image not in named
    )
    kept = asked.signature_repository
    return Question(
        image,
        upstream,
        mirrors,
        _platforms(asked),
        asked.deep,
        by_digest,
        asked.offline,
        None if kept is None else Repository.parse(kept),
    )


def _mirror(text: str, upstream: Reference) -> MirrorName:
    return LocalCopy.parse(text) if names_local_copy(text) else read_mirror(text, upstream)


def _published(text: str) -> Reference:
    """Read what upstream calls an image; a copy on this machine has no name of upstream's."""
    if names_local_copy(text):
        msg = f"{text!r} is a copy on this machine, and does not say what upstream calls it"
        hint = "name the image as upstream does, and the copy after --mirror (with compare: as B)"
        raise InputError(msg, hint=hint)
    return Reference.parse(text)


def _is_of_one_image(text: str) -> bool:
    return names_local_copy(text) or is_reference(text)


def _located(named: Reference, asked: Asked) -> Located:
    """Tell upstream's name from a mirror's; with a mirror named otherwise, it is upstream's."""
    if asked.upstream:
        return Located(read_upstream(asked.upstream, named), (named,))
    if asked.mirrors or asked.mirrors_from:
        return Located(named, ())
    return locate((), named)


def _platforms(asked: Asked) -> tuple[Platform, ...]:
    return tuple(dict.fromkeys(map(Platform.parse, asked.platforms)))


def _registries(texts: tuple[str, ...]) -> frozenset[Registry]:
    return frozenset(map(_registry, texts))


def _registry(text: str) -> Registry:
    try:
        return Registry.parse(text)
    except InvalidReference as error:
        hint = "after --insecure-http and --insecure-tls write host or host:port"
        raise InputError(error.message, hint=hint) from None


def _token_server(text: str) -> tuple[Registry, Registry]:
    registry, equals, host = text.partition("=")
    if not equals:
        msg = f"{text!r} does not say whose token server it is"
        raise InputError(msg, hint="write --token-server REGISTRY=HOST")
    return Registry.parse(registry), Registry.parse(host)
