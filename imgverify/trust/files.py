"""The files that a user names: keys, trusted roots, bundles and artifacts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, InputError
from imgverify.oci import limits
from imgverify.oci.digest import Algorithm, Digest
from imgverify.signature.keys import PublicKey
from imgverify.signature.message import Message
from imgverify.signature.trusted import (
    ALWAYS,
    CertificateAuthority,
    TransparencyLog,
    TrustedKey,
    TrustedRoot,
    Window,
)
from imgverify.trust.trustedroot import parse_trusted_roots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.x509 import Certificate

_CHUNK: Final = 1024 * 1024


def read_file(path: Path, most: int, what: str) -> bytes:
    """Return a file's bytes; raises `InputError` where it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        msg = f"{what} {path} cannot be read: {error.strerror}"
        raise InputError(msg) from error
    if len(data) > most:
        msg = f"{what} {path} has more than {most} bytes"
        raise InputError(msg)
    return data


def read_trusted_roots(path: Path) -> tuple[TrustedRoot, ...]:
    """Read a trusted root as JSON, or several as JSON lines; raises `InputError`."""
    data = read_file(path, limits.TRUSTED_ROOT_SIZE, "the trusted root")
    return parse_trusted_roots(data, str(path))


def read_key(path: Path, window: Window = ALWAYS) -> TrustedKey:
    """Read a signer's public key in PEM form; raises `InputError`."""
    return TrustedKey(_public_key(path), window)


def private_root(
    name: str,
    *,
    authorities: Sequence[Path] = (),
    logs: Sequence[Path] = (),
    ct_logs: Sequence[Path] = (),
    timestamp_authorities: Sequence[Path] = (),
) -> TrustedRoot:
    """Put together a deployment from PEM files; raises `InputError`.

    The certificates of all files of `authorities` belong together: those that sign themselves are
    trusted, the others lead to them. A timestamp authority is a file with its certificates, the
    root last. A log is a public key and known by the key's SHA-256, as Rekor v1 and certificate
    logs are.
    """
    return TrustedRoot(
        name,
        _authorities(authorities),
        tuple(map(_log, logs)),
        tuple(map(_log, ct_logs)),
        tuple(_named(_certificates(each)) for each in timestamp_authorities),
    )


def read_artifact(path: Path) -> Message:
    """Hash a file, and keep its bytes if they are not too many; raises `InputError`."""
    try:
        with path.open("rb") as file:
            data = file.read(limits.ARTIFACT_SIZE + 1)
            if len(data) <= limits.ARTIFACT_SIZE:
                return Message.of(data)
            hasher = hashlib.sha256(data)
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
    except OSError as error:
        msg = f"the artifact {path} cannot be read: {error.strerror}"
        raise InputError(msg) from error
    return Message(Digest(Algorithm.SHA256, hasher.hexdigest()))


def _public_key(path: Path) -> PublicKey:
    data = read_file(path, limits.KEY_FILE_SIZE, "the key")
    try:
        return PublicKey.from_pem(data)
    except ContentError as error:
        msg = f"the key {path} cannot be used: {error.message}"
        raise InputError(msg, hint="name a public key in PEM form") from error


def _log(path: Path) -> TransparencyLog:
    key = _public_key(path)
    return TransparencyLog(path.name, bytes.fromhex(key.fingerprint.encoded), key)


def _authorities(paths: Sequence[Path]) -> tuple[CertificateAuthority, ...]:
    from imgverify.signature.chain import issued  # noqa: PLC0415 - loads X.509

    found = [each for path in paths for each in _certificates(path)]
    roots = [each for each in found if issued(each, each)]
    if found and not roots:
        msg = f"none of the certificates in {', '.join(map(str, paths))} is a root"
        raise InputError(msg, hint="name the file with the certificate that signs itself, too")
    helping = [each for each in found if each not in roots]
    return tuple(_named((*helping, each)) for each in roots)


def _named(chain: tuple[Certificate, ...]) -> CertificateAuthority:
    return CertificateAuthority(chain[-1].subject.rfc4514_string(), chain)


def _certificates(path: Path) -> tuple[Certificate, ...]:
    from imgverify.signature.certificate import load_chain  # noqa: PLC0415 - as above

    data = read_file(path, limits.KEY_FILE_SIZE, "the certificate file")
    try:
        return load_chain(data)
    except ContentError as error:
        msg = f"the certificate file {path} cannot be used: {error.message}"
        raise InputError(msg, hint="name certificates in PEM form, the root last") from error
