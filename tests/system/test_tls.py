"""TLS with real registries: private authorities, certificates that are wrong, mutual TLS, IPv6."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.certificate import LOOPBACK, Authority, self_signed
from tests.support.image import put, release
from tests.support.processes import running_registry
from tests.support.push import push_shelf
from tests.support.registry import Shelf
from tests.support.relay import Relay
from tests.system.commands import Done, imgverify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system("docker-registry", "distribution")

PATH, TAG = "library/app", "1.4"
IMAGE = release("app", "1.4.2")
KIND = "docker-registry"


@dataclass(frozen=True)
class Scene:
    """An authority, the content of every registry here, and one whose certificate is right."""

    authority: Authority
    storage: Path
    good: str

    @property
    def trusted(self) -> Path:
        return self.authority.certificate


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("tls")
    authority, storage = Authority.create(folder / "authority"), folder / "plain" / "data"
    shelf = Shelf()
    put(shelf, PATH, IMAGE, TAG)
    with running_registry(KIND, folder / "plain") as host:
        push_shelf(host, shelf)
    files = tls(authority.issue("good"))
    with running_registry(KIND, folder / "good", files, storage=storage) as good:
        yield Scene(authority, storage, good)


def tls(files: tuple[Path, Path], **more: object) -> dict[str, dict[str, object]]:
    section = {"certificate": str(files[0]), "key": str(files[1]), **more}
    return {"http": {"tls": section}}


def trust(authority: Path, *hosts: str) -> list[str]:
    return [word for each in hosts for word in ("--tls-ca", f"{each}={authority}")]


def allow(upstream: str, mirror: str, *words: object) -> Done:
    command = ("verify", f"{upstream}/{PATH}:{TAG}", "--mirror", mirror, *words)
    done = imgverify(*command, "--format", "json")
    assert done.status == 0, done.out
    return done


def verify(upstream: str, mirror: str, *words: object) -> tuple[Done, Done]:
    command = ("verify", f"{upstream}/{PATH}:{TAG}", "--mirror", mirror, *words)
    return imgverify(*command, "--format", "json"), imgverify(*command)


def failure(answers: tuple[Done, Done], side: str) -> str:
    """What was said of the side that failed, which decided nothing."""
    report, text = answers
    assert (report.status, text.status) == (3, 3)
    image = report.image
    findings = [*image["findings"], *(one for each in image["mirrors"] for one in each["findings"])]
    (found,) = (each for each in findings if each["rule"] == "unreachable")
    assert found["side"] == side
    message: str = found["message"]
    assert message.rsplit(": ", maxsplit=1)[-1] in " ".join(text.out.split())
    return message


@pytest.mark.parametrize("kind", ["docker-registry", "distribution"])
def test_a_private_authority_is_trusted_where_it_is_named(
    kind: str, scene: Scene, tmp_path: Path
) -> None:
    files = scene.authority.issue("mirror")
    with running_registry(kind, tmp_path / "mirror", tls(files), storage=scene.storage) as mirror:
        options = trust(scene.trusted, scene.good, mirror)
        allow(scene.good, mirror, *options)
        layout = tmp_path / "layout"
        name = f"{scene.good}/{PATH}:{TAG}"
        done = imgverify("pull", name, "--mirror", mirror, *options, "--to", f"oci:{layout}:1")
        assert done.status == 0, done.err
        assert json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"] == str(
            IMAGE.digest
        )
        certs = tmp_path / "certs.d"
        for each in (scene.good, mirror):
            (certs / each).mkdir(parents=True)
            (certs / each / "ca.crt").write_bytes(scene.trusted.read_bytes())
        allow(scene.good, mirror, "--certs-dir", certs)


@pytest.mark.parametrize("side", ["mirror", "upstream"])
def test_an_authority_that_is_not_named_is_unknown(scene: Scene, tmp_path: Path, side: str) -> None:
    with running_registry(
        KIND, tmp_path, tls(scene.authority.issue("x")), storage=scene.storage
    ) as other:
        upstream, mirror = (scene.good, other) if side == "mirror" else (other, scene.good)
        answers = verify(upstream, mirror, *trust(scene.trusted, scene.good))
        assert "unable to get local issuer certificate" in failure(answers, side)
        assert f"--tls-ca {other}=FILE" in " ".join(answers[1].out.split())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("wrong-authority", "unable to get local issuer certificate"),
        ("wrong-name", "not valid for '127.0.0.1'"),
        ("expired", "certificate has expired"),
        ("self-signed", "self-signed certificate"),
    ],
)
def test_no_http_fallback_a_wrong_certificate_is_final(
    scene: Scene, tmp_path: Path, fault: str, words: str
) -> None:
    files = {
        "wrong-authority": lambda: Authority.create(tmp_path / "theirs").issue("x"),
        "wrong-name": lambda: scene.authority.issue("x", names="DNS:other.test"),
        "expired": lambda: scene.authority.issue("x", days=-1),
        "self-signed": lambda: self_signed(tmp_path),
    }[fault]()
    with (
        running_registry(KIND, tmp_path / "x", tls(files), storage=scene.storage) as other,
        Relay(("127.0.0.1", int(other.rpartition(":")[2]))) as relay,
    ):
        answers = verify(scene.good, relay.host, *trust(scene.trusted, scene.good, relay.host))
        assert words in failure(answers, "mirror")
        # Nothing went to that port but the beginning of a handshake, once for each run.
        assert [bytes(each[:2]) for each in relay.sent] == [b"\x16\x03"] * 2
        for each in relay.sent:
            assert b"HTTP" not in each
            assert PATH.encode() not in each


def test_no_http_fallback_nothing_is_sent_to_a_port_that_speaks_no_tls(
    scene: Scene, tmp_path: Path
) -> None:
    with (
        running_registry(KIND, tmp_path, storage=scene.storage) as plain,
        Relay(("127.0.0.1", int(plain.rpartition(":")[2]))) as relay,
    ):
        answers = verify(scene.good, relay.host, *trust(scene.trusted, scene.good))
        assert "TLS failed" in failure(answers, "mirror")
        assert f"--insecure-http {relay.host}" in " ".join(answers[1].out.split())
        assert {bytes(each[:1]) for each in relay.sent} == {b"\x16"}


def test_mutual_tls(scene: Scene, tmp_path: Path) -> None:
    theirs = Authority.create(tmp_path / "theirs")
    sections = tls(scene.authority.issue("mutual"), clientcas=[str(scene.trusted)])
    with running_registry(KIND, tmp_path / "x", sections, storage=scene.storage) as mirror:
        options = trust(scene.trusted, scene.good, mirror)
        wrong = ":".join(map(str, theirs.issue("client")))
        for more in ([], ["--tls-client-cert", f"{mirror}={wrong}"]):
            answers = verify(scene.good, mirror, *options, *more)
            assert "it wants a client certificate" in failure(answers, "mirror")
            assert f"--tls-client-cert {mirror}=CERT:KEY" in " ".join(answers[1].out.split())
        right = ":".join(map(str, scene.authority.issue("client")))
        for answer in verify(
            scene.good, mirror, *options, "--tls-client-cert", f"{mirror}={right}"
        ):
            assert answer.status == 0


def test_ipv6_from_the_reference_to_the_certificate(scene: Scene, tmp_path: Path) -> None:
    assert "IP:::1" in LOOPBACK
    files = scene.authority.issue("six")
    with (
        running_registry(
            KIND, tmp_path / "x", tls(files), storage=scene.storage, address="::1"
        ) as six,
        Relay(("::1", int(six.rpartition(":")[2])), address="::1") as relay,
    ):
        assert relay.host.startswith("[::1]:")
        options = trust(scene.trusted, scene.good, relay.host)
        for pair in ((scene.good, relay.host), (relay.host, scene.good)):
            assert allow(*pair, *options).image["pinned"] == f"{pair[0]}/{PATH}@{IMAGE.digest}"
        # No server name (extension 0) with the address in it.
        assert relay.sent
        assert not any(b"::1" in each[:600] for each in relay.sent)
        name = f"{relay.host}/{PATH}:{TAG}"
        layout = tmp_path / "layout"
        done = imgverify("pull", name, "--mirror", scene.good, *options, "--to", f"oci:{layout}:1")
        assert done.status == 0, done.err
        assert done.out == f"{relay.host}/{PATH}@{IMAGE.digest}\n"
    wrong = scene.authority.issue("four", names="DNS:localhost,IP:127.0.0.1")
    with running_registry(
        KIND, tmp_path / "y", tls(wrong), storage=scene.storage, address="::1"
    ) as other:
        answers = verify(scene.good, other, *trust(scene.trusted, scene.good, other))
        assert "not valid for '::1'" in failure(answers, "mirror")
