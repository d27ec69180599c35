"""How images are signed by cosign, and how they are verified: in every way that it has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.support.cosign import predicates

if TYPE_CHECKING:
    from collections.abc import Mapping

WHO = "dev@team.test"


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
    by: int = 0

    @property
    def version(self) -> int:
        """The cosign that signs and verifies: the one that does it so by itself, or the other."""
        return self.by or (3 if self.form == "bundle" else 2)


_NO_LOG = ("--insecure-ignore-tlog",)
_KEYLESS = (
    *("--certificate-identity", WHO, "--certificate-oidc-issuer", "{issuer}"),
    *("--trusted-root", "{root}"),
)
_OFFLINE = ("--offline",)
_NO_SCT = ("--insecure-ignore-sct", *_OFFLINE)


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
_OLD_FORM = ("--new-bundle-format=false", "--use-signing-config=false")
_NEW_FORM = ("--new-bundle-format",)

RECIPES: Mapping[str, Recipe] = {
    # cosign 2: layers under a `.sig` tag.
    "layer-p256": _keyed("p256", "layer"),
    "layer-p256-again": _keyed("p256", "layer"),
    "layer-other": _keyed("other", "layer"),
    "layer-p384": _keyed("p384", "layer", only=_SHA384),
    "layer-rsa": _keyed("rsa", "layer"),
    "layer-ed25519": _keyed("ed25519", "layer"),
    "layer-key-logged": Recipe(
        "layer", ("--key", "{p256.key}", *_OLD_LOG), ("--key", "{p256}", *_WITH_ROOT), _OFFLINE
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
        _OFFLINE,
    ),
    "bundle-key-old-log": Recipe(
        "bundle",
        ("--key", "{p256.key}", *_config("old-config")),
        ("--key", "{p256}", *_WITH_ROOT),
        _OFFLINE,
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
    "bundle-p384-logged": Recipe(
        "bundle",
        sign=("--key", "{p384.key}", *_config("new-config")),
        trust=("--key", "{p384}", *_WITH_ROOT),
        only=_SHA384,
    ),
    "bundle-rsa-logged": Recipe(
        "bundle",
        # RSA gives the same signature again, and a log takes the same up once.
        sign=("--key", "{rsa.key}", "--annotations", "{place}", *_config("new-config")),
        trust=("--key", "{rsa}", *_WITH_ROOT),
        only=_OFFLINE,
    ),
    # What each version does only when it is told to.
    "layer-by-3": replace(
        _keyed("p256", "layer"),
        sign=(*_OLD_FORM, "--key", "{p256.key}", "--tlog-upload=false"),
        by=3,
    ),
    "layer-keyless-by-3": Recipe(
        "layer", (*_OLD_FORM, *_WITH_ROOT, *_OLD_FULCIO), _KEYLESS, _NO_SCT, by=3
    ),
    "layer-referring": replace(
        _keyed("p256", "layer"),
        sign=("--registry-referrers-mode=oci-1-1", *_keyed("p256", "layer").sign),
        only=("--experimental-oci11",),
    ),
    "bundle-keyless-by-2": Recipe(
        "bundle",
        sign=(*_NEW_FORM, *_WITH_ROOT, *_OLD_FULCIO, *_STAMPED),
        trust=_KEYLESS,
        only=(*_NEW_FORM, *_NO_SCT),
        by=2,
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
