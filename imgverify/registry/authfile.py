"""The files in which Docker and the containers tools keep credentials, and which of them count."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, InputError, InvalidReference, Malformed
from imgverify.oci import limits
from imgverify.oci.reference import Registry, Repository
from imgverify.oci.strictjson import load_object
from imgverify.registry.credentials import ANONYMOUS, Credentials, CredentialStore, Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
# It becomes a header as it is.
_BEARER: Final = re.compile(r"[!-~]*", re.ASCII)
_DOCKER_NAME: Final = "config.json"
_CONTAINERS_NAME: Final = "containers/auth.json"
_SCHEME: Final = re.compile(r"\A[a-z]+://", re.ASCII | re.IGNORECASE)
# Docker's own spellings of a host; any other path without a scheme is a namespace.
_HOST_PATHS: Final = frozenset({"v1", "v1/", "v2", "v2/"})
_HINT: Final = "mend the file, or name another with --config"


@dataclass(frozen=True, slots=True)
class AuthFile:
    """Where credentials may be; `namespaces` tells whether keys may be `host/path`.

    They may in the files of Podman, Skopeo and Buildah, and may not in Docker's, which would
    take such a key for the whole host.  One that is `required` has to exist.
    """

    path: Path
    namespaces: bool
    required: bool = False


def files_to_read(
    config: Path | None, environment: Mapping[str, str], home: Path | None, user: int
) -> tuple[AuthFile, ...]:
    """Return the files that count, the first one first; `config` is what the user named.

    That counts alone, and so does `$REGISTRY_AUTH_FILE`, as for Podman and Skopeo.  Else Docker's
    file is read, and after it those that `podman login` writes.
    """
    if config is not None:
        return (AuthFile(config, namespaces=config.name != _DOCKER_NAME, required=True),)
    if chosen := environment.get("REGISTRY_AUTH_FILE"):
        return (AuthFile(Path(chosen), namespaces=True, required=True),)
    docker = environment.get("DOCKER_CONFIG") or (home and home / ".docker")
    runtime = _xdg(environment, "XDG_RUNTIME_DIR")
    config = _xdg(environment, "XDG_CONFIG_HOME") or (home and home / ".config")
    containers = [
        runtime / _CONTAINERS_NAME if runtime else Path(f"/run/containers/{user}/auth.json"),
        *([config / _CONTAINERS_NAME] if config else []),
    ]
    return (
        *([AuthFile(Path(docker) / _DOCKER_NAME, namespaces=False)] if docker else []),
        *(AuthFile(each, namespaces=True) for each in containers),
    )


def _xdg(environment: Mapping[str, str], name: str) -> Path | None:
    # The specification says to pass over what is not absolute.
    path = Path(environment.get(name, ""))
    return path if path.is_absolute() else None


def read_credentials(files: Sequence[AuthFile], environment: Mapping[str, str]) -> CredentialStore:
    """Read files into one store that asks them in their order; absent ones are empty.

    Raises `InputError` for one that cannot be read, without quoting anything from it.
    """
    store: CredentialStore | None = None
    for file in reversed(files):
        read = _read(file, environment)
        store = replace(read, fallback=store) if read is not None else store
    return store or CredentialStore(environment=environment)


def _read(file: AuthFile, environment: Mapping[str, str]) -> CredentialStore | None:
    try:
        with file.path.open("rb") as opened:
            data = opened.read(limits.CREDENTIALS_FILE_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if file.required:
            msg = f"{file.path}, which is to hold credentials, is not there"
            raise InputError(msg, hint=_HINT) from error
        return None
    except OSError as error:
        msg = f"{file.path} cannot be read: {error.strerror}"
        raise InputError(msg, hint=_HINT) from error
    try:
        return parse_credentials(data, environment, file)
    except ContentError as error:
        # Raised below, as the chain of this one holds the file's whole text.
        msg = f"{file.path}: {error.message}"
    raise InputError(msg, hint=_HINT)


def parse_credentials(
    data: bytes, environment: Mapping[str, str], file: AuthFile
) -> CredentialStore:
    """Read the text of a file; raises `Malformed`."""
    if len(data) > limits.CREDENTIALS_FILE_SIZE:
        msg = f"larger than {limits.CREDENTIALS_FILE_SIZE} bytes"
        raise Malformed(msg)
    fields = load_object(data or b"{}", "the credentials file")
    helpers: dict[Registry, str] = {}
    for key, name in _section(fields, "credHelpers").items():
        place = _place(key, namespaces=file.namespaces)
        if isinstance(place, Registry):
            helpers[place] = _helper_name(name)
    return CredentialStore(
        _auths(_section(fields, "auths"), file),
        helpers,
        _helper_name(fields.get("credsStore")),
        environment,
        str(file.path),
    )


def _auths(section: dict[str, object], file: AuthFile) -> dict[Place, Credentials]:
    """Read the entries; of several for one place the one counts that a login would write."""
    read = ((key, _place(key, namespaces=file.namespaces)) for key in section)
    named = [(place, key) for key, place in read if place is not None]
    hub = "docker.io" if file.namespaces else "https://index.docker.io/v1/"
    named.sort(key=lambda each: (each[1] == hub, each[1] == str(each[0])))
    entries = ((place, _entry(section[key], place)) for place, key in named)
    # The last one stays.
    return {
        place: replace(entry, source=str(file.path))
        for place, entry in entries
        if entry != ANONYMOUS
    }


def _section(fields: dict[str, object], name: str) -> dict[str, object]:
    section = fields.get(name)
    if section is None:
        return {}
    if not isinstance(section, dict):
        msg = f"{name!r} is not an object"
        raise Malformed(msg)
    return section


def _place(key: str, *, namespaces: bool) -> Place | None:
    """Read a key: a host, a URL with one, or a host and a path; None for anything else."""
    bare = _SCHEME.sub("", key)
    host, _, path = bare.partition("/")
    try:
        registry = Registry.parse(host)
        if bare != key or not path or (path in _HOST_PATHS and not namespaces):
            # Whoever logged in by a URL logged in to its host.
            return registry
        return Repository(registry, path) if namespaces else None
    except InvalidReference:
        return None


def _entry(entry: object, place: Place) -> Credentials:
    if not isinstance(entry, dict):
        msg = f"the entry for {place} is not an object"
        raise Malformed(msg)
    username, password, auth, identity_token, registry_token = (
        _text(entry, key, place)
        for key in ("username", "password", "auth", "identitytoken", "registrytoken")
    )
    if auth:
        username, password = _decode_auth(auth, place)
    if not _BEARER.fullmatch(registry_token):
        msg = f"the 'registrytoken' for {place} has characters that no token has"
        raise Malformed(msg)
    return Credentials(username, password, identity_token, registry_token)


def _decode_auth(auth: str, place: Place) -> tuple[str, str]:
    try:
        text = base64.b64decode(auth, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        msg = f"the 'auth' for {place} is not base64 of UTF-8"
        raise Malformed(msg) from None
    username, colon, password = text.partition(":")
    if not colon:
        msg = f"the 'auth' for {place} does not hold a user name and a password"
        raise Malformed(msg)
    return username, password.rstrip("\0")


def _text(entry: dict[str, object], key: str, place: Place) -> str:
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        msg = f"{key!r} for {place} is not text"
        raise Malformed(msg)
    return value


def _helper_name(name: object) -> str:
    """Read a helper's name; an empty one means the file itself."""
    if name is None or name == "":
        return ""
    if not isinstance(name, str) or not _HELPER_NAME.fullmatch(name):
        msg = "the name of a credential helper is not one"
        raise Malformed(msg)
    return name
