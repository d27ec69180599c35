"""Whatever runtimes are configured to do, something is said of it, and what closes gaps is read."""

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from imgverify.doctor.host.model import Gap
from imgverify.doctor.host.text import render_host
from imgverify.doctor.jsonreport import render_json, schema_text
from imgverify.registry.hostconfig.model import Runtime
from tests.unit.doctor.hosts import DAEMON, HUB, REGISTRIES, Host
from tests.unit.report.harm import unseen

VALIDATOR = Draft202012Validator(json.loads(schema_text()))
NAMES = ["docker.io/library/nginx:1", "nginx", "quay.io/a/b:1", f"quay.io/a/b@sha256:{'0' * 64}"]

places = st.sampled_from(["docker.io", "quay.io", "m.example/hub", "127.0.0.1:5000", "[::1]:5000"])
flags = st.sampled_from(["", "insecure = true\n"])
uses = st.sampled_from(["", *(f'pull-from-mirror = "{each}"\n' for each in ("all", "tag-only"))])
mirrors = st.builds('[[registry.mirror]]\nlocation = "{}"\n{}{}'.format, places, flags, uses)
entries = st.builds(
    '[[registry]]\nprefix = "{}"\nlocation = "{}"\n{}{}{}'.format,
    places,
    places,
    flags,
    st.sampled_from(["", "blocked = true\n"]),
    st.lists(mirrors, max_size=2).map("".join),
)
searches = st.sampled_from(["", 'unqualified-search-registries = ["quay.io", "docker.io"]\n'])
registries = st.builds(
    "{}{}".format, searches, st.lists(entries, max_size=2).map("".join) | st.just("[")
)
urls = st.sampled_from(
    ["https://m.example", "http://127.0.0.1:5000", "https://registry-1.docker.io", "https://m/a/v2"]
)
keys = st.lists(
    st.sampled_from(
        [
            'capabilities = ["pull"]\n',
            "skip_verify = true\n",
            "override_path = true\n",
            'ca = "ca.pem"\n',
        ]
    ),
    unique=True,
).map("".join)
tables = st.dictionaries(urls, keys, max_size=3).map(
    lambda found: "".join(f'[host."{url}"]\n{text}' for url, text in found.items())
)
hosts_toml = st.builds("{}{}".format, st.just("") | urls.map('server = "{}"\n'.format), tables)
daemons = st.fixed_dictionaries(
    {},
    optional={
        "registry-mirrors": st.lists(urls, max_size=2),
        "insecure-registries": st.lists(st.sampled_from(["m.example", "::/0", "10.0.0.0/8"])),
    },
).map(json.dumps)


@settings(max_examples=150, deadline=None)
@given(registries, hosts_toml, daemons, st.sampled_from(NAMES))
def test_any_configuration_comes_to_a_report(conf: str, toml: str, daemon: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        for file, text in ((REGISTRIES, conf), (HUB, toml), (DAEMON, daemon)):
            host.write(file, text)
        report = host.report(name)
        VALIDATOR.validate(json.loads(render_json((), [report])))
        assert unseen(render_host(report, colour=False, width=60)) <= {"\n"}


@settings(max_examples=100, deadline=None)
@given(registries, hosts_toml, st.sampled_from(NAMES))
def test_what_falls_through_does_so_no_more_once_it_is_closed(
    conf: str, toml: str, name: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        host.write(REGISTRIES, conf)
        host.write(HUB, toml)
        for runtime in (Runtime.CONTAINERS, Runtime.CONTAINERD):
            for lookup in host.runtime(runtime, name).lookups[:1]:
                for each in lookup.bypasses:
                    if each.gap is Gap.FALLS_THROUGH and each.closings:
                        host.apply(each.closings[0])
                        again = host.runtime(runtime, name)
                        assert not again.failure
                        found = [one.gap for one in again.lookups[0].bypasses]
                        assert Gap.FALLS_THROUGH not in found
