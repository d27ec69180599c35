"""Saying that a signature is refused, and why."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from imgverify.errors import Reason, SignatureRejected

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def refused(reason: Reason, saying: str = "") -> Iterator[None]:
    """Expect a rejection for this reason, with this in its sentence."""
    with pytest.raises(SignatureRejected) as caught:
        yield
    assert caught.value.reason is reason, caught.value.message
    assert saying in caught.value.message
