"""What the tests of the registry client share: repositories on loopback, raw servers, traces."""

import contextlib
import http.client
import socket
import threading
import traceback
from collections.abc import Callable, Iterator

import httpx

from imgverify.errors import Side
from imgverify.oci.digest import Digest
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry.client import Network, RemoteRepository
from imgverify.registry.connect import Connector
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Deadline
from imgverify.registry.session import Call, NetworkSettings, Session
from imgverify.registry.tls import Security
from imgverify.registry.transport import Transport
from imgverify.registry.urls import registry_of
from tests.support.image import put, release
from tests.support.registry import FakeRegistry

PATH = "library/app"
TAG = "1.4"
IMAGE = release("app", "1.4.2")
OTHER = release("app", "1.4.1")
ANYBODY = CredentialStore()


def stock(registry: FakeRegistry) -> FakeRegistry:
    """Put the image under its tag, and another one beside it."""
    put(registry.shelf, PATH, IMAGE, TAG)
    put(registry.shelf, PATH, OTHER)
    return registry


def named(host: str, tag: str | None = TAG, digest: Digest | None = None) -> Reference:
    return Reference(Repository(Registry.parse(host), PATH), tag, digest)


def plain(*hosts: str) -> NetworkSettings:
    return NetworkSettings(insecure_http=frozenset(Registry.parse(each) for each in hosts))


@contextlib.contextmanager
def network(
    *hosts: str,
    credentials: CredentialStore = ANYBODY,
    seconds: float = 5.0,
    settings: NetworkSettings | None = None,
) -> Iterator[Network]:
    """A network on which `hosts` are reached over plain HTTP."""
    with Network(settings or plain(*hosts), credentials, Deadline.after(seconds)) as made:
        yield made


@contextlib.contextmanager
def repository(
    registry: FakeRegistry,
    *also: str,
    credentials: CredentialStore = ANYBODY,
    seconds: float = 5.0,
    side: Side = Side.MIRROR,
) -> Iterator[RemoteRepository]:
    """The image's repository on a registry; `also` are further hosts without TLS."""
    hosts = (registry.host, *also)
    with network(*hosts, credentials=credentials, seconds=seconds) as made:
        yield made.at(named(registry.host).repository, side)


@contextlib.contextmanager
def session(settings: NetworkSettings, credentials: CredentialStore = ANYBODY) -> Iterator[Session]:
    made = Session(settings, credentials)
    try:
        yield made
    finally:
        made.close()


def call(
    registry: FakeRegistry, path: str = "/v2/", *, seconds: float = 5.0, method: str = "GET"
) -> Call:
    url = httpx.URL(f"{registry.url}{path}")
    place = named(registry.host).repository
    return Call(method, url, place, Deadline.after(seconds), {"Accept": "*/*"})


@contextlib.contextmanager
def raw_server(
    *answers: bytes | Callable[[socket.socket], None],
    family: socket.AddressFamily = socket.AF_INET,
) -> Iterator[str]:
    """Give the n-th connection the n-th answer (the last one for ever), then close it.

    An answer is sent once a request's head has arrived; a function does whatever it likes.
    """
    address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    listener = socket.create_server((address, 0), family=family)
    stopping = threading.Event()

    def serve() -> None:
        for number in range(1000):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            answer = answers[min(number, len(answers) - 1)]
            with connection, contextlib.suppress(OSError):
                if stopping.is_set():
                    return
                if callable(answer):
                    answer(connection)
                else:
                    receive_head(connection)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port: int = listener.getsockname()[1]
    try:
        yield f"127.0.0.1:{port}" if family == socket.AF_INET else f"[::1]:{port}"
    finally:
        stopping.set()
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
            pass
        listener.close()
        thread.join(5)


def receive_head(connection: socket.socket) -> bytes:
    """Read to the end of one request's head."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(65536)
        if not more:
            raise ConnectionAbortedError
        head += more
    return head


def request(host: str, *, seconds: float = 5.0, method: str = "GET") -> httpx.Request:
    extensions = {"deadline": Deadline.after(seconds)}
    return httpx.Request(method, f"http://{host}/", extensions=extensions)


@contextlib.contextmanager
def transport(*, insecure_tls: bool = False) -> Iterator[Transport]:
    connector = Connector(lambda url: Security(registry_of(url), insecure=insecure_tls))
    made = Transport(connector)
    try:
        yield made
    finally:
        made.close()


def body(response: httpx.Response) -> bytes:
    """Copy a body; closing it gives the connection back."""
    with contextlib.closing(response):
        return b"".join(bytes(each) for each in response.iter_raw())


def everything_said(error: BaseException) -> str:
    """All that a reader could see of an exception: messages, reprs, and the whole chain."""
    said = ["".join(traceback.format_exception(error))]
    chain: BaseException | None = error
    while chain is not None:
        said += [repr(chain), str(chain), repr(vars(chain)), repr(chain.args)]
        chain = chain.__cause__ or chain.__context__
    return "\n".join(said)


def ipv6_works() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


OK = b"HTTP/1.1 200 OK\r\n"
CLOSED = http.client.RemoteDisconnected
