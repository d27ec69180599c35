"""Bugs put into imgverify on purpose, to see that the campaign finds them.

A campaign that cannot fail says nothing. Each bug is one that a program like this has had; it has
to be found, by the complaint that it is about, within a number of cases.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from imgverify.cli import app, deliver
from imgverify.cli import verify as verify_command
from imgverify.doctor import judgement
from imgverify.exitcode import ExitCode
from imgverify.oci import limits
from imgverify.oci.digest import Content, Digest
from imgverify.oci.stream import Check
from imgverify.registry import failure, session, tokenserver
from imgverify.registry.deadline import Deadline
from imgverify.report import explain, text
from imgverify.verify import judge
from tests.fuzz.campaign import cases, recording
from tests.fuzz.campaign.runner import Runner

if TYPE_CHECKING:
    from tests.fuzz.campaign.outcome import Outcome

_SEED = 7
_MOST = 60_000


@dataclass(frozen=True, slots=True)
class Bug:
    """What is replaced by what, the complaint that has to follow, and which cases may find it.

    `about` is an expression for the labels of those cases; the others are not run.
    """

    replaced: tuple[tuple[Any, str, Any], ...]
    complaint: str
    about: str


def _nothing(*_: object, **__: object) -> None:
    return None


def _unescaped(value: str, limit: int = 0) -> str:  # noqa: ARG001 - as escape() has it
    return value


def _retry_after(headers: Any) -> float:  # noqa: ANN401 - httpx's
    return float(headers["Retry-After"])


def _too_late(seconds: float) -> Deadline:
    return Deadline(time.monotonic() + seconds + 1.5, seconds)


def _first(comparison: Any, _reading: object) -> Any:  # noqa: ANN401 - a Comparison
    return comparison


_CONTENT = "(body|document)|holds another"

BUGS = {
    "the digest of a manifest is not checked": Bug(
        ((Content, "__post_init__", _nothing),),
        "wrong accept",
        "mirror.*manifests/sha256.* body.flip",
    ),
    "the digest of a layer is not checked": Bug(
        ((Check, "finish", _nothing),),
        "wrong accept",
        f"^(deep|login|same-deep): mirror.*{_CONTENT}",
    ),
    "the digest of a layer is not checked when it is pulled": Bug(
        ((Check, "finish", _nothing),), "wrong accept", f"^pulled.*mirror.*{_CONTENT}"
    ),
    "all digests match": Bug(
        ((Digest, "matches", lambda *_: True),), "wrong accept", "^(diverged|index): "
    ),
    "listed images that are absent are no matter": Bug(
        ((judge, "_without_absent", _first),),
        "wrong accept",
        "^(index|attested|docker-list): mirror.*sha256.*status.change",
    ),
    "denied means allowed": Bug(
        ((verify_command, "of_verdicts", lambda _: ExitCode.ALLOWED),), "wrong accept", "^stale"
    ),
    "an error means allowed": Bug(
        ((app, "of_error", lambda _: ExitCode.ALLOWED),), "wrong accept", "^pulled.*holds another"
    ),
    "a header is taken for a number": Bug(
        ((failure, "parse_retry_after", _retry_after),), "crash", "^limited.*header"
    ),
    "an exit status that is not documented": Bug(
        ((verify_command, "of_verdicts", lambda _: 77),), "status", "^index: "
    ),
    "the report says something else": Bug(
        ((verify_command, "of_verdicts", lambda _: ExitCode.DENIED),), "report", "json$"
    ),
    "an image is left where the exit status says that there is none": Bug(
        ((deliver, "of_verdicts", lambda _: ExitCode.INCONCLUSIVE),), "left", "^pulled-index: "
    ),
    "what a server says is printed as it is": Bug(
        ((text, "escape", _unescaped), (explain, "escape", _unescaped)),
        "output",
        "^[^p].*: (cdn.example.)?mirror.example holds another",
    ),
    "credentials go to every token server": Bug(
        ((tokenserver, "is_among", lambda *_: True),), "leak", "log.*manifests/1.4 header.change"
    ),
    "a mirror that lies is called a good one": Bug(
        ((judgement, "_bad", lambda *_: ""),),
        "wrong accept",
        "^doctor.*mirror.*(header|body|document)",
    ),
    "credentials follow redirects": Bug(
        ((session, "_travelling", lambda headers, _url, _target: headers),), "leak", "^login"
    ),
    "the deadline is another one": Bug(
        ((Deadline, "after", _too_late),), "late", "slow.(hang|drip|body)"
    ),
    "bodies have no bound": Bug(
        ((limits, "MANIFEST_SIZE", 1 << 40), (limits, "TAG_PAGE_SIZE", 1 << 40)),
        "memory",
        "body.grow|slow.body",
    ),
}


def find(bug: Bug, runner: Runner) -> tuple[int, Outcome] | None:
    """Return the first case that finds a bug, with the number of those that were run."""
    tried = 0
    for number in range(_MOST):
        one = cases.case(number, _SEED, runner.known)
        if not re.search(bug.about, one.label):
            continue
        with ExitStack() as stack:
            for target, name, new in bug.replaced:
                stack.enter_context(patch.object(target, name, new))
            outcome = runner.run_case(one)
        tried += 1
        if any(each.startswith(bug.complaint) for each in outcome.complaints):
            return tried, outcome
    return None


def main(folder: Path) -> int:
    """Look for all of them; prints a line for each, and writes down the cases that found them."""
    with (
        tempfile.TemporaryDirectory(prefix="imgverify-campaign-") as place,
        Runner(Path(place) / "case") as runner,
    ):
        for name, bug in BUGS.items():
            found = find(bug, runner)
            fields: dict[str, object] = {"bug": name, "found": found is not None}
            if found is not None:
                path = recording.write(folder, name.replace(" ", "-"), found[1])
                again = recording.replay(path, runner)
                fields |= {"cases": found[0], "complaints": found[1].complaints}
                fields |= {"without": again.complaints}
            sys.stdout.write(json.dumps(fields) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
