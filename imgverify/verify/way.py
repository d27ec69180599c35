"""The way to every source of a question: over the network, or into files of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from imgverify.errors import Side
from imgverify.oci.local import LocalCopy
from imgverify.verify.local import LocalRepository

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from imgverify.oci.local import MirrorName, Origin
    from imgverify.registry.client import Network, Served
    from imgverify.verify.source import Source


class Way:
    """Opens local copies once, and closes them; a context manager.

    Raises `InputError` for a copy that is not there, before anybody is asked for anything.
    """

    def __init__(self, network: Network, mirrors: Iterable[MirrorName]) -> None:
        self.network = network
        self._copies: dict[LocalCopy, LocalRepository] = {}
        try:
            for each in mirrors:
                if isinstance(each, LocalCopy) and each not in self._copies:
                    self._copies[each] = LocalRepository(each, Side.MIRROR, network.deadline)
        except BaseException:
            self._close()
            raise

    def served(self, mirror: MirrorName) -> Served:
        """Read what a mirror has for its name."""
        if isinstance(mirror, LocalCopy):
            return self._copies[mirror].image()
        return self.network.at(mirror.repository, Side.MIRROR).manifest(mirror)

    def is_rebuilt(self, mirror: MirrorName) -> bool:
        """Whether a copy keeps no manifest of a registry's; see `LocalRepository`."""
        return isinstance(mirror, LocalCopy) and self._copies[mirror].is_rebuilt

    def mirror(self, place: Origin) -> Source:
        """Return a mirror by its repository, or the local copy that takes a mirror's place."""
        if isinstance(place, LocalCopy):
            return self._copies[place]
        return self.network.at(place, Side.MIRROR)

    def __enter__(self) -> Self:
        """Return the way itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every copy."""
        self._close()

    def _close(self) -> None:
        for each in self._copies.values():
            each.close()
