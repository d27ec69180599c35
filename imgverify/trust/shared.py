"""Files that everybody may write to, which are nobody's word."""

from __future__ import annotations

import os
import stat
from typing import IO

from imgverify.errors import InputError


def refuse_shared(file: IO[bytes], what: str) -> None:
    """Refuse an open file that everybody may write to; raises `InputError`."""
    if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & stat.S_IWOTH:
        msg = f"everybody may write to {what}, so it is nobody's word"
        raise InputError(msg, hint=f"chmod o-w {file.name}")
