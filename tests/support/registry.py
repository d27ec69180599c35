"""The tests' registry: a real server on loopback that holds content and plays faults."""

import ssl
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from imgverify.serve.loopback import Answer, LoopbackRegistry, Request, Response, Shelf, pull_api
from tests.support.faults import Call, Fault

__all__ = ["FakeRegistry", "Fault", "Shelf"]


class _Armed:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0


class FakeRegistry(LoopbackRegistry):
    """A `LoopbackRegistry` that records every request and can be made to fail.

    A request is answered by the first of `mounts` that has a response, else refused by `guard`,
    else answered from the shelf. All faults that are due then change that response in their
    order; what `guard` refused they neither change nor count.
    """

    def __init__(
        self,
        shelf: Shelf | None = None,
        faults: Iterable[Fault] = (),
        *,
        mounts: Sequence[Answer] = (),
        guard: Answer | None = None,
        certificate: tuple[Path, Path] | None = None,
        clients: Path | None = None,
    ) -> None:
        """Serve TLS with `certificate`: the files of the chain and of the key.

        Clients have to show a certificate of the authority in `clients`.
        """
        tls = None
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*certificate)
            if clients is not None:
                tls.verify_mode = ssl.CERT_REQUIRED
                tls.load_verify_locations(clients)
        super().__init__(shelf or Shelf(), [self._answer], tls=tls)
        self.mounts = tuple(mounts)
        self.guard = guard
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._armed = [_Armed(each) for each in faults]

    @property
    def requests(self) -> tuple[Request, ...]:
        """Everything that was asked, in the order of arrival."""
        with self._lock:
            return tuple(self._requests)

    def seen(self, method: str = "", path: str = "") -> tuple[Request, ...]:
        """Return the requests with this method, whose path has this part; empty fits all."""
        return tuple(
            each for each in self.requests if method in ("", each.method) and path in each.path
        )

    def count(self, method: str = "", path: str = "") -> int:
        """Count what `seen` returns."""
        return len(self.seen(method, path))

    def forget(self) -> None:
        """Start recording anew."""
        with self._lock:
            self._requests.clear()

    def play(self, *faults: Fault) -> None:
        """Add faults; each counts its requests from now on."""
        with self._lock:
            self._armed += [_Armed(each) for each in faults]

    def heal(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._armed = []

    def _answer(self, request: Request) -> Response:
        with self._lock:
            self._requests.append(request)
        response = self._mounted(request)
        if response is None and self.guard is not None:
            refusal = self.guard(request)
            if refusal is not None:
                return refusal
        if response is None:
            response = self._shelved(request)
        with self._lock:
            due = tuple(self._due(request))
        call = Call(request, response, 0, self._shelved, self.stopping)
        for fault, nth in due:
            call = replace(call, response=fault.apply(replace(call, nth=nth)))
        return call.response

    def _due(self, request: Request) -> Iterable[tuple[Fault, int]]:
        for armed in self._armed:
            if armed.fault.when.fits(request):
                armed.seen += 1
                if armed.fault.when.is_due(armed.seen):
                    yield armed.fault, armed.seen

    def _mounted(self, request: Request) -> Response | None:
        for mount in self.mounts:
            response = mount(request)
            if response is not None:
                return response
        return None

    def _shelved(self, request: Request) -> Response:
        return pull_api(self.shelf, request)
