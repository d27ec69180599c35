"""The names that `import imgverify` promises."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import imgverify

SOURCE = Path(imgverify.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", imgverify.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    assert getattr(imgverify, name) is not None


def test_no_public_name_is_hidden_by_a_package_of_the_same_name() -> None:
    for name in imgverify.__all__:
        assert not isinstance(getattr(imgverify, name), type(sys)), name


def test_type_checkers_see_the_same_names() -> None:
    block = next(
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen | {"__version__"} == set(imgverify.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = imgverify.nothing


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, imgverify; print([m for m in sys.modules if m.startswith('imgverify.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "['imgverify.version']"


def test_the_command_line_does_without_that_of_httpx() -> None:
    code = (
        "import sys; from imgverify.cli.app import execute;"
        "execute(['verify', 'a/b@x']); import httpx; print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "False"
