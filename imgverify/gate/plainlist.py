"""Plain lists: one reference a line, with `#` before comments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imgverify.gate.tree import Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.mention import Mention
    from imgverify.gate.source import Source

_COMMENT: Final = re.compile(r"(?:^|[ \t])#.*", re.ASCII)


def plain_list(source: Source) -> Iterator[Mention]:
    """Yield what each line names."""
    at = source.start
    for line in source.text[source.start :].split("\n"):
        scalar = Scalar(_COMMENT.sub("", line), at)
        if not scalar.is_empty:
            yield source.mention(scalar)
        at += len(line) + 1
