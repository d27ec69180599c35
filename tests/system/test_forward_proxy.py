"""A real forward proxy between imgverify and real registries."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.certificate import Authority
from tests.support.image import put, release
from tests.support.processes import running_registry, running_tinyproxy
from tests.support.push import push_shelf
from tests.support.registry import FakeRegistry, Shelf
from tests.system.commands import imgverify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system("docker-registry", "tinyproxy")

PATH, TAG = "library/app", "1.4"
IMAGE = release("app", "1.4.2")
USER, PASSWORD = "alice", "open-sesame"


def test_registries_behind_a_proxy_with_and_without_tls(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority")
    certificate, key = authority.issue("registry")
    sections = {"http": {"tls": {"certificate": str(certificate), "key": str(key)}}}
    shelf = Shelf()
    put(shelf, PATH, IMAGE, TAG)
    with (
        running_registry("docker-registry", tmp_path / "plain") as plain,
        running_registry(
            *("docker-registry", tmp_path / "tls", sections),
            storage=tmp_path / "plain" / "data",
        ) as secured,
        running_tinyproxy(tmp_path / "proxy", user=f"{USER}:{PASSWORD}") as proxy,
    ):
        push_shelf(plain, shelf)
        name = f"{secured}/{PATH}:{TAG}"
        options = ["--mirror", plain, "--tls-ca", f"{secured}={authority.certificate}"]
        given = ["--proxy", f"http://{USER}:{PASSWORD}@{proxy}"]
        done = imgverify("verify", name, *options, *given, "--format", "json", plain=(plain,))
        assert done.status == 0, done.out
        notes = [each for each in done.image["findings"] if each["rule"] == "proxied"]
        assert [each["side"] for each in notes] == ["upstream", "mirror"]
        layout = tmp_path / "layout"
        done = imgverify("pull", name, *options, *given, "--to", f"oci:{layout}:1", plain=(plain,))
        assert done.status == 0, done.err
        (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
        assert entry["digest"] == str(IMAGE.digest)
        for wrong in (f"http://{proxy}", f"http://{USER}:wrong-{PASSWORD}@{proxy}"):
            words = ("verify", name, *options, "--proxy", wrong)
            done = imgverify(*words, plain=(plain,))
            assert done.status == 3
            assert f"the proxy http://{proxy}: it" in done.out
            assert PASSWORD not in done.out + done.err


def test_proxy_auth_leak_an_origin_sees_no_credentials_of_a_real_proxy(tmp_path: Path) -> None:
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with (
        FakeRegistry() as upstream,
        FakeRegistry() as mirror,
        running_tinyproxy(tmp_path, user=f"{USER}:{PASSWORD}") as proxy,
    ):
        for each in (upstream, mirror):
            put(each.shelf, PATH, IMAGE, TAG)
        words = ("verify", f"{upstream.host}/{PATH}:{TAG}", "--mirror", mirror.host, "--deep")
        given = ("--proxy", f"http://{USER}:{PASSWORD}@{proxy}")
        done = imgverify(*words, *given, plain=(upstream.host, mirror.host))
        assert done.status == 0, done.out
        for request in (*upstream.requests, *mirror.requests):
            assert request.header("Host") in (upstream.host, mirror.host)
            assert secret not in str(request)
