"""Which certificates count for a host, and which one it is shown: per host, shared by none.

Files are read when the host is first connected to, so that the unreadable key of one host is no
matter to the others.
"""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from imgverify.errors import InputError, InvalidReference
from imgverify.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate, with what chains it to its authority, and its private key; PEM files.

    Both may be in one file.  The key must not be encrypted: nobody is there to be asked.
    """

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class HostTls:
    """One host's own TLS material.

    `authorities` are PEM files whose certificates are trusted beside the system's, as Docker,
    containerd and Podman do.  There is one client certificate at the most: Python's TLS cannot
    choose among several by what the server accepts, and must not guess.
    """

    authorities: tuple[Path, ...] = ()
    client: ClientCertificate | None = None

    def joined(self, other: HostTls) -> HostTls:
        """Return the authorities of both; the client certificate of `other` outweighs."""
        authorities = dict.fromkeys((*self.authorities, *other.authorities))
        return HostTls(tuple(authorities), other.client or self.client)


#: What a host has that nothing was said about.
NOTHING_OWN: Final = HostTls()


@dataclass(frozen=True, slots=True)
class Security:
    """How TLS with one host is done; `insecure` means that any certificate will do."""

    host: Registry
    own: HostTls = NOTHING_OWN
    insecure: bool = False


class Contexts:
    """Makes a TLS context for each host with material of its own; safe to share between threads.

    Hosts without any share a context, which has nothing that one could give away to another.
    """

    def __init__(self) -> None:
        self._made: dict[Security | bool, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def of(self, security: Security) -> ssl.SSLContext:
        """Return the context for a host; raises `InputError` for a file that cannot be used."""
        key = security.insecure if security.own == NOTHING_OWN else security
        with self._lock:
            if key not in self._made:
                self._made[key] = client_context(security)
            return self._made[key]


def client_context(security: Security) -> ssl.SSLContext:
    """Trust what the system trusts and the host's own authorities, or anything.

    The environment has no say in it.  Raises `InputError` for a file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # A certificate without names in it is for nobody, as it is to Go.
    context.hostname_checks_common_name = False
    if security.own.client is not None:
        _show(context, security.own.client, security.host)
    if security.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    _trust_system(context)
    for path in security.own.authorities:
        _trust(context, path, security.host)
    return context


def _trust_system(context: ssl.SSLContext) -> None:
    # Not load_default_certs(): OpenSSL would follow SSL_CERT_FILE and SSL_CERT_DIR.
    paths = ssl.get_default_verify_paths()
    cafile = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    capath = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if cafile is None and capath is None:
        import certifi  # noqa: PLC0415 - only where the system ships no certificates

        cafile = certifi.where()
    context.load_verify_locations(cafile=cafile, capath=capath)


def _trust(context: ssl.SSLContext, path: Path, host: Registry) -> None:
    # An authority need not be a root: whoever names an intermediate one means just that.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        _refuse(path, host, "it holds no certificate in PEM form")
    except OSError as error:
        _refuse(path, host, _reason(error))


def _show(context: ssl.SSLContext, client: ClientCertificate, host: Registry) -> None:
    _require_readable(client.certificate, host)
    _require_readable(client.key, host)

    def no_password() -> NoReturn:
        # Without this OpenSSL would ask at the terminal, and wait.
        _refuse(client.key, host, "the key is encrypted; an unencrypted one is needed")

    try:
        context.load_cert_chain(client.certificate, client.key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            _refuse(client.key, host, f"it is not the key of {client.certificate}")
        _refuse(client.certificate, host, f"no certificate and key in PEM form ({client.key})")


def _require_readable(path: Path, host: Registry) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        _refuse(path, host, _reason(error))


def _reason(error: OSError) -> str:
    return (error.strerror or "it cannot be read").lower()


def _refuse(path: Path, host: Registry, why: str) -> NoReturn:
    msg = f"{path}, a TLS file for {host}, cannot be used: {why}"
    raise InputError(msg, hint="mend the file, or name another; nothing is used in its place")


def read_host_folder(folder: Path, host: Registry) -> HostTls:
    """Read one host's folder as Docker has it; an absent one says nothing.

    `*.crt` are authorities, `NAME.cert` with `NAME.key` is a client certificate.
    Raises `InputError` for halves of a pair, for two pairs, and where it cannot be listed.
    """
    names = _names(folder, host)
    certificates, keys = _stems(names, ".cert"), _stems(names, ".key")
    for half in sorted(certificates ^ keys):
        has, lacks = (".cert", ".key") if half in certificates else (".key", ".cert")
        msg = f"{folder}, the TLS folder for {host}, has {half}{has} without {half}{lacks}"
        raise InputError(msg, hint="an authority's certificate is named *.crt")
    if len(certificates) > 1:
        pairs = ", ".join(f"{each}.cert" for each in sorted(certificates))
        msg = f"{folder}, the TLS folder for {host}, has more than one client certificate: {pairs}"
        raise InputError(msg, hint="leave the one in it that the host accepts")
    authorities = tuple(folder / each for each in names if each.endswith(".crt"))
    for stem in certificates:
        client = ClientCertificate(folder / f"{stem}.cert", folder / f"{stem}.key")
        return HostTls(authorities, client)
    return HostTls(authorities)


def read_certs_directory(directory: Path) -> dict[Registry, HostTls]:
    """Read a whole `certs.d`: one folder for each `HOST[:PORT]`; raises `InputError`.

    Folders that are named like no host, such as containerd's `_default`, are passed over.
    """
    try:
        names = sorted(each.name for each in directory.iterdir())
    except OSError as error:
        msg = f"{directory} cannot be listed: {_reason(error)}"
        raise InputError(msg) from error
    found: dict[Registry, HostTls] = {}
    for name in names:
        try:
            host = Registry.parse(name)
        except InvalidReference:
            continue
        own = read_host_folder(directory / name, host)
        found[host] = found.get(host, NOTHING_OWN).joined(own)
    return found


def _names(folder: Path, host: Registry) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        msg = f"{folder}, the TLS folder for {host}, cannot be listed: {_reason(error)}"
        raise InputError(msg) from error


def _stems(names: Iterable[str], suffix: str) -> set[str]:
    return {each.removesuffix(suffix) for each in names if each.endswith(suffix)}
