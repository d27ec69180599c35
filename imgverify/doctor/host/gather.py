"""Reading what this host's runtimes are configured to do, each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.doctor.host.report import Found
from imgverify.errors import InputError
from imgverify.registry.hostconfig.model import Runtime
from imgverify.registry.hostconfig.read import read_containerd, read_containers, read_docker

if TYPE_CHECKING:
    from imgverify.doctor.host.report import Configuration
    from imgverify.registry.hostconfig.read import HostPlaces


def gather_host(places: HostPlaces) -> tuple[Found, ...]:
    """Read the files of every runtime; what cannot be read of one says nothing of another."""
    return tuple(Found(each, _read(each, places)) for each in Runtime)


def _read(runtime: Runtime, places: HostPlaces) -> Configuration | InputError:
    try:
        if runtime is Runtime.DOCKER:
            return read_docker(places)
        return read_containers(places) if runtime is Runtime.CONTAINERS else read_containerd(places)
    except InputError as error:
        return error
