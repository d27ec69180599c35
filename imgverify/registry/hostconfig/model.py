"""Where a container runtime of this host would look for an image, whichever runtime it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from imgverify.oci.reference import Reference
    from imgverify.registry.tls import ClientCertificate


class Runtime(enum.StrEnum):
    """Whose configuration it is; `containers` is Podman, Buildah, Skopeo and CRI-O."""

    DOCKER = "docker"
    CONTAINERS = "containers"
    CONTAINERD = "containerd"


class Protection(enum.StrEnum):
    """What a connection is protected by."""

    #: TLS, and the certificate has to be valid.
    CHECKED = "checked"
    #: TLS with any certificate at all.
    UNCHECKED = "unchecked"
    #: TLS first, and plain HTTP where that fails: whoever is in between can make it fail.
    OPTIONAL = "optional"
    #: Plain HTTP.
    NONE = "none"


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a setting was written; `line` is None where the file's form does not tell."""

    file: Path
    line: int | None = None

    def __str__(self) -> str:
        """Return `file[:line]`."""
        return str(self.file) if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Authorities that are trusted beside the system's, and what the client can show.

    A runtime shows that of several client certificates which the server accepts.
    """

    authorities: tuple[Path, ...] = ()
    clients: tuple[ClientCertificate, ...] = ()


NO_FILES: Final = TlsFiles()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place where a runtime looks.

    `image` is what it asks for there, by name and route, and `address` the URL at which it finds
    the API, such as `https://mirror.example/v2`.
    `origin` is None for what no file says: the runtime's own default.
    `resolves` tells whether the place may say what a tag means, or is asked by digest alone.
    `is_upstream` marks the image's own registry: what the runtime falls through to.
    `blocked` is where the place was forbidden: the runtime comes to it, and fails.
    `notes` is what else a reader should know.
    """

    image: Reference
    address: str
    protection: Protection
    origin: Origin | None = None
    resolves: bool = True
    is_upstream: bool = False
    blocked: Origin | None = None
    tls: TlsFiles = NO_FILES
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PullSources:
    """Where one runtime looks for one image, in the order in which it does."""

    runtime: Runtime
    endpoints: tuple[Endpoint, ...]
    notes: tuple[str, ...] = ()

    @property
    def mirrors(self) -> tuple[Endpoint, ...]:
        """The places that are not the image's own registry, and are not blocked."""
        return tuple(
            each for each in self.endpoints if not each.is_upstream and each.blocked is None
        )


class HostConfiguration(Protocol):
    """One runtime's configuration, read and understood."""

    @property
    def runtime(self) -> Runtime:
        """Whose it is."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were found; none means that the runtime's defaults hold."""

    def sources(self, image: Reference) -> PullSources:
        """Return where the runtime would look for an image.

        Raises `InputError` where the configuration cannot be acted on.
        """
