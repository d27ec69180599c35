"""Asking both: what cosign says of an image, and what imgverify says, in one answer each."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgverify.cli.app import execute
from imgverify.exitcode import ExitCode

if TYPE_CHECKING:
    from tests.support.signed import Signed, Stage

_REASON = re.compile(r"does not count: ([a-z-]+): ")
#: What cosign's refusals end with, other than errors of its own.
_REFUSED = (1, 10, 12)


@dataclass(frozen=True)
class Answer:
    """imgverify's verdict. `reasons` are those for which signatures were refused."""

    decision: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    evidence: tuple[dict[str, object], ...]
    messages: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        return self.decision == "allow"


def ask_imgverify(reference: str, *words: str) -> Answer:
    """Run `imgverify verify` in this process."""
    host = reference.partition("/")[0]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "verdict.json"
        options = ("--insecure-http", host, "--format", "json", "--output", str(out))
        status = execute(["-q", "verify", reference, *words, *options])
        report = json.loads(out.read_text(encoding="utf-8"))
    (image,) = report["images"]
    decision: str = image["decision"]
    expected = {"allow": ExitCode.ALLOWED, "deny": ExitCode.DENIED}
    assert status == expected.get(decision, ExitCode.INCONCLUSIVE)
    messages = tuple(each["message"] for each in image["findings"])
    return Answer(
        decision,
        rules=tuple(each["rule"] for each in image["findings"]),
        reasons=tuple(found[1] for each in messages if (found := _REASON.search(each))),
        evidence=tuple(image["evidence"]),
        messages=messages,
    )


def ask_cosign(stage: Stage, signed: Signed, reference: str) -> bool:
    """Run `cosign verify`; tells whether it accepts."""
    words = (*signed.trust, *signed.only)
    said = stage.cosign(signed.version).run("verify", *words, reference)
    assert said.status in (0, *_REFUSED), said.err
    return said.status == 0
