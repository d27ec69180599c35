"""The trust material that comes with imgverify; `keys/README.md` says where it is from."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imgverify.trust.trustedroot import late_root

if TYPE_CHECKING:
    from imgverify.signature.trusted import TrustedRoot

PUBLIC_GOOD: Final = "sigstore-public-good.trusted_root.json"
PUBLIC_GOOD_TUF: Final = "sigstore-public-good.tuf_root.json"
PUBLIC_GOOD_NAME: Final = "the public Sigstore instance"
#: When both were taken: what was fetched before is older.
SHIPPED_ON: Final = datetime(2026, 11, 24, tzinfo=UTC)


def read_shipped(name: str) -> bytes:
    """Return a file of `keys/`, which a wheel has inside the package as `_keys`."""
    inside = resources.files("imgverify") / "_keys" / name
    if inside.is_file():
        return inside.read_bytes()
    # In a checkout, also an editable installation of one, the folder lies beside the package.
    return (Path(__file__).resolve().parents[2] / "keys" / name).read_bytes()


def public_good() -> tuple[TrustedRoot, ...]:
    """Return the trusted root of Sigstore's public instance."""
    return (late_root(read_shipped(PUBLIC_GOOD), PUBLIC_GOOD_NAME),)
