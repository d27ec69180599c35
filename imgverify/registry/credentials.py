"""Whom to be for which registry: Docker's `config.json` and its credential helpers."""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imgverify.errors import (
    ContentError,
    InputError,
    InvalidReference,
    Malformed,
    Unauthorized,
    Unreachable,
)
from imgverify.oci import limits
from imgverify.oci.reference import Registry
from imgverify.oci.strictjson import load_object
from imgverify.registry.dial import HEARING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imgverify.registry.deadline import Deadline

_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
# It becomes a header as it is.
_BEARER: Final = re.compile(r"[!-~]*", re.ASCII)
_HUB_SERVER: Final = "https://index.docker.io/v1/"
_NOT_FOUND: Final = "credentials not found in native keychain"
_TOKEN_USER: Final = "<token>"  # noqa: S105 - the protocol's word, not a secret
# Docker's own spellings of a registry; any other path is a namespace, which is not the host.
_HOST_PATHS: Final = frozenset({"", "/", "/v1", "/v1/", "/v2", "/v2/"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a secret, or one of the two kinds of tokens; never shown.

    `identity_token` is a refresh token for the token server, `registry_token` a finished bearer.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


ANONYMOUS: Final = Credentials()


@dataclass(frozen=True, slots=True)
class CredentialStore:
    """What a `config.json` says; looked up by exact equality of host and port.

    `environment` is what credential helpers run with, which is how they find their own files.
    """

    auths: Mapping[Registry, Credentials] = field(default_factory=dict)
    helpers: Mapping[Registry, str] = field(default_factory=dict)
    default_helper: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def lookup(self, registry: Registry, deadline: Deadline) -> Credentials:
        """Return the credentials for a registry; raises `Unauthorized` if a helper fails."""
        helper = self.helpers.get(registry, self.default_helper)
        if helper:
            found = _ask_helper(helper, registry, self.environment, deadline)
            if found != ANONYMOUS or registry in self.helpers:
                return found
        return self.auths.get(registry, ANONYMOUS)


def read_config(path: Path, environment: Mapping[str, str]) -> CredentialStore:
    """Read a `config.json`; an absent file is an empty store.

    Raises `InputError` for one that cannot be read, without quoting anything from it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limits.CREDENTIALS_FILE_SIZE + 1)
    except FileNotFoundError:
        return CredentialStore(environment=environment)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InputError(msg) from error
    try:
        return parse_config(data, environment)
    except ContentError as error:
        # Raised below, as the chain of this one holds the file's whole text.
        msg = f"{path}: {error.message}"
    raise InputError(msg, hint="mend the file, or name another with --config")


def parse_config(data: bytes, environment: Mapping[str, str]) -> CredentialStore:
    """Read the text of a `config.json`; raises `Malformed`."""
    if len(data) > limits.CREDENTIALS_FILE_SIZE:
        msg = f"larger than {limits.CREDENTIALS_FILE_SIZE} bytes"
        raise Malformed(msg)
    fields = load_object(data or b"{}", "the credentials file")
    auths: dict[Registry, Credentials] = {}
    for key, entry in _section(fields, "auths").items():
        registry = _registry(key)
        if registry is not None:
            auths[registry] = _entry(entry)
    helpers: dict[Registry, str] = {}
    for key, name in _section(fields, "credHelpers").items():
        registry = _registry(key)
        if registry is not None:
            helpers[registry] = _helper_name(name)
    default = fields.get("credsStore")
    return CredentialStore(auths, helpers, _helper_name(default) if default else "", environment)


def _section(fields: dict[str, object], name: str) -> dict[str, object]:
    section = fields.get(name) or {}
    if not isinstance(section, dict):
        msg = f"{name!r} is not an object"
        raise Malformed(msg)
    return section


def _registry(key: str) -> Registry | None:
    """Read a key as Docker writes it: a host, or a URL with one; None for anything else."""
    _, _, bare = key.rpartition("://")
    host, slash, path = bare.partition("/")
    if f"{slash}{path}" not in _HOST_PATHS:
        return None
    try:
        return Registry.parse(host)
    except InvalidReference:
        return None


def _entry(entry: object) -> Credentials:
    if not isinstance(entry, dict):
        msg = "an entry of 'auths' is not an object"
        raise Malformed(msg)
    username, password = _text(entry, "username"), _text(entry, "password")
    if auth := _text(entry, "auth"):
        username, password = _decode_auth(auth)
    registry_token = _text(entry, "registrytoken")
    if not _BEARER.fullmatch(registry_token):
        msg = "a 'registrytoken' has characters that no token has"
        raise Malformed(msg)
    return Credentials(username, password, _text(entry, "identitytoken"), registry_token)


def _decode_auth(auth: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(auth, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        msg = "an 'auth' is not base64"
        raise Malformed(msg) from None
    username, colon, password = text.partition(":")
    if not colon:
        msg = "an 'auth' does not hold a user name and a password"
        raise Malformed(msg)
    return username, password.rstrip("\0")


def _text(entry: dict[str, object], key: str) -> str:
    value = entry.get(key) or ""
    if not isinstance(value, str):
        msg = f"{key!r} is not text"
        raise Malformed(msg)
    return value


def _helper_name(name: object) -> str:
    if not isinstance(name, str) or not _HELPER_NAME.fullmatch(name):
        msg = "the name of a credential helper is not one"
        raise Malformed(msg)
    return name


def _ask_helper(
    name: str, registry: Registry, environment: Mapping[str, str], deadline: Deadline
) -> Credentials:
    """Run `docker-credential-NAME get` (docker-credential-helpers protocol)."""
    program = f"docker-credential-{name}"
    server = _HUB_SERVER if registry.is_docker_hub else str(registry)
    hint = f"run it by hand: echo {server} | {program} get"
    try:
        status, said = _run(program, server.encode(), environment, deadline)
    except (OSError, Unreachable) as error:
        cause = "cannot run" if isinstance(error, OSError) else "did not answer"
        msg = f"the credential helper {program} {cause}"
        raise Unauthorized(msg, hint=hint) from None
    if status:
        if _NOT_FOUND in said.decode(errors="replace"):
            return ANONYMOUS
        msg = f"the credential helper {program} failed for {registry}"
        raise Unauthorized(msg, hint=hint)
    answer = _helper_answer(said)
    if answer is None:
        msg = f"the credential helper {program} gave an answer that cannot be read"
        raise Unauthorized(msg, hint=hint)
    return answer


def _run(
    program: str, question: bytes, environment: Mapping[str, str], deadline: Deadline
) -> tuple[int, bytes]:
    """Run a helper to its end; raises `Unreachable` when its time is over."""
    until = deadline.within(limits.HELPER_TIMEOUT)
    pipe, given = subprocess.PIPE, question
    with subprocess.Popen(  # noqa: S603 - a fixed argument list, the name follows a grammar
        [program, "get"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=dict(environment)
    ) as process:
        try:
            while True:
                try:
                    said, _ = process.communicate(given, timeout=until.patience(HEARING))
                except subprocess.TimeoutExpired:
                    given = b""  # it has been passed on
                else:
                    return process.returncode, said
        except BaseException:
            process.kill()
            raise


def _helper_answer(output: bytes) -> Credentials | None:
    try:
        answer = json.loads(output[: limits.HELPER_OUTPUT_SIZE])
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        # Not raised on: the error's chain would hold the answer.
        return None
    if not isinstance(username, str) or not isinstance(secret, str):
        return None
    if username == _TOKEN_USER:
        return Credentials(identity_token=secret)
    return Credentials(username, secret)
