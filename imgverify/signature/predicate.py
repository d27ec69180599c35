"""What an attestation has to state: its type, and single fields of its predicate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import InputError
from imgverify.signature.statement import COSIGN_SIGN

if TYPE_CHECKING:
    from imgverify.signature.identity import Matching

Scalar = str | bool | int | float

_SPDX: Final = "https://spdx.dev/Document"
#: The words of `cosign attest --type`.
SHORT_NAMES: Final = {
    "slsaprovenance": "https://slsa.dev/provenance/v0.2",
    "slsaprovenance02": "https://slsa.dev/provenance/v0.2",
    "slsaprovenance1": "https://slsa.dev/provenance/v1",
    "link": "https://in-toto.io/Link/v1",
    "spdx": _SPDX,
    "spdxjson": _SPDX,
    "cyclonedx": "https://cyclonedx.org/bom",
    "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    "openvex": "https://openvex.dev/ns",
    "custom": "https://cosign.sigstore.dev/attestation/v1",
}
_POINTER_HINT: Final = "write a JSON pointer, such as /buildDefinition/buildType"
_ABSENT: Final = object()


def predicate_type(text: str) -> str:
    """Read the type of an attestation, a URI or cosign's word for one; raises `InputError`."""
    known = SHORT_NAMES.get(text, text)
    if known == COSIGN_SIGN:
        msg = f"{text} is the type of signatures, which are no attestations"
        raise InputError(msg, hint="ask for a signature")
    if ":" not in known:
        msg = f"{text!r} is no type of attestations"
        raise InputError(msg, hint=f"write a URI, or one of {', '.join(SHORT_NAMES)}")
    return known


@dataclass(frozen=True, slots=True)
class Pointer:
    """The place of a value in a JSON document (RFC 6901)."""

    text: str
    steps: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pointer to something in the document, not all of it; raises `InputError`."""
        start, *steps = text.split("/")
        strange = "~" in text.replace("~0", "").replace("~1", "")
        if start or not steps or strange:
            msg = f"{text!r} is not a place in a JSON document"
            raise InputError(msg, hint=_POINTER_HINT)
        return cls(text, tuple(each.replace("~1", "/").replace("~0", "~") for each in steps))

    def find(self, document: object) -> object:
        """Return the value at the place, or `_ABSENT`."""
        for step in self.steps:
            if isinstance(document, dict):
                document = document.get(step, _ABSENT)
            elif isinstance(document, list):
                document = document[int(step)] if _is_index(step, document) else _ABSENT
            else:
                return _ABSENT
        return document

    def __str__(self) -> str:
        """Return the pointer as it was written."""
        return self.text


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these values, of the same JSON type: the text "1" is not the number 1."""

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        """Refuse to ask for nothing."""
        if not self.values:
            msg = "no value would be accepted"
            raise InputError(msg)

    def accepts(self, value: object) -> bool:
        """Tell whether a value is one of them."""
        return any(_kind(each) is _kind(value) and each == value for each in self.values)

    def __str__(self) -> str:
        """Return the values, as Python writes them."""
        return " or ".join(map(repr, self.values))


@dataclass(frozen=True, slots=True)
class Condition:
    """What a field of a predicate has to be; one that is not there never is."""

    field: Pointer
    wanted: OneOf | Matching

    def objection(self, predicate: object) -> str | None:
        """Say what is wrong with a predicate, None where the condition holds."""
        value = self.field.find(predicate)
        if value is _ABSENT:
            return f"the predicate has no {self.field}, and {self.wanted} is asked for"
        if isinstance(self.wanted, OneOf):
            holds = self.wanted.accepts(value)
        else:
            holds = isinstance(value, str) and self.wanted.accepts(value)
        if holds:
            return None
        return f"{self.field} of the predicate is {value!r:.200}, and {self.wanted} is asked for"


def _is_index(step: str, array: list[object]) -> bool:
    written = step == "0" or (step.isascii() and step.isdigit() and step[0] != "0")
    return written and len(step) <= len(str(len(array))) and int(step) < len(array)


def _kind(value: object) -> type | None:
    """Return a JSON type: numbers are one, and truth values are no numbers."""
    if isinstance(value, (bool, str)):
        return type(value)
    return float if isinstance(value, (int, float)) else None
