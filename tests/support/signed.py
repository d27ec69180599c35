"""Images signed by the real cosign in every way that it has, in two registries: made once.

What comes of it is files and addresses, so that several test processes can share one stage.
"""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgverify.demo.images import multi_platform, put, release
from imgverify.serve.shelf import Shelf
from tests.support.cosign import (
    Cosign,
    new_keys,
    write_predicates,
    write_signing_config,
    write_trusted_root,
)
from tests.support.deployment import running_deployment
from tests.support.processes import running_registry
from tests.support.push import push_shelf
from tests.support.recipes import ATTESTED, RECIPES, WHO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgverify.demo.images import Image, ImageIndex
    from tests.support.deployment import Deployment
    from tests.support.recipes import Recipe

#: The registries, by how they list what refers to an image.
KINDS = {"docker-registry": "fallback tag", "olareg": "referrers API"}
COMPONENTS = (
    *("docker-registry", "olareg", "cosign", "cosign-2", "fulcio", "timestamp-server"),
    *("rekor-tiles", "rekor", "trillian-log-server", "trillian-log-signer", "mariadb"),
)
_WORKERS = 4


@dataclass(frozen=True)
class Signed:
    """A signed image, and the words that both verifiers are given."""

    name: str
    form: str
    host: str
    repository: str
    digest: str
    trust: tuple[str, ...]
    only: tuple[str, ...]
    version: int

    @property
    def path(self) -> str:
        """Host and repository."""
        return f"{self.host}/{self.repository}"

    @property
    def reference(self) -> str:
        return f"{self.path}@{self.digest}"


@dataclass(frozen=True)
class Stage:
    """All that was made: `hosts` are registries by kind, `files` what `{…}` stand for."""

    folder: Path
    hosts: Mapping[str, str]
    files: Mapping[str, str]
    signed: tuple[Signed, ...]

    def cosign(self, version: int) -> Cosign:
        """Return a cosign that believes in the deployment's authorities and logs."""
        variables = (
            # Without it, referrers with layers of the older form are not looked for.
            ("COSIGN_EXPERIMENTAL", "1"),
            ("SIGSTORE_ROOT_FILE", self.files["authority"]),
            ("SIGSTORE_REKOR_PUBLIC_KEY", self.files["old-log"]),
            ("SIGSTORE_TSA_CERTIFICATE_FILE", self.files["stamps"]),
        )
        return Cosign(version, self.folder, variables if version == 2 else ())

    def find(self, kind: str, name: str) -> Signed:
        """Return an image of one registry by its name."""
        host = self.hosts[kind]
        (found,) = (each for each in self.signed if (each.host, each.name) == (host, name))
        return found

    def dump(self) -> str:
        """Write it down for `load`."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def load(cls, text: str) -> Stage:
        fields = json.loads(text)
        signed = (
            Signed(**{**each, "trust": tuple(each["trust"]), "only": tuple(each["only"])})
            for each in fields["signed"]
        )
        return cls(Path(fields["folder"]), fields["hosts"], fields["files"], tuple(signed))


def place_of(name: str) -> str:
    """Choose one registry for what is not made in both: each has some of every kind."""
    return list(KINDS)[list(ATTESTED).index(name) % len(KINDS)]


def image_of(name: str) -> Image | ImageIndex:
    """Return what is signed under a name: each is another image."""
    if name in RECIPES and RECIPES[name].index:
        return multi_platform(name, "1.0")
    return release(name, "1.0")


@contextlib.contextmanager
def running_stage(folder: Path) -> Iterator[Stage]:
    """Sign everything in both registries, which run as long as the block; the rest is stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        hosts = {kind: stack.enter_context(running_registry(kind, folder / kind)) for kind in KINDS}
        with running_deployment(folder / "deployment") as deployment:
            files = _write_files(folder, deployment)
            stage = Stage(folder, hosts, files, ())
            with ThreadPoolExecutor(_WORKERS) as pool:
                tasks = [(host, name) for host in hosts.values() for name in RECIPES]
                signed = [pool.submit(_sign, stage, *each) for each in tasks]
                tasks = [(hosts[place_of(name)], name) for name in ATTESTED]
                signed += [pool.submit(_attest, stage, *each) for each in tasks]
                made = tuple(each.result() for each in signed)
        yield Stage(folder, hosts, files, made)


def _write_files(folder: Path, deployment: Deployment) -> dict[str, str]:
    cosign = Cosign(3, folder)
    keys = new_keys(folder / "keys", cosign)
    roots = {"root": True, "no-logs-root": False}
    for name, logs in roots.items():
        write_trusted_root(cosign, deployment, folder / f"{name}.json", logs=logs)
    configs = {
        "new-config": (2, True),
        "old-config": (1, False),
        "old-stamped-config": (1, True),
        "no-log-config": (0, True),
    }
    for name, (log, stamped) in configs.items():
        path = folder / f"{name}.json"
        write_signing_config(cosign, deployment, path, log=log, stamped=stamped)
    statements = write_predicates(folder / "predicates")
    return {
        **{kind: str(path) for kind, path in keys.items()},
        **{f"{kind}.key": str(path.with_suffix(".key")) for kind, path in keys.items()},
        **{name: str(folder / f"{name}.json") for name in (*roots, *configs)},
        **{f"predicate:{kind}": str(path) for kind, path in statements.items()},
        "authority": str(deployment.authority),
        "stamps": str(deployment.timestamp_chain),
        "old-log": str(deployment.old_log_key),
        "issuer": deployment.issuer.url,
        "token": deployment.issuer.token(WHO),
        "fulcio-url": deployment.fulcio,
        "rekor-url": deployment.old_rekor,
        "stamps-url": f"{deployment.timestamps}/api/v1/timestamp",
    }


def filled(words: tuple[str, ...], files: Mapping[str, str]) -> tuple[str, ...]:
    """Replace `{…}` by the file or address of that name."""
    return tuple(
        files[each[1:-1]] if each[:1] == "{" and each[-1:] == "}" else each for each in words
    )


def publish(host: str, repository: str, item: Image | ImageIndex) -> str:
    """Push an image; gives its digest."""
    shelf = Shelf()
    put(shelf, repository, item, "1.0")
    push_shelf(host, shelf)
    return str(item.digest)


def _sign(stage: Stage, host: str, name: str) -> Signed:
    signed = _published(stage, host, name, RECIPES[name])
    words = filled(RECIPES[name].sign, {**stage.files, "place": f"place={host}"})
    stage.cosign(signed.version).do("sign", "--yes", *words, signed.reference)
    return signed


def _attest(stage: Stage, host: str, name: str) -> Signed:
    signed = _published(stage, host, name, ATTESTED[name])
    for kind in ATTESTED[name].kinds:
        what = ("--type", kind, "--predicate", stage.files[f"predicate:{kind}"])
        words = filled(ATTESTED[name].sign, stage.files)
        stage.cosign(signed.version).do("attest", "--yes", *what, *words, signed.reference)
    return signed


def _published(stage: Stage, host: str, name: str, recipe: Recipe) -> Signed:
    repository = f"team/{name}"
    digest = publish(host, repository, image_of(name))
    trust, only = filled(recipe.trust, stage.files), filled(recipe.only, stage.files)
    return Signed(name, recipe.form, host, repository, digest, trust, only, recipe.version)


@contextlib.contextmanager
def running_stage_text(folder: Path) -> Iterator[str]:
    """Run a stage for other processes, too."""
    with running_stage(folder) as stage:
        yield stage.dump()
