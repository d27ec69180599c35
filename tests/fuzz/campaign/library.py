"""What no command asks for by itself yet: tags and referrers, printed one a line."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from imgverify.errors import ContentError, ImgverifyError, Side
from imgverify.exitcode import ExitCode, of_error
from imgverify.oci.reference import Reference, Registry
from imgverify.registry.client import Network
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imgverify.registry.client import RemoteRepository

    Ask = Callable[[RemoteRepository, Reference], Iterable[object]]


def listing(name: str, hosts: Sequence[str], ask: Ask) -> Callable[[float], int]:
    """Return what asks the repository of `name`, and ends as a command would."""

    def call(seconds: float) -> int:
        settings = NetworkSettings(frozenset(map(Registry.parse, hosts)))
        reference = Reference.parse(name)
        try:
            with Network(settings, CredentialStore(), Deadline.after(seconds)) as network:
                found = ask(network.at(reference.repository, Side.UPSTREAM), reference)
                lines = [f"{each}\n" for each in found]
        except ImgverifyError as error:
            sys.stderr.write(f"{type(error).__name__}\n")
            return int(of_error(error))
        except Exception:  # noqa: BLE001 - what the command line would call an internal error
            traceback.print_exc()
            return int(ExitCode.INCONCLUSIVE)
        sys.stdout.writelines(lines)
        return 0

    return call


def tags(repository: RemoteRepository, _reference: Reference) -> Iterable[object]:
    """List the tags."""
    return repository.tags()


def referrers(repository: RemoteRepository, reference: Reference) -> Iterable[object]:
    """List what refers to the reference's digest."""
    if reference.digest is None:
        raise ContentError(str(reference))
    return [each.digest for each in repository.referrers(reference.digest).descriptors]
