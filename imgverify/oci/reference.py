"""Image references (distribution/reference grammar, Docker Hub's rules), ASCII only."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final, NoReturn, Self

from imgverify.errors import InvalidReference, Malformed
from imgverify.oci import limits
from imgverify.oci.digest import Digest

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_QUAD: Final = re.compile(r"[0-9]+(?:\.[0-9]+){3}", re.ASCII)
_COMPONENT: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
_SEGMENT: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_HEX64: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

_PORT_MAX: Final = 65535
_HUB: Final = "docker.io"
_HUB_NAMES: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HUB_API: Final = "registry-1.docker.io"
_HINT: Final = "write it as registry.example/name:tag or registry.example/name@sha256:…"


@dataclass(frozen=True, slots=True, order=True)
class Registry:
    """A registry by its canonical name: lower case, Docker Hub is `docker.io`.

    `port` is None where none was written; IPv6 addresses are kept without brackets.
    """

    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host[:port]`; raises `InvalidReference`."""
        _printable(text)
        if "@" in text:
            # Not quoted: what stands before an @ may be a password.
            msg = "a registry is written as its host alone, without a user"
            raise InvalidReference(msg, hint="credentials come from docker login")
        host, port = _split_port(text)
        if host.startswith("["):
            host = _ipv6(host)
        elif len(host) > limits.HOST_LENGTH or not _HOST.fullmatch(host) or _is_no_ipv4(host):
            msg = f"{text!r} is not a registry's host name"
            raise InvalidReference(msg, hint=_HINT)
        host = host.lower()
        if host in _HUB_NAMES and port in (None, 443):
            return cls(_HUB)
        return cls(host, port)

    @property
    def api(self) -> Registry:
        """Where this registry answers: Docker Hub's API has another name than Docker Hub."""
        return Registry(_HUB_API) if self == Registry(_HUB) else self

    @property
    def is_docker_hub(self) -> bool:
        """Whether Docker Hub's naming rules hold."""
        return self.host == _HUB and self.port is None

    def __str__(self) -> str:
        """Return `host[:port]`, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """How a host wants to be asked, where that differs from the distribution API's own way.

    `api_path` stands before the repository's path instead of `/v2` (containerd's
    `override_path`), and may be empty; `namespace` is the registry that the host stands in for,
    sent as `?ns=`.
    """

    api_path: str = "/v2"
    namespace: str = ""

    def __post_init__(self) -> None:
        """Refuse paths that a URL would not hold as they are, and namespaces that are no host."""
        short = len(self.api_path) <= limits.REFERENCE_LENGTH
        root, *parts = self.api_path.split("/") if short else [self.api_path]
        if root or not all(map(_SEGMENT.fullmatch, parts)):
            msg = f"{_shown(self.api_path)} is not a path at which a registry's API can lie"
            raise InvalidReference(msg, hint="write it as /path/to/v2, without a slash at its end")
        if self.namespace and str(Registry.parse(self.namespace)) != self.namespace:
            msg = f"{self.namespace!r} is not a registry's canonical name"
            raise InvalidReference(msg, hint=_HINT)


#: As the specification has it.
DIRECT: Final = Route()


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A registry and a repository's path in it; the path follows the grammar.

    Repositories with different routes are different places, whatever they are called.
    """

    registry: Registry
    path: str
    route: Route = DIRECT

    def __post_init__(self) -> None:
        """Refuse what is not a repository's path."""
        parts = self.path.split("/") if len(self.path) <= limits.REPOSITORY_LENGTH else [""]
        if not all(map(_COMPONENT.fullmatch, parts)):
            msg = f"{_shown(self.path)} is not a repository's name"
            hint = "names are lower case: letters, digits, and . _ - between them"
            raise InvalidReference(msg, hint=hint)

    @staticmethod
    def parse(text: str) -> Repository:
        """Read a repository's name as `docker pull` would; raises `InvalidReference`."""
        repository, tag, digest = _split(text)
        if tag is not None or digest is not None:
            msg = f"{_shown(text)} is an image, not a repository"
            raise InvalidReference(msg, hint=f"write {repository}")
        return repository

    def __str__(self) -> str:
        """Return the canonical name, such as `docker.io/library/nginx`."""
        return f"{self.registry}/{self.path}"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A canonical image reference: a repository with a tag, a digest or both.

    With both, the digest decides which image is meant and the tag has to name it too.
    """

    repository: Repository
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        """Refuse a reference that names no image, and tags that are none."""
        if self.tag is None and self.digest is None:
            msg = f"{self.repository} has neither a tag nor a digest"
            raise InvalidReference(msg, hint=_HINT)
        if self.tag is not None and not _TAG.fullmatch(self.tag):
            msg = f"{_shown(self.tag)} is not a tag"
            raise InvalidReference(msg, hint=_HINT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference as `docker pull` would; raises `InvalidReference`.

        `nginx` becomes `docker.io/library/nginx:latest`.
        """
        repository, tag, digest = _split(text)
        return cls(repository, tag if tag or digest else "latest", digest)

    @property
    def registry(self) -> Registry:
        """The registry of the repository."""
        return self.repository.registry

    def at(self, repository: Repository) -> Reference:
        """Return the same tag and digest in another repository."""
        return replace(self, repository=repository)

    def pinned(self, digest: Digest) -> Reference:
        """Return `name@digest`, without a tag."""
        return Reference(self.repository, digest=digest)

    def __str__(self) -> str:
        """Return the canonical form."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse_mirror(text: str, upstream: Reference) -> Reference:
    """Read a `--mirror`: a host that takes the upstream's place, or a whole reference.

    A reference without tag and digest takes both from `upstream`; raises `InvalidReference`.
    """
    _printable(text)
    if "/" not in text:
        if not is_host(text):
            msg = f"{text!r} is neither a registry's host nor a reference with one"
            raise InvalidReference(msg, hint="write host[:port] or host[:port]/name[:tag]")
        return upstream.at(_repository(f"{text}/{upstream.repository.path}"))
    repository, tag, digest = _split(text)
    if tag is None and digest is None:
        return upstream.at(repository)
    return Reference(repository, tag, digest)


def is_host(text: str) -> bool:
    """Tell whether Docker takes the first component of a name for a host, not for a path."""
    # To Docker an upper-case letter makes a host, too; in lower case it would be read as a path.
    return any(mark in text for mark in ".:[") or text.lower() == "localhost"


def _split(text: str) -> tuple[Repository, str | None, Digest | None]:
    _printable(text)
    if _is_digest(text):
        msg = f"{text!r} is a digest without the name of a repository"
        raise InvalidReference(msg, hint=f"write name@{text}")
    name, at, digest_text = text.partition("@")
    digest = _digest(digest_text) if at else None
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        msg = f"{tag!r} is not a tag"
        raise InvalidReference(msg, hint=_HINT)
    return _repository(f"{head}{slash}{last}"), tag if colon else None, digest


def _repository(name: str) -> Repository:
    first, slash, rest = name.partition("/")
    if not slash and _HEX64.fullmatch(name):
        msg = f"{name!r} is an image ID, and no registry can be asked for one"
        raise InvalidReference(msg, hint=f"for a digest write name@sha256:{name[:12]}…")
    if slash and is_host(first):
        registry, path = Registry.parse(first), rest
    else:
        registry, path = Registry(_HUB), name
    if registry.is_docker_hub and "/" not in path:
        path = f"library/{path}"
    return Repository(registry, path)


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except Malformed as error:
        raise InvalidReference(error.message, hint=_HINT) from None


def _is_digest(text: str) -> bool:
    try:
        Digest.parse(text)
    except Malformed:
        return False
    return True


def _shown(text: str) -> str:
    return repr(text[: limits.DISPLAY_LENGTH])


def _printable(text: str) -> None:
    if len(text) > limits.REFERENCE_LENGTH:
        msg = f"a reference of {len(text)} characters; {limits.REFERENCE_LENGTH} are the most"
        raise InvalidReference(msg)
    if not text:
        msg = "an empty text is not a reference"
        raise InvalidReference(msg, hint=_HINT)
    if not all("!" <= each <= "~" for each in text):
        msg = f"{text!a} is not a reference: only printable ASCII without spaces can be one"
        raise InvalidReference(msg, hint="an internationalised host name is written as xn--…")
    if "://" in text:
        _refuse_url(text)


def _refuse_url(text: str) -> NoReturn:
    if text.lower().startswith(("unix:", "npipe:")):
        msg = "a socket of this machine is not a registry"
        raise InvalidReference(msg, hint="registries are asked over TCP; " + _HINT)
    authority, slash, path = text.partition("://")[2].partition("/")
    host = authority.rpartition("@")[2]  # what stands before an @ may be a password
    msg = "a URL is not a reference"
    raise InvalidReference(msg, hint=f"leave the scheme out: {host}{slash}{path}")


def _split_port(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text, None
    if not _PORT.fullmatch(port) or not 0 < int(port) <= _PORT_MAX:
        msg = f"{text!r} has a port that is none"
        raise InvalidReference(msg, hint=_HINT)
    return host, int(port)


def _is_no_ipv4(host: str) -> bool:
    """Tell whether a host is written as an address and is none: it would fail later, or differ."""
    if not _QUAD.fullmatch(host):
        return False
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return True
    return False


def _ipv6(bracketed: str) -> str:
    inside = bracketed[1:-1] if bracketed.endswith("]") and "%" not in bracketed else ""
    try:
        return ipaddress.IPv6Address(inside).compressed
    except ValueError:
        msg = f"{bracketed!r} is not an IPv6 address in brackets"
        raise InvalidReference(msg, hint=_HINT) from None
