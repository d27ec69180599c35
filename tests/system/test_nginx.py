"""What stands before real registries: redirects, compression, rate limits, slow bodies."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from imgverify.demo.images import AMD64, Layer, assemble, config, put
from imgverify.oci.mediatype import OCI_LAYER
from tests.support.certificate import Authority
from tests.support.processes import free_port, running_nginx, running_registry
from tests.support.push import push_shelf
from tests.support.registry import Shelf
from tests.system.commands import Done, imgverify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system("docker-registry", "nginx")

PATH, TAG = "library/app", "1.4"
SIZES = (5_000, 60_000, 90_000)
_NOISE = random.Random(1)  # noqa: S311 - bulk
LAYERS = tuple(Layer(data, data, OCI_LAYER) for data in map(_NOISE.randbytes, SIZES))
IMAGE = assemble(
    config(AMD64, LAYERS, created="2026-01-01T00:00:00Z", command="app"), LAYERS, AMD64
)
MANIFESTS, BLOBS = "~ /manifests/", "~ /blobs/"


@dataclass(frozen=True)
class Scene:
    """A registry that is upstream, and stands behind the mirror too."""

    registry: str
    folder: Path
    port: int

    @property
    def mirror(self) -> str:
        return f"127.0.0.1:{self.port}"

    def passing(self, *also: str, where: str = "/") -> str:
        """A location whose requests are passed on to the registry."""
        lines = (f"proxy_pass http://{self.registry};", "proxy_set_header Host $http_host;", *also)
        return f"location {where} {{ {' '.join(lines)} }}"

    def server(self, *lines: str, port: int | None = None, secure: bool = False) -> str:
        listen = f"listen 127.0.0.1:{port or self.port}{' ssl' if secure else ''};"
        return f"server {{ {listen} {' '.join(lines)} }}\n"

    def verify(self, *words: object, also: tuple[str, ...] = ()) -> tuple[Done, Done]:
        command = ("verify", f"{self.registry}/{PATH}:{TAG}", "--mirror", self.mirror, *words)
        plain = (self.registry, self.mirror, *also)
        report = imgverify(*command, "--format", "json", plain=plain)
        return report, report if report.status == 0 else imgverify(*command, plain=plain)

    def pull(self, *words: object) -> Done:
        name, layout = f"{self.registry}/{PATH}:{TAG}", self.folder / "layout"
        command = ("pull", name, "--mirror", self.mirror, "--to", f"oci:{layout}:1", *words)
        done = imgverify(*command, plain=(self.registry, self.mirror))
        if done.status == 0:
            (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
            assert entry["digest"] == str(IMAGE.digest)
        return done


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry("docker-registry", tmp_path_factory.mktemp("registry")) as host:
        shelf = Shelf()
        put(shelf, PATH, IMAGE, TAG)
        push_shelf(host, shelf)
        yield host


@pytest.fixture
def scene(registry: str, tmp_path: Path) -> Scene:
    return Scene(registry, tmp_path, free_port())


def graded(answers: tuple[Done, Done]) -> str:
    report, _ = answers
    (mirror,) = report.image["mirrors"]
    grade: str = mirror["grade"]
    assert (report.status == 0) == (report.image["decision"] == "allow")
    return grade


def told(answers: tuple[Done, Done]) -> str:
    return " ".join(answers[1].out.split())


def headers_for(host: str, path: str) -> http.client.HTTPMessage:
    """What one gets who takes compressed content."""
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        accept = {"Accept": "*/*", "Accept-Encoding": "gzip"}
        connection.request("GET", f"/v2/{PATH}/{path}", headers=accept)
        answer = connection.getresponse()
        answer.read()
        return answer.headers
    finally:
        connection.close()


# --- redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_redirect_to_another_port_or_host_is_followed_where_that_is_named(
    scene: Scene, name: str
) -> None:
    other = free_port()
    away = f"location {MANIFESTS} {{ return 307 http://{name}:{other}$request_uri; }}"
    servers = scene.server(away, scene.passing()) + scene.server(scene.passing(), port=other)
    with running_nginx(scene.folder, servers):
        answers = scene.verify(also=(f"{name}:{other}",))
        assert graded(answers) == "identical"
        (mirror,) = answers[0].image["mirrors"]
        assert mirror["servedBy"] == [scene.mirror, f"{name}:{other}"]
        answers = scene.verify()
        assert graded(answers) == "inconclusive"
        assert "redirects to plain HTTP" in told(answers)
        assert f"--insecure-http {name}:{other}" in told(answers)


def test_a_redirect_to_https_is_followed_and_one_back_never(scene: Scene) -> None:
    authority = Authority.create(scene.folder / "authority")
    certificate, key = authority.issue("nginx")
    other, third = free_port(), free_port()
    files = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
    up = f"location / {{ return 301 https://127.0.0.1:{other}$request_uri; }}"
    down = f"location / {{ return 301 http://{scene.registry}$request_uri; }}"
    servers = (
        scene.server(up)
        + scene.server(files, scene.passing(), port=other, secure=True)
        + scene.server(files, down, port=third, secure=True)
    )
    trust = [
        word
        for port in (other, third)
        for word in ("--tls-ca", f"127.0.0.1:{port}={authority.certificate}")
    ]
    with running_nginx(scene.folder, servers):
        answers = scene.verify(*trust)
        assert graded(answers) == "identical"
        (mirror,) = answers[0].image["mirrors"]
        assert mirror["servedBy"] == [scene.mirror, f"127.0.0.1:{other}"]
        assert graded(scene.verify()) == "inconclusive"  # the other has no authority of its own
        name = f"{scene.registry}/{PATH}:{TAG}"
        command = ("verify", name, "--mirror", f"127.0.0.1:{third}", *trust)
        done = imgverify(*command, plain=(scene.registry,))
        assert done.status == 3
        assert "redirects to plain HTTP" in " ".join(done.out.split())
        assert "--insecure-http" not in done.out.split("redirects to plain HTTP")[1]


# --- compression ------------------------------------------------------------------------------


def test_http_decompression_who_asks_for_no_compression_gets_none(scene: Scene) -> None:
    lines = ("gzip on;", "gzip_types *;", "gzip_min_length 1;", "gzip_proxied any;")
    with running_nginx(scene.folder, scene.server(*lines, scene.passing())):
        assert headers_for(scene.mirror, f"manifests/{TAG}")["Content-Encoding"] == "gzip"
        assert graded(scene.verify("--deep")) == "identical"
        assert scene.pull().status == 0


@pytest.mark.parametrize("what", ["manifests", "blobs"])
def test_http_decompression_what_is_compressed_all_the_same_is_refused(
    scene: Scene, what: str
) -> None:
    content = {f"manifests/{TAG}": IMAGE.manifest}
    content |= {f"blobs/{each.descriptor.digest}": each.blob for each in LAYERS}
    for path, data in content.items():
        file = scene.folder / "root" / "v2" / PATH / f"{path}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(data))
    always = f"root {scene.folder}/root; gzip_static always; default_type {IMAGE.media_type};"
    where = f'~ "/{what}/(1.4|sha256:.*)$"'
    mine = f"location {where} {{ {always} error_page 404 = @registry; }}"
    lines = (mine, scene.passing(where="@registry"), scene.passing())
    with running_nginx(scene.folder, scene.server(*lines)):
        answers = scene.verify("--deep")
        assert graded(answers) == "inconclusive"
        assert answers[0].image["decision"] == "inconclusive"
        assert "content encoded as gzip, which was not asked for" in told(answers)
        # Upstream has what the mirror gives in no usable form.
        done = scene.pull()
        assert done.status == 0, done.err
        assert f"from {scene.registry}" in done.err


# --- limits -----------------------------------------------------------------------------------


def test_a_rate_limit_is_waited_for(scene: Scene) -> None:
    zone = "limit_req_zone $server_port zone=few:1m rate=4r/s;\n"
    limit = ("limit_req zone=few nodelay;", "limit_req_status 429;")
    lines = (*limit, "add_header Retry-After 1 always;")
    with running_nginx(scene.folder, zone + scene.server(*lines, scene.passing())):
        start = time.monotonic()
        assert graded(scene.verify("--deep")) == "identical"
        assert time.monotonic() - start > 1


def test_a_rate_limit_that_lasts_decides_nothing_and_says_for_how_long(scene: Scene) -> None:
    refuse = "location / { add_header Retry-After 3600 always; return 429; }"
    with running_nginx(scene.folder, scene.server(refuse)):
        start = time.monotonic()
        answers = scene.verify()
        assert time.monotonic() - start < 60
        assert graded(answers) == "inconclusive"
        assert "answered 429" in told(answers)
        assert re.search(r"try again after \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", told(answers))


def test_a_gateway_without_its_registry_decides_nothing(scene: Scene) -> None:
    nobody = "location / { proxy_pass http://127.0.0.1:1; }"
    with running_nginx(scene.folder, scene.server(nobody)):
        answers = scene.verify()
        assert graded(answers) == "inconclusive"
        assert "answered 502" in told(answers)


# --- bodies -----------------------------------------------------------------------------------


def test_slow_and_endless_a_slow_body_is_waited_for_within_the_time_limit(scene: Scene) -> None:
    with running_nginx(scene.folder, scene.server("limit_rate 40k;", scene.passing())):
        start = time.monotonic()
        assert scene.pull().status == 0
        assert time.monotonic() - start > 1.5
        (scene.folder / "layout").rename(scene.folder / "pulled")
        start = time.monotonic()
        done = scene.pull("--timeout", "1")
        assert done.status in (3, 4)
        assert "within 1 s" in " ".join(done.err.split())
        assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("proxy_buffering on;",), id="buffered"),
        pytest.param(("proxy_buffering off;", "proxy_http_version 1.1;"), id="unbuffered"),
        pytest.param(
            (
                *("proxy_http_version 1.0;", "chunked_transfer_encoding off;"),
                *("sub_filter_types *;", "sub_filter nothing-like-it nothing;"),
            ),
            id="ended-by-the-connection",
        ),
        pytest.param(
            ("proxy_http_version 1.0;", "sub_filter_types *;", "sub_filter nothing-like-it no;"),
            id="chunked",
        ),
    ],
)
def test_bodies_come_whole_however_they_are_sent(scene: Scene, lines: tuple[str, ...]) -> None:
    with running_nginx(scene.folder, scene.server(*lines, scene.passing())):
        said = headers_for(scene.mirror, f"manifests/{TAG}")
        assert (said["Content-Length"] is None) == any("sub_filter" in each for each in lines)
        assert graded(scene.verify("--deep")) == "identical"
        done = scene.pull("--format", "json")
        assert done.status == 0
        assert scene.mirror in " ".join(done.err.split())
