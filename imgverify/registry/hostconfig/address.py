"""The addresses in which runtimes write endpoints: `http(s)://host[:port][/path]`."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Final, Self

from imgverify.errors import InvalidReference
from imgverify.oci.reference import Registry

_ADDRESS: Final = re.compile(r"(https?)://([^/?#@\\%\s]+)(/[^?#@\\%\s]*)?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API may lie; `host` is as it was written, `path` without a slash at its end."""

    scheme: str
    host: str
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address; raises `InvalidReference`, without quoting what may be a password."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            msg = "an address that is not plain http://host[:port][/path] or https://…"
            raise InvalidReference(msg, hint="leave out user names, passwords, ? and #")
        scheme, host, path = found[1], found[2], found[3] or ""
        Registry.parse(host)
        # normpath keeps two slashes at the start.
        return cls(scheme, host, posixpath.normpath(f"/{path.strip('/')}").rstrip("/"))

    @property
    def is_plain(self) -> bool:
        """Whether it is plain HTTP."""
        return self.scheme == "http"

    @property
    def port(self) -> int:
        """The port that is dialled."""
        return Registry.parse(self.host).port or _DEFAULT_PORTS[self.scheme]

    @property
    def registry(self) -> Registry:
        """The host as a registry's name.

        The port of http is written out: without one a registry is reached by https.
        """
        registry = Registry.parse(self.host)
        if registry.is_docker_hub or not self.is_plain:
            return registry
        return Registry(registry.host, self.port)

    def at(self, path: str) -> Self:
        """Return the same host with another path."""
        return type(self)(self.scheme, self.host, path)

    def __str__(self) -> str:
        """Return the address."""
        return f"{self.scheme}://{self.host}{self.path}"
