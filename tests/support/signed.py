"""Images signed by the real cosign in every way that it has, in two registries: made once.

What comes of it is files and addresses, so that several test processes can share one stage.
"""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imgverify.demo.images import multi_platform, put, release
from imgverify.serve.shelf import Shelf
from tests.support.cosign import (
    Cosign,
    new_keys,
    predicates,
    write_predicates,
    write_signing_config,
    write_trusted_root,
)
from tests.support.deployment import running_deployment
from tests.support.processes import running_registry
from tests.support.push import push_shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgverify.demo.images import Image, ImageIndex
    from tests.support.deployment import Deployment

#: The registries, by how they list what refers to an image.
KINDS = {"docker-registry": "fallback tag", "olareg": "referrers API"}
COMPONENTS = (
    *("docker-registry", "olareg", "cosign", "cosign-2", "fulcio", "timestamp-server"),
    *("rekor-tiles", "rekor", "trillian-log-server", "trillian-log-signer", "mariadb"),
)
WHO = "dev@team.test"
_ELSE = "other@team.test"
_WORKERS = 4


def _version(form: str) -> int:
    return 3 if form == "bundle" else 2


@dataclass(frozen=True)
class Recipe:
    """How an image is signed: the words for `cosign sign`, and those for verifying.

    `form` is `layer`, `attestation` (both are layers with annotations) or `bundle`. `trust` is what
    both cosign and imgverify are told, `only` is for cosign; `{…}` are names of files and
    addresses. What is attested instead has `kinds`, as cosign names them.
    """

    form: str
    sign: tuple[str, ...]
    trust: tuple[str, ...]
    only: tuple[str, ...] = ()
    index: bool = False
    kinds: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """The cosign that signs and verifies this form."""
        return _version(self.form)


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

    @property
    def version(self) -> int:
        """The cosign that made it."""
        return _version(self.form)

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


_NO_LOG = ("--insecure-ignore-tlog",)
_KEYLESS = (
    *("--certificate-identity", WHO, "--certificate-oidc-issuer", "{issuer}"),
    *("--trusted-root", "{root}"),
)
_NO_SCT = ("--insecure-ignore-sct",)


def _keyed(kind: str, form: str, **more: tuple[str, ...]) -> Recipe:
    """Sign with a key of one kind, and with no word of a log."""
    alone = ("--use-signing-config=false",) if form == "bundle" else ()
    sign = ("--key", f"{{{kind}.key}}", "--tlog-upload=false", *alone)
    trust = ("--key", f"{{{kind}}}", *_NO_LOG)
    return Recipe(form, sign, trust, only=("--offline", *more.get("only", ())))


_OLD_LOG = ("--rekor-url", "{rekor-url}")
_OLD_FULCIO = (
    *("--fulcio-url", "{fulcio-url}", "--oidc-issuer", "{issuer}", "--insecure-skip-verify"),
    *("--identity-token", "{token}", *_OLD_LOG),
)
_SHA384 = ("--signature-digest-algorithm", "sha384")
_STAMPED = ("--timestamp-server-url", "{stamps-url}")


def _config(name: str) -> tuple[str, ...]:
    return ("--signing-config", f"{{{name}}}", "--trusted-root", "{root}")


_LOGIN = ("--identity-token", "{token}")
_WITH_ROOT = ("--trusted-root", "{root}")

RECIPES: Mapping[str, Recipe] = {
    # cosign 2: layers under a `.sig` tag.
    "layer-p256": _keyed("p256", "layer"),
    "layer-p256-again": _keyed("p256", "layer"),
    "layer-other": _keyed("other", "layer"),
    "layer-p384": _keyed("p384", "layer", only=_SHA384),
    "layer-rsa": _keyed("rsa", "layer"),
    "layer-ed25519": _keyed("ed25519", "layer"),
    "layer-key-logged": Recipe(
        "layer", ("--key", "{p256.key}", *_OLD_LOG), ("--key", "{p256}", *_WITH_ROOT)
    ),
    "layer-keyless": Recipe("layer", _OLD_FULCIO, _KEYLESS, _NO_SCT),
    "layer-keyless-again": Recipe("layer", _OLD_FULCIO, _KEYLESS, _NO_SCT),
    "layer-keyless-stamped": Recipe("layer", (*_OLD_FULCIO, *_STAMPED), _KEYLESS, _NO_SCT),
    # cosign 3: bundles.
    "bundle-p256": _keyed("p256", "bundle"),
    "bundle-p256-again": _keyed("p256", "bundle"),
    "bundle-other": _keyed("other", "bundle"),
    "bundle-p384": _keyed("p384", "bundle", only=_SHA384),
    "bundle-rsa": _keyed("rsa", "bundle"),
    "bundle-ed25519": _keyed("ed25519", "bundle"),
    "bundle-key-logged": Recipe(
        "bundle",
        ("--key", "{p256.key}", *_config("new-config")),
        ("--key", "{p256}", *_WITH_ROOT),
    ),
    "bundle-key-old-log": Recipe(
        "bundle",
        ("--key", "{p256.key}", *_config("old-config")),
        ("--key", "{p256}", *_WITH_ROOT),
    ),
    "bundle-keyless": Recipe(
        "bundle",
        (*_LOGIN, *_config("new-config")),
        _KEYLESS,
        (*_NO_SCT, "--use-signed-timestamps"),
    ),
    "bundle-keyless-again": Recipe(
        "bundle",
        (*_LOGIN, *_config("new-config")),
        _KEYLESS,
        (*_NO_SCT, "--use-signed-timestamps"),
    ),
    "bundle-keyless-old-log": Recipe(
        "bundle", (*_LOGIN, *_config("old-config")), _KEYLESS, _NO_SCT
    ),
    "bundle-keyless-both": Recipe(
        "bundle",
        (*_LOGIN, *_config("old-stamped-config")),
        _KEYLESS,
        (*_NO_SCT, "--use-signed-timestamps"),
    ),
    "bundle-keyless-no-log": Recipe(
        "bundle",
        (*_LOGIN, *_config("no-log-config")),
        (*_KEYLESS[:4], "--trusted-root", "{no-logs-root}"),
        (*_NO_SCT, *_NO_LOG, "--use-signed-timestamps"),
    ),
    # Both, over an index and each of its platforms.
    "layer-index": Recipe(
        "layer",
        ("--recursive", "--key", "{p256.key}", "--tlog-upload=false"),
        ("--key", "{p256}", *_NO_LOG),
        ("--offline",),
        index=True,
    ),
    "bundle-index": Recipe(
        "bundle",
        *(
            ("--recursive", *_keyed("p256", "bundle").sign),
            ("--key", "{p256}", *_NO_LOG),
            ("--offline",),
        ),
        index=True,
    ),
}


def _attested(recipe: Recipe, *kinds: str) -> Recipe:
    return replace(recipe, kinds=kinds or tuple(predicates()))


#: Images that something is attested of, and that nobody signs.
ATTESTED: Mapping[str, Recipe] = {
    "attestation-p256": _attested(_keyed("p256", "attestation")),
    "attestation-keyless": _attested(
        Recipe("attestation", (*_OLD_FULCIO, *_STAMPED), _KEYLESS, _NO_SCT),
        *("slsaprovenance1", "custom"),
    ),
    "attested-p256": _attested(_keyed("p256", "bundle")),
    "attested-keyless": _attested(RECIPES["bundle-keyless"], "slsaprovenance", "spdxjson"),
    "attested-keyless-old-log": _attested(RECIPES["bundle-keyless-old-log"], "vuln", "openvex"),
}


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
    words = filled(RECIPES[name].sign, stage.files)
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
    return Signed(name, recipe.form, host, repository, digest, trust, only)


@contextlib.contextmanager
def running_stage_text(folder: Path) -> Iterator[str]:
    """Run a stage for other processes, too."""
    with running_stage(folder) as stage:
        yield stage.dump()
