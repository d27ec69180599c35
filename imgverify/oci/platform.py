"""Platforms (OCI image-spec, image-index.md, "platform")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from imgverify.errors import InputError, Malformed
from imgverify.oci.strictjson import refuse_case_variants

_FIELDS: Final = frozenset({"architecture", "os", "os.version", "os.features", "variant"})
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_ALIASES: Final = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}
# The variant that an absent one stands for.
_DEFAULT_VARIANTS: Final = {("arm64", "v8"): "", ("arm", ""): "v7", ("amd64", "v1"): ""}
_PARTS: Final = range(2, 4)
_LONGEST: Final = 4 * 64 + 3


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """What an image runs on, normalised: `arm64/v8` is `arm64`, `arm` is `arm/v7`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a user's `os/arch[/variant][:version]`; raises `InputError`."""
        words, colon, version = text[: _LONGEST + 1].partition(":")
        parts = words.split("/", _PARTS.stop) if len(text) <= _LONGEST else []
        versions = [version] if colon else []
        if len(parts) not in _PARTS or not all(map(_WORD.fullmatch, (*parts, *versions))):
            msg = f"{text[:_LONGEST]!r} is not a platform"
            raise InputError(msg, hint="write os/arch or os/arch/variant, such as linux/amd64")
        os, architecture, variant = (*map(str.lower, parts), "")[: _PARTS.stop - 1]
        return cls.normalised(os, architecture, variant, os_version=version)

    @classmethod
    def normalised(
        cls,
        os: str,
        architecture: str,
        variant: str = "",
        *,
        os_version: str = "",
        os_features: tuple[str, ...] = (),
    ) -> Self:
        """Build a platform from the words of a document, in their canonical spelling."""
        architecture = _ALIASES.get(architecture, architecture)
        variant = _DEFAULT_VARIANTS.get((architecture, variant), variant)
        return cls(os, architecture, variant, os_version, os_features)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a descriptor's `platform` object; raises `Malformed`."""
        if not isinstance(value, dict):
            msg = "a platform is a JSON object"
            raise Malformed(msg)
        refuse_case_variants(value, _FIELDS, "a platform")
        # Null is what an absent field is to Go's reader.
        features = value.get("os.features") or []
        if not isinstance(features, list) or not all(isinstance(each, str) for each in features):
            msg = "os.features is a list of text"
            raise Malformed(msg)
        return cls.normalised(
            _text(value, "os"),
            _text(value, "architecture"),
            _text(value, "variant"),
            os_version=_text(value, "os.version"),
            os_features=tuple(features),
        )

    @property
    def is_unknown(self) -> bool:
        """Whether this is the `unknown/unknown` under which attestations are listed."""
        return self.os == "unknown" and self.architecture == "unknown"

    def satisfies(self, wanted: Platform) -> bool:
        """Tell whether content for this platform is what somebody who wants `wanted` asked for."""
        return (self.os, self.architecture, self.variant) == (
            wanted.os,
            wanted.architecture,
            wanted.variant,
        ) and wanted.os_version in ("", self.os_version)

    def __str__(self) -> str:
        """Return `os/arch[/variant][:version]`, as `parse` reads it."""
        version = f":{self.os_version}" if self.os_version else ""
        return "/".join(filter(None, (self.os, self.architecture, self.variant))) + version


def _text(value: dict[str, object], key: str) -> str:
    text = value.get(key)
    if text is not None and not isinstance(text, str):
        msg = f"a platform's {key} is text"
        raise Malformed(msg)
    return text or ""
