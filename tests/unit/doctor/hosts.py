"""Hosts with configured runtimes, below a folder, and what the doctor says of them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from imgverify.doctor.host.gather import gather_host
from imgverify.doctor.host.model import Bypass, Closing, Gap, HostReport, Lookup, RuntimeReport
from imgverify.doctor.host.report import report_host
from imgverify.registry.hostconfig.model import Runtime
from imgverify.registry.hostconfig.read import HostPlaces

NGINX = "docker.io/library/nginx:1.27"
DAEMON = "etc/docker/daemon.json"
REGISTRIES = "etc/containers/registries.conf"
HUB = "etc/containerd/certs.d/docker.io/hosts.toml"


@dataclass(frozen=True, slots=True)
class Host:
    """A system below a folder."""

    root: Path

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def report(self, name: str = NGINX) -> HostReport:
        return report_host(name, gather_host(HostPlaces(self.root)))

    def runtime(self, runtime: Runtime, name: str = NGINX) -> RuntimeReport:
        (found,) = [each for each in self.report(name).runtimes if each.runtime is runtime]
        return found

    def lookup(self, runtime: Runtime, name: str = NGINX) -> Lookup:
        (found,) = self.runtime(runtime, name).lookups
        return found

    def apply(self, closing: Closing) -> None:
        """Write a closing's text as its words say."""
        file = Path(closing.file)
        assert file.is_relative_to(self.root)
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".json":
            text = json.dumps(json.loads(before) | json.loads(closing.text))
        elif file.name == "hosts.toml":
            text = _into_hosts_toml(before, closing)
        elif "change its table" in closing.how:
            text = before.replace("insecure = true", closing.text, 1)
        else:
            text = f"{before}\n{closing.text}\n"
        file.write_text(text, encoding="utf-8")


def _into_hosts_toml(before: str, closing: Closing) -> str:
    """Begin the file anew, or set keys in its one table."""
    if "change its table" not in closing.how:
        for line in re.findall(r"[0-9]+", closing.how.partition("table in line ")[2])[::-1]:
            lines = before.splitlines(keepends=True)
            start, stop = int(line) - 1, int(line)
            while stop < len(lines) and not lines[stop].startswith("["):
                stop += 1
            before = "".join(lines[:start] + lines[stop:])
        names = "|".join(line.partition(" = ")[0] for line in closing.text.splitlines())
        top, mark, tables = before.partition("[")
        rest = re.sub(rf"^({names}) = .*\n", "", top, flags=re.MULTILINE) + mark + tables
        return f"{closing.text}\n{rest}"
    if closing.text.startswith("["):
        return re.sub(r"\[host\..*\]", lambda _: closing.text, before)
    keys = {line.partition(" = ")[0] for line in closing.text.splitlines()}
    kept = [line for line in before.splitlines() if line.strip().partition(" = ")[0] not in keys]
    return "\n".join((*kept, closing.text)) + "\n"


def gaps(lookup: Lookup) -> list[Gap]:
    return [each.gap for each in lookup.bypasses]


def bypass(lookup: Lookup, gap: Gap) -> Bypass:
    (found,) = [each for each in lookup.bypasses if each.gap is gap]
    return found
