"""Trusted roots that `imgverify keys update` fetched, and which one holds by default.

Below the folder there is one for each repository. `current` names a generation in it, which is
complete before it is named; nothing in it is ever changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from imgverify.errors import ImgverifyError, InputError, StoreError
from imgverify.oci import limits
from imgverify.oci.strictjson import load_object
from imgverify.trust.files import read_file
from imgverify.trust.shipped import PUBLIC_GOOD_NAME, SHIPPED_ON, public_good
from imgverify.trust.trustedroot import late_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imgverify.signature.trusted import TrustedRoot

#: The public instance's TUF repository.
PUBLIC_GOOD_URL: Final = "https://tuf-repo-cdn.sigstore.dev"
_CURRENT: Final = "current"
_STATE: Final = "state.json"
_ROOT: Final = "trusted_root.json"
_METADATA: Final = "metadata"


@dataclass(frozen=True, slots=True)
class Stored:
    """A trusted root as it was fetched: where from, when, and its bytes."""

    path: Path
    url: str
    taken: datetime
    data: bytes

    @property
    def sha256(self) -> str:
        """The hash of the file."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def is_public(self) -> bool:
        """Whether it is the public instance's."""
        return self.url == PUBLIC_GOOD_URL

    @property
    def is_newer(self) -> bool:
        """Whether it was fetched after what comes along was taken."""
        return self.taken >= SHIPPED_ON

    def roots(self) -> tuple[TrustedRoot, ...]:
        """Return what it says, which was read before it was stored."""
        return (late_root(self.data, PUBLIC_GOOD_NAME if self.is_public else self.url),)


@dataclass(frozen=True, slots=True)
class Generation:
    """A new state in the making, beside the current one."""

    folder: Path

    @property
    def metadata(self) -> Path:
        """Where the repository's own metadata goes, a copy of the last that was good."""
        return self.folder / _METADATA

    @property
    def target(self) -> Path:
        """Where the trusted root goes."""
        return self.folder / _ROOT


def default_roots(home: Path | None) -> tuple[TrustedRoot, ...]:
    """Return the public instance's trusted root: as fetched, or as it comes along if newer."""
    stored = read_stored(home, PUBLIC_GOOD_URL) if home else None
    return stored.roots() if stored is not None and stored.is_newer else public_good()


def folder_of(home: Path, url: str) -> Path:
    """Return the folder of a repository."""
    name = "sigstore-public-good"
    if url != PUBLIC_GOOD_URL:
        name = f"tuf-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    return home / name


def read_stored(home: Path, url: str) -> Stored | None:
    """Return what was fetched from a repository, if anything was; raises `InputError`.

    What is damaged is not passed over: an older root may trust what a newer one does not.
    """
    return _read(folder_of(home, url))


def list_stored(home: Path) -> tuple[Stored, ...]:
    """Return all that was fetched; raises `InputError`."""
    folders = sorted(each for each in home.iterdir() if each.is_dir()) if home.is_dir() else []
    return tuple(filter(None, map(_read, folders)))


def _read(folder: Path) -> Stored | None:
    current = folder / _CURRENT
    if not current.is_symlink():
        return None
    # Its own name: an update may put another into its place meanwhile.
    current = folder / current.readlink().name
    try:
        said = load_object(read_file(current / _STATE, limits.TUF_STATE_SIZE, "the file"), "it")
        data = read_file(current / _ROOT, limits.TRUSTED_ROOT_SIZE, "the file")
        taken = datetime.fromisoformat(str(said["taken"])).astimezone(UTC)
        stored = Stored(current / _ROOT, str(said["url"]), taken, data)
        whole = said["sha256"] == stored.sha256
    except (ImgverifyError, KeyError, ValueError, OverflowError) as error:
        raise _damaged(folder) from error
    if not whole:
        raise _damaged(folder)
    return stored


def _damaged(folder: Path) -> InputError:
    msg = f"the trusted root in {folder} is damaged"
    return InputError(msg, hint=f"remove {folder}, then call imgverify keys update")


@contextlib.contextmanager
def next_generation(home: Path, url: str, taken: datetime) -> Iterator[Generation]:
    """Give a place for a new state; what is there once all is well takes the old one's place.

    Whatever is raised within changes nothing. Raises `StoreError`.
    """
    folder = folder_of(home, url)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder):
            yield from _generation(folder, url, taken)
    except OSError as error:
        msg = f"{folder} cannot be written: {error.strerror}"
        raise StoreError(msg) from error


def _generation(folder: Path, url: str, taken: datetime) -> Iterator[Generation]:
    aside = Generation(folder / f"g-{secrets.token_hex(8)}")
    try:
        aside.folder.mkdir(mode=0o700)
        before = folder / _CURRENT / _METADATA
        if before.is_dir():
            shutil.copytree(before, aside.metadata, symlinks=True)
        else:
            aside.metadata.mkdir()
        yield aside
        digest = hashlib.sha256(aside.target.read_bytes()).hexdigest()
        state = {"url": url, "taken": taken.astimezone(UTC).isoformat(), "sha256": digest}
        (aside.folder / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")
        link = folder / f"{_CURRENT}.{secrets.token_hex(8)}"
        link.symlink_to(aside.folder.name)
        link.replace(folder / _CURRENT)
    except BaseException:
        shutil.rmtree(aside.folder, ignore_errors=True)
        raise
    for each in folder.glob("g-*"):
        if each != aside.folder:
            shutil.rmtree(each, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change a folder."""
    number = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        msg = f"another update of {folder} is under way"
        raise StoreError(msg) from error
    finally:
        os.close(number)
