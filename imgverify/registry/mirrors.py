"""What a mirror calls upstream's images, and upstream the mirror's: names only, nothing is asked.

A mirror stays a `Reference`; how its host wants to be asked is in the repository's `Route`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import InputError, InvalidReference
from imgverify.oci.reference import (
    DIRECT,
    Reference,
    Registry,
    Repository,
    Route,
    is_host,
    parse_mirror,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIBRARY: Final = "library/"
_V2: Final = "/v2/"
# The first component of a path that can only be the name of a host: docker.io, quay.io.
_HOST_NAME: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,63}", re.ASCII)
_SAY_WHICH: Final = "say what the image is called upstream: --upstream REFERENCE"


@dataclass(frozen=True, slots=True, order=True)
class Namespace:
    """All repositories of a registry, or those below a path of it; `path` is empty or `a/b`."""

    registry: Registry
    path: str = ""

    def __post_init__(self) -> None:
        """Refuse a path that no repository's name can start with."""
        if self.path:
            Repository(self.registry, self.path)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host[:port][/path]`; raises `InvalidReference`."""
        host, slash, path = text.partition("/")
        if "://" in text:
            Registry.parse(text)  # says what is wrong with a URL
        if not is_host(host) or (slash and not path):
            msg = f"{text!r} is not a registry's host, with or without a path"
            raise InvalidReference(msg, hint="write host[:port] or host[:port]/path")
        return cls(Registry.parse(host), path)

    def rest(self, repository: Repository) -> str | None:
        """Return what follows this namespace in a repository's path; None outside of it."""
        if repository.registry != self.registry:
            return None
        if not self.path or repository.path == self.path:
            return repository.path[len(self.path) :]
        start = f"{self.path}/"
        return repository.path.removeprefix(start) if repository.path.startswith(start) else None

    def holding(self, rest: str, route: Route = DIRECT) -> Repository | None:
        """Return the repository whose path goes on with `rest`; None where there can be none."""
        path = "/".join(filter(None, (self.path, rest)))
        nameless = self.registry.is_docker_hub and "/" not in path
        return None if nameless or not path else Repository(self.registry, path, route)

    def __str__(self) -> str:
        """Return `host[:port][/path]`."""
        return f"{self.registry}/{self.path}" if self.path else str(self.registry)


_HUB: Final = Namespace(Registry("docker.io"))


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """A mirror's namespace that stands for one of upstream's.

    `docker.io` → `m.example` swaps the host, `docker.io` → `m.example/docker.io` puts a prefix
    before the path, `quay.io/team` → `m.example/quay-team` gives one path another.
    `without_library` is for mirrors that call `docker.io/library/nginx` just `nginx`.
    """

    upstream: Namespace
    mirror: Namespace
    route: Route = DIRECT
    without_library: bool = False

    def __post_init__(self) -> None:
        """Refuse what stands for itself, and `library/` where there is none."""
        if self.upstream == self.mirror and self.route == DIRECT:
            msg = f"{self.upstream} is named as its own mirror"
            raise InputError(msg)
        if self.without_library and not self.upstream.registry.is_docker_hub:
            msg = f"{self.upstream} has no official images below library/; docker.io has"
            raise InputError(msg)

    @classmethod
    def parse(cls, upstream: str, mirror: str, *, without_library: bool = False) -> Self:
        """Read the names of two namespaces; raises `InputError`."""
        names = Namespace.parse(upstream), Namespace.parse(mirror)
        return cls(*names, without_library=without_library)

    def to_mirror(self, reference: Reference) -> Reference | None:
        """Return what the mirror calls upstream's image; None for an image of another place."""
        rest = self.upstream.rest(reference.repository)
        if rest is None:
            return None
        if self.without_library and not self.upstream.path:
            rest = _without_library(rest)
        repository = self.mirror.holding(rest, self.route)
        return None if repository is None else reference.at(repository)

    def to_upstream(self, reference: Reference) -> Reference | None:
        """Return what upstream calls the mirror's image; None for an image of another place."""
        rest = self.mirror.rest(reference.repository)
        if rest is None:
            return None
        official = self.upstream == _HUB and rest and "/" not in rest
        repository = self.upstream.holding(f"{_LIBRARY}{rest}" if official else rest)
        return None if repository is None else reference.at(repository)


@dataclass(frozen=True, slots=True)
class Located:
    """An image by upstream's name, and by its mirrors' names, in the order of the rules."""

    upstream: Reference
    mirrors: tuple[Reference, ...]


def forward(rules: Iterable[MirrorRule], upstream: Reference) -> tuple[Reference, ...]:
    """Return what the mirrors call upstream's image, each once, in the order of the rules."""
    return _each(rule.to_mirror(upstream) for rule in rules)


def backward(rules: Iterable[MirrorRule], mirror: Reference) -> tuple[Reference, ...]:
    """Return all that a mirror's image may be called upstream, by a rule or by the prefix form."""
    return _each((*(rule.to_upstream(mirror) for rule in rules), in_prefix_form(mirror)))


def in_prefix_form(mirror: Reference) -> Reference | None:
    """Read `m.example/docker.io/library/nginx` as the image of upstream that its path names."""
    host, slash, _ = mirror.repository.path.partition("/")
    if not slash or not _HOST_NAME.fullmatch(host):
        return None
    try:
        return MirrorRule(
            Namespace(Registry.parse(host)), Namespace(mirror.registry, host)
        ).to_upstream(mirror)
    except InvalidReference:
        return None  # a component longer than any host's name


def locate(rules: Iterable[MirrorRule], named: Reference) -> Located:
    """Tell whether a name is upstream's or a mirror's, and find the others.

    Raises `InputError` where more than one answer is possible.
    """
    known = tuple(rules)
    mirrors, upstreams = forward(known, named), backward(known, named)
    if len(upstreams) > 1 or (mirrors and upstreams):
        candidates = (*((named,) if mirrors else ()), *upstreams)
        msg = f"{named} may be {' or '.join(map(str, candidates))} upstream"
        raise InputError(msg, hint=_SAY_WHICH)
    return Located(upstreams[0], (named,)) if upstreams else Located(named, mirrors)


def read_mirror(text: str, upstream: Reference) -> Reference:
    """Read a `--mirror`; raises `InputError` for what could be read in two ways.

    `m.example` takes the host's place.  `m.example/docker.io` (the upstream's host comes last)
    and `m.example/any/path/` (a slash comes last) go before upstream's path.  All else is a whole
    reference, which has a tag, a digest or upstream's last path component.
    """
    if text.endswith("/"):
        return _below(Namespace.parse(text.removesuffix("/")), upstream)
    mirror = parse_mirror(text, upstream)
    last = _last(mirror)
    if "/" not in text or _is_tagged(text) or last == _last(upstream):
        return mirror
    below = Namespace(mirror.registry, mirror.repository.path)
    if is_host(last) and Registry.parse(last) == upstream.registry:
        return _below(below, upstream)
    msg = f"{text!r} may be a repository, or what the names of a mirror's repositories start with"
    example = f"{text}:{upstream.tag}" if upstream.tag else f"{text}@{upstream.digest}"
    raise InputError(msg, hint=f"write {example} or {text}/ (for {_below(below, upstream)})")


def is_reference(text: str) -> bool:
    """Tell whether a `--mirror` is one image's name, and not a host or what names start with."""
    last = text.rpartition("/")[2]
    return "/" in text and last != "" and (_is_tagged(text) or not is_host(last))


def read_upstream(text: str, mirror: Reference) -> Reference:
    """Read an `--upstream`: a host, which may come first in the mirror's path, or a reference."""
    upstream = parse_mirror(text, mirror)
    prefixed = in_prefix_form(mirror)
    if "/" not in text and prefixed is not None and prefixed.registry == upstream.registry:
        return prefixed
    return upstream


def at_api_path(
    registry: Registry, api_path: str, path: str, namespace: Registry | None = None
) -> Repository:
    """Return the repository `path` of a host whose API lies at `api_path`, such as `/hub/v2`.

    What follows `/v2/` is the start of the repository's own path, if it can be.
    `namespace` is the registry that the host stands in for, where it wants to be told.
    Raises `InvalidReference`.
    """
    name = "" if namespace is None else str(namespace)
    if api_path.startswith(_V2):
        try:
            return Repository(registry, f"{api_path[len(_V2) :]}/{path}", Route(namespace=name))
        except InvalidReference:
            pass  # In a repository's name it could not stand, such as an upper-case letter.
    return Repository(registry, path, Route(api_path, name))


def _below(namespace: Namespace, upstream: Reference) -> Reference:
    return MirrorRule(Namespace(upstream.registry), namespace).to_mirror(upstream) or upstream


def _each(found: Iterable[Reference | None]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _last(reference: Reference) -> str:
    return reference.repository.path.rpartition("/")[2]


def _is_tagged(text: str) -> bool:
    return "@" in text or ":" in text.rpartition("/")[2]


def _without_library(path: str) -> str:
    name = path.removeprefix(_LIBRARY)
    return path if "/" in name else name
