"""The TLS files of one registry, in a folder with the registry's name (`certs.d/HOST[:PORT]`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from imgverify.errors import InputError
from imgverify.registry.hostconfig.model import NO_FILES, TlsFiles
from imgverify.registry.tls import ClientCertificate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HINT = "an authority's certificate is named *.crt, a client's *.cert, and its key *.key"


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """A folder, and the names of the files in it, in order; `closed` says why they are unknown."""

    path: Path
    names: tuple[str, ...] = ()
    closed: str = ""

    def files(self, *, key_may_be_inside: bool = False) -> TlsFiles:
        """Read the names; raises `InputError` for half of a pair, and for a closed folder.

        containerd alone looks for a key that is absent in the certificate's own file.
        """
        if self.closed:
            raise InputError(self.closed, hint="run imgverify as a user who may read it")
        authorities = tuple(self.path / each for each in self.names if each.endswith(".crt"))
        pairs = []
        for name in (each for each in self.names if each.endswith(".cert")):
            key = f"{name.removesuffix('.cert')}.key"
            if key not in self.names and not key_may_be_inside:
                self._refuse(name, key)
            has = self.path / (key if key in self.names else name)
            pairs.append(ClientCertificate(self.path / name, has))
        for name in (each for each in self.names if each.endswith(".key")):
            certificate = f"{name.removesuffix('.key')}.cert"
            if certificate not in self.names and not key_may_be_inside:
                self._refuse(name, certificate)
        return TlsFiles(authorities, tuple(pairs))

    def _refuse(self, name: str, lacking: str) -> None:
        msg = f"{self.path} has {name} without {lacking}"
        raise InputError(msg, hint=_HINT)


#: The folders of one `certs.d` by name.
CertificateFolders: TypeAlias = "Mapping[str, CertificateFolder]"


def files_of(host: str, *places: CertificateFolders) -> TlsFiles:
    """Return a host's files, by its name as it is written, from the first place that has any."""
    for folders in places:
        if host in folders:
            return folders[host].files()
    return NO_FILES
