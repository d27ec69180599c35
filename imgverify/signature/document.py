"""Reading signed documents: fields by name and type, base64, and integers written as text.

What two readers could take differently is `Malformed`, as everywhere; here that includes base64
with other bits than its bytes need, and the second spelling that protobuf's JSON allows for names.
"""

from __future__ import annotations

import base64
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from imgverify.errors import ContentError, LimitExceeded, Malformed, Reason, SignatureRejected
from imgverify.oci import limits
from imgverify.oci.strictjson import load_object, refuse_case_variants

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_URL_SAFE: Final = str.maketrans("-_", "+/")


@contextmanager
def rejecting(what: str) -> Iterator[None]:
    """Turn what is wrong with bytes into a rejection; `what` begins its sentence."""
    try:
        yield
    except SignatureRejected:
        raise
    except ContentError as error:
        large = isinstance(error, LimitExceeded)
        reason = Reason.TOO_LARGE if large else Reason.MALFORMED
        msg = f"{what} cannot be read: {error.message}"
        raise SignatureRejected(msg, reason) from error


def decode_base64(text: object, what: str, *, url_safe: bool = False) -> bytes:
    """Decode the one way to write some bytes in base64; raises `Malformed`.

    `url_safe` also allows the URL-safe alphabet, where all of the text uses it. Ends of lines are
    passed over, as Go's decoder does.
    """
    if not isinstance(text, str):
        msg = f"{what} is not text"
        raise Malformed(msg)
    text = text.replace("\r", "").replace("\n", "")
    standard = text
    if url_safe and not set("+/") & set(text):
        standard = text.translate(_URL_SAFE)
    try:
        data = base64.b64decode(standard, validate=True)
    except ValueError:
        data = None
    if data is None or base64.b64encode(data).decode() != standard:
        msg = f"{what} is not base64"
        raise Malformed(msg)
    return data


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object, read by field; null counts as absent, as protobuf has it.

    `what` names the object in errors. Fields that nobody knows are left alone.
    """

    values: dict[str, object]
    what: str

    @classmethod
    def of(cls, value: object, what: str, known: frozenset[str]) -> Self:
        """Take an object whose fields are to be read as `known`."""
        if not isinstance(value, dict):
            msg = f"{what} is not a JSON object"
            raise Malformed(msg)
        refuse_case_variants(value, known, what)
        for name in known:
            other = re.sub("([A-Z])", r"_\1", name).lower()
            if other != name and other in value:
                msg = f"{what} has the field {other!r}, which some readers take for {name!r}"
                raise Malformed(msg)
        return cls(value, what)

    @classmethod
    def parse(
        cls,
        data: bytes,
        what: str,
        known: frozenset[str],
        foreign: frozenset[str] = frozenset(),
    ) -> Self:
        """Parse a document that is one object."""
        return cls.of(load_object(data, what, foreign), what, known)

    def has(self, name: str) -> bool:
        """Tell whether a field is there and not null."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """Return a text that has to be there and not empty."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            msg = f"{self.what} has no text {name!r}"
            raise Malformed(msg)
        return value

    def optional_text(self, name: str) -> str:
        """Return a text, empty where it is absent."""
        return self.text(name) if self.values.get(name) not in (None, "") else ""

    def data(self, name: str, *, url_safe: bool = False) -> bytes:
        """Return bytes that have to be there, at least one."""
        return decode_base64(self.text(name), f"{name!r} of {self.what}", url_safe=url_safe)

    def integer(self, name: str) -> int:
        """Return an integer of 64 bits, zero where it is absent; protobuf writes it as text."""
        value = self.values.get(name, 0)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > limits.INT64_MAX:
            msg = f"{name!r} of {self.what} is not a whole number"
            raise Malformed(msg)
        return value

    def index(self, name: str) -> int:
        """Return an integer that is not negative."""
        value = self.integer(name)
        if value < 0:
            msg = f"{name!r} of {self.what} is negative"
            raise Malformed(msg)
        return value

    def fields(self, name: str, known: frozenset[str]) -> Fields:
        """Return an object that has to be there."""
        return Fields.of(self.values.get(name), f"{name!r} of {self.what}", known)

    def array(self, name: str, most: int) -> tuple[object, ...]:
        """Return a list of at most `most` values, empty where it is absent."""
        value = self.values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            msg = f"{name!r} of {self.what} is not a list"
            raise Malformed(msg)
        if len(value) > most:
            msg = f"{name!r} of {self.what} has {len(value)} entries, {most} are the most"
            raise LimitExceeded(msg)
        return tuple(value)

    def objects(self, name: str, known: frozenset[str], most: int) -> tuple[Fields, ...]:
        """Return a list of objects, empty where it is absent."""
        what = f"an entry of {name!r} of {self.what}"
        return tuple(Fields.of(each, what, known) for each in self.array(name, most))
