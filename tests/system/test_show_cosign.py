"""What `--show-cosign` prints is run: the real cosign says the same as imgverify."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from imgverify.cli.app import execute
from tests.support.signed import COMPONENTS, KINDS
from tests.system.test_cosign import HOLDING, KEYED, replaced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.signed import Signed, Stage

pytestmark = [pytest.mark.system(*COMPONENTS), pytest.mark.slow]


def shown(signed: Signed, folder: Path) -> tuple[str, str]:
    """Return imgverify's decision, and the one command that it prints."""
    out = folder / "verdict.json"
    words = ["-q", "verify", signed.reference, *signed.trust, "--insecure-http", signed.host]
    execute([*words, "--show-cosign", "--format", "json", "--output", str(out)])
    (image,) = json.loads(out.read_text(encoding="utf-8"))["images"]
    told: dict[str, Any] = image["cosign"]
    (command,) = told["commands"]
    return image["decision"], command


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HOLDING)
def test_what_is_printed_is_accepted_where_the_image_is(
    signed_stage: Stage, kind: str, name: str, tmp_path: Path
) -> None:
    decision, command = shown(signed_stage.find(kind, name), tmp_path)
    assert decision == "allow"
    program, *words = shlex.split(command)
    assert program == "cosign"
    said = signed_stage.cosign(3).run(*words)
    assert said.status == 0, (command, said.err)


@pytest.mark.parametrize("name", KEYED)
def test_what_is_printed_is_refused_where_the_image_is(
    signed_stage: Stage, name: str, tmp_path: Path
) -> None:
    other = "p256" if name.endswith("other") else "other"
    signed = replaced(signed_stage.find("olareg", name), key=signed_stage.files[other])
    decision, command = shown(signed, tmp_path)
    assert decision == "deny"
    assert signed_stage.cosign(3).run(*shlex.split(command)[1:]).status != 0
