"""How hosts are reached: the options that say so, read into the network's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgverify.errors import InputError
from imgverify.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgverify.cli.options import Manner
    from imgverify.registry.session import NetworkSettings
    from imgverify.registry.tls import HostTls


@dataclass(frozen=True, slots=True)
class Connection:
    """Certificates and proxies, as typed."""

    tls_ca: tuple[str, ...]
    tls_client_cert: tuple[str, ...]
    certs_dir: Path | None
    proxy: tuple[str, ...]
    proxy_from_env: bool


def settings_from(manner: Manner, environment: Mapping[str, str]) -> NetworkSettings:
    """Read the options; raises `InputError`.

    Of the environment only proxies are read, and only where that is asked for.
    """
    from imgverify.registry.proxy import parse_environment, parse_proxies  # noqa: PLC0415 - slow
    from imgverify.registry.session import NetworkSettings  # noqa: PLC0415 - as above

    chosen = manner.connection
    around = parse_environment(environment if chosen.proxy_from_env else {})
    proxies = parse_proxies(chosen.proxy, "--proxy", around)
    return NetworkSettings(
        *manner.insecure, tls=_tls(chosen), proxies=proxies, token_servers=manner.shared
    )


def _tls(chosen: Connection) -> dict[Registry, HostTls]:
    from imgverify.registry import tls  # noqa: PLC0415 - loads ssl

    found = tls.read_certs_directory(chosen.certs_dir) if chosen.certs_dir else {}
    named = [
        (host, tls.HostTls((Path(file),)))
        for host, file in _pairs("--tls-ca", chosen.tls_ca, "FILE")
    ]
    for host, files in _pairs("--tls-client-cert", chosen.tls_client_cert, "CERT[:KEY]"):
        certificate, colon, key = files.partition(":")
        client = tls.ClientCertificate(Path(certificate), Path(key if colon else certificate))
        named.append((host, tls.HostTls(client=client)))
    for host, own in named:
        found[host] = found.get(host, tls.NOTHING_OWN).joined(own)
    return found


def _pairs(option: str, texts: tuple[str, ...], what: str) -> Iterator[tuple[Registry, str]]:
    for text in texts:
        host, _, value = text.partition("=")
        if not value:
            msg = f"{option} {text!r} does not say for which host"
            raise InputError(msg, hint=f"write {option} HOST[:PORT]={what}")
        yield Registry.parse(host), value
