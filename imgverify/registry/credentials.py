"""Whom to be for which registry, and for which part of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from imgverify.oci.reference import Registry, Repository
from imgverify.registry.credhelper import ask_helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgverify.registry.deadline import Deadline

#: What credentials are for: all of a registry, or a namespace or repository in it.
Place = Registry | Repository

_TOKEN_USER: Final = "<token>"  # noqa: S105 - the protocol's word, not a secret


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a secret, or one of the two kinds of tokens; never shown.

    `identity_token` is a refresh token for the token server, `registry_token` a finished bearer.
    `source` says where they are from, and does not count when they are compared.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    source: str = field(default="", compare=False)


ANONYMOUS: Final = Credentials()


@dataclass(frozen=True, slots=True)
class CredentialStore:
    """What one file says, and after it the `fallback`, of which nothing is mixed in.

    Hosts and ports have to be equal, and paths component by component; the longest path counts.
    A helper whose name is empty stands for the file itself.
    `environment` is what credential helpers run with, which is how they find their own files.
    """

    auths: Mapping[Place, Credentials] = field(default_factory=dict)
    helpers: Mapping[Registry, str] = field(default_factory=dict)
    default_helper: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    source: str = ""
    fallback: CredentialStore | None = None

    def key(self, place: Place) -> Place:
        """Return the longest name that any file has for a place; by it the answer is the same."""
        files = tuple(self._files)
        named = (each for each in _names(place) if any(each in one.auths for one in files))
        return next(named, registry_at(place))

    def lookup(self, place: Place, deadline: Deadline) -> Credentials:
        """Return the credentials that the first file has which has any.

        Raises `Unauthorized` if a helper fails: nobody knows then whom to be.
        """
        files = tuple(self._files)
        for number, file in enumerate(files):
            found = _find(file, place, deadline)
            if found != ANONYMOUS:
                unused = [
                    each.source for each in files[number + 1 :] if _differs(each, place, found)
                ]
                return replace(found, source=", not from ".join((found.source, *unused)))
        return ANONYMOUS

    @property
    def _files(self) -> Iterator[CredentialStore]:
        file: CredentialStore | None = self
        while file is not None:
            yield file
            file = file.fallback


def _find(file: CredentialStore, place: Place, deadline: Deadline) -> Credentials:
    registry = registry_at(place)
    helper = file.helpers.get(registry, file.default_helper)
    if helper:
        answer = ask_helper(helper, registry, file.environment, deadline)
        if answer is not None:
            return _of_helper(*answer, f"docker-credential-{helper}")
        if registry in file.helpers:
            return ANONYMOUS
    return _entry(file, place)


def _entry(file: CredentialStore, place: Place) -> Credentials:
    found = (file.auths[each] for each in _names(place) if each in file.auths)
    return next(found, ANONYMOUS)


def _differs(file: CredentialStore, place: Place, found: Credentials) -> bool:
    return _entry(file, place) not in (ANONYMOUS, found)


def registry_at(place: Place) -> Registry:
    """Return the registry that a place is in, or is."""
    return place if isinstance(place, Registry) else place.registry


def _names(place: Place) -> Iterator[Place]:
    """Yield what a place may be called in a file, the most special name first."""
    if isinstance(place, Repository):
        parts = place.path.split("/")
        for count in range(len(parts), 0, -1):
            yield Repository(place.registry, "/".join(parts[:count]))
    yield registry_at(place)


def _of_helper(username: str, secret: str, source: str) -> Credentials:
    if username == _TOKEN_USER:
        return Credentials(identity_token=secret, source=source)
    return Credentials(username, secret, source=source)
